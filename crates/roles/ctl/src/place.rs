//! Which gateway an operator means.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mainstay_config::host;

use crate::text;

/// The gateway that is asked, by its host.toml or its run directory.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The host.toml of the gateway: its run directory is asked
    #[arg(long, value_name = "FILE", default_value = "/etc/mainstay/host.toml")]
    pub host: PathBuf,

    /// The run directory of the gateway, instead of a host.toml
    #[arg(long, value_name = "DIR", conflicts_with = "host")]
    pub run: Option<PathBuf>,
}

impl Place {
    /// The run directory.
    pub(crate) fn run(&self) -> anyhow::Result<PathBuf> {
        match &self.run {
            Some(run) => Ok(run.clone()),
            None => run_directory(&self.host),
        }
    }
}

/// The run directory that a host.toml names.
fn run_directory(path: &Path) -> anyhow::Result<PathBuf> {
    let text = text::read(path).with_context(|| {
        format!("{} is needed to find the gateway (or say --run DIR): it", path.display())
    })?;
    match host::parse(&text) {
        Ok(host) => Ok(host.run),
        Err(problems) => {
            let problems: Vec<String> =
                problems.iter().map(|problem| problem.locate(path, &text)).collect();
            bail!("{}", problems.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mainstay_model::Chain;

    use super::*;

    #[test]
    fn the_run_directory_is_found_in_host_toml() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host.toml");
        fs::write(&path, include_str!("../../../../deploy/host.toml")).unwrap();
        assert_eq!(run_directory(&path).unwrap(), Path::new("/run/mainstay"));
        fs::write(&path, "run = 5\n").unwrap();
        let error = run_directory(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("host.toml:1:7: \"run\" must be a string, not an integer"),
            "{error}"
        );
        fs::remove_file(&path).unwrap();
        let error = run_directory(&path).unwrap_err();
        let error = Chain(error.as_ref()).to_string();
        assert!(error.contains("or say --run DIR"), "{error}");
    }
}
