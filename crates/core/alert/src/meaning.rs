//! What each kind of event means: the sentence, the severity, and what it does to the alerts.

use std::collections::BTreeMap;

use mainstay_model::Process;
use mainstay_wire::event::{Event, Kind, Severity};

/// Longest summary, and longest detail.
pub const SUMMARY_BYTES_MAX: usize = 512;

/// What an event does to the alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// An alert of the event's kind stands from here on.
    Raise,
    /// The alerts of these kinds end, for the same process. If none of them stands, nothing is
    /// told.
    Clear(&'static [Kind]),
    /// As `Clear`, but if none of them stands, it is told that it happened.
    ClearOrHappen(&'static [Kind]),
    Happen,
    /// The gateway ends, and with it whatever stands.
    End,
}

/// How bad an alert of this kind is.
pub const fn alert_severity(kind: Kind) -> Severity {
    match kind {
        Kind::SystemUp
        | Kind::SystemStopped
        | Kind::ProcessUp
        | Kind::CrashLoopEnded
        | Kind::Swapped
        | Kind::WorkerServes
        | Kind::Applied
        | Kind::RolledBack
        | Kind::Upgraded
        | Kind::Rearranged
        | Kind::ProcessUnneeded => Severity::Info,
        Kind::ProcessDied
        | Kind::ProcessHung
        | Kind::FailedOver
        | Kind::SwapRefused
        | Kind::ApplyRefused
        | Kind::ApplyUndone
        | Kind::ConnectionSuspected
        | Kind::UpgradeFailed
        | Kind::RearrangementFailed => Severity::Warning,
        Kind::SystemDown
        | Kind::CrashLooped
        | Kind::NoWorkerReady
        | Kind::ConnectionsRefused
        | Kind::ConnectionsLost => Severity::Critical,
    }
}

/// Whether an alert of this kind stands until something clears it. Others merely happen.
pub const fn can_stand(kind: Kind) -> bool {
    matches!(effect(kind), Effect::Raise)
}

/// What an event of this kind does to the alerts.
pub(crate) const fn effect(kind: Kind) -> Effect {
    match kind {
        Kind::SystemDown
        | Kind::ProcessDied
        | Kind::CrashLooped
        | Kind::NoWorkerReady
        | Kind::ConnectionsRefused => Effect::Raise,
        Kind::SystemUp => Effect::ClearOrHappen(&[Kind::SystemDown]),
        Kind::ProcessUp => Effect::Clear(&[Kind::ProcessDied]),
        Kind::ProcessUnneeded => Effect::Clear(&[Kind::ProcessDied, Kind::CrashLooped]),
        Kind::CrashLoopEnded => Effect::Clear(&[Kind::CrashLooped]),
        Kind::WorkerServes => Effect::Clear(&[Kind::NoWorkerReady, Kind::ConnectionsRefused]),
        Kind::SystemStopped => Effect::End,
        Kind::ProcessHung
        | Kind::FailedOver
        | Kind::Swapped
        | Kind::SwapRefused
        | Kind::Applied
        | Kind::RolledBack
        | Kind::ApplyRefused
        | Kind::ApplyUndone
        | Kind::ConnectionSuspected
        | Kind::ConnectionsLost
        | Kind::Upgraded
        | Kind::UpgradeFailed
        | Kind::Rearranged
        | Kind::RearrangementFailed => Effect::Happen,
    }
}

/// The process that an event is about, which is a part of its alert's name.
pub(crate) const fn process(event: &Event) -> Option<Process> {
    match event {
        Event::SystemUp { .. } | Event::SystemDown { .. } | Event::SystemStopped => {
            Some(Process::Master)
        }
        Event::ProcessDied { process, .. }
        | Event::ProcessUp { process, .. }
        | Event::ProcessHung { process, .. }
        | Event::ProcessUnneeded { process }
        | Event::CrashLooped { process, .. }
        | Event::CrashLoopEnded { process, .. } => Some(*process),
        Event::FailedOver { from: slot, .. }
        | Event::Swapped { to: slot, .. }
        | Event::ConnectionSuspected { slot, .. }
        | Event::ConnectionsLost { slot, .. } => Some(Process::Worker(*slot)),
        Event::SwapRefused
        | Event::NoWorkerReady
        | Event::ConnectionsRefused
        | Event::WorkerServes { .. }
        | Event::Applied { .. }
        | Event::RolledBack { .. }
        | Event::ApplyRefused { .. }
        | Event::ApplyUndone { .. }
        | Event::Upgraded { .. }
        | Event::UpgradeFailed { .. }
        | Event::Rearranged { .. }
        | Event::RearrangementFailed { .. } => None,
    }
}

/// One sentence for whoever is woken by it.
pub(crate) fn summary(event: &Event) -> String {
    let sentence = match event {
        Event::SystemUp { .. } => "system up: the master does its work".to_owned(),
        Event::SystemDown { ending, .. } => format!("system down: the master died ({ending})"),
        Event::SystemStopped => "system down: the gateway was asked to stop".to_owned(),
        Event::ProcessDied { process, ending, .. } => format!("{process} died ({ending})"),
        Event::ProcessUp { process, .. } => format!("{process} does its work again"),
        Event::ProcessHung { process, reason, .. } => format!("{process} is killed: {reason}"),
        Event::CrashLooped { process, ending, .. } => {
            format!("{process} dies again and again, last of {ending}")
        }
        Event::CrashLoopEnded { process, .. } => format!("{process} has stayed up"),
        Event::FailedOver { from, to } => {
            format!("worker {from} went down, worker {to} took over")
        }
        Event::Swapped { from, to } => {
            format!("worker {to} serves in place of worker {from}, on purpose")
        }
        Event::SwapRefused => {
            "active and standby were not exchanged: the standby is not ready".to_owned()
        }
        Event::NoWorkerReady => "no worker is ready, connections wait".to_owned(),
        Event::ConnectionsRefused => {
            "no worker became ready in time, connections are refused".to_owned()
        }
        Event::WorkerServes { slot } => format!("worker {slot} serves"),
        Event::Applied { generation } => format!("generation {generation} is in service"),
        Event::RolledBack { generation } => {
            format!("generation {generation} is in service again, on purpose")
        }
        Event::ApplyRefused { reason } => format!("an apply was refused: {reason}"),
        Event::ApplyUndone { generation, reason } => {
            format!("generation {generation} was taken out of service again: {reason}")
        }
        Event::ConnectionSuspected { connection, client, .. } => {
            format!("a worker died of connection {connection} of {client}, which was given up")
        }
        Event::ConnectionsLost { slot, from_pid, connections } => format!(
            "{connections} connections that process {from_pid} left could not be carried on by worker {slot}"
        ),
        Event::Upgraded { version } => format!("every process runs version {version}"),
        Event::UpgradeFailed { reason } => format!("the upgrade failed: {reason}"),
        Event::Rearranged { arrangement } => format!("the gateway is {arrangement} now"),
        Event::RearrangementFailed { reason } => {
            format!("the gateway did not become another: {reason}")
        }
        Event::ProcessUnneeded { process } => format!("{process} is not needed any more"),
    };
    one_line(&sentence)
}

/// The fields of an event, as texts.
pub(crate) fn details(event: &Event) -> BTreeMap<String, String> {
    let fields: Vec<(&str, String)> = match event {
        Event::SystemUp { pid }
        | Event::ProcessUp { pid, .. }
        | Event::CrashLoopEnded { pid, .. } => vec![("pid", pid.to_string())],
        Event::SystemDown { pid, ending }
        | Event::ProcessDied { pid, ending, .. }
        | Event::CrashLooped { pid, ending, .. } => {
            vec![("pid", pid.to_string()), ("ending", ending.clone())]
        }
        Event::ProcessHung { pid, reason, .. } => {
            vec![("pid", pid.to_string()), ("reason", reason.clone())]
        }
        Event::FailedOver { from, to } | Event::Swapped { from, to } => {
            vec![("from", from.to_string()), ("to", to.to_string())]
        }
        Event::SystemStopped
        | Event::SwapRefused
        | Event::NoWorkerReady
        | Event::ProcessUnneeded { .. }
        | Event::ConnectionsRefused => Vec::new(),
        Event::WorkerServes { slot } => vec![("slot", slot.to_string())],
        Event::Applied { generation } | Event::RolledBack { generation } => {
            vec![("generation", generation.to_string())]
        }
        Event::Rearranged { arrangement } => vec![("arrangement", arrangement.clone())],
        Event::ApplyRefused { reason }
        | Event::UpgradeFailed { reason }
        | Event::RearrangementFailed { reason } => {
            vec![("reason", reason.clone())]
        }
        Event::Upgraded { version } => vec![("version", version.clone())],
        Event::ApplyUndone { generation, reason } => {
            vec![("generation", generation.to_string()), ("reason", reason.clone())]
        }
        Event::ConnectionSuspected { connection, client, .. } => {
            vec![("connection", connection.to_string()), ("client", client.clone())]
        }
        Event::ConnectionsLost { from_pid, connections, .. } => {
            vec![("from_pid", from_pid.to_string()), ("connections", connections.to_string())]
        }
    };
    fields.into_iter().map(|(name, text)| (name.to_owned(), one_line(&text))).collect()
}

/// A text that is one line and not too long, whoever wrote it.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(SUMMARY_BYTES_MAX));
    for character in text.trim().chars() {
        // What several lines said is parted as sentences are.
        let piece = if character == '\n' { "; " } else { "" };
        let character = if character.is_control() { ' ' } else { character };
        let bytes = if piece.is_empty() { character.len_utf8() } else { piece.len() };
        if line.len() + bytes > SUMMARY_BYTES_MAX - '…'.len_utf8() {
            line.push('…');
            break;
        }
        if piece.is_empty() {
            line.push(character);
        } else {
            line.push_str(piece);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_anybodys_becomes_one_short_line() {
        let cases = [
            ("a\nb\n", "a; b".to_owned()),
            ("a\tb\u{1b}[2J\0", "a b [2J ".to_owned()),
            ("", String::new()),
        ];
        for (text, expected) in cases {
            assert_eq!(one_line(text), expected, "{text:?}");
        }
        let long = one_line(&"ü".repeat(1000));
        assert!(long.len() <= SUMMARY_BYTES_MAX && long.ends_with('…'), "{}", long.len());
    }
}
