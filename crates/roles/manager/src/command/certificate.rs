//! `mainstay manager certificate …`: from one certificate of all managers to the next, without a
//! visit to any agent.
//!
//! ```text
//!   next ─▶ agents are offered both ─▶ switch ─▶ the other managers ─▶ remove the former
//! ```

use anyhow::{Context as _, bail};
use clap::Subcommand;
use mainstay_database::Store;
use mainstay_trust::bundle::Bundle;
use mainstay_trust::certificate::{self, Identity, PEM_BYTES_MAX, RsaKeys};
use mainstay_trust::file;

use super::{At, say, with_store};
use crate::directory::{Content, Directory};
use crate::fleet::{self, PINS, by_command_line};

/// The certificate that follows, and its key.
const NEXT: &str = "next-cert.pem";

/// `mainstay manager certificate …`
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Show which certificates agents are to hold, and which one this manager shows
    Show(At),
    /// Make the certificate that follows, and offer it to every agent
    Next(At),
    /// Show the certificate that follows; a running manager does within a second
    Switch(At),
}

pub(super) fn run(command: &CertificateCommand) -> anyhow::Result<()> {
    match command {
        CertificateCommand::Show(at) => {
            let pins = with_store(at, async |content, store| {
                let own = content.bundle.identity.certificate_pem();
                show(&fleet::pins(&*store, &own).await?, &content)
            })?;
            say(&pins)
        }
        CertificateCommand::Next(at) => {
            let directory = at.directory();
            let path = directory.path().join(NEXT);
            // What is there may be what was not offered because the database was away.
            let next = if path.exists() {
                Identity::from_pem(&file::read_secret(&path, PEM_BYTES_MAX)?, RsaKeys::Refused)?
            } else {
                // First the key, then the promise: no agent holds what nobody can show.
                let next = super::init::identity()?;
                file::write_secret(&path, next.to_pem().as_bytes())?;
                next
            };
            with_store(at, async |content, store| add(&*store, &content, &next).await)?;
            let fingerprint = next.facts()?.fingerprint();
            say(&format!("agents are offered the certificate with SHA-256 {fingerprint}"))
        }
        CertificateCommand::Switch(at) => {
            let directory = at.directory();
            with_store(at, async |content, store| switch(&directory, content, &*store).await)?;
            let path = at.path().display();
            say(&format!(
                "switched; this manager shows it within a second. At every other one:\n\
                 mainstay manager bundle export TO --directory {path}    # here\n\
                 mainstay manager bundle import TO --replace             # there"
            ))
        }
    }
}

fn show(pins: &str, content: &Content) -> anyhow::Result<String> {
    let own = content.bundle.identity.facts()?.sha256;
    let mut lines = Vec::new();
    for der in certificate::from_pem(pins.as_bytes())? {
        let facts = certificate::facts(&der)?;
        let shown = if facts.sha256 == own { "  shown by this manager" } else { "" };
        lines.push(format!("{}  {}{shown}", facts.fingerprint(), facts.algorithm));
    }
    Ok(lines.join("\n"))
}

/// Adds to what agents are to hold.
async fn add(store: &dyn Store, content: &Content, next: &Identity) -> anyhow::Result<()> {
    let own = content.bundle.identity.certificate_pem();
    loop {
        let before = fleet::pins(store, &own).await?;
        if certificate::from_pem(before.as_bytes())?.contains(next.der()) {
            bail!("agents are offered the next certificate already; `switch` comes next");
        }
        let after = format!("{before}{}", next.certificate_pem());
        let asked = by_command_line("pin.add", &next.facts()?.fingerprint());
        let set =
            store.set_setting(PINS, Some(before.as_bytes()), Some(after.as_bytes()), Some(asked));
        // If not, somebody else changed them meanwhile.
        if set.await? {
            return Ok(());
        }
    }
}

async fn switch(directory: &Directory, content: Content, store: &dyn Store) -> anyhow::Result<()> {
    let path = directory.path().join(NEXT);
    let pem = file::read_secret(&path, PEM_BYTES_MAX)
        .context("there is no certificate that follows; `next` makes one")?;
    let identity = Identity::from_pem(&pem, RsaKeys::Refused)?;
    let pins = fleet::pins(store, &identity.certificate_pem()).await?;
    let agent_certificates = certificate::from_pem(pins.as_bytes())?;
    if !agent_certificates.contains(identity.der()) {
        bail!("agents are not to hold this certificate any more: somebody removed the pin");
    }
    let bundle = Bundle { agent_certificates, identity, ..content.bundle };
    directory.write_certificates(&bundle)?;
    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}
