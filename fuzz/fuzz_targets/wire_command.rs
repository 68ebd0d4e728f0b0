//! Operator and master: any bytes, read as a command or as a reply.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_fuzz::survives_the_wire;
use mainstay_wire::command::{Command, Reply};
use mainstay_wire::frame::Message as _;

fuzz_target!(|bytes: &[u8]| {
    if let Some(message) = survives_the_wire::<Command>(bytes) {
        assert!(message.descriptors() <= 1);
    }
    survives_the_wire::<Reply>(bytes);
});
