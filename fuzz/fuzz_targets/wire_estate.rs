//! Keeper and heir: any bytes, read as either's message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_fuzz::survives_the_wire;
use mainstay_wire::estate::{ToHeir, ToKeeper};
use mainstay_wire::frame::Message as _;

fuzz_target!(|bytes: &[u8]| {
    if let Some(message) = survives_the_wire::<ToKeeper>(bytes) {
        assert!(message.descriptors() <= 1);
    }
    if let Some(message) = survives_the_wire::<ToHeir>(bytes) {
        let descriptors = message.descriptors();
        match message {
            ToHeir::Estate { .. } => assert_eq!(descriptors, 1),
            ToHeir::Offer { items, .. } => {
                assert!((items.len()..=2 * items.len()).contains(&descriptors));
            }
            ToHeir::Settled => assert_eq!(descriptors, 0),
        }
    }
});
