//! Which route a request takes: by listener, then host, then path.
//!
//! Tables are sorted once, when a configuration is loaded; a look-up is a few binary searches
//! and allocates nothing.
//!
//! - Host: the exact name, else the longest `*.suffix`, else `*`. Case and a final dot do not
//!   matter. Once a host is found, its paths alone count: there is no falling back to a wider
//!   host.
//! - Path: the exact path, else the longest prefix of whole segments. `/a` takes `/a` and
//!   `/a/b`, not `/ab`; `/a/` takes `/a/b`, not `/a`.
//!
//! # Not here
//!
//! What a route leads to: a [`RouteId`] is the configuration's own number.

use std::collections::BTreeMap;

use crate::authority::HOST_BYTES_MAX;

#[cfg(test)]
mod tests;

/// The number that the configuration gave a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u32);

/// One line of the table: what a configuration says of a route, for one listener and host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteEntry<'a> {
    pub listener: usize,
    /// `example.com`, `*.example.com` (any depth, not `example.com` itself), or `*`.
    pub host: &'a str,
    pub path: PathPattern<'a>,
    pub id: RouteId,
}

/// The paths that a route takes. Both begin with `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathPattern<'a> {
    Exact(&'a str),
    Prefix(&'a str),
}

/// Why an entry has no place in the table. `entry` is its index in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteProblem {
    #[error("the host is not a name, `*.` and a name, or `*`")]
    HostInvalid { entry: usize },
    #[error("the path does not begin with a slash")]
    PathInvalid { entry: usize },
    #[error("another route has the same listener, host and path")]
    Duplicate { entry: usize, first: usize },
}

/// Why a request takes no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    #[error("there is nothing at this host")]
    Host,
    #[error("there is nothing at this path")]
    Path,
}

impl NoRoute {
    /// The status of the answer to the request.
    pub const fn status(self) -> u16 {
        match self {
            Self::Host => 421,
            Self::Path => 404,
        }
    }
}

/// All routes of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    listeners: Vec<Hosts>,
}

/// The hosts of one listener.
#[derive(Clone, Debug, Default)]
struct Hosts {
    /// Sorted by name, in lower case.
    exact: Vec<(Box<str>, Paths)>,
    /// Sorted by suffix, in lower case, its dot first.
    wildcard: Vec<(Box<str>, Paths)>,
    any: Option<Paths>,
}

/// The paths of one host, sorted by their text.
#[derive(Clone, Debug, Default)]
struct Paths(Vec<PathRoute>);

#[derive(Clone, Debug)]
struct PathRoute {
    text: Box<str>,
    exact: Option<RouteId>,
    prefix: Option<RouteId>,
    /// The index of the longest other text that this one begins with.
    parent: Option<usize>,
}

/// Host patterns in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HostPattern {
    Exact(String),
    Wildcard(String),
    Any,
}

