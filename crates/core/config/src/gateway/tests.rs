//! Whole files: what they become, the defaults, the limits and the laws.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::listeners;

mod broken;

const SMALLEST: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"

[[upstream]]
name = "shop"
servers = ["10.0.0.11:8080"]

[[service]]
name = "shop"
listeners = ["web"]
hosts = ["*"]

[[service.route]]
path = "/"
upstream = "shop"
"#;

#[test]
fn every_default() {
    let gateway = parse(SMALLEST).unwrap();
    let seconds = Duration::from_secs;
    let expected = Gateway {
        listeners: vec![Listener {
            name: "web".to_owned(),
            address: Address::Tcp(([127, 0, 0, 1], 8080).into()),
            accept: Accept::Active,
            backlog: 4096,
            forwarded: Forwarded::Replace,
        }],
        upstreams: vec![Upstream {
            name: "shop".to_owned(),
            servers: vec![Server {
                address: ServerAddress::Ip(([10, 0, 0, 11], 8080).into()),
                weight: 1,
                text: "10.0.0.11:8080".to_owned(),
            }],
            keepalive: 512,
        }],
        services: vec![Service {
            name: "shop".to_owned(),
            listeners: vec![0],
            hosts: vec!["*".to_owned()],
            routes: vec![Route {
                path: RoutePath::Prefix("/".to_owned()),
                upstream: 0,
                access: Access::Open,
            }],
        }],
        sessions: None,
        tcp: Vec::new(),
        timeouts: Timeouts {
            request_head: seconds(10),
            keepalive: seconds(60),
            client_read: seconds(60),
            client_write: seconds(60),
            connect: seconds(5),
            response_head: seconds(60),
            upstream_read: seconds(60),
            upstream_write: seconds(60),
            upstream_idle: seconds(60),
            tunnel_idle: seconds(3600),
            linger: seconds(5),
            server_retry: seconds(1),
        },
        limits: Limits {
            connections: 16_384,
            head_bytes: 16_384,
            fields: 100,
            target_bytes: 8_192,
            body_bytes: BodyLimit::Unlimited,
            pipes: 64,
        },
        access_log: AccessLog::File(PathBuf::from("access.log")),
        apply: Apply {
            watch: apply::Watch {
                confirm: seconds(10),
                failures: host::Percent::new(5),
                failures_least: 20,
            },
            probes: Vec::new(),
        },
    };
    assert_eq!(gateway, expected);
}

#[test]
fn every_value_that_is_no_default() {
    let gateway = parse(
        r#"
        listener = [
            { name = "a", address = "unix:/run/a", accept = "master", backlog = 7, forwarded = "append" },
            { name = "b", address = "[::]:0" },
        ]
        upstream = [
            { name = "u", servers = ["App:80", { address = "unix:/run/u", weight = 256 }], balance = "round-robin", keepalive = 0 },
            { name = "v", servers = ["[::1]:1"] },
        ]
        service = [{ name = "s", listeners = ["b"], hosts = ["*.A.example"], route = [{ path = { exact = "/x" }, upstream = "v", access = "session" }] }]
        session = { cookie = "sid", login = "https://login.example/in", subject_header = "Remote-User", finish_timeout = "1m" }
        tcp = [{ name = "t", listener = "a", upstream = "u" }]
        timeouts = { connect = "250ms", tunnel_idle = "24h" }
        limits = { connections = 1, head_bytes = "4KiB", fields = 128, body_bytes = 0, pipes = 0 }
        access_log = { path = "off" }
        "#,
    )
    .unwrap();
    assert_eq!(gateway.listeners[0].address, Address::Unix(PathBuf::from("/run/a")));
    assert_eq!(gateway.listeners[0].accept, Accept::Master);
    assert_eq!(gateway.listeners[0].backlog, 7);
    assert_eq!(gateway.listeners[0].forwarded, Forwarded::Append);
    let servers = &gateway.upstreams[0].servers;
    assert_eq!(servers[0].address, ServerAddress::Name { host: "app".to_owned(), port: 80 });
    assert_eq!(servers[0].text, "App:80");
    assert_eq!(servers[1].address, ServerAddress::Unix(PathBuf::from("/run/u")));
    assert_eq!(servers[1].weight, 256);
    assert_eq!(gateway.upstreams[0].keepalive, 0);
    assert_eq!(gateway.services[0].listeners, [1]);
    assert_eq!(gateway.services[0].hosts, ["*.a.example"]);
    let exact =
        Route { path: RoutePath::Exact("/x".to_owned()), upstream: 1, access: Access::Session };
    assert_eq!(gateway.services[0].routes, [exact]);
    let sessions = Sessions {
        cookie: "sid".to_owned(),
        login: Login::Url("https://login.example/in".to_owned()),
        subject_header: "Remote-User".to_owned(),
        finish_timeout: Duration::from_mins(1),
    };
    assert_eq!(gateway.sessions, Some(sessions));
    assert_eq!(gateway.tcp, [Tcp { name: "t".to_owned(), listener: 0, upstream: 0 }]);
    assert_eq!(gateway.timeouts.connect, Duration::from_millis(250));
    assert_eq!(gateway.timeouts.tunnel_idle, Duration::from_hours(24));
    let limits = Limits {
        connections: 1,
        head_bytes: 4096,
        fields: 128,
        target_bytes: 4096,
        body_bytes: BodyLimit::Bytes(0),
        pipes: 0,
    };
    assert_eq!(gateway.limits, limits);
    assert_eq!(gateway.access_log, AccessLog::Off);
}

