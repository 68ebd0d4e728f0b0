//! The session channel and the journal: any bytes, read as a line, and as an update.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_session::{decode, encode};
use mainstay_wire::session::{Reply, Request};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(bytes) {
        let line = serde_json::to_vec(&request).expect("a request is JSON");
        // A number of claims may be another in its last digit.
        drop(serde_json::from_slice::<Request>(&line).expect("it reads back"));
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(bytes) {
        let line = serde_json::to_vec(&reply).expect("a reply is JSON");
        assert_eq!(serde_json::from_slice::<Reply>(&line).expect("it reads back"), reply);
    }
    if let Ok(update) = decode(bytes) {
        let mut again = Vec::new();
        encode(&update, &mut again);
        assert_eq!(again, bytes);
    }
});
