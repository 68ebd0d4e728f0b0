//! Configurations that are wrong, each by another rule, as `mainstay apply` refuses them.

use std::fs;
use std::time::{Duration, Instant};

use mainstay_e2e::administration::Operator;
use mainstay_e2e::gateway::{Accept, Look};
use mainstay_e2e::luck::Luck;
use mainstay_e2e::traffic::{Plan, Target, Traffic, Trailers};
use mainstay_e2e::{Gateway, Origin, Setup};
use mainstay_model::Generation;

/// How long a refusal may take.
const LIMIT: Duration = Duration::from_millis(100);

/// What is right, and made wrong by each row.
const RIGHT: &str = r#"[[listener]]
name = "web"
address = "127.0.0.1:8080"

[[listener]]
name = "raw"
address = "127.0.0.1:8081"

[[upstream]]
name = "shop"
servers = ["10.0.0.11:8080"]

[[service]]
name = "shop"
listeners = ["web"]
hosts = ["shop.example.com"]

[[service.route]]
path = "/"
upstream = "shop"

[[tcp]]
name = "raw"
listener = "raw"
upstream = "shop"

[timeouts]
connect = "5s"

[limits]
fields = 64

[access_log]
path = "access.log"

[apply]
confirm = "1s"
"#;

/// A text of it, what stands there instead, and where and why that is refused.
const ROWS: [(&str, &str, &str); 52] = [
    (
        "[[listener]]\nname = \"web\"",
        "[[listener]\nname = \"web\"",
        "1:12: not TOML: unclosed array table, expected `]`",
    ),
    (
        r#"name = "web""#,
        "name = web",
        "2:8: not TOML: string values must be quoted, expected literal string",
    ),
    ("name = \"web\"\n", "", r#"1:1: [[listener]] needs the key "name""#),
    (
        r#"name = "web""#,
        r#"name = "we b""#,
        r#"2:8: name "we b" must be 1 to 64 characters out of a-z, A-Z, 0-9, "-", "_" and ".""#,
    ),
    (
        r#"name = "web""#,
        r#"name = """#,
        r#"2:8: name "" must be 1 to 64 characters out of a-z, A-Z, 0-9, "-", "_" and ".""#,
    ),
    (r#"name = "web""#, "name = 5", r#"2:8: "name" must be a string, not an integer"#),
    ("name = \"raw\"\naddress", "name = \"web\"\naddress", r#"6:8: listener "web" exists already"#),
    (
        r#"address = "127.0.0.1:8080""#,
        r#"address = "127.0.0.1""#,
        r#"3:11: address "127.0.0.1" must be "IP:PORT", "[IPv6]:PORT" or "unix:/PATH""#,
    ),
    (
        r#"address = "127.0.0.1:8080""#,
        r#"address = "localhost:8080""#,
        r#"3:11: address "localhost:8080" must be "IP:PORT", "[IPv6]:PORT" or "unix:/PATH""#,
    ),
    (
        r#"address = "127.0.0.1:8080""#,
        r#"address = "127.0.0.1:99999""#,
        r#"3:11: address "127.0.0.1:99999" must be "IP:PORT", "[IPv6]:PORT" or "unix:/PATH""#,
    ),
    (
        r#"address = "127.0.0.1:8080""#,
        r#"address = "unix:relative""#,
        r#"3:11: address "unix:relative" must have an absolute path after "unix:""#,
    ),
    (
        r#"address = "127.0.0.1:8081""#,
        r#"address = "127.0.0.1:8080""#,
        r#"7:11: address "127.0.0.1:8080" collides with listener "web" at "127.0.0.1:8080""#,
    ),
    (
        r#"address = "127.0.0.1:8080""#,
        "address = \"127.0.0.1:8080\"\naccept = \"standby\"",
        r#"4:10: "accept" must be "active" or "master", not "standby""#,
    ),
    (
        r#"address = "127.0.0.1:8080""#,
        "address = \"127.0.0.1:8080\"\nbacklog = 0",
        r#"4:11: "backlog" must be from 1 to 65535, not 0"#,
    ),
    (
        r#"address = "127.0.0.1:8080""#,
        "address = \"127.0.0.1:8080\"\nforwarded = true",
        r#"4:13: "forwarded" must be a string, not a boolean"#,
    ),
    (
        r#"address = "127.0.0.1:8080""#,
        r#"adress = "127.0.0.1:8080""#,
        r#"1:1: [[listener]] needs the key "address""#,
    ),
    (
        r#"servers = ["10.0.0.11:8080"]"#,
        "servers = []",
        r#"11:11: "servers" must have at least one element"#,
    ),
    (
        r#"servers = ["10.0.0.11:8080"]"#,
        r#"servers = "10.0.0.11:8080""#,
        r#"11:11: "servers" must be an array, not a string"#,
    ),
    (
        r#"servers = ["10.0.0.11:8080"]"#,
        r#"servers = ["10.0.0.11"]"#,
        r#"11:12: server "10.0.0.11" needs a port from 1 to 65535"#,
    ),
    (
        r#"servers = ["10.0.0.11:8080"]"#,
        r#"servers = [{ address = "10.0.0.11:8080", weight = 0 }]"#,
        r#"11:51: "weight" must be from 1 to 256, not 0"#,
    ),
    (
        r#"servers = ["10.0.0.11:8080"]"#,
        "servers = [{ weight = 2 }]",
        r#"11:12: a server needs the key "address""#,
    ),
    (
        r#"servers = ["10.0.0.11:8080"]"#,
        "servers = [\"10.0.0.11:8080\"]\nbalance = \"random\"",
        r#"12:11: "balance" must be "round-robin", not "random""#,
    ),
    (
        r#"servers = ["10.0.0.11:8080"]"#,
        "servers = [\"10.0.0.11:8080\"]\nkeepalive = -1",
        r#"12:13: "keepalive" must be from 0 to 65536, not -1"#,
    ),
    (
        r#"listeners = ["web"]"#,
        r#"listeners = ["wbe"]"#,
        r#"15:14: there is no listener "wbe"; did you mean "web"?"#,
    ),
    (
        r#"listeners = ["web"]"#,
        "listeners = []",
        r#"15:13: "listeners" must have at least one element"#,
    ),
    (
        r#"listeners = ["web"]"#,
        r#"listeners = ["raw"]"#,
        r#"24:12: listener "raw" is used by service "shop": it cannot be a tcp's too"#,
    ),
    ("listeners = [\"web\"]\n", "", r#"13:1: [[service]] needs the key "listeners""#),
    (
        r#"hosts = ["shop.example.com"]"#,
        r#"hosts = ["shop..example.com"]"#,
        r#"16:10: host "shop..example.com" has a label that is empty"#,
    ),
    (
        r#"hosts = ["shop.example.com"]"#,
        r#"hosts = ["*.*.example.com"]"#,
        r#"16:10: host "*.*.example.com" may have "*" only alone or as its first label, as in "*.example.com""#,
    ),
    (
        r#"hosts = ["shop.example.com"]"#,
        r#"hosts = ["shop.example.com", "SHOP.example.com"]"#,
        r#"16:30: host "shop.example.com" is listed twice"#,
    ),
    (
        r#"hosts = ["shop.example.com"]"#,
        r#"hosts = ["http://shop.example.com"]"#,
        r#"16:10: host "http://shop.example.com" has a character that no host name has"#,
    ),
    ("path = \"/\"\n", "path = \"account\"\n", r#"19:8: path "account" must begin with "/""#),
    (
        "path = \"/\"\n",
        "path = { exact = \"/a\", prefix = \"/b\" }\n",
        r#"19:24: "prefix" is not a key of a path"#,
    ),
    (
        "path = \"/\"\n",
        "path = \"/a b\"\n",
        r#"19:8: path "/a b" must be percent-encoded, as in "/caf%C3%A9""#,
    ),
    (
        "path = \"/\"\nupstream = \"shop\"",
        "path = \"/\"\nupstream = \"shopp\"",
        r#"20:12: there is no upstream "shopp"; did you mean "shop"?"#,
    ),
    (
        "path = \"/\"\nupstream = \"shop\"",
        "path = \"/\"\nupstream = \"shop\"\n\n[[service.route]]\npath = \"/\"\nupstream = \"shop\"",
        r#"23:8: path "/" has a route in this service already"#,
    ),
    (
        "[[service.route]]\npath = \"/\"\nupstream = \"shop\"\n",
        "",
        "13:1: [[service]] needs at least one [[service.route]]",
    ),
    (
        r#"listener = "raw""#,
        r#"listener = "web""#,
        r#"24:12: listener "web" is used by service "shop": it cannot be a tcp's too"#,
    ),
    (
        r#"listener = "raw""#,
        r#"listener = ["raw"]"#,
        r#"24:12: "listener" must be a string, not an array"#,
    ),
    (
        r#"connect = "5s""#,
        "connect = 5",
        r#"28:11: "connect" must be a duration such as "250ms", "5s", "1m" or "1h", not 5"#,
    ),
    (
        r#"connect = "5s""#,
        r#"connect = "5 s""#,
        r#"28:11: "connect" must be a duration such as "250ms", "5s", "1m" or "1h", not "5 s""#,
    ),
    (
        r#"connect = "5s""#,
        r#"connect = "25h""#,
        r#"28:11: "connect" must be from 1ms to 24h, not "25h""#,
    ),
    (
        r#"connect = "5s""#,
        r#"conect = "5s""#,
        r#"28:1: "conect" is not a key of [timeouts]; did you mean "connect"?"#,
    ),
    ("fields = 64", "fields = 129", r#"31:10: "fields" must be from 1 to 128, not 129"#),
    (
        "fields = 64",
        r#"head_bytes = "1TiB""#,
        r#"31:14: "head_bytes" must be from 1KiB to 60KiB, not "1TiB""#,
    ),
    (
        "fields = 64",
        r#"body_bytes = "none""#,
        r#"31:14: "body_bytes" must be a size such as 16384, "16KiB" or "1MiB", not "none""#,
    ),
    (r#"path = "access.log""#, r#"path = """#, r#"34:8: path "" must be a file or "off""#),
    (
        r#"confirm = "1s""#,
        r#"confirm = "2h""#,
        r#"37:11: "confirm" must be from 0ms to 1h, not "2h""#,
    ),
    (
        r#"confirm = "1s""#,
        r#"failures = "5""#,
        r#"37:12: "failures" must be a share such as "25%", not "5""#,
    ),
    (
        r#"confirm = "1s""#,
        r#"probes = [{ service = "shop", path = "/", expect = 99 }]"#,
        r#"37:52: "expect" must be from 200 to 599, not 99"#,
    ),
    (
        "[limits]\n",
        "[limit]\n",
        r#"30:2: "limit" is not a key of gateway.toml; did you mean "limits"?"#,
    ),
    (
        "[limits]\n",
        "[metrics]\naddress = \"127.0.0.1:9145\"\n\n[limits]\n",
        r#"30:2: "metrics" is not a key of gateway.toml; it belongs in host.toml"#,
    ),
];

/// Each is refused with file, line, column and rule, soon, and clients see nothing of it.
#[test]
#[expect(clippy::print_stdout, reason = "the figure is for docs/measurements.md")]
fn a_wrong_configuration_is_refused_with_its_place_and_its_rule() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let operator = Operator::of(&gateway)?;
    let targets = [Target {
        name: "web".to_owned(),
        http: gateway.address("web"),
        tcp: None,
        trailers: Trailers::Passed,
    }];
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    let mut times = Vec::new();
    for (right, wrong, rule) in ROWS {
        assert_eq!(RIGHT.matches(right).count().min(1), 1, "{right:?} is not there");
        operator.write(|_| RIGHT.replacen(right, wrong, 1))?;
        let start = Instant::now();
        let answer = operator.apply(&[])?;
        times.push(start.elapsed());
        assert_eq!(answer.code, Some(1), "{wrong}: {answer:?}");
        assert!(answer.err.contains(&format!("next.toml:{rule}")), "{wrong}: {answer:?}");
        assert_eq!(answer.out, "", "{wrong}");
    }
    times.sort_unstable();
    let (p50, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{} refusals: p50 {p50:?}, most {most:?}", times.len());
    assert!(most <= LIMIT, "the slowest took {most:?}");
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}");
    let status = gateway.wait_for("the pair to be ready", Look::is_ready)?;
    assert_eq!(status.generation, Generation::FIRST);
    assert_eq!(fs::read_dir(gateway.path().join("state/generations"))?.count(), 3);
    Ok(())
}
