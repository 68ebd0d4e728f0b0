//! A thousand fixed seeds, and one that nobody has played before.

#![expect(clippy::panic, clippy::print_stderr, reason = "a harness fails by panicking, and prints")]

use std::hash::{BuildHasher, RandomState};

use mainstay_sim::gateway;

const STEPS: u32 = 500;

#[test]
fn a_thousand_seeds() {
    for seed in 0..1_000 {
        play(seed);
    }
}

/// Its number is in the failure, and `cargo xtask sim gateway --seed` plays it again.
#[test]
fn a_fresh_seed() {
    let seed = RandomState::new().hash_one("fresh");
    eprintln!("fresh seed {seed}");
    play(seed);
}

#[track_caller]
fn play(seed: u64) {
    if let Err(broken) = gateway::run(seed, STEPS) {
        panic!("{broken}");
    }
}
