//! Routes: the table finds what a search through all patterns finds.
//!
//! The input is text: a line for each route (`host path`, `host =path` for an exact one), an
//! empty line, then a line for each request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_http::{NoRoute, PathPattern, RouteEntry, RouteId, Routes};

fuzz_target!(|text: &str| {
    let (table, requests) = text.split_once("\n\n").unwrap_or((text, ""));
    let entries: Vec<RouteEntry<'_>> = table
        .lines()
        .filter_map(|line| line.split_once(' '))
        .zip(0..)
        .map(|((host, path), id)| RouteEntry {
            listener: 0,
            host,
            path: match path.strip_prefix('=') {
                Some(path) => PathPattern::Exact(path),
                None => PathPattern::Prefix(path),
            },
            id: RouteId(id),
        })
        .collect();
    let Ok(routes) = Routes::build(&entries) else { return };
    for (host, path) in requests.lines().filter_map(|line| line.split_once(' ')) {
        let found = routes.find(0, host, path);
        assert_eq!(found, search(&entries, host, path), "{host:?} {path:?}");
        let number = |route: Result<RouteId, NoRoute>| route.ok();
        assert_eq!(number(routes.find(0, &host.to_ascii_uppercase(), path)), number(found));
        assert_eq!(routes.find(1, host, path), Err(NoRoute::Host));
    }
});

/// Host first, then the path among those of that host.
fn search(entries: &[RouteEntry<'_>], host: &str, path: &str) -> Result<RouteId, NoRoute> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let rank = |pattern: &str| {
        let pattern = pattern.strip_suffix('.').unwrap_or(pattern).to_ascii_lowercase();
        if pattern == "*" {
            return Some(0);
        }
        match pattern.strip_prefix('*') {
            Some(suffix) => {
                (host.len() > suffix.len() && host.ends_with(suffix)).then_some(suffix.len())
            }
            None => (pattern == host).then_some(usize::MAX),
        }
    };
    // A name is at most 255 bytes; nothing longer has a route of its own.
    let best = if host.len() > 255 {
        entries.iter().any(|entry| entry.host == "*").then_some(0)
    } else {
        entries.iter().filter_map(|entry| rank(entry.host)).max()
    };
    let Some(best) = best else { return Err(NoRoute::Host) };
    entries
        .iter()
        .filter(|entry| match best {
            0 => entry.host == "*",
            best => rank(entry.host) == Some(best),
        })
        .filter_map(|entry| takes(&entry.path, path).map(|length| (length, entry.id)))
        .max()
        .map(|(_, id)| id)
        .ok_or(NoRoute::Path)
}

/// How well it fits.
fn takes(pattern: &PathPattern<'_>, path: &str) -> Option<usize> {
    match *pattern {
        PathPattern::Exact(text) => (text == path).then_some(usize::MAX),
        PathPattern::Prefix(text) => {
            let rest = path.strip_prefix(text)?;
            (rest.is_empty() || rest.starts_with('/') || text.ends_with('/')).then_some(text.len())
        }
    }
}
