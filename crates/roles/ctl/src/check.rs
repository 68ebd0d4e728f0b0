//! `mainstay check FILE…`: every problem of every file, each at its place.
//!
//! What is right goes to standard output, what is wrong to standard error, so that a script
//! can keep them apart. The exit code is 1 when anything is wrong.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use mainstay_config::{Difference, Kind, gateway};
use mainstay_model::Chain;

use crate::text;

/// The name of no file.
const STANDARD_INPUT: &str = "-";

/// What standard input is called.
const INPUT: &str = "gateway.toml";

/// What `mainstay check` is given.
#[derive(Debug, clap::Args)]
pub struct CheckOptions {
    /// host.toml or gateway.toml, by whatever name: it is recognised by what stands in it; - for
    /// standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Show what differs from this gateway.toml
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
}

/// Checks every file, even if one is wrong.
pub fn check(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let against = options.against.as_deref();
    let (mut right, mut wrong) = (io::stdout().lock(), io::stderr().lock());
    let verdict = check_files(&options.files, against, &mut right, &mut wrong)
        .context("cannot print what was found")?;
    Ok(match verdict {
        Verdict::Right => ExitCode::SUCCESS,
        Verdict::Wrong => ExitCode::FAILURE,
    })
}

/// What is to be said of some files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
}

fn check_files(
    files: &[PathBuf],
    against: Option<&Path>,
    right: &mut impl Write,
    wrong: &mut impl Write,
) -> io::Result<Verdict> {
    let mut verdict = Verdict::Right;
    for path in files {
        match examine(path) {
            Ok(text) => {
                let name = if is_input(path) { Path::new(INPUT) } else { path };
                writeln!(right, "{}: ok", name.display())?;
                if let Some(against) = against {
                    write!(right, "{}", difference(&text, against))?;
                }
            }
            Err(problems) => {
                verdict = Verdict::Wrong;
                problems.iter().try_for_each(|problem| writeln!(wrong, "{problem}"))?;
            }
        }
    }
    Ok(verdict)
}

fn is_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// The text of a file, or everything that is wrong with it, a line each.
fn examine(path: &Path) -> Result<String, Vec<String>> {
    let (text, path) = if is_input(path) {
        (text::read_input(), Path::new(INPUT))
    } else {
        (text::read(path), path)
    };
    let text = text.map_err(|error| vec![format!("{}: {}", path.display(), Chain(&error))])?;
    let problems = match Kind::recognise(&text) {
        Ok(kind) => kind.problems(&text),
        Err(problems) => problems,
    };
    if problems.is_empty() {
        return Ok(text);
    }
    Err(problems.iter().map(|problem| problem.locate(path, &text)).collect())
}

/// A line for each thing that a valid text changes. That the other is no valid text any more, as
/// after an upgrade, is no fault of this one.
fn difference(text: &str, against: &Path) -> String {
    let other = match text::read(against) {
        Ok(other) => other,
        Err(error) => return format!("{} {}\n", against.display(), Chain(&error)),
    };
    match (gateway::parse(&other), gateway::parse(text)) {
        (Ok(other), Ok(one)) => Difference::between(&other, &one).to_string(),
        (Err(_), _) => format!("{} is not valid for this version\n", against.display()),
        (_, Err(_)) => "only a gateway.toml can be compared\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn every_file_is_checked_and_every_problem_printed() {
        let directory = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 7] = [
            ("one.toml", include_bytes!("../../../../deploy/gateway.toml")),
            ("two.toml", include_bytes!("../../../../deploy/host.toml")),
            ("typo.toml", b"state = \"/s\"\nrun = \"run\"\ngatway = \"/g\"\n"),
            ("other.toml", b"\n[package]\nname = \"x\"\n"),
            ("broken.toml", b"[[listener]\n"),
            ("latin.toml", b"# fine\nname = \"caf\xe9\"\n"),
            ("empty.toml", b""),
        ];
        let mut paths = Vec::new();
        for (name, text) in files {
            paths.push(directory.path().join(name));
            fs::write(directory.path().join(name), text).unwrap();
        }
        paths.push(directory.path().join("missing.toml"));
        paths.push(directory.path().to_path_buf());

        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        let verdict = check_files(&paths, None, &mut right, &mut wrong).unwrap();
        assert_eq!(verdict, Verdict::Wrong);
        let prefix = format!("{}/", directory.path().display());
        let shown = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&prefix, "");
        assert_snapshot!(shown(right), @"
        one.toml: ok
        two.toml: ok
        ");
        let wrong = shown(wrong).replace(prefix.trim_end_matches('/'), "directory");
        assert_snapshot!(wrong, @r#"
        typo.toml:1:1: host.toml needs the key "gateway"
        typo.toml:2:7: "run" must be an absolute path, not "run"
        typo.toml:3:1: "gatway" is not a key of host.toml; did you mean "gateway"?
        other.toml:2:2: this is neither a gateway.toml nor a host.toml: no key at the top is one of either
        broken.toml:1:12: not TOML: unclosed array table, expected `]`
        latin.toml: is not UTF-8 from line 2 on
        empty.toml:1:1: this is neither a gateway.toml nor a host.toml: no key at the top is one of either
        missing.toml: cannot be read: No such file or directory (os error 2)
        directory: cannot be read: Is a directory (os error 21)
        "#);
    }

    #[test]
    fn a_file_of_more_than_eight_mib_is_refused_unread() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long.toml");
        let file = fs::File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        let problems = examine(&path).unwrap_err();
        let [problem] = &problems[..] else { panic!("one problem, not {problems:?}") };
        assert!(problem.ends_with("is longer than the 8 MiB that a configuration may have"));
    }

    #[test]
    fn nothing_but_good_files_is_right() {
        let paths = ["gateway.toml", "host.toml"]
            .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy").join(name));
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        assert_eq!(check_files(&paths, None, &mut right, &mut wrong).unwrap(), Verdict::Right);
        assert!(wrong.is_empty());
    }

    #[test]
    fn what_is_right_can_be_compared_with_another() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new] = ["old.toml", "new.toml"].map(|name| directory.path().join(name));
        let text = include_str!("../../../../deploy/gateway.toml");
        fs::write(&new, text.replace("keepalive = 64", "keepalive = 1")).unwrap();
        let compared = |text: &str| {
            fs::write(&old, text).unwrap();
            let (mut right, mut wrong) = (Vec::new(), Vec::new());
            let files = [new.clone()];
            let verdict = check_files(&files, Some(&old), &mut right, &mut wrong).unwrap();
            assert_eq!((verdict, wrong), (Verdict::Right, Vec::new()));
            String::from_utf8(right).unwrap().replace(directory.path().to_str().unwrap(), "")
        };
        assert_eq!(compared(text), "/new.toml: ok\n~ upstream static: keepalive 64 → 1\n");
        assert_eq!(compared(&text.replace("keepalive = 64", "keepalive = 1")), "/new.toml: ok\n");
        assert_eq!(compared("x = 1"), "/new.toml: ok\n/old.toml is not valid for this version\n");
    }
}
