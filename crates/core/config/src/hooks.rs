//! `[hooks]`: what this machine runs around an apply.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use crate::entry::Entry;
use crate::section::Section;

/// Most words of a command.
const WORDS_MAX: usize = 64;

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(10);
const OUTPUTS: RangeInclusive<u64> = 0..=32 * 1024;

/// What is run around an apply; each may be none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// When a configuration has been found valid, before anything is done with it.
    pub pre_apply: Option<Hook>,
    /// Before it is proven: for the addresses that it needs. Run again to undo that, if the
    /// apply comes to nothing.
    pub network: Option<Hook>,
    /// When it is in service everywhere.
    pub post_apply: Option<Hook>,
}

/// A command of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The program, an absolute path, and its arguments.
    pub command: Vec<String>,
    /// It is killed when it takes longer.
    pub timeout: Duration,
    /// How much of what it says is kept; at most 32 KiB, so that it fits in an answer.
    pub output_bytes: usize,
}

pub(crate) fn read(file: &mut Section<'_>) -> Hooks {
    let mut section = file.table("hooks", "[hooks]");
    let hooks = Hooks {
        pre_apply: read_hook(&mut section, "pre_apply"),
        network: read_hook(&mut section, "network"),
        post_apply: read_hook(&mut section, "post_apply"),
    };
    section.finish();
    hooks
}

fn read_hook(section: &mut Section<'_>, key: &'static str) -> Option<Hook> {
    let mut hook = section.optional(key)?.table("a hook")?;
    let entry = hook.required("command");
    let span = entry.as_ref().map_or_else(|| hook.span(), Entry::span);
    let words = entry.and_then(Entry::array).unwrap_or_default();
    let command: Vec<String> =
        words.into_iter().filter_map(Entry::text).map(|word| word.get_ref().to_string()).collect();
    let timeout = hook.duration("timeout", Duration::from_secs(30), &TIMEOUTS);
    let output = hook.size("output", 8 * 1024, &OUTPUTS);
    if let Some(program) = command.first()
        && !Path::new(program).is_absolute()
    {
        let sentence = format!("command must begin with an absolute path, not {program:?}");
        hook.problems().add(span.clone(), sentence);
    }
    if command.len() > WORDS_MAX || command.iter().any(|word| word.contains('\0')) {
        let sentence = format!("command must be at most {WORDS_MAX} words without NUL");
        hook.problems().add(span, sentence);
    }
    hook.finish();
    let output_bytes = usize::try_from(output).expect("at most 32 KiB");
    Some(Hook { command, timeout, output_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;

    const BASE: &str = "state = \"/s\"\nrun = \"/r\"\ngateway = \"/g\"\n[hooks]\n";

    #[test]
    fn a_hook_is_a_command_with_limits() {
        let text = format!(
            "{BASE}pre_apply = {{ command = [\"/bin/a\", \"b\"] }}\n\
             network = {{ command = [\"/bin/n\"], timeout = \"1m\", output = \"1KiB\" }}\n"
        );
        let hooks = host::parse(&text).unwrap().hooks;
        let hook = |words: &[&str], seconds, output_bytes| Hook {
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            timeout: Duration::from_secs(seconds),
            output_bytes,
        };
        assert_eq!(hooks.pre_apply, Some(hook(&["/bin/a", "b"], 30, 8192)));
        assert_eq!(hooks.network, Some(hook(&["/bin/n"], 60, 1024)));
        assert_eq!(hooks.post_apply, None);
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        let mut said = String::new();
        for end in [
            "pre_apply = {}",
            "pre_apply = \"/bin/true\"",
            "pre_apply = { command = [] }",
            "pre_apply = { command = [\"true\"] }",
            "pre_apply = { command = [\"/bin/true\"], timeout = \"1h\" }",
            "pre_apply = { command = [\"/bin/true\"], output = \"1MiB\" }",
            "pre_aply = { command = [\"/bin/true\"] }",
        ] {
            let text = format!("{BASE}{end}\n");
            for problem in host::parse(&text).unwrap_err() {
                said.push_str(&problem.locate("f".as_ref(), &text));
                said.push('\n');
            }
        }
        insta::assert_snapshot!(said, @r#"
        f:5:13: a hook needs the key "command"
        f:5:13: "pre_apply" must be a table, not a string
        f:5:25: "command" must have at least one element
        f:5:25: command must begin with an absolute path, not "true"
        f:5:50: "timeout" must be from 10ms to 10m, not "1h"
        f:5:49: "output" must be from 0B to 32KiB, not "1MiB"
        f:5:1: "pre_aply" is not a key of [hooks]; did you mean "pre_apply"?
        "#);
    }
}
