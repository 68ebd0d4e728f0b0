//! `mainstay manager bundle …`: the three files, out of one manager and into another.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use mainstay_trust::bundle::{
    AGENT_CERTIFICATE, Bundle, SERVER_CERTIFICATE, SETTINGS, SETTINGS_BYTES_MAX,
};
use mainstay_trust::certificate::RsaKeys;
use mainstay_trust::file;
use toml_edit::{DocumentMut, value};

use super::{At, say, with_store};
use crate::directory::{self, Content};
use crate::fleet;
use crate::orphans::{self, Stragglers};

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
        /// What becomes of agents that would find no manager, with --replace
        #[arg(long, value_enum, requires = "replace")]
        stragglers: Option<Stragglers>,
    },
}

pub(super) fn run(command: &BundleCommand) -> anyhow::Result<()> {
    match command {
        BundleCommand::Export { at, to } => {
            let directory = at.directory();
            let mut content = directory.read()?;
            take_roots_in(&mut content, directory.path())?;
            content.bundle.write(to)?;
            say(&format!(
                "wrote {AGENT_CERTIFICATE}, {SETTINGS} and {SERVER_CERTIFICATE} to {}",
                to.display()
            ))
        }
        BundleCommand::Import { at, from, allow_rsa, replace, stragglers } => {
            let directory = at.directory();
            match (directory.has_manager(), *replace) {
                (true, false) => bail!("{} has a manager already", at.path().display()),
                (false, true) => bail!("{} has no manager yet", at.path().display()),
                (true, true) | (false, false) => {}
            }
            let rsa = if *allow_rsa { RsaKeys::Allowed } else { RsaKeys::Refused };
            let bundle = Bundle::read(from, rsa)?;
            if *replace {
                let to = bundle.identity.facts()?.sha256;
                with_store(at, async |content, store| {
                    let from = content.bundle.identity.facts()?.sha256;
                    orphans::intend(&*store, directory.id()?, from, to, *stragglers).await
                })?;
                directory.write_certificates(&bundle)?;
                return say(
                    "replaced the certificates; a manager that runs shows them within a second",
                );
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

/// Three files are all that a further manager needs: what vouches for the database's server goes
/// into the settings.
fn take_roots_in(content: &mut Content, directory: &Path) -> anyhow::Result<()> {
    let location = fleet::location(&content.settings.database, directory)?;
    let Some(path) = location.root_file() else { return Ok(()) };
    let pem = file::read_public(path, SETTINGS_BYTES_MAX)?;
    let pem = String::from_utf8(pem)
        .with_context(|| format!("the certificates in {} are no text", path.display()))?;
    let mut settings: DocumentMut =
        content.bundle.settings.parse().context("cannot read the settings")?;
    let database = settings.get_mut("database").context("the settings have no [database]")?;
    if let Some(database) = database.as_table_like_mut() {
        database.insert("root_certificates", value(pem));
    }
    let settings = settings.to_string();
    // As the further manager will read it.
    directory::parse(Path::new(SETTINGS), &settings)?;
    ensure!(
        settings.len() <= SETTINGS_BYTES_MAX,
        "the settings with the certificates in {} would have more than {SETTINGS_BYTES_MAX} \
         bytes; have only those in it that are needed",
        path.display()
    );
    content.bundle.settings = settings;
    Ok(())
}
