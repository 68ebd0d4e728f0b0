//! A request of an agent: any bytes, read as OpAMP, and as our own capabilities in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_opamp::enrol::{self, Request};
use mainstay_opamp::events::{self, BATCH_EVENTS_MAX, Batch, EVENT_BYTES_MAX};
use mainstay_opamp::wire::{MESSAGE_BYTES_MAX, decode_request, encode};

fuzz_target!(|bytes: &[u8]| {
    let Ok((uid, message)) = decode_request(bytes) else { return };
    assert!(bytes.len() <= MESSAGE_BYTES_MAX);
    let encoded = encode(&message);
    // What a number left out of a packed or merged field is worth may be more bytes; most are not.
    if let Ok((again, decoded)) = decode_request(&encoded) {
        assert_eq!(again, uid);
        assert_eq!(encode(&decoded), encoded);
    } else {
        assert!(encoded.len() > bytes.len(), "what is not longer is not refused");
    }
    let Some(mut custom) = message.custom_message else { return };
    if let Ok(Some(batch)) = Batch::from_message(&custom) {
        assert!(batch.events.len() <= BATCH_EVENTS_MAX && batch.first_seq > 0);
        assert!(batch.events.iter().all(|event| event.body.len() <= EVENT_BYTES_MAX));
        assert_eq!(Batch::from_message(&batch.to_message()).ok().flatten(), Some(batch));
    }
    // Its bytes as the other message, too: the name before them is easily guessed.
    (custom.capability, custom.r#type) = (enrol::CAPABILITY.into(), enrol::REQUEST.into());
    if let Ok(Some(request)) = Request::from_message(&custom) {
        assert_eq!(request.public_key.len(), enrol::PUBLIC_KEY_BYTES);
        assert_eq!(Request::from_message(&request.to_message()).ok().flatten(), Some(request));
    }
    (custom.capability, custom.r#type) = (events::CAPABILITY.into(), events::BATCH.into());
    drop(Batch::from_message(&custom));
});
