//! Master and workers: any bytes, read as either's message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_fuzz::survives_the_wire;
use mainstay_wire::frame::Message as _;
use mainstay_wire::pair::{ToMaster, ToWorker};

fuzz_target!(|bytes: &[u8]| {
    if let Some(message) = survives_the_wire::<ToWorker>(bytes) {
        match &message {
            ToWorker::Welcome { listeners, .. } | ToWorker::Listeners { listeners, .. } => {
                assert_eq!(message.descriptors(), listeners.len());
            }
            ToWorker::Serve | ToWorker::Revoke | ToWorker::HandOver | ToWorker::Stop { .. } => {
                assert_eq!(message.descriptors(), 0);
            }
        }
    }
    if let Some(message) = survives_the_wire::<ToMaster>(bytes) {
        match &message {
            ToMaster::Hello { threads, .. } => {
                assert_eq!(message.descriptors(), 2 + usize::from(*threads));
            }
            ToMaster::Ready
            | ToMaster::Revoked
            | ToMaster::Outgrown
            | ToMaster::Adopted(_)
            | ToMaster::Told { .. }
            | ToMaster::Leaving => {
                assert_eq!(message.descriptors(), 0);
            }
        }
    }
});
