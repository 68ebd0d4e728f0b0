//! `cargo xtask fuzz`: every target under `fuzz/`, one after the other.

use std::fs;

use anyhow::Context as _;
use clap::Args;

use crate::shell;

/// How long each target runs.
#[derive(Debug, Args)]
pub struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = Self::SMOKE_SECONDS)]
    seconds: u32,

    /// Only the targets with these names
    targets: Vec<String>,
}

impl Options {
    const SMOKE_SECONDS: u32 = 60;

    pub(crate) const fn smoke() -> Self {
        Self { seconds: Self::SMOKE_SECONDS, targets: Vec::new() }
    }
}

/// Runs the targets; ends at the first finding.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let version = shell::succeeds(&mut shell::cargo(&["+nightly", "fuzz", "--version"]));
    anyhow::ensure!(version, "needs: rustup toolchain install nightly && cargo install cargo-fuzz");
    let all = targets()?;
    for name in &options.targets {
        anyhow::ensure!(all.contains(name), "no target {name}; there are: {}", all.join(" "));
    }
    for name in all.iter().filter(|name| is_wanted(options, name)) {
        // What was found is kept in the first; the second is where it begins.
        let (corpus, seeds) = (format!("fuzz/corpus/{name}"), format!("fuzz/seeds/{name}"));
        fs::create_dir_all(crate::root().join(&corpus))
            .with_context(|| format!("cannot make {corpus}"))?;
        let mut fuzz = shell::cargo(&["+nightly", "fuzz", "run", name, &corpus, &seeds, "--"]);
        fuzz.arg(format!("-max_total_time={}", options.seconds));
        fuzz.args(["-verbosity=0", "-print_final_stats=1"]);
        if let Some(words) = dictionary(name) {
            fuzz.arg(format!("-dict=fuzz/{words}"));
        }
        shell::run(&mut fuzz)?;
    }
    Ok(())
}

/// Sees to it that the targets, which are outside the workspace, still fit what they test. Their
/// library needs a C++ compiler; said when there is none.
pub(crate) fn check() -> anyhow::Result<()> {
    if shell::find("c++").is_none() {
        println!("\nskipped: checking the fuzz targets, for there is no C++ compiler");
        return Ok(());
    }
    let target = shell::target_folder()?;
    let mut check = shell::cargo(&["check", "--quiet", "--manifest-path", "fuzz/Cargo.toml"]);
    shell::run(check.arg("--target-dir").arg(target))
}

fn is_wanted(options: &Options, name: &String) -> bool {
    options.targets.is_empty() || options.targets.contains(name)
}

/// The words of the language that a target reads, if it has any.
fn dictionary(name: &str) -> Option<&'static str> {
    let (language, _) = name.split_once('_').unwrap_or((name, ""));
    match language {
        "http" | "routes" => Some("http.dict"),
        "config" => Some("toml.dict"),
        "wire" => Some("wire.dict"),
        "trust" => Some("trust.dict"),
        _ => None,
    }
}

/// The names in `fuzz/Cargo.toml`.
fn targets() -> anyhow::Result<Vec<String>> {
    let path = crate::root().join("fuzz/Cargo.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: toml::Table = text.parse().context("cannot read fuzz/Cargo.toml")?;
    let programs = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
    let names = programs.filter_map(|program| program.get("name")?.as_str().map(str::to_owned));
    Ok(names.collect())
}
