//! Broadcast, its processes and its callers: any bytes, read as a message of each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_fuzz::survives_the_wire;
use mainstay_wire::broadcast::{ToBroadcast, ToPeer};
use mainstay_wire::caller::{Reply, Request};
use mainstay_wire::frame::Message as _;
use mainstay_wire::session::ToReplica;

fuzz_target!(|bytes: &[u8]| {
    if let Some(message) = survives_the_wire::<ToPeer>(bytes) {
        let is_load = matches!(message, ToPeer::Sessions(ToReplica::Load { .. }));
        assert!(message.descriptors() == 0 || is_load);
    }
    if let Some(message) = survives_the_wire::<ToBroadcast>(bytes) {
        assert_eq!(message.descriptors(), 0);
    }
    if let Ok(request) = serde_json::from_slice::<Request>(bytes) {
        let line = serde_json::to_vec(&request).expect("a request is JSON");
        assert_eq!(serde_json::from_slice::<Request>(&line).expect("it reads back"), request);
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(bytes) {
        let line = serde_json::to_vec(&reply).expect("a reply is JSON");
        assert_eq!(serde_json::from_slice::<Reply>(&line).expect("it reads back"), reply);
    }
});
