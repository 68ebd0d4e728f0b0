//! What an operator reads, row by row, and the bounds of it.

use std::time::Instant;

use super::*;
use crate::gateway;

const BASE: &str = include_str!("../../../../../deploy/gateway.toml");

fn between(old: &str, new: &str) -> Difference {
    Difference::between(&gateway::parse(old).unwrap(), &gateway::parse(new).unwrap())
}

/// The sample with these texts in place of those.
fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(BASE.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old:?} is in the sample");
        text.replace(old, new)
    })
}

#[test]
fn what_changes_nothing_is_no_difference() {
    let shop = "[[upstream]]\nname = \"shop\"\n\
                servers = [\"127.0.0.1:3000\", { address = \"127.0.0.1:3001\", weight = 2 }]\n";
    let turned = "servers = [{ address = \"127.0.0.1:3001\", weight = 2 }, \"127.0.0.1:3000\"]\n";
    for new in [
        BASE.to_owned(),
        format!("# said\n{BASE}"),
        changed(&[("[limits]\n", "[limits]\nfields = 100\n")]),
        // Another order, and so other indexes.
        changed(&[(shop, "")]) + "\n[[upstream]]\nname = \"shop\"\n" + turned,
    ] {
        let difference = between(BASE, &new);
        assert!(difference.is_none(), "{difference}");
        assert_eq!(difference.to_string(), "");
    }
}

#[test]
fn each_key_of_each_section_has_its_words() {
    let new = changed(&[
        ("address = \"[::]:8080\"", "address = \"[::]:8081\"\naccept = \"master\"\nbacklog = 7"),
        ("keepalive = 64", "keepalive = 65"),
        ("weight = 2", "weight = 3"),
        ("\"*.shop.example.com\"", "\"www.shop.example.com\""),
        ("path = \"/static/\"\nupstream = \"static\"", "path = \"/static/\"\nupstream = \"shop\""),
        ("access = \"session\"\n\n", "access = \"open\"\n\n"),
        ("login = \"https://login.example.com/\"", "login = \"/in\"\ncookie = \"sid\""),
        ("exact = \"/robots.txt\"", "exact = \"/robots.html\""),
        ("listener = \"mail\"\nupstream = \"mail\"", "listener = \"mail\"\nupstream = \"static\""),
        ("request_head = \"10s\"", "request_head = \"5s\"\nlinger = \"1s\""),
        ("body_bytes = \"64MiB\"", "target_bytes = \"4KiB\""),
        ("confirm = \"10s\"", "confirm = \"0s\""),
        ("expect = 200", "expect = 204"),
        ("path = \"access.log\"", "path = \"log\\u001b[0m\""),
    ]);
    insta::assert_snapshot!(between(BASE, &new), @r"
    ~ listener web: address [::]:8080 → [::]:8081, accept active → master, backlog 4096 → 7
    ~ upstream shop: servers +127.0.0.1:3001(weight 3) -127.0.0.1:3001(weight 2)
    ~ upstream static: keepalive 64 → 65
    ~ service shop: hosts +www.shop.example.com -*.shop.example.com
    ~ service shop, route /account/: access session → open
    ~ service shop, route /static/: upstream static → shop
    + service shop, route exactly /robots.html: upstream static, access open
    - service shop, route exactly /robots.txt
    ~ session: cookie __Host-session → sid, login https://login.example.com/ → /in
    ~ tcp mail: upstream mail → static
    ~ timeouts: request_head 10s → 5s, linger 5s → 1s
    ~ limits: target_bytes 8KiB → 4KiB, body_bytes 64MiB → unlimited
    ~ access_log: path access.log → log\u{1b}[0m
    ~ apply: confirm 10s → 0ms, probes +shop.example.com/robots.txt(shop, expect 204, timeout 2s) -shop.example.com/robots.txt(shop, expect 200, timeout 2s)
    ");
}

#[test]
fn a_service_comes_and_goes_as_one() {
    let blog = "[[listener]]\nname = \"blog\"\naddress = \"127.0.0.1:9\"\n\
                [[service]]\nname = \"blog\"\nlisteners = [\"blog\", \"web\"]\nhosts = [\"blog.example\"]\n\
                [[service.route]]\npath = \"/\"\nupstream = \"shop\"\n\
                [[service.route]]\npath = \"/b\"\nupstream = \"shop\"\n";
    let with = format!("{BASE}\n{blog}");
    insta::assert_snapshot!(between(BASE, &with), @r"
    + listener blog: address 127.0.0.1:9, accept active, backlog 4096, forwarded replace
    + service blog: listeners blog web, hosts blog.example, 2 routes
    ");
    insta::assert_snapshot!(between(&with, BASE), @r"
    - listener blog
    - service blog
    ");
}

#[test]
fn ten_thousand_routes_are_compared_soon_and_told_in_short() {
    let text = |upstream: &str| {
        let mut text = BASE.to_owned();
        text.push_str(
            "\n[[service]]\nname = \"many\"\nlisteners = [\"web\"]\nhosts = [\"many\"]\n",
        );
        for number in 0..10_000 {
            text.push_str(&format!(
                "[[service.route]]\npath = \"/{number}/\"\nupstream = \"{upstream}\"\n"
            ));
        }
        text
    };
    let (old, new) =
        (gateway::parse(&text("shop")).unwrap(), gateway::parse(&text("static")).unwrap());
    let took = (0..5).map(|_| {
        #[expect(clippy::disallowed_methods, reason = "what is tested is how long it takes")]
        let begun = Instant::now();
        let difference = Difference::between(&old, &new);
        (begun.elapsed(), difference)
    });
    let (fastest, difference) = took.min_by_key(|(took, _)| *took).unwrap();
    let said = difference.to_string();
    assert_eq!(said.lines().count(), LINES_MAX + 1);
    assert!(said.starts_with("~ service many, route /0/: upstream shop → static\n"), "{said}");
    assert!(said.ends_with("\nand 9900 more\n"), "{said}");
    // Unoptimized, on a machine that does other things too; a release build takes a tenth.
    assert!(fastest.as_millis() < 400, "{fastest:?}");
}

#[test]
fn a_line_has_a_limit() {
    let servers = |count: u32| -> String {
        (0..count).map(|port| format!("\"127.0.0.1:{}\", ", port + 4000)).collect()
    };
    let new =
        changed(&[("servers = [\"127.0.0.1:3000\",", &format!("servers = [{}", servers(500)))]);
    insta::assert_snapshot!(between(BASE, &new), @"
    ~ upstream shop: servers +127.0.0.1:4000 +127.0.0.1:4001 +127.0.0.1:4002 +127.0.0.1:4003 +127.0.0.1:4004 +127.0.0.1:4005 and 495 more
    ");
    let path = "x".repeat(1000);
    let new = changed(&[("\"/static/\"", &format!("\"/{path}/\""))]);
    for line in between(BASE, &new).to_string().lines() {
        assert!(line.chars().count() <= LINE_CHARS_MAX, "{line}");
        assert!(line.ends_with('…') || line.ends_with("/static/"), "{line}");
    }
}
