//! `mainstay manager certificate …`: from one certificate of all managers to the next, without a
//! visit to any agent.
//!
//! ```text
//!   next ─▶ agents are offered both ─▶ switch ─▶ the other managers ─▶ withdraw the former
//! ```

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use mainstay_database::{Hash, Store};
use mainstay_fleet::pin::{Change, Holds, Sha256};
use mainstay_trust::bundle::Bundle;
use mainstay_trust::certificate::{self, Identity, PEM_BYTES_MAX, RsaKeys};
use mainstay_trust::digest::sha256;
use mainstay_trust::file;

use super::{At, say, table, with_store};
use crate::directory::{Content, Directory};
use crate::fleet::{self, PINS, by_command_line};
use crate::orphans::{self, Stragglers};

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
    ///
    /// Refused while agents would find no manager: those that do not hold it yet, unless another
    /// manager serves that shows what they hold.
    Switch {
        #[command(flatten)]
        at: At,
        /// What becomes of agents that would find no manager
        #[arg(long, value_enum)]
        stragglers: Option<Stragglers>,
    },
    /// Have agents hold a certificate no longer that no manager shows any more
    Withdraw {
        #[command(flatten)]
        at: At,
        /// Which: its SHA-256, as `show` prints it
        #[arg(value_name = "SHA-256")]
        certificate: String,
        /// What becomes of agents that hold no other
        #[arg(long, value_enum)]
        stragglers: Option<Stragglers>,
    },
}

pub(super) fn run(command: &CertificateCommand) -> anyhow::Result<()> {
    match command {
        CertificateCommand::Show(at) => {
            let pins = with_store(at, async |content, store| show(&*store, &content).await)?;
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
        CertificateCommand::Switch { at, stragglers } => {
            let directory = at.directory();
            with_store(at, async |content, store| {
                switch(&directory, content, &*store, *stragglers).await
            })?;
            let path = at.path().display();
            say(&format!(
                "switched; this manager shows it within a second. At every other one:\n\
                 mainstay manager bundle export TO --directory {path}    # here\n\
                 mainstay manager bundle import TO --replace             # there"
            ))
        }
        CertificateCommand::Withdraw { at, certificate, stragglers } => {
            let digits: String = certificate.chars().filter(|c| *c != ':').collect();
            let hash = digits.parse().with_context(|| format!("{certificate:?} is no SHA-256"))?;
            with_store(at, async |content, store| {
                withdraw(&*store, &content, hash, *stragglers).await
            })?;
            say("withdrawn; agents are offered what is left")
        }
    }
}

async fn show(store: &dyn Store, content: &Content) -> anyhow::Result<String> {
    let own = content.bundle.identity.facts()?.sha256;
    let pins = fleet::pins(store, &content.bundle.identity.certificate_pem()).await?;
    let (agents, managers) = (orphans::holders(store).await?, orphans::shown(store).await?);
    let mut rows = Vec::new();
    for der in certificate::from_pem(pins.as_bytes())? {
        let facts = certificate::facts(&der)?;
        let holds = |holds: &Holds| match holds {
            Holds::These(pins) => pins.contains(&facts.sha256),
            Holds::Unsaid => false,
        };
        let holders = agents.iter().filter(|(_, agent)| holds(agent)).count();
        let mut by: Vec<String> = managers
            .iter()
            .filter(|shows| shows.certificate == facts.sha256)
            .map(|shows| shows.name.clone())
            .collect();
        if facts.sha256 == own {
            by.insert(0, "this manager".to_owned());
        }
        let holders = format!("{holders} of {}", agents.len());
        let by = by.join(", ");
        rows.push([facts.fingerprint(), facts.algorithm.to_string(), holders, by]);
    }
    Ok(table(["SHA-256", "KEY", "HELD BY AGENTS", "SHOWN BY"], &rows))
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

async fn switch(
    directory: &Directory,
    content: Content,
    store: &dyn Store,
    stragglers: Option<Stragglers>,
) -> anyhow::Result<()> {
    let path = directory.path().join(NEXT);
    let pem = file::read_secret(&path, PEM_BYTES_MAX)
        .context("there is no certificate that follows; `next` makes one")?;
    let identity = Identity::from_pem(&pem, RsaKeys::Refused)?;
    let pins = fleet::pins(store, &identity.certificate_pem()).await?;
    let agent_certificates = certificate::from_pem(pins.as_bytes())?;
    if !agent_certificates.contains(identity.der()) {
        bail!("agents are not to hold this certificate any more: somebody removed the pin");
    }
    let (from, to) = (content.bundle.identity.facts()?.sha256, identity.facts()?.sha256);
    orphans::intend(store, directory.id()?, from, to, stragglers).await?;
    let bundle = Bundle { agent_certificates, identity, ..content.bundle };
    directory.write_certificates(&bundle)?;
    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

/// Takes a certificate from what agents are to hold.
async fn withdraw(
    store: &dyn Store,
    content: &Content,
    Hash(which): Hash,
    stragglers: Option<Stragglers>,
) -> anyhow::Result<()> {
    let own = &content.bundle.identity;
    loop {
        let before = fleet::pins(store, &own.certificate_pem()).await?;
        let mut pins = certificate::from_pem(before.as_bytes())?;
        let all: BTreeSet<Sha256> = pins.iter().map(|der| sha256(der)).collect();
        pins.retain(|der| sha256(der) != which);
        let left: BTreeSet<Sha256> = pins.iter().map(|der| sha256(der)).collect();
        if left == all {
            bail!("agents are not to hold such a certificate");
        }
        if own.facts()?.sha256 == which {
            bail!("this manager shows it");
        }
        if let Some(other) = orphans::shown(store).await?.iter().find(|s| s.certificate == which) {
            bail!("the manager {} shows it", other.name);
        }
        let alone = orphans::left_by(store, &Change { before: all, after: left }).await?;
        if alone.agents > 0 && stragglers.is_none() {
            bail!(
                "{} may hold no other certificate; wait for them, or give them up with \
                 --stragglers give-up",
                alone.who()
            );
        }
        let after: String =
            pins.iter().map(|der| certificate::to_pem("CERTIFICATE", der)).collect();
        let asked = by_command_line("pin.remove", &Hash(which).to_string());
        let set =
            store.set_setting(PINS, Some(before.as_bytes()), Some(after.as_bytes()), Some(asked));
        // If not, somebody else changed them meanwhile.
        if set.await? {
            return Ok(());
        }
    }
}