impl Routes {
    /// Builds the table, or says everything that is wrong with the list.
    pub fn build(entries: &[RouteEntry<'_>]) -> Result<Self, Vec<RouteProblem>> {
        let mut problems = Vec::new();
        let mut table = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (entry, route) in entries.iter().enumerate() {
            let Some(host) = HostPattern::read(route.host) else {
                problems.push(RouteProblem::HostInvalid { entry });
                continue;
            };
            let (PathPattern::Exact(path) | PathPattern::Prefix(path)) = route.path;
            if !path.starts_with('/') {
                problems.push(RouteProblem::PathInvalid { entry });
                continue;
            }
            let paths = table.entry((route.listener, host)).or_default();
            match paths.get(&route.path) {
                Some(&(first, _)) => problems.push(RouteProblem::Duplicate { entry, first }),
                None => {
                    paths.insert(route.path, (entry, route.id));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut routes = Self::default();
        for ((listener, host), paths) in table {
            let paths = Paths::build(paths.into_iter().map(|(path, (_, id))| (path, id)));
            routes.add(listener, host, paths);
        }
        Ok(routes)
    }

    /// Patterns come in order, so that each list is sorted.
    fn add(&mut self, listener: usize, host: HostPattern, paths: Paths) {
        if self.listeners.len() <= listener {
            self.listeners.resize_with(listener + 1, Hosts::default);
        }
        let Some(hosts) = self.listeners.get_mut(listener) else { return };
        match host {
            HostPattern::Exact(name) => hosts.exact.push((name.into(), paths)),
            HostPattern::Wildcard(suffix) => hosts.wildcard.push((suffix.into(), paths)),
            HostPattern::Any => hosts.any = Some(paths),
        }
    }

    /// The route of a request that came by `listener`. `host` has no port; it may be empty.
    #[inline]
    pub fn find(&self, listener: usize, host: &str, path: &str) -> Result<RouteId, NoRoute> {
        let hosts = self.listeners.get(listener).ok_or(NoRoute::Host)?;
        let paths = hosts.find(host).ok_or(NoRoute::Host)?;
        paths.find(path).ok_or(NoRoute::Path)
    }
}

impl HostPattern {
    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (pattern, name) = match lower.strip_prefix('*') {
            Some(suffix) => (Self::Wildcard(suffix.to_owned()), suffix.strip_prefix('.')?),
            None => (Self::Exact(lower.clone()), lower.as_str()),
        };
        let good = !name.is_empty()
            && name.len() < HOST_BYTES_MAX
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"*/?#@\\".contains(&byte));
        good.then_some(pattern)
    }
}

impl Hosts {
    #[inline]
    fn find(&self, host: &str) -> Option<&Paths> {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return self.any.as_ref();
        }
        let mut lower = [0; HOST_BYTES_MAX];
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        let Some(lower) = lower.get_mut(..host.len()) else { return self.any.as_ref() };
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        find_name(&self.exact, lower)
            .or_else(|| {
                // A dot at the beginning has nothing before it that a `*` could stand for.
                let dots = lower.iter().enumerate().skip(1).filter(|&(_, &byte)| byte == b'.');
                let mut suffixes = dots.filter_map(|(dot, _)| lower.get(dot..));
                if self.wildcard.is_empty() {
                    None
                } else {
                    suffixes.find_map(|suffix| find_name(&self.wildcard, suffix))
                }
            })
            .or(self.any.as_ref())
    }
}

#[inline]
fn find_name<'t>(table: &'t [(Box<str>, Paths)], name: &[u8]) -> Option<&'t Paths> {
    let index = table.binary_search_by(|(text, _)| text.as_bytes().cmp(name)).ok()?;
    table.get(index).map(|(_, paths)| paths)
}

impl Paths {
    fn build<'a>(patterns: impl Iterator<Item = (PathPattern<'a>, RouteId)>) -> Self {
        let mut merged = BTreeMap::<&str, (Option<RouteId>, Option<RouteId>)>::new();
        for (pattern, id) in patterns {
            match pattern {
                PathPattern::Exact(text) => merged.entry(text).or_default().0 = Some(id),
                PathPattern::Prefix(text) => merged.entry(text).or_default().1 = Some(id),
            }
        }
        let mut routes = Vec::<PathRoute>::with_capacity(merged.len());
        for (text, (exact, prefix)) in merged {
            // In sorted order, what a text begins with is the text before it or one of that
            // text's ancestors.
            let mut parent = routes.len().checked_sub(1);
            while let Some(route) = parent.and_then(|index| routes.get(index)) {
                if text.starts_with(&*route.text) {
                    break;
                }
                parent = route.parent;
            }
            routes.push(PathRoute { text: text.into(), exact, prefix, parent });
        }
        Self(routes)
    }

    /// Everything that `path` begins with is the last text that is not after it in the order,
    /// or one of its ancestors.
    #[inline]
    fn find(&self, path: &str) -> Option<RouteId> {
        let after = self.0.partition_point(|route| *route.text <= *path);
        let mut candidate = after.checked_sub(1);
        while let Some(route) = candidate.and_then(|index| self.0.get(index)) {
            if let Some(id) = route.takes(path) {
                return Some(id);
            }
            candidate = route.parent;
        }
        None
    }
}

impl PathRoute {
    #[inline]
    fn takes(&self, path: &str) -> Option<RouteId> {
        let rest = path.strip_prefix(&*self.text)?;
        if rest.is_empty() {
            return self.exact.or(self.prefix);
        }
        if rest.starts_with('/') || self.text.ends_with('/') { self.prefix } else { None }
    }
}
