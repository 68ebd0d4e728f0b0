//! Supervisor and the processes it started: any bytes, read as either's message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_fuzz::survives_the_wire;
use mainstay_wire::control::{ToProcess, ToSupervisor};
use mainstay_wire::frame::Message as _;

fuzz_target!(|bytes: &[u8]| {
    if let Some(ToProcess::Welcome { listeners, generation }) = survives_the_wire(bytes) {
        let descriptors = listeners.len();
        assert_eq!(ToProcess::Welcome { listeners, generation }.descriptors(), descriptors);
    }
    if let Some(message) = survives_the_wire::<ToSupervisor>(bytes) {
        match &message {
            ToSupervisor::Hello { listeners, .. } => {
                assert_eq!(message.descriptors(), listeners.len());
            }
            ToSupervisor::Alive => assert_eq!(message.descriptors(), 0),
        }
    }
});
