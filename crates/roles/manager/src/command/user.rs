//! `mainstay manager user …`: who may administer the fleet. Every one is in the database, so it
//! is the same at every manager.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use mainstay_database::{Role, Store, User, UserChange};
use mainstay_trust::token::Secret;
use mainstay_trust::{file, password};

use super::{At, say, table, with_store};
use crate::fleet::by_command_line;

/// Longest name of a user.
const NAME_BYTES_MAX: usize = 64;

/// Where a password is read from standard input.
const STANDARD_INPUT: &str = "-";

/// `mainstay manager user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Let somebody administer the fleet
    Add {
        #[command(flatten)]
        at: At,
        name: String,
        /// What the user may do
        #[arg(long, value_enum, default_value_t = RoleName::Viewer)]
        role: RoleName,
        /// A file with the password, or - for standard input; otherwise one is made and shown
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Forget a user, and end what the user has open
    Remove {
        #[command(flatten)]
        at: At,
        name: String,
    },
    /// Show every user
    List(At),
    /// Give a user another password, and end what the user has open
    Password {
        #[command(flatten)]
        at: At,
        name: String,
        /// A file with the password, or - for standard input; otherwise one is made and shown
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

/// A [`Role`] by the name that it has on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Sees everything
    Viewer,
    /// May change what agents do
    Operator,
    /// May change who may do what
    Administrator,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Operator => Self::Operator,
            RoleName::Administrator => Self::Administrator,
        }
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Administrator => "administrator",
    }
}

pub(super) fn run(command: &UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { at, name, role, password_file } => {
            check_name(name)?;
            let password = Password::read(password_file.as_deref())?;
            with_store(at, async |_content, store| {
                let asked = by_command_line("user.create", name);
                store.create_user(name, &password.hash()?, (*role).into(), asked).await?;
                Ok(())
            })?;
            password.show()
        }
        UserCommand::Remove { at, name } => with_store(at, async |_content, store| {
            let user = named(&*store, name).await?;
            store.remove_user(user.id, by_command_line("user.remove", name)).await?;
            Ok(())
        }),
        UserCommand::List(at) => {
            let users = with_store(at, async |_content, store| Ok(store.users().await?))?;
            let rows: Vec<[String; 3]> = users.iter().map(row).collect();
            say(&table(["NAME", "ROLE", "STATE"], &rows))
        }
        UserCommand::Password { at, name, password_file } => {
            let password = Password::read(password_file.as_deref())?;
            with_store(at, async |_content, store| {
                let user = named(&*store, name).await?;
                let change =
                    UserChange { password: Some(password.hash()?), ..UserChange::default() };
                let asked = by_command_line("user.password", name);
                Ok(store.change_user(user.id, change, asked).await?)
            })?;
            password.show()
        }
    }
}

fn row(user: &User) -> [String; 3] {
    let state = if user.disabled { "disabled" } else { "enabled" };
    [user.name.clone(), role_name(user.role).to_owned(), state.to_owned()]
}

async fn named(store: &dyn Store, name: &str) -> anyhow::Result<User> {
    store.user_named(name).await?.with_context(|| format!("there is no user {name:?}"))
}

/// A name that is a word in logs and addresses.
fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        bail!("a user's name has letters, digits and -_.@, and at most {NAME_BYTES_MAX} of them");
    }
    Ok(())
}

/// A password, and whether somebody knows it already.
enum Password {
    Given(String),
    Made(String),
}

impl Password {
    fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Made(Secret::new().to_text()));
        };
        let bytes = if path == Path::new(STANDARD_INPUT) {
            let limit = u64::try_from(password::BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2);
            let mut bytes = Vec::new();
            std::io::stdin()
                .take(limit)
                .read_to_end(&mut bytes)
                .context("cannot read the password")?;
            bytes
        } else {
            file::read_secret(path, password::BYTES_MAX + 2)?
        };
        let text = String::from_utf8(bytes).ok().context("a password is UTF-8")?;
        // What an editor puts at the end is not a part of it.
        Ok(Self::Given(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn hash(&self) -> anyhow::Result<String> {
        let (Self::Given(password) | Self::Made(password)) = self;
        Ok(password::hash(password)?)
    }

    /// Shows what nobody knows yet.
    fn show(&self) -> anyhow::Result<()> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Made(password) => say(password),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["alice", "a.b@example.com", "x"] {
            check_name(name).unwrap();
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for name in ["", "a b", "a/b", "\n", &long] {
            check_name(name).unwrap_err();
        }
    }
}
