//! `mainstay manager init`: a fleet with its first manager.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, bail};
use mainstay_config::manager::Manager;
use mainstay_database::Location;
use mainstay_trust::bundle::Bundle;
use mainstay_trust::certificate::Identity;

use super::{At, say, within};
use crate::directory::{self, Directory, SETTINGS};
use crate::fleet;

/// The database of a manager that is told of none, in its directory.
const DATABASE: &str = "fleet.db";

/// What `init` is told.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    at: At,
    /// A path, or postgres://USER@HOST,HOST/NAME; otherwise a file in the directory
    #[arg(long, value_name = "LOCATION")]
    database: Option<String>,
    /// Where agents are served
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:4320")]
    agents: SocketAddr,
    /// Where administrators are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4321")]
    admin: SocketAddr,
    /// Where agents find managers, the primary first; may be given several times
    #[arg(long = "manager", value_name = "HOST:PORT")]
    managers: Vec<String>,
    /// Serve without TLS: for tests, and behind something that ends it
    #[arg(long)]
    plain: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let directory = options.at.directory();
    if directory.has_manager() {
        bail!("{} has a manager already", options.at.path().display());
    }
    let path = std::path::absolute(options.at.path())?;
    let text = settings(options, &path);
    let parsed = directory::parse(Path::new(SETTINGS), &text)?;
    let bundle = bundle(text)?;
    directory.write(&bundle)?;
    let made = within(prepare(&directory, &parsed, &bundle));
    if let Err(error) = made {
        // Without it the directory has no manager, and this can be tried again.
        drop(std::fs::remove_file(directory.path().join(SETTINGS)));
        return Err(error);
    }
    report(&directory, &parsed, &bundle)
}

/// The text of `manager.toml`.
fn settings(options: &Options, directory: &Path) -> String {
    let own = directory.join(DATABASE).display().to_string();
    let location = options.database.as_deref().map_or_else(|| own.clone(), absolute);
    let tls = if options.plain { "off" } else { "on" };
    let managers: Vec<String> = options.managers.iter().map(|manager| quoted(manager)).collect();
    let managers = match managers.as_slice() {
        [] => String::new(),
        several => format!("managers = [{}]\n", several.join(", ")),
    };
    let mut text = String::from(
        "# How this manager reaches its database and where it listens. It is one of the three files\n\
         # of a bundle. Everything that may stand here: docs/fleet/manager.md.\n\n",
    );
    // Writing to a text does not fail.
    let _infallible = write!(
        text,
        "[database]\nlocation = {}\n\n[agents]\naddress = \"{}\"\ntls = \"{tls}\"\n\
         {managers}\n[admin]\naddress = \"{}\"\ntls = \"{tls}\"\n",
        quoted(&location),
        options.agents,
        options.admin,
    );
    text
}

/// A path means the same wherever a manager is started.
fn absolute(location: &str) -> String {
    match location.parse() {
        Ok(Location::File(path)) => {
            std::path::absolute(&path).unwrap_or(path).display().to_string()
        }
        Ok(Location::Postgres(_)) | Err(_) => location.to_owned(),
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                // Writing to a text does not fail.
                let _infallible = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A new certificate for all managers.
pub(super) fn identity() -> anyhow::Result<Identity> {
    let names = [mainstay_os::host_name(), "localhost".to_owned()];
    Identity::generate("mainstay manager", &names, mainstay_os::unix_seconds())
        .context("cannot make the certificate")
}

fn bundle(settings: String) -> anyhow::Result<Bundle> {
    let identity = identity()?;
    Ok(Bundle { agent_certificates: vec![identity.der().clone()], settings, identity })
}

async fn prepare(directory: &Directory, settings: &Manager, bundle: &Bundle) -> anyhow::Result<()> {
    let store = fleet::open_store(&settings.database, directory.path()).await?;
    if fleet::has_fleet(&*store).await? {
        bail!(
            "the database has a fleet already; a further manager is made with \
             `mainstay manager bundle import`"
        );
    }
    fleet::chain_key(&*store).await?;
    fleet::pins(&*store, &bundle.identity.certificate_pem()).await?;
    fleet::first_group(&*store).await?;
    Ok(())
}

fn report(directory: &Directory, settings: &Manager, bundle: &Bundle) -> anyhow::Result<()> {
    let fingerprint = bundle.identity.facts()?.fingerprint();
    let at = directory.path().display();
    say(&format!(
        "made a fleet in {at}\n\
         agents       {}\n\
         admin        {}\n\
         certificate  SHA-256 {fingerprint}\n\
         next         mainstay manager user add NAME --role administrator --directory {at}\n\
         \x20            mainstay manager serve --directory {at}\n\
         \x20            mainstay manager token create --directory {at}",
        settings.agents.address, settings.admin.address,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_so_that_it_is_read_back() {
        for text in ["plain", "qu\"ote", "back\\slash", "tab\there", "häuser"] {
            let toml = format!("[database]\nlocation = {}\n", quoted(text));
            let settings = mainstay_config::manager::parse(&toml).unwrap();
            assert_eq!(settings.database.location, text);
        }
    }
}
