//! Broken `host.toml` files, each with every sentence that an operator reads.
//!
//! A row changes one place of [`BASE`], which is valid; the positions are those of the
//! changed text.

use std::path::Path;

use insta::assert_snapshot;

use crate::host::parse;

const BASE: &str = r#"state = "/var/lib/mainstay"
run = "/run/mainstay"
gateway = "/etc/mainstay/gateway.toml"
nofile = 1024

[master]
memory = "10%"

[[worker]]
threads = 2
cpus = [0, 1]

[[worker]]
threads = 2

[pair]
hang_timeout = "1s"

[restart]
delay_min = "10ms"

[metrics]
address = "127.0.0.1:9145"
"#;

/// Every problem of the base with one place changed.
#[track_caller]
fn with(old: &str, new: &str) -> String {
    assert!(BASE.contains(old), "no such place: {old:?}");
    let text = BASE.replacen(old, new, 1);
    let problems = parse(&text).expect_err("this is broken");
    let lines: Vec<String> =
        problems.iter().map(|problem| problem.locate(Path::new("host.toml"), &text)).collect();
    lines.join("\n")
}

#[test]
fn the_base_is_valid() {
    assert_eq!(parse(BASE).map(drop), Ok(()));
}

#[test]
fn broken_paths() {
    assert_snapshot!(with(r#"state = "/var/lib/mainstay""#, ""), @r#"host.toml:1:1: host.toml needs the key "state""#);
    assert_snapshot!(with(r#"state = "/var/lib/mainstay""#, r#"state = "var/lib/mainstay""#), @r#"host.toml:1:9: "state" must be an absolute path, not "var/lib/mainstay""#);
    assert_snapshot!(with(r#"state = "/var/lib/mainstay""#, r#"state = ["/var/lib/mainstay"]"#), @r#"host.toml:1:9: "state" must be a string, not an array"#);
    assert_snapshot!(with(r#"run = "/run/mainstay""#, r#"run = "/srv/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/""#), @r#"host.toml:2:7: "run" must be at most 82 bytes long: sockets in it have longer paths"#);
    assert_snapshot!(with(r#"gateway = "/etc/mainstay/gateway.toml""#, r#"gatway = "/etc/mainstay/gateway.toml""#), @r#"
    host.toml:1:1: host.toml needs the key "gateway"
    host.toml:3:1: "gatway" is not a key of host.toml; did you mean "gateway"?
    "#);
    assert_snapshot!(with("nofile = 1024", "nofile = 10"), @r#"host.toml:4:10: "nofile" must be from 256 to 1073741816, not 10"#);
    assert_snapshot!(with("nofile = 1024", r#"listener = "web""#), @r#"host.toml:4:1: "listener" is not a key of host.toml; it belongs in gateway.toml"#);
}

#[test]
fn broken_processes() {
    assert_snapshot!(with("[master]\nmemory = \"10%\"", "[master]\nmemory = 10"), @r#"host.toml:7:10: "memory" must be a share such as "25%", not 10"#);
    assert_snapshot!(with("[master]\nmemory = \"10%\"", "[master]\nmemory = \"10\""), @r#"host.toml:7:10: "memory" must be a share such as "25%", not "10""#);
    assert_snapshot!(with("[master]\nmemory = \"10%\"", "[master]\nmemory = \"0%\""), @r#"host.toml:7:10: "memory" must be from 1% to 80%, not "0%""#);
    assert_snapshot!(with("[master]\nmemory = \"10%\"", "[master]\nmemory = \"300%\""), @r#"host.toml:7:10: "memory" must be from 1% to 80%, not "300%""#);
    assert_snapshot!(with("[master]\nmemory = \"10%\"", "[master]\nmemory = \"31%\""), @"host.toml:13:1: master and workers may have 80% of memory together, not 81%");
    assert_snapshot!(with("[master]\nmemory = \"10%\"", "[master]\nthreads = 2"), @r#"host.toml:7:1: "threads" is not a key of [master]"#);
    assert_snapshot!(with("cpus = [0, 1]\n\n[[worker]]\nthreads = 2\n", "\n\n"), @"host.toml:9:1: [[worker]] must be there twice or not at all: this is number 1");
    assert_snapshot!(with("cpus = [0, 1]\n\n[[worker]]\nthreads = 2\n", "\n\n[[worker]]\nthreads = 2\n[[worker]]\nthreads = 2\n"), @"host.toml:15:1: [[worker]] must be there twice or not at all: this is number 3");
    assert_snapshot!(with("cpus = [0, 1]\n\n[[worker]]\nthreads = 2\n", "\n\n[[worker]]\nthreads = 3\n"), @"host.toml:14:11: both workers must have the same number of threads: one has 2, two has 3");
    assert_snapshot!(with("cpus = [0, 1]\n\n[[worker]]\nthreads = 2\n", "\n\n[[worker]]\n"), @"host.toml:13:1: both workers must have the same number of threads: one has 2, two has 1");
}

#[test]
fn broken_processes_2() {
    assert_snapshot!(with("cpus = [0, 1]\n\n[[worker]]\nthreads = 2\n", "\n\n[[worker]]\nthreads = 65\n"), @r#"host.toml:14:11: "threads" must be from 1 to 64, not 65"#);
    assert_snapshot!(with("cpus = [0, 1]", "cpus = []"), @r#"host.toml:11:8: "cpus" must have at least one element"#);
    assert_snapshot!(with("cpus = [0, 1]", "cpus = 0"), @r#"host.toml:11:8: "cpus" must be an array, not an integer"#);
    assert_snapshot!(with("cpus = [0, 1]", r#"cpus = [0, "1"]"#), @r#"host.toml:11:12: each element of "cpus" must be an integer, not a string"#);
    assert_snapshot!(with("cpus = [0, 1]", "cpus = [0, 1024]"), @r#"host.toml:11:12: each element of "cpus" must be from 0 to 1023, not 1024"#);
}

#[test]
fn broken_times_and_metrics() {
    assert_snapshot!(with(r#"hang_timeout = "1s""#, r#"hang_timeout = "99ms""#), @r#"host.toml:17:16: "hang_timeout" must be from 100ms to 24h, not "99ms""#);
    assert_snapshot!(with(r#"hang_timeout = "1s""#, r#"hold_timeout = "0ms""#), @r#"host.toml:17:16: "hold_timeout" must be from 1ms to 24h, not "0ms""#);
    assert_snapshot!(with(r#"hang_timeout = "1s""#, r#"drain_timeout = "2d""#), @r#"host.toml:17:17: "drain_timeout" must be a duration such as "250ms", "5s", "1m" or "1h", not "2d""#);
    assert_snapshot!(with(r#"hang_timeout = "1s""#, r#"adoption = "maybe""#), @r#"host.toml:17:12: "adoption" must be "on" or "off", not "maybe""#);
    assert_snapshot!(with(r#"hang_timeout = "1s""#, r#"keep_timeout = "0s""#), @r#"host.toml:17:16: "keep_timeout" must be from 1ms to 24h, not "0s""#);
    assert_snapshot!(with(r#"delay_min = "10ms""#, "delay_min = \"10ms\"\ndelay_max = \"5ms\""), @r#"host.toml:21:13: "delay_max" must be from 10ms to 24h, not "5ms""#);
    assert_snapshot!(with(r#"delay_min = "10ms""#, r#"stable_after = """#), @r#"host.toml:20:16: "stable_after" must be a duration such as "250ms", "5s", "1m" or "1h", not """#);
    assert_snapshot!(with(r#"delay_min = "10ms""#, r#"delay = "10ms""#), @r#"host.toml:20:1: "delay" is not a key of [restart]"#);
    assert_snapshot!(with(r#"address = "127.0.0.1:9145""#, ""), @r#"host.toml:22:1: [metrics] needs the key "address""#);
    assert_snapshot!(with(r#"address = "127.0.0.1:9145""#, r#"address = "9145""#), @r#"host.toml:23:11: address "9145" must be "IP:PORT" or "[IPv6]:PORT""#);
    assert_snapshot!(with(r#"address = "127.0.0.1:9145""#, "port = 9145"), @r#"
    host.toml:22:1: [metrics] needs the key "address"
    host.toml:23:1: "port" is not a key of [metrics]
    "#);
    assert_snapshot!(with("nofile = 1024", "nofile = 1024\nmetric = 1"), @r#"host.toml:5:1: "metric" is not a key of host.toml; did you mean "metrics"?"#);
}
