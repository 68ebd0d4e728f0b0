//! Operator and master: any bytes, read as a command or as a reply.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_fuzz::survives_the_wire;
use mainstay_wire::command::{Command, Reply};

fuzz_target!(|bytes: &[u8]| {
    survives_the_wire::<Command>(bytes);
    survives_the_wire::<Reply>(bytes);
    // What `mainstay status --json` prints, for whoever reads that.
});