#[test]
fn a_route_that_needs_a_session_needs_no_section() {
    let gateway = parse(
        &SMALLEST.replace("upstream = \"shop\"\n", "upstream = \"shop\"\naccess = \"session\"\n"),
    );
    let sessions = Sessions {
        cookie: "__Host-session".to_owned(),
        login: Login::None,
        subject_header: "X-Forwarded-User".to_owned(),
        finish_timeout: Duration::from_secs(5),
    };
    assert_eq!(gateway.unwrap().sessions, Some(sessions));
}

#[test]
fn the_sample_is_valid() {
    let gateway = parse(include_str!("../../../../../deploy/gateway.toml")).unwrap();
    assert_eq!(gateway.listeners.len(), 2);
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = r#"
        [[listener]]
        name = "web"
        adress = "127.0.0.1:8080"
        backlog = "many"

        [[service]]
        name = "shop"
        listeners = ["web", "wbe"]
        hosts = ["shop.example.com:80", "-"]
        route = [{ path = "x", upstream = "nowhere", cache = true }, 5]

        [timeouts]
        connect = "soon"
        keepalive = "0s"
    "#;
    let problems = parse(text).unwrap_err();
    assert_eq!(problems.len(), 12, "{problems:#?}");
}

#[test]
fn every_line_that_is_not_toml_is_reported() {
    let text = "a =\n[[listener]]\nname = \"web\nb = 1 2\n";
    let problems = parse(text).unwrap_err();
    let lines: Vec<String> =
        problems.iter().map(|problem| problem.locate("x".as_ref(), text)).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    x:1:4: not TOML: string values must be quoted, expected literal string
    x:3:12: not TOML: invalid basic string, expected `"`
    x:4:5: not TOML: string values must be quoted, expected literal string
    "#);
}

#[test]
fn the_listeners_alone_do_not_mind_what_is_wrong_elsewhere() {
    let text = SMALLEST.replace("10.0.0.11:8080", "nowhere").replace("path", "paht");
    assert!(parse(&text).is_err());
    assert_eq!(listeners::parse(&text), Ok(parse(SMALLEST).unwrap().listeners));
    assert!(listeners::parse("[[listener").is_err());
}

#[test]
fn limits_of_the_whole_file() {
    let text = " ".repeat(crate::TEXT_BYTES_MAX + 1);
    let problems = parse(&text).unwrap_err();
    assert_eq!(problems[0].text(), "a configuration file may have at most 8MiB");

    let text: String = (0..=LISTENERS_MAX)
        .map(|i| format!("[[listener]]\nname = \"l{i}\"\naddress = \"127.0.0.1:{}\"\n", i + 1))
        .collect();
    let problems = listeners::parse(&text).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].text(), "there may be at most 200 listeners");

    let problems = parse("").unwrap_err();
    assert_eq!(problems[0].text(), "there is no [[listener]]: nobody could connect");
}

#[test]
fn a_file_of_nothing_but_problems_is_read_to_its_end() {
    let unknown: String = (0..5_000).map(|key| format!("key{key} = 1\n")).collect();
    for text in [unknown, "=\n".repeat(5_000)] {
        let problems = parse(&text).unwrap_err();
        assert_eq!(problems.len(), 1_001);
        let last = problems[1_000].locate("x".as_ref(), &text);
        assert!(last.starts_with("x:1001:") || last.starts_with("x:1000:"), "{last}");
        assert!(last.ends_with(" more problems from here on"), "{last}");
    }
}

#[test]
fn ten_thousand_routes_are_read_in_a_moment() {
    let mut text = SMALLEST.to_owned();
    for service in 0..100 {
        text += &format!(
            "[[service]]\nname = \"s{service}\"\nlisteners = [\"web\"]\nhosts = [\"h{service}.example\"]\n"
        );
        for route in 0..100 {
            text += &format!("[[service.route]]\npath = \"/r/{route}/\"\nupstream = \"shop\"\n");
        }
    }
    #[expect(clippy::disallowed_methods, reason = "what is tested is how long it takes")]
    let start = Instant::now();
    let gateway = parse(&text).unwrap();
    let taken = start.elapsed();
    assert_eq!(gateway.services.len(), 101);
    // 300 ms in a release build; a debug build on a busy machine gets more.
    let limit = if cfg!(debug_assertions) { 3_000 } else { 300 };
    assert!(taken < Duration::from_millis(limit), "{taken:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        prop_assert!(is_read(&text));
    }

    #[test]
    fn any_piece_of_a_file_is_read_without_a_panic(
        pieces in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40), 0..40)
    ) {
        let words: Vec<&str> = include_str!("../../../../../deploy/gateway.toml")
            .split_inclusive(['\n', ' ', '"', '['])
            .collect();
        let text: String = pieces
            .iter()
            .flat_map(|(start, length)| words.iter().cycle().skip(start.index(words.len())).take(*length).copied())
            .collect();
        prop_assert!(is_read(&text));
    }

    /// One change anywhere in a good file: it is read, or there is at least one problem.
    #[test]
    fn a_changed_file_is_valid_or_has_a_problem(at in any::<prop::sample::Index>(), with in any::<char>()) {
        let mut characters: Vec<char> = SMALLEST.chars().collect();
        let at = at.index(characters.len());
        characters[at] = with;
        let text: String = characters.into_iter().collect();
        prop_assert!(is_read(&text));
    }
}

/// Whether a text is valid or has at least one problem, each with a place in it.
fn is_read(text: &str) -> bool {
    match parse(text) {
        Ok(_) => true,
        Err(problems) => {
            problems.iter().all(|problem| problem.locate("x".as_ref(), text).starts_with("x:"))
                && !problems.is_empty()
        }
    }
}
