//! `mainstay manager bundle …`: the three files, out of one manager and into another.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use mainstay_trust::bundle::{AGENT_CERTIFICATE, Bundle, SERVER_CERTIFICATE, SETTINGS};
use mainstay_trust::certificate::RsaKeys;

use super::{At, say};
use crate::directory;

/// `mainstay manager bundle …`
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Write the three files that a further manager needs
    Export {
        #[command(flatten)]
        at: At,
        /// Where to; two of the files are secrets
        #[arg(value_name = "TO")]
        to: PathBuf,
    },
    /// Make a further manager of the three files
    Import {
        #[command(flatten)]
        at: At,
        /// Where they are
        #[arg(value_name = "FROM")]
        from: PathBuf,
        /// Take a certificate with an RSA key: each exchange costs ten times as much
        #[arg(long)]
        allow_rsa: bool,
        /// Take only the certificates, into a manager that is there
        #[arg(long)]
        replace: bool,
    },
}

pub(super) fn run(command: &BundleCommand) -> anyhow::Result<()> {
    match command {
        BundleCommand::Export { at, to } => {
            let content = at.directory().read()?;
            content.bundle.write(to)?;
            say(&format!(
                "wrote {AGENT_CERTIFICATE}, {SETTINGS} and {SERVER_CERTIFICATE} to {}",
                to.display()
            ))
        }
        BundleCommand::Import { at, from, allow_rsa, replace } => {
            let directory = at.directory();
            match (directory.has_manager(), *replace) {
                (true, false) => bail!("{} has a manager already", at.path().display()),
                (false, true) => bail!("{} has no manager yet", at.path().display()),
                (true, true) | (false, false) => {}
            }
            let rsa = if *allow_rsa { RsaKeys::Allowed } else { RsaKeys::Refused };
            let bundle = Bundle::read(from, rsa)?;
            if *replace {
                directory.write_certificates(&bundle)?;
                return say("replaced the certificates; start this manager again");
            }
            directory::parse(&from.join(SETTINGS), &bundle.settings)?;
            directory.write(&bundle)?;
            let path = at.path().display();
            say(&format!(
                "made a manager in {path}\nnext  mainstay manager serve --directory {path}"
            ))
        }
    }
}
