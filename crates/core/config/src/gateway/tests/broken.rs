//! Broken `gateway.toml` files, each with every sentence that an operator reads.
//!
//! A row changes one place of [`BASE`], which is valid; the positions are those of the
//! changed text.

use std::path::Path;

use insta::assert_snapshot;

use crate::gateway::parse;

const BASE: &str = r#"[[listener]]
name = "web"
address = "127.0.0.1:8080"
backlog = 128

[[listener]]
name = "mail"
address = "127.0.0.1:2525"

[[upstream]]
name = "shop"
servers = ["10.0.0.1:80"]
keepalive = 8

[[upstream]]
name = "mail"
servers = ["10.0.0.2:25"]

[[service]]
name = "blog"
listeners = ["web"]
hosts = ["blog.example.com"]
route = [{ path = "/", upstream = "shop" }]

[[service]]
name = "shop"
listeners = ["web"]
hosts = ["example.com"]

[[service.route]]
path = "/"
upstream = "shop"

[[service.route]]
path = "/account/"
upstream = "shop"

[[service.route]]
path = { exact = "/robots.txt" }
upstream = "shop"

[[tcp]]
name = "mail"
listener = "mail"
upstream = "mail"

[timeouts]
connect = "5s"

[limits]
connections = 100

[access_log]
path = "off"
"#;

/// Every problem of the base with one place changed.
#[track_caller]
fn with(old: &str, new: &str) -> String {
    assert!(BASE.contains(old), "no such place: {old:?}");
    problems_of(&BASE.replacen(old, new, 1))
}

fn problems_of(text: &str) -> String {
    let problems = parse(text).expect_err("this is broken");
    let lines: Vec<String> =
        problems.iter().map(|problem| problem.locate(Path::new("gateway.toml"), text)).collect();
    lines.join("\n")
}

#[test]
fn the_base_is_valid() {
    assert_eq!(parse(BASE).map(drop), Ok(()));
}

