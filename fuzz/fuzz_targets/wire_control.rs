//! Supervisor and the processes it started: any bytes, read as either's message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_fuzz::survives_the_wire;
use mainstay_wire::control::{ToProcess, ToSupervisor};
use mainstay_wire::frame::Message as _;

fuzz_target!(|bytes: &[u8]| {
    if let Some(message) = survives_the_wire::<ToProcess>(bytes) {
        match &message {
            ToProcess::Welcome { listeners, .. } | ToProcess::Listening { listeners, .. } => {
                assert_eq!(message.descriptors(), listeners.len());
            }
            ToProcess::NotListening { .. }
            | ToProcess::Processes { .. }
            | ToProcess::Noted { .. }
            | ToProcess::Tally { .. }
            | ToProcess::Stop { .. } => assert_eq!(message.descriptors(), 0),
        }
    }
    if let Some(message) = survives_the_wire::<ToSupervisor>(bytes) {
        match &message {
            ToSupervisor::Hello { listeners, .. } | ToSupervisor::Settled { listeners, .. } => {
                assert_eq!(message.descriptors(), listeners.len());
            }
            ToSupervisor::Upgrade => assert_eq!(message.descriptors(), 1),
            ToSupervisor::Alive
            | ToSupervisor::Pair { .. }
            | ToSupervisor::Listen { .. }
            | ToSupervisor::Event { .. }
            | ToSupervisor::StandIn
            | ToSupervisor::Arrange
            | ToSupervisor::Alerts => assert_eq!(message.descriptors(), 0),
        }
    }
});
