//! Whole files: what they become, the defaults and the laws.

use proptest::prelude::*;

use super::*;

mod broken;

const SMALLEST: &str = r#"
state = "/var/lib/mainstay"
run = "/run/mainstay"
gateway = "/etc/mainstay/gateway.toml"
"#;

#[test]
fn every_default() {
    let worker = Worker { memory: Percent::new(25), threads: 1, cpus: Vec::new() };
    let expected = Host {
        id: None,
        state: PathBuf::from("/var/lib/mainstay"),
        run: PathBuf::from("/run/mainstay"),
        gateway: PathBuf::from("/etc/mainstay/gateway.toml"),
        nofile: 262_144,
        master: Master { memory: Percent::new(10), cpus: Vec::new() },
        workers: [worker.clone(), worker],
        admin: Admin {
            https: None,
            connections: 32,
            body_bytes: 8 << 20,
            timeout: Duration::from_secs(10),
        },
        ha: Ha::Enabled,
        broadcast: Broadcast {
            command: LocalAddress::Tcp(([127, 0, 0, 1], 41114).into()),
            session: LocalAddress::Tcp(([127, 0, 0, 1], 8181).into()),
        },
        sessions: Sessions::default(),
        hooks: Hooks::default(),
        pair: Pair {
            hold_timeout: Duration::from_secs(5),
            hang_timeout: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(30),
            adoption: Adoption::On,
            keep_timeout: Duration::from_secs(60),
        },
        restart: Restart {
            delay_min: Duration::from_millis(10),
            delay_max: Duration::from_secs(5),
            stable_after: Duration::from_secs(10),
        },
        upgrade: Upgrade { timeout: Duration::from_secs(30) },
        alerts: Alerts {
            log: Some(alerts::Log {
                path: PathBuf::from("/var/lib/mainstay/events.log"),
                bytes_max: 16 * 1024 * 1024,
            }),
            syslog: None,
            webhook: None,
            policy: mainstay_alert::Policy { repeat: Duration::from_mins(5) },
            delivery: alerts::Delivery {
                queue: 1000,
                timeout: Duration::from_secs(5),
                retry_min: Duration::from_millis(500),
                retry_max: Duration::from_secs(30),
                flush_timeout: Duration::from_secs(1),
            },
        },
        metrics: None,
        trial: Trial::default(),
    };
    assert_eq!(parse(SMALLEST), Ok(expected));
}

#[test]
fn every_value_that_is_no_default() {
    let text = format!(
        "nofile = 4096\n{SMALLEST}
        master = {{ memory = \"1%\" }}
        worker = [
            {{ memory = \"40%\", threads = 64, cpus = [0, 1023] }},
            {{ memory = \"39%\", threads = 64, cpus = [5] }},
        ]
        pair = {{ hold_timeout = \"1ms\", hang_timeout = \"100ms\", drain_timeout = \"24h\", adoption = \"off\", keep_timeout = \"1h\" }}
        restart = {{ delay_min = \"6s\", stable_after = \"1m\" }}
        upgrade = {{ timeout = \"1m\" }}
        metrics = {{ address = \"[::1]:9145\" }}
        "
    );
    let host = parse(&text).unwrap();
    assert_eq!(host.nofile, 4096);
    assert_eq!(host.master.memory.percent(), 1);
    let [one, two] = &host.workers;
    assert_eq!((one.memory.percent(), one.threads, &one.cpus[..]), (40, 64, &[0, 1023][..]));
    assert_eq!((two.memory.percent(), two.threads, &two.cpus[..]), (39, 64, &[5][..]));
    assert_eq!(host.pair.hold_timeout, Duration::from_millis(1));
    assert_eq!(host.pair.hang_timeout, Duration::from_millis(100));
    assert_eq!(host.pair.drain_timeout, Duration::from_hours(24));
    assert_eq!(host.pair.adoption, Adoption::Off);
    assert_eq!(host.pair.keep_timeout, Duration::from_hours(1));
    // A default never contradicts what is written.
    assert_eq!(host.restart.delay_min, Duration::from_secs(6));
    assert_eq!(host.restart.delay_max, Duration::from_secs(6));
    assert_eq!(host.restart.stable_after, Duration::from_mins(1));
    assert_eq!(host.upgrade.timeout, Duration::from_mins(1));
    let metrics = Metrics { address: "[::1]:9145".parse().unwrap() };
    assert_eq!(host.metrics, Some(metrics));
}

#[test]
fn the_sample_is_valid() {
    let host = parse(include_str!("../../../../../deploy/host.toml")).unwrap();
    let defaults = parse(SMALLEST).unwrap();
    let metrics = host.metrics.clone();
    assert!(metrics.is_some());
    assert_eq!(host, Host { metrics, ..defaults }, "the sample says what the defaults are");
}

#[test]
fn the_longest_run_directory_has_room_for_its_sockets() {
    let longest = format!("/{}", "r".repeat(UNIX_PATH_BYTES_MAX - RUN_SUFFIX_BYTES - 1));
    let host = parse(&SMALLEST.replace("/run/mainstay", &longest)).unwrap();
    for socket in [".supervisor.sock.4194304", "keepers/.4194304.4194304"] {
        assert!(host.run.join(socket).as_os_str().len() <= UNIX_PATH_BYTES_MAX);
    }
    assert!(parse(&SMALLEST.replace("/run/mainstay", &format!("{longest}r"))).is_err());
}

proptest! {
    #[test]
    fn a_changed_file_is_read_without_a_panic(
        at in any::<prop::sample::Index>(),
        with in ".{0,8}",
    ) {
        let sample = include_str!("../../../../../deploy/host.toml");
        let at = at.index(sample.len());
        let (before, after) = (sample.get(..at).unwrap_or(""), sample.get(at..).unwrap_or(""));
        if let Err(problems) = parse(&format!("{before}{with}{after}")) {
            prop_assert!(!problems.is_empty());
        }
    }
}