#[test]
fn broken_listeners() {
    assert_snapshot!(with("name = \"web\"\naddress", "address"), @r#"gateway.toml:1:1: [[listener]] needs the key "name""#);
    assert_snapshot!(with("name = \"web\"\naddress", "name = 5\naddress"), @r#"gateway.toml:2:8: "name" must be a string, not an integer"#);
    assert_snapshot!(with("name = \"web\"\naddress", "name = \"the web\"\naddress"), @r#"
    gateway.toml:2:8: name "the web" must be 1 to 64 characters out of a-z, A-Z, 0-9, "-", "_" and "."
    gateway.toml:21:14: there is no listener "web"
    gateway.toml:27:14: there is no listener "web"
    "#);
    assert_snapshot!(with("name = \"mail\"\naddress", "name = \"web\"\naddress"), @r#"gateway.toml:7:8: listener "web" exists already"#);
    assert_snapshot!(with(r#"address = "127.0.0.1:8080""#, ""), @r#"gateway.toml:1:1: [[listener]] needs the key "address""#);
    assert_snapshot!(with(r#"address = "127.0.0.1:8080""#, "address = 8080"), @r#"gateway.toml:3:11: "address" must be a string, not an integer"#);
    assert_snapshot!(with(r#"address = "127.0.0.1:8080""#, r#"address = "localhost:8080""#), @r#"gateway.toml:3:11: address "localhost:8080" must be "IP:PORT", "[IPv6]:PORT" or "unix:/PATH""#);
    assert_snapshot!(with(r#"address = "127.0.0.1:8080""#, r#"address = "127.0.0.1:80800""#), @r#"gateway.toml:3:11: address "127.0.0.1:80800" must be "IP:PORT", "[IPv6]:PORT" or "unix:/PATH""#);
    assert_snapshot!(with(r#"address = "127.0.0.1:8080""#, r#"address = "unix:web.sock""#), @r#"gateway.toml:3:11: address "unix:web.sock" must have an absolute path after "unix:""#);
    assert_snapshot!(with(r#"address = "127.0.0.1:8080""#, r#"address = "127.0.0.1:2525""#), @r#"gateway.toml:8:11: address "127.0.0.1:2525" collides with listener "web" at "127.0.0.1:2525""#);
}

#[test]
fn broken_listeners_2() {
    assert_snapshot!(with(r#"address = "127.0.0.1:8080""#, r#"address = "0.0.0.0:2525""#), @r#"gateway.toml:8:11: address "127.0.0.1:2525" collides with listener "web" at "0.0.0.0:2525""#);
    assert_snapshot!(with("backlog = 128", "backlog = 0"), @r#"gateway.toml:4:11: "backlog" must be from 1 to 65535, not 0"#);
    assert_snapshot!(with("backlog = 128", r#"backlog = "128""#), @r#"gateway.toml:4:11: "backlog" must be an integer, not a string"#);
    assert_snapshot!(with("backlog = 128", "backlog = 99999999999999999999"), @r#"gateway.toml:4:11: "backlog" must be from 1 to 65535, not 99999999999999999999"#);
    assert_snapshot!(with("backlog = 128", r#"accept = "standby""#), @r#"gateway.toml:4:10: "accept" must be "active" or "master", not "standby""#);
    assert_snapshot!(with("backlog = 128", "accept = true"), @r#"gateway.toml:4:10: "accept" must be a string, not a boolean"#);
    assert_snapshot!(with("backlog = 128", r#"forwarded = "trust""#), @r#"gateway.toml:4:13: "forwarded" must be "replace" or "append", not "trust""#);
    assert_snapshot!(with("backlog = 128", r#"adress = "127.0.0.1:8080""#), @r#"gateway.toml:4:1: "adress" is not a key of [[listener]]; did you mean "address"?"#);
    assert_snapshot!(with("backlog = 128", r#"colour = "red""#), @r#"gateway.toml:4:1: "colour" is not a key of [[listener]]"#);
}

#[test]
fn broken_upstreams() {
    assert_snapshot!(with("name = \"shop\"\nservers", "name = \"\"\nservers"), @r#"
    gateway.toml:11:8: name "" must be 1 to 64 characters out of a-z, A-Z, 0-9, "-", "_" and "."
    gateway.toml:23:35: there is no upstream "shop"
    gateway.toml:32:12: there is no upstream "shop"
    gateway.toml:36:12: there is no upstream "shop"
    gateway.toml:40:12: there is no upstream "shop"
    "#);
    assert_snapshot!(with("name = \"mail\"\nservers", "name = \"shop\"\nservers"), @r#"gateway.toml:16:8: upstream "shop" exists already"#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, ""), @r#"gateway.toml:10:1: [[upstream]] needs the key "servers""#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, "servers = []"), @r#"gateway.toml:12:11: "servers" must have at least one element"#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, r#"servers = "10.0.0.1:80""#), @r#"gateway.toml:12:11: "servers" must be an array, not a string"#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, "servers = [80]"), @r#"gateway.toml:12:12: each element of "servers" must be an address or { address = "…", weight = 2 }, not an integer"#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, r#"servers = ["http://10.0.0.1/"]"#), @r#"gateway.toml:12:12: server "http://10.0.0.1/" must not be a URL: write "HOST:PORT""#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, r#"servers = ["app.internal"]"#), @r#"gateway.toml:12:12: server "app.internal" needs a port from 1 to 65535"#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, r#"servers = ["app_.-internal:80"]"#), @r#"gateway.toml:12:12: server "app_.-internal:80" has no valid host: has a label that begins or ends with "-""#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, r#"servers = ["10.0.0.1:80", "10.0.0.1:80"]"#), @r#"gateway.toml:12:27: server "10.0.0.1:80" is listed twice: give it a weight instead"#);
}

#[test]
fn broken_upstreams_2() {
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, "servers = [{ weight = 2 }]"), @r#"gateway.toml:12:12: a server needs the key "address""#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, r#"servers = [{ address = "10.0.0.1:80", weight = 0 }]"#), @r#"gateway.toml:12:48: "weight" must be from 1 to 256, not 0"#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, r#"servers = [{ address = "10.0.0.1:80", weight = 257 }]"#), @r#"gateway.toml:12:48: "weight" must be from 1 to 256, not 257"#);
    assert_snapshot!(with(r#"servers = ["10.0.0.1:80"]"#, r#"servers = [{ address = "10.0.0.1:80", wieght = 2 }]"#), @r#"gateway.toml:12:39: "wieght" is not a key of a server; did you mean "weight"?"#);
    assert_snapshot!(with("keepalive = 8", "keepalive = -1"), @r#"gateway.toml:13:13: "keepalive" must be from 0 to 65536, not -1"#);
    assert_snapshot!(with("keepalive = 8", r#"balance = "least-connections""#), @r#"gateway.toml:13:11: "balance" must be "round-robin", not "least-connections""#);
}

#[test]
fn broken_services() {
    assert_snapshot!(with(r#"listeners = ["web"]"#, ""), @r#"gateway.toml:19:1: [[service]] needs the key "listeners""#);
    assert_snapshot!(with(r#"listeners = ["web"]"#, "listeners = []"), @r#"gateway.toml:21:13: "listeners" must have at least one element"#);
    assert_snapshot!(with(r#"listeners = ["web"]"#, r#"listeners = "web""#), @r#"gateway.toml:21:13: "listeners" must be an array, not a string"#);
    assert_snapshot!(with(r#"listeners = ["web"]"#, r#"listeners = ["wbe"]"#), @r#"gateway.toml:21:14: there is no listener "wbe"; did you mean "web"?"#);
    assert_snapshot!(with(r#"listeners = ["web"]"#, r#"listeners = ["web", "intranet"]"#), @r#"gateway.toml:21:21: there is no listener "intranet""#);
    assert_snapshot!(with(r#"listeners = ["web"]"#, r#"listeners = ["web", "web"]"#), @r#"gateway.toml:21:21: listener "web" is listed twice"#);
    assert_snapshot!(with(r#"listeners = ["web"]"#, r#"listeners = ["web", "mail"]"#), @r#"gateway.toml:44:12: listener "mail" is used by service "blog": it cannot be a tcp's too"#);
    assert_snapshot!(with(r#"hosts = ["example.com"]"#, ""), @r#"gateway.toml:25:1: [[service]] needs the key "hosts""#);
    assert_snapshot!(with(r#"hosts = ["example.com"]"#, "hosts = []"), @r#"gateway.toml:28:9: "hosts" must have at least one element"#);
    assert_snapshot!(with(r#"hosts = ["example.com"]"#, "hosts = [443]"), @r#"gateway.toml:28:10: each element of "hosts" must be a string, not an integer"#);
}

#[test]
fn broken_services_2() {
    assert_snapshot!(with(r#"hosts = ["example.com"]"#, r#"hosts = ["example.com:8080"]"#), @r#"gateway.toml:28:10: host "example.com:8080" must not have a port: a service answers on every port of its listeners"#);
    assert_snapshot!(with(r#"hosts = ["example.com"]"#, r#"hosts = ["shop.*.com"]"#), @r#"gateway.toml:28:10: host "shop.*.com" may have "*" only alone or as its first label, as in "*.example.com""#);
    assert_snapshot!(with(r#"hosts = ["example.com"]"#, r#"hosts = ["https://example.com"]"#), @r#"gateway.toml:28:10: host "https://example.com" has a character that no host name has"#);
    assert_snapshot!(with(r#"hosts = ["example.com"]"#, r#"hosts = ["bücher.example"]"#), @r#"gateway.toml:28:10: host "bücher.example" must be in its ASCII form ("xn--…")"#);
    assert_snapshot!(with(r#"hosts = ["example.com"]"#, r#"hosts = ["example.com", "Example.com"]"#), @r#"gateway.toml:28:25: host "example.com" is listed twice"#);
    assert_snapshot!(with(r#"hosts = ["example.com"]"#, r#"hosts = ["blog.example.com"]"#), @r#"gateway.toml:28:10: host "blog.example.com" is service "blog"'s already on listener "web""#);
    assert_snapshot!(with("name = \"blog\"\nlisteners", "name = \"shop\"\nlisteners"), @r#"gateway.toml:26:8: service "shop" exists already"#);
    assert_snapshot!(with(r#"route = [{ path = "/", upstream = "shop" }]"#, ""), @"gateway.toml:19:1: [[service]] needs at least one [[service.route]]");
    assert_snapshot!(with(r#"route = [{ path = "/", upstream = "shop" }]"#, "route = []"), @"gateway.toml:19:1: [[service]] needs at least one [[service.route]]");
    assert_snapshot!(with(r#"route = [{ path = "/", upstream = "shop" }]"#, r#"route = { path = "/", upstream = "shop" }"#), @r#"gateway.toml:23:9: "route" must be written [[service.route]], not a table"#);
}

#[test]
fn broken_services_3() {
    assert_snapshot!(with(r#"route = [{ path = "/", upstream = "shop" }]"#, r#"route = ["/"]"#), @r#"gateway.toml:23:10: "route" must be written [[service.route]], not a string"#);
}

#[test]
fn broken_routes() {
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = "account/""#), @r#"gateway.toml:35:8: path "account/" must begin with "/""#);
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = """#), @r#"gateway.toml:35:8: path "" must begin with "/""#);
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = "/account/*""#), @r#"gateway.toml:35:8: path "/account/*" must not have a wildcard: a path is a prefix by itself"#);
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = "/account?x=1""#), @r##"gateway.toml:35:8: path "/account?x=1" must end before the query: no "?" and no "#""##);
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = "/café""#), @r#"gateway.toml:35:8: path "/café" must be percent-encoded, as in "/caf%C3%A9""#);
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = "/a/../b""#), @r#"gateway.toml:35:8: path "/a/../b" must not have a segment "." or "..""#);
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = "/""#), @r#"gateway.toml:35:8: path "/" has a route in this service already"#);
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = { exact = "/robots.txt" }"#), @r#"gateway.toml:39:18: exact path "/robots.txt" has a route in this service already"#);
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = { exact = "robots.txt" }"#), @r#"gateway.toml:35:18: path "robots.txt" must begin with "/""#);
    assert_snapshot!(with(r#"path = "/account/""#, r#"path = { regex = "^/a" }"#), @r#"
    gateway.toml:35:8: a path needs the key "exact"
    gateway.toml:35:10: "regex" is not a key of a path
    "#);
}

#[test]
fn broken_routes_2() {
    assert_snapshot!(with(r#"path = "/account/""#, "path = 7"), @r#"gateway.toml:35:8: "path" must be a prefix such as "/a/" or { exact = "/x" }, not an integer"#);
    assert_snapshot!(with(r#"path = "/account/""#, ""), @r#"gateway.toml:34:1: [[service.route]] needs the key "path""#);
    assert_snapshot!(with(r#"path = "/account/""#, r#"paths = ["/account/"]"#), @r#"
    gateway.toml:34:1: [[service.route]] needs the key "path"
    gateway.toml:35:1: "paths" is not a key of [[service.route]]; did you mean "path"?
    "#);
    assert_snapshot!(with("path = \"/\"\nupstream = \"shop\"", r#"path = "/""#), @r#"gateway.toml:30:1: [[service.route]] needs the key "upstream""#);
    assert_snapshot!(with("path = \"/\"\nupstream = \"shop\"", "path = \"/\"\nupstream = \"shpo\""), @r#"gateway.toml:32:12: there is no upstream "shpo"; did you mean "shop"?"#);
}

#[test]
fn broken_sessions() {
    let access = "path = \"/account/\"\naccess = \"session\"";
    let with_session = |session: &str| {
        let base = BASE.replacen("path = \"/account/\"", access, 1);
        let text = base.replacen("[timeouts]", &format!("[session]\n{session}\n\n[timeouts]"), 1);
        problems_of(&text)
    };
    assert_snapshot!(with("path = \"/account/\"", "path = \"/account/\"\naccess = \"sesion\""), @r#"gateway.toml:36:10: "access" must be "open" or "session", not "sesion""#);
    assert_snapshot!(with_session("cokie = \"a\""), @r#"gateway.toml:49:1: "cokie" is not a key of [session]; did you mean "cookie"?"#);
    assert_snapshot!(with_session("cookie = \"a b\""), @r#"gateway.toml:49:10: cookie "a b" must be 1 to 20 characters out of letters, digits and !#$%&'*+-.^_`|~"#);
    assert_snapshot!(with_session("cookie = \"__Host-session-of-the-shop\""), @r#"gateway.toml:49:10: cookie "__Host-session-of-the-shop" must be 1 to 20 characters out of letters, digits and !#$%&'*+-.^_`|~"#);
    assert_snapshot!(with_session("login = \"http://login.example\""), @r#"gateway.toml:49:9: login "http://login.example" must begin with "https://" or be a path that begins with "/""#);
    assert_snapshot!(with_session("login = \"https://\""), @r#"gateway.toml:49:9: login "https://" has no valid host: is empty"#);
    assert_snapshot!(with_session("login = \"/account/login\""), @r#"gateway.toml:49:9: login "/account/login" needs a session itself in service "shop""#);
    assert_snapshot!(with_session("subject_header = \"X_User\""), @r#"gateway.toml:49:18: subject_header "X_User" must be 1 to 64 characters out of letters, digits and !#$%&'*+-.^`|~"#);
    assert_snapshot!(with_session("subject_header = \"Host\""), @r#"gateway.toml:49:18: subject_header "Host" has a meaning of its own already"#);
    assert_snapshot!(with_session("finish_timeout = \"0s\""), @r#"gateway.toml:49:18: "finish_timeout" must be from 1ms to 10m, not "0s""#);
}

#[test]
fn broken_tcp() {
    assert_snapshot!(with("listener = \"mail\"\n", ""), @r#"gateway.toml:42:1: [[tcp]] needs the key "listener""#);
    assert_snapshot!(with("listener = \"mail\"\n", "listener = \"web\"\n"), @r#"gateway.toml:44:12: listener "web" is used by service "blog": it cannot be a tcp's too"#);
    assert_snapshot!(with("listener = \"mail\"\n", "listener = \"mial\"\n"), @r#"gateway.toml:44:12: there is no listener "mial"; did you mean "mail"?"#);
    assert_snapshot!(with("listener = \"mail\"\nupstream = \"mail\"", "listener = \"mail\"\nupstream = \"mails\""), @r#"gateway.toml:45:12: there is no upstream "mails"; did you mean "mail"?"#);
    assert_snapshot!(with("listener = \"mail\"\nupstream = \"mail\"", "listener = \"mail\"\nupstream = \"mail\"\n[[tcp]]\nname = \"more\"\nlistener = \"mail\"\nupstream = \"mail\""), @r#"gateway.toml:48:12: listener "mail" is tcp "mail"'s already"#);
    assert_snapshot!(with("[[tcp]]\nname = \"mail\"\nlistener = \"mail\"\nupstream = \"mail\"", ""), @r#"gateway.toml:7:8: listener "mail" is used by no service and no tcp"#);
}

#[test]
fn broken_timeouts_and_limits() {
    assert_snapshot!(with(r#"connect = "5s""#, "connect = 5"), @r#"gateway.toml:48:11: "connect" must be a duration such as "250ms", "5s", "1m" or "1h", not 5"#);
    assert_snapshot!(with(r#"connect = "5s""#, r#"connect = "5""#), @r#"gateway.toml:48:11: "connect" must be a duration such as "250ms", "5s", "1m" or "1h", not "5""#);
    assert_snapshot!(with(r#"connect = "5s""#, r#"connect = "1.5s""#), @r#"gateway.toml:48:11: "connect" must be a duration such as "250ms", "5s", "1m" or "1h", not "1.5s""#);
    assert_snapshot!(with(r#"connect = "5s""#, r#"connect = "0s""#), @r#"gateway.toml:48:11: "connect" must be from 1ms to 24h, not "0s""#);
    assert_snapshot!(with(r#"connect = "5s""#, r#"connect = "25h""#), @r#"gateway.toml:48:11: "connect" must be from 1ms to 24h, not "25h""#);
    assert_snapshot!(with(r#"connect = "5s""#, r#"conect = "5s""#), @r#"gateway.toml:48:1: "conect" is not a key of [timeouts]; did you mean "connect"?"#);
    assert_snapshot!(with(r#"connect = "5s""#, "worker = 5"), @r#"gateway.toml:48:1: "worker" is not a key of [timeouts]"#);
    assert_snapshot!(with("connections = 100", "connections = 0"), @r#"gateway.toml:51:15: "connections" must be from 1 to 1000000, not 0"#);
    assert_snapshot!(with("connections = 100", "connections = 1.5"), @r#"gateway.toml:51:15: "connections" must be an integer, not a float"#);
    assert_snapshot!(with("connections = 100", r#"head_bytes = "16KB""#), @r#"gateway.toml:51:14: "head_bytes" must be a size such as 16384, "16KiB" or "1MiB", not "16KB""#);
}

#[test]
fn broken_timeouts_and_limits_2() {
    assert_snapshot!(with("connections = 100", r#"head_bytes = "64KiB""#), @r#"gateway.toml:51:14: "head_bytes" must be from 1KiB to 60KiB, not "64KiB""#);
    assert_snapshot!(with("connections = 100", "head_bytes = 512"), @r#"gateway.toml:51:14: "head_bytes" must be from 1KiB to 60KiB, not 512"#);
    assert_snapshot!(with("connections = 100", "head_bytes = \"4KiB\"\ntarget_bytes = \"8KiB\""), @r#"gateway.toml:52:16: "target_bytes" must be from 64B to 4KiB, not "8KiB""#);
    assert_snapshot!(with("connections = 100", "fields = 129"), @r#"gateway.toml:51:10: "fields" must be from 1 to 128, not 129"#);
    assert_snapshot!(with("connections = 100", r#"body_bytes = "infinite""#), @r#"gateway.toml:51:14: "body_bytes" must be a size such as 16384, "16KiB" or "1MiB", not "infinite""#);
    assert_snapshot!(with("connections = 100", "body_bytes = -1"), @r#"gateway.toml:51:14: "body_bytes" must be from 0B to 1024TiB, not -1"#);
    assert_snapshot!(with(r#"path = "off""#, r#"path = """#), @r#"gateway.toml:54:8: path "" must be a file or "off""#);
    assert_snapshot!(with(r#"path = "off""#, "path = false"), @r#"gateway.toml:54:8: "path" must be a string, not a boolean"#);
    assert_snapshot!(with(r#"path = "off""#, r#"file = "access.log""#), @r#"gateway.toml:54:1: "file" is not a key of [access_log]"#);
}

#[test]
fn broken_the_file() {
    assert_snapshot!(with("[timeouts]", "[timeout]"), @r#"gateway.toml:47:2: "timeout" is not a key of gateway.toml; did you mean "timeouts"?"#);
    assert_snapshot!(with("[timeouts]", "[pair]"), @r#"gateway.toml:47:2: "pair" is not a key of gateway.toml; it belongs in host.toml"#);
    assert_snapshot!(with("[timeouts]", "[[timeouts]]"), @r#"gateway.toml:47:1: "timeouts" must be a table, not an array"#);
    assert_snapshot!(with("[[tcp]]", "[tcp]"), @r#"
    gateway.toml:7:8: listener "mail" is used by no service and no tcp
    gateway.toml:42:1: "tcp" must be written [[tcp]], not a table
    "#);
    assert_snapshot!(with("[limits]\nconnections = 100", "[limits]\nconnections ="), @"gateway.toml:51:14: not TOML: string values must be quoted, expected literal string");
    assert_snapshot!(with("[limits]\nconnections = 100", "[limits]\nconnections = 100\nconnections = 200"), @"gateway.toml:52:1: not TOML: duplicate key");
    assert_snapshot!(with("[limits]\nconnections = 100", "[limits\nconnections = 100"), @"gateway.toml:50:8: not TOML: unclosed table, expected `]`");
    assert_snapshot!(with("[limits]\nconnections = 100", "[limits]\nconnections = \"100"), @r#"gateway.toml:51:19: not TOML: invalid basic string, expected `"`"#);
    assert_snapshot!(with("[limits]\nconnections = 100", "[timeouts]\nlinger = \"1s\""), @"gateway.toml:50:2: not TOML: duplicate key");
}
