//! `mainstay manager token …`: what a host needs to become an agent, in one string.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use mainstay_config::read_duration;
use mainstay_database::{
    EnrolmentId, EnrolmentToken, GroupId, Hash, NewEnrolmentToken, Standing, Store, WallTime,
};
use mainstay_trust::token::Secret;

use super::{At, say, table, with_store};
use crate::directory::Content;
use crate::fleet::{self, FIRST_GROUP, by_command_line};
use crate::invitation;

/// `mainstay manager token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and show it; it is not shown again
    Create(CreateOptions),
    /// Show every token, without its secret
    List(At),
    /// Have a token not count any more
    Revoke {
        #[command(flatten)]
        at: At,
        /// As `list` shows it
        #[arg(value_name = "ID")]
        id: i64,
    },
}

/// What `token create` is told.
#[derive(Debug, clap::Args)]
pub struct CreateOptions {
    #[command(flatten)]
    at: At,
    /// The group that agents will be in
    #[arg(long, value_name = "NAME", default_value = FIRST_GROUP)]
    group: String,
    /// Make the group if there is none of this name
    #[arg(long)]
    new_group: bool,
    /// How many hosts may join with it; 0 for any number
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    uses: u32,
    /// For how long it counts, such as 24h
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h")]
    expires: Duration,
    /// Whether agents are served at once, or when somebody has approved of them
    #[arg(long, value_enum, default_value_t = Joining::AtOnce)]
    joining: Joining,
    /// For people
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// What to show: all that an agent needs, or the bare secret for a client that cannot sign
    #[arg(long, value_enum, default_value_t = Shown::Token)]
    show: Shown,
}

/// What becomes of who joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Joining {
    AtOnce,
    Approval,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shown {
    Token,
    Secret,
}

fn duration(text: &str) -> Result<Duration, String> {
    read_duration(text).ok_or_else(|| "a duration is a number and a unit, such as 24h".to_owned())
}

pub(super) fn run(command: &TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create(options) => {
            let shown = with_store(&options.at, async |content, store| {
                create(options, &content, &*store).await
            })?;
            say(&shown)
        }
        TokenCommand::List(at) => {
            let rows = with_store(at, async |_content, store| list(&*store).await)?;
            say(&rows)
        }
        TokenCommand::Revoke { at, id } => with_store(at, async |_content, store| {
            let asked = by_command_line("token.revoke", &id.to_string());
            Ok(store.revoke_enrolment_token(EnrolmentId(*id), asked).await?)
        }),
    }
}

async fn create(
    options: &CreateOptions,
    content: &Content,
    store: &dyn Store,
) -> anyhow::Result<String> {
    let group = group(options, store).await?;
    let secret = Secret::new();
    let expires_at = store.now().await?.plus(options.expires);
    let new = NewEnrolmentToken {
        secret: Hash(secret.hash()),
        group,
        expires_at: Some(expires_at),
        uses: Some(options.uses).filter(|uses| *uses > 0),
        standing: match options.joining {
            Joining::AtOnce => Standing::Active,
            Joining::Approval => Standing::Pending,
        },
        note: options.note.clone(),
    };
    let text = match options.show {
        Shown::Secret => secret.to_text(),
        Shown::Token => whole(content, store, options, (secret, expires_at)).await?,
    };
    store.create_enrolment_token(new, by_command_line("token.create", &options.group)).await?;
    Ok(text)
}

async fn group(options: &CreateOptions, store: &dyn Store) -> anyhow::Result<GroupId> {
    if options.group == FIRST_GROUP {
        return Ok(fleet::first_group(store).await?);
    }
    if let Some(group) = fleet::group(store, &options.group).await? {
        return Ok(group);
    }
    if !options.new_group {
        bail!("there is no group {:?}; --new-group makes it", options.group);
    }
    let asked = by_command_line("group.create", &options.group);
    store.create_group(&options.group, "", asked).await.context("cannot make the group")
}

/// The string with everything in it.
async fn whole(
    content: &Content,
    store: &dyn Store,
    options: &CreateOptions,
    (secret, expires_at): (Secret, WallTime),
) -> anyhow::Result<String> {
    let own = content.bundle.identity.certificate_pem();
    let pins = fleet::pins(store, &own).await?;
    let group = &options.group;
    let text = invitation::text(&content.settings, &pins, group, &secret, Some(expires_at));
    text.context("cannot read the pins")
}

async fn list(store: &dyn Store) -> anyhow::Result<String> {
    let groups = store.groups().await?;
    let now = store.now().await?;
    let name = |id| {
        groups.iter().find(|group| group.id == id).map_or_else(String::new, |g| g.name.clone())
    };
    let tokens = store.enrolment_tokens().await?;
    let rows: Vec<[String; 6]> =
        tokens.iter().map(|token| row(token, name(token.group), now)).collect();
    Ok(table(["ID", "GROUP", "USED", "STATE", "MADE BY", "NOTE"], &rows))
}

fn row(token: &EnrolmentToken, group: String, now: WallTime) -> [String; 6] {
    let uses = token.uses.map_or_else(|| "any".to_owned(), |uses| uses.to_string());
    let state = if token.revoked {
        "revoked"
    } else if token.expires_at.is_some_and(|at| at <= now) {
        "expired"
    } else if token.uses.is_some_and(|uses| token.used >= uses) {
        "used up"
    } else {
        "counts"
    };
    [
        token.id.to_string(),
        group,
        format!("{}/{uses}", token.used),
        state.to_owned(),
        token.created_by.clone(),
        token.note.clone(),
    ]
}
