//! A thousand fixed seeds, and one that nobody has played before.

#![expect(clippy::panic, clippy::print_stderr, reason = "a harness fails by panicking, and prints")]

use std::hash::{BuildHasher, RandomState};

use mainstay_sim::{agents, gateway, sessions};

const STEPS: u32 = 500;

#[test]
fn a_thousand_seeds() {
    for seed in 0..1_000 {
        play(seed);
    }
}

#[test]
fn a_thousand_seeds_of_sessions() {
    for seed in 0..1_000 {
        play_sessions(seed);
    }
}

#[test]
fn a_fresh_seed_of_sessions() {
    let seed = RandomState::new().hash_one("fresh");
    eprintln!("fresh seed {seed}");
    play_sessions(seed);
}

#[track_caller]
fn play_sessions(seed: u64) {
    if let Err(broken) = sessions::run(seed, STEPS, None) {
        panic!("{broken}");
    }
}

#[test]
fn two_thousand_seeds_of_agents() {
    for seed in 0..2_000 {
        play_agents(seed);
    }
}

#[test]
fn a_fresh_seed_of_agents() {
    let seed = RandomState::new().hash_one("fresh");
    eprintln!("fresh seed {seed}");
    play_agents(seed);
}

#[track_caller]
fn play_agents(seed: u64) {
    if let Err(broken) = agents::run(seed, STEPS, None) {
        panic!("{broken}");
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
