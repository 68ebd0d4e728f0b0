//! What differs between two configurations, in lines that an operator reads before one follows
//! the other.
//!
//! ```text
//! + upstream static: servers 10.0.0.9:80
//! - service shop, route /old/
//! ~ service shop: hosts +www.shop.example
//! ~ limits: target_bytes 8KiB → 4KiB
//! ```
//!
//! Sections are the same if they have the same name, wherever they stand in the file; a route is
//! the same if its service and its path are. Lists are compared as sets. So what changes nothing
//! for clients is no difference: comments, the order of sections, a default that is written out.
//!
//! # Invariants
//!
//! 1. Each section is looked at once: the time grows with the size of the two, not with its square.
//! 2. At most [`LINES_MAX`] lines of at most [`LINE_CHARS_MAX`] characters are said, and how many
//!    there would be more.
//! 3. No line has a character that a terminal could take for an order.
//!
//! # Not here
//!
//! What a gateway consists of: `describe.rs`, whose patterns name every field, so that a new key
//! cannot be forgotten.

mod describe;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use self::describe::describe;
use crate::gateway::{Gateway, RoutePath};

/// Most lines of a difference.
pub const LINES_MAX: usize = 100;

/// Most characters of a line.
pub const LINE_CHARS_MAX: usize = 200;

/// How many members of a list one line names that came or went.
const MEMBERS_MAX: usize = 6;

/// What is different in a new configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// At most [`LINES_MAX`].
    lines: Vec<String>,
    /// How many lines there are beyond those.
    more: usize,
}

/// A section, or a route of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    kind: Kind,
    /// Empty, where there is one of the kind.
    name: &'a str,
    route: Option<&'a RoutePath>,
}

/// Kinds of sections, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Listener,
    Upstream,
    Service,
    Session,
    Tcp,
    Timeouts,
    Limits,
    AccessLog,
    Apply,
}

/// What a key of a section has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value<'a> {
    One(Cow<'a, str>),
    Set(BTreeSet<Cow<'a, str>>),
    /// How many parts of it have lines of their own; told of a section that is new.
    Parts(usize),
}

/// The keys of a section, the same for each of a kind.
type Values<'a> = Vec<(&'static str, Value<'a>)>;

type Sections<'a> = BTreeMap<Key<'a>, Values<'a>>;

impl Difference {
    /// What is different in `new`.
    pub fn between(old: &Gateway, new: &Gateway) -> Self {
        let (old, new) = (describe(old), describe(new));
        let mut difference = Self { lines: Vec::new(), more: 0 };
        let keys: BTreeSet<&Key<'_>> = old.keys().chain(new.keys()).collect();
        for key in keys {
            match (old.get(key), new.get(key)) {
                (Some(before), Some(after)) if before == after => {}
                (Some(before), Some(after)) => {
                    if let Some(changes) = changes(before, after) {
                        difference.note(|| format!("~ {key}: {changes}"));
                    }
                }
                // A service that comes or goes takes its routes with it.
                (None, Some(_)) if key.is_part() && !old.contains_key(&key.whole()) => {}
                (Some(_), None) if key.is_part() && !new.contains_key(&key.whole()) => {}
                (None, Some(after)) => difference.note(|| format!("+ {key}: {}", shown(after))),
                (Some(_), None) => difference.note(|| format!("- {key}")),
                (None, None) => {}
            }
        }
        difference
    }

    /// Whether one is as good as the other.
    pub const fn is_none(&self) -> bool {
        self.lines.is_empty()
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(bounded(&line()));
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Difference {
    /// A line for each, and one for those that are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

impl Key<'_> {
    const fn is_part(&self) -> bool {
        self.route.is_some()
    }

    /// What it is a part of.
    const fn whole(self) -> Self {
        Self { route: None, ..self }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Listener => "listener",
            Kind::Upstream => "upstream",
            Kind::Service => "service",
            Kind::Session => "session",
            Kind::Tcp => "tcp",
            Kind::Timeouts => "timeouts",
            Kind::Limits => "limits",
            Kind::AccessLog => "access_log",
            Kind::Apply => "apply",
        };
        f.write_str(kind)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        match self.route {
            Some(RoutePath::Prefix(path)) => write!(f, ", route {path}"),
            Some(RoutePath::Exact(path)) => write!(f, ", route exactly {path}"),
            None => Ok(()),
        }
    }
}

/// The keys that have another value; none, if only parts with lines of their own have changed.
fn changes(before: &Values<'_>, after: &Values<'_>) -> Option<String> {
    let changed = before.iter().zip(after).filter_map(|((key, before), (_, after))| {
        let change = change(before, after)?;
        Some(format!("{key} {change}"))
    });
    let all: Vec<String> = changed.collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn change(before: &Value<'_>, after: &Value<'_>) -> Option<String> {
    match (before, after) {
        (Value::One(before), Value::One(after)) => {
            (before != after).then(|| format!("{before} → {after}"))
        }
        (Value::Set(before), Value::Set(after)) => {
            let came = after.difference(before).map(|member| format!("+{member}"));
            let went = before.difference(after).map(|member| format!("-{member}"));
            let members: Vec<String> = came.chain(went).collect();
            (!members.is_empty()).then(|| listed(&members))
        }
        // Parts have lines of their own, and a key has one kind of value.
        (Value::Parts(_) | Value::One(_) | Value::Set(_), _) => None,
    }
}

/// What a new section says.
fn shown(values: &Values<'_>) -> String {
    let all = values.iter().filter_map(|(key, value)| match value {
        Value::One(text) => Some(format!("{key} {text}")),
        Value::Set(members) if members.is_empty() => None,
        Value::Set(members) => {
            let members: Vec<String> = members.iter().map(ToString::to_string).collect();
            Some(format!("{key} {}", listed(&members)))
        }
        Value::Parts(count) => Some(format!("{count} {key}")),
    });
    all.collect::<Vec<String>>().join(", ")
}

fn listed(members: &[String]) -> String {
    let (named, more) = members.split_at(members.len().min(MEMBERS_MAX));
    let named = named.join(" ");
    match more.len() {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The line as it may be shown to anyone.
fn bounded(line: &str) -> String {
    let escaped = line.chars().flat_map(|c| {
        let (plain, escaped) = if c.is_control() { (None, Some(c)) } else { (Some(c), None) };
        plain.into_iter().chain(escaped.into_iter().flat_map(char::escape_default))
    });
    let mut chars = escaped;
    let mut text: String = chars.by_ref().take(LINE_CHARS_MAX).collect();
    if chars.next().is_some() {
        text.pop();
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
