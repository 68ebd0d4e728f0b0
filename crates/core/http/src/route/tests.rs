//! Rows of routes and paths, and the law that the table finds what a plain search finds.

use proptest::prelude::*;

use super::*;

#[test]
fn the_narrowest_host_and_path_win() {
    let routes = build(
        "
        0 *                 /         1
        0 shop.example.com  /         2
        0 shop.example.com  /a        3
        0 shop.example.com  =/a/b     4
        0 shop.example.com  /a/b      5
        0 shop.example.com  /c/       6
        0 *.example.com     /         7
        0 *.eu.example.com  /         8
        0 [::1]             /         9
        1 only.example.com  /x        10
        2 *                 =/        11
        ",
    );
    check(
        &routes,
        "
        0 shop.example.com   /            | 2
        0 SHOP.Example.COM   /            | 2
        0 shop.example.com.  /            | 2
        0 shop.example.com   /a           | 3
        0 shop.example.com   /a/          | 3
        0 shop.example.com   /a/c         | 3
        0 shop.example.com   /ab          | 2
        0 shop.example.com   /a-          | 2
        0 shop.example.com   /a/b         | 4
        0 shop.example.com   /a/b/c       | 5
        0 shop.example.com   /a/bc        | 3
        0 shop.example.com   /c           | 2
        0 shop.example.com   /c/          | 6
        0 shop.example.com   /c/d/e       | 6
        0 shop.example.com   /A           | 2
        0 shop.example.com   //a          | 2
        0 www.example.com    /a           | 7
        0 a.b.example.com    /            | 7
        0 a.eu.example.com   /            | 8
        0 a.b.eu.example.com /            | 8
        0 eu.example.com     /            | 7
        0 .eu.example.com    /            | 7
        0 example.com        /            | 1
        0 .example.com       /            | 1
        0 xexample.com       /            | 1
        0 [::1]              /            | 9
        0 -                  /a           | 1
        1 only.example.com   /x           | 10
        1 only.example.com   /y           | no path
        1 example.com        /x           | no host
        1 -                  /x           | no host
        2 anything           /            | 11
        2 -                  /a           | no path
        3 shop.example.com   /            | no host
        ",
    );
}

#[test]
fn a_host_longer_than_any_name_is_no_host() {
    let routes = build("0 a /  1");
    assert_eq!(routes.find(0, &"a".repeat(1000), "/"), Err(NoRoute::Host));
}

#[test]
fn every_problem_is_reported() {
    let entry = |host, path| RouteEntry { listener: 0, host, path, id: RouteId(0) };
    let entries = [
        entry("a", PathPattern::Prefix("/")),
        entry("A.", PathPattern::Prefix("/")),
        entry("a", PathPattern::Exact("/")),
        entry("a", PathPattern::Prefix("x")),
        entry("", PathPattern::Prefix("/")),
        entry("*a", PathPattern::Prefix("/")),
        entry("*.", PathPattern::Prefix("/")),
        entry("a.*.b", PathPattern::Prefix("/")),
        entry("a b", PathPattern::Prefix("/")),
        entry("a", PathPattern::Exact("/")),
    ];
    assert_eq!(
        Routes::build(&entries).unwrap_err(),
        [
            RouteProblem::Duplicate { entry: 1, first: 0 },
            RouteProblem::PathInvalid { entry: 3 },
            RouteProblem::HostInvalid { entry: 4 },
            RouteProblem::HostInvalid { entry: 5 },
            RouteProblem::HostInvalid { entry: 6 },
            RouteProblem::HostInvalid { entry: 7 },
            RouteProblem::HostInvalid { entry: 8 },
            RouteProblem::Duplicate { entry: 9, first: 2 },
        ]
    );
}

#[test]
fn ten_thousand_routes_are_found() {
    let names: Vec<(String, String)> =
        (0..10_000).map(|n| (format!("h{}.example", n % 100), format!("/p{n}/q"))).collect();
    let entries: Vec<RouteEntry<'_>> = names
        .iter()
        .zip(0..)
        .map(|((host, path), id)| RouteEntry {
            listener: 0,
            host,
            path: PathPattern::Prefix(path),
            id: RouteId(id),
        })
        .collect();
    let routes = Routes::build(&entries).unwrap();
    for ((host, path), id) in names.iter().zip(0..) {
        assert_eq!(routes.find(0, host, &format!("{path}/r")), Ok(RouteId(id)));
        assert_eq!(routes.find(0, host, &format!("{path}r")), Err(NoRoute::Path));
    }
}

/// Rows of listener, host, path (`=` before an exact one) and number.
fn build(table: &str) -> Routes {
    let rows = table.lines().map(str::split_whitespace).map(Iterator::collect::<Vec<_>>);
    let entries: Vec<RouteEntry<'_>> = rows
        .filter(|row| !row.is_empty())
        .map(|row| RouteEntry {
            listener: row[0].parse().unwrap(),
            host: row[1],
            path: match row[2].strip_prefix('=') {
                Some(exact) => PathPattern::Exact(exact),
                None => PathPattern::Prefix(row[2]),
            },
            id: RouteId(row[3].parse().unwrap()),
        })
        .collect();
    Routes::build(&entries).unwrap()
}

#[track_caller]
fn check(routes: &Routes, table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (request, expected) = row.split_once('|').unwrap();
        let words: Vec<&str> = request.split_whitespace().collect();
        let host = if words[1] == "-" { "" } else { words[1] };
        let found = match routes.find(words[0].parse().unwrap(), host, words[2]) {
            Ok(RouteId(id)) => id.to_string(),
            Err(NoRoute::Host) => "no host".to_owned(),
            Err(NoRoute::Path) => "no path".to_owned(),
        };
        assert_eq!(found, expected.trim(), "in row: {row}");
    }
}

/// Of all patterns that take `path`, the one that counts.
fn plain_search(patterns: &[PathPattern<'_>], path: &str) -> Option<usize> {
    let takes = |pattern: &PathPattern<'_>| match *pattern {
        PathPattern::Exact(text) => (path == text).then_some(usize::MAX),
        PathPattern::Prefix(text) if path == text => Some(text.len()),
        PathPattern::Prefix(text) => {
            let rest = path.strip_prefix(text)?;
            (rest.starts_with('/') || text.ends_with('/')).then_some(text.len())
        }
    };
    let found = patterns.iter().enumerate().filter_map(|(n, it)| takes(it).map(|by| (by, n)));
    found.max().map(|(_, n)| n)
}

proptest! {
    #[test]
    fn the_table_finds_what_a_plain_search_finds(
        texts in prop::collection::btree_set(("/[ab/]{0,5}", any::<bool>()), 0..12),
        path in "/[ab/]{0,7}",
    ) {
        let patterns: Vec<PathPattern<'_>> = texts
            .iter()
            .map(|(text, exact)| match exact {
                true => PathPattern::Exact(text),
                false => PathPattern::Prefix(text),
            })
            .collect();
        let entries: Vec<RouteEntry<'_>> = patterns
            .iter()
            .zip(0..)
            .map(|(&path, id)| RouteEntry { listener: 0, host: "*", path, id: RouteId(id) })
            .collect();
        let found = Routes::build(&entries).unwrap().find(0, "", &path).ok();
        let expected = plain_search(&patterns, &path);
        prop_assert_eq!(found.map(|RouteId(id)| id as usize), expected);
    }
}
