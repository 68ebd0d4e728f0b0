//! `cargo xtask sim`: made-up lives of a gateway, of who is logged in, or of an agent, from a seed or from a kept history.

use std::io;
use std::time::SystemTime;

use clap::Args;

use crate::shell;

/// What the simulator is told; it explains itself when it does not understand.
#[derive(Debug, Args)]
pub struct Options {
    /// `gateway [--seed N | --seeds N] [--steps N]` or `gateway --replay FILE [--step]`; `sessions`
    /// and `agents` likewise, without `--step`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "gateway")]
    arguments: Vec<String>,
}

impl Options {
    /// One life that nobody has seen yet. The seed is printed.
    pub(crate) fn fresh() -> Self {
        Self { arguments: vec!["gateway".to_owned()] }
    }
}

/// Plays. The history of a failure is kept beside what was built.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let folder = shell::target_folder()?.join("sim");
    let played =
        mainstay_sim::command(&options.arguments, fresh_seed(), &folder, &mut io::stdout());
    Ok(played?)
}

fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}
