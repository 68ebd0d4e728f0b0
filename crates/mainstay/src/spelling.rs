//! Words of a command line that are understood as they were typed for the product that agents
//! follow: with one dash.
//!
//! To the parser of command lines `-forcereg` is eight letters, each an option of its own. So the
//! one place where it may stand is looked at before: behind `agent`. Nothing else is touched, so
//! no other command line can change its meaning.

use std::ffi::OsString;

/// What is typed behind `mainstay agent`, and what it means.
const AGENT: [(&str, &[&str]); 2] = [("-forcereg", &["reregister"]), ("-v", &["status", "-v"])];

/// A command line in this program's own words.
pub(crate) fn own(typed: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = typed.into_iter().collect();
    let is_agent = words.get(1).is_some_and(|role| role == "agent");
    let meant = words.get(2).filter(|_| is_agent).and_then(|word| {
        let (_, meant) = AGENT.iter().find(|(typed, _)| word == typed)?;
        Some(meant.iter().map(OsString::from))
    });
    if let Some(meant) = meant {
        drop(words.splice(2..3, meant));
    }
    words
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::role::CommandLine;

    fn read(typed: &[&str]) -> Vec<OsString> {
        own(typed.iter().map(OsString::from))
    }

    #[test]
    fn words_with_one_dash_are_understood_behind_agent_alone() {
        for (typed, meant) in [
            (&["mainstay", "agent", "-forcereg"][..], &["mainstay", "agent", "reregister"][..]),
            (&["mainstay", "agent", "-v"], &["mainstay", "agent", "status", "-v"]),
            (
                &["mainstay", "agent", "-v", "-C", "-v"],
                &["mainstay", "agent", "status", "-v", "-C", "-v"],
            ),
            (
                &["mainstay", "agent", "-forcereg", "-C", "/a"],
                &["mainstay", "agent", "reregister", "-C", "/a"],
            ),
        ] {
            assert_eq!(read(typed), meant, "{typed:?}");
        }
        for other in [
            &["mainstay"][..],
            &["mainstay", "agent"],
            &["mainstay", "-forcereg"],
            &["mainstay", "manager", "-v"],
            &["mainstay", "agent", "status", "-v"],
            &["mainstay", "agent", "enroll", "-forcereg"],
            &["mainstay", "agent", "-V"],
        ] {
            assert_eq!(read(other), other);
        }
    }

    #[test]
    fn each_of_them_is_a_command_line_and_in_the_help() {
        let mut command = CommandLine::command();
        let agent = command.find_subcommand_mut("agent").unwrap();
        let help = agent.render_help().to_string();
        for (typed, _) in AGENT {
            let line = CommandLine::try_parse_from(read(&["mainstay", "agent", typed]));
            assert!(line.is_ok(), "{typed}: {line:?}");
            assert!(help.contains(&format!("mainstay agent {typed} ")), "{typed}:\n{help}");
        }
    }
}
