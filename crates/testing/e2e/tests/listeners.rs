//! Listeners that come, move and go by an apply, while others serve.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::Context as _;
use mainstay_e2e::administration::Operator;
use mainstay_e2e::cli::Answer;
use mainstay_e2e::client::{Client, request};
use mainstay_e2e::gateway::{Accept, DEADLINE, Gateway, Setup};
use mainstay_e2e::luck::Luck;
use mainstay_e2e::traffic::{Plan, Traffic};
use mainstay_e2e::wait::Stop;
use mainstay_e2e::{Origin, wait};
use mainstay_model::Process;
use rustix::process::Signal;

/// Addresses on which nobody listens.
fn free_addresses<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    // All are bound before the first is let go, so no two are the same.
    let bound: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<_>>()?;
    let addresses = bound.iter().map(TcpListener::local_addr);
    let addresses = addresses.collect::<std::io::Result<Vec<_>>>()?;
    Ok(addresses.try_into().expect("as many as were bound"))
}

/// The text with other listeners of the service `web`, each as its table says.
fn with(text: &str, extra: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (name, table) in extra {
        text = text.replacen("listeners = [", &format!("listeners = [{name:?}, "), 1);
        text.push_str(&format!("\n[[listener]]\nname = {name:?}\n{table}\n"));
    }
    text
}

fn at(address: impl std::fmt::Display) -> String {
    format!("address = \"{address}\"")
}

fn apply(operator: &Operator<'_>, extra: &[(&str, &str)]) -> anyhow::Result<Answer> {
    operator.write(|text| with(text, extra))?;
    operator.apply(&[])
}

fn apply_well(operator: &Operator<'_>, extra: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let answer = apply(operator, extra)?;
    anyhow::ensure!(answer.code == Some(0), "{answer:?}\n{}", operator.gateway.log_tail());
    Ok(answer)
}

/// Which of the ports of this machine are listened on, and the number of the socket that does.
fn listening() -> anyhow::Result<BTreeMap<u16, u64>> {
    const LISTEN: &str = "0A";
    let mut found = BTreeMap::new();
    for line in fs::read_to_string("/proc/net/tcp")?.lines().skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[_, local, _, state, _, _, _, _, _, inode, ..] = &words[..] else { continue };
        if state == LISTEN {
            let (_, port) = local.split_once(':').context("an address has a port")?;
            found.insert(u16::from_str_radix(port, 16)?, inode.parse()?);
        }
    }
    Ok(found)
}

/// Waits until nobody listens there.
fn wait_closed(address: SocketAddr) -> anyhow::Result<()> {
    let closed = || (!listening().ok()?.contains_key(&address.port())).then_some(());
    Ok(wait::until(&format!("{address} to be closed"), DEADLINE, closed)?)
}

fn answers(address: SocketAddr) -> anyhow::Result<()> {
    let status = Client::connect(address)?.get("/small")?.head.status;
    anyhow::ensure!(status == 200, "{address} answers {status}");
    Ok(())
}

#[test]
fn listeners_come_move_and_go_under_load_and_nobody_notices() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair_with_all(&origin, &Accept::ALL))?;
    let operator = Operator::of(&gateway)?;
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    for accept in Accept::ALL {
        let [first, second] = free_addresses()?;
        let table = |address| format!("{}\naccept = \"{}\"", at(address), accept.name());
        assert!(TcpStream::connect(first).is_err());

        let answer = apply_well(&operator, &[("extra", &table(first))])?;
        assert!(answer.out.contains("its new listeners are opened"), "{answer:?}");
        let mut early = Client::connect(first)?;
        assert_eq!(early.get("/small")?.head.status, 200);
        traffic.wait_answered(50)?;

        apply_well(&operator, &[("extra", &table(second))])?;
        wait_closed(first)?;
        answers(second)?;
        assert_eq!(early.get("/small")?.head.status, 200, "it came to where that was");
        let mut late = Client::connect(second)?;
        traffic.wait_answered(50)?;

        apply_well(&operator, &[])?;
        wait_closed(second)?;
        assert_eq!(late.get("/small")?.head.status, 200, "what is open goes on");
        traffic.wait_answered(50)?;
    }
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    Ok(())
}

/// The address decides which socket it is: another name, or another way of accepting, keeps it.
#[test]
fn a_listener_at_the_same_address_keeps_its_socket() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let operator = Operator::of(&gateway)?;
    let [address] = free_addresses()?;
    apply_well(&operator, &[("extra", &at(address))])?;
    let socket = listening()?[&address.port()];
    for (name, more) in [
        ("extra", "accept = \"master\""),
        ("extra", "backlog = 7"),
        ("renamed", "accept = \"active\""),
        ("extra", "accept = \"master\""),
    ] {
        let answer = apply_well(&operator, &[(name, &format!("{}\n{more}", at(address)))])?;
        assert!(!answer.out.contains("listeners are opened"), "{answer:?}");
        assert_eq!(listening()?[&address.port()], socket, "{name} {more}");
        answers(address)?;
    }
    Ok(())
}

#[test]
fn a_listener_that_cannot_be_opened_refuses_the_apply_and_nothing_has_changed() -> anyhow::Result<()>
{
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let operator = Operator::of(&gateway)?;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let path = gateway.path().join("file");
    fs::write(&path, "not a socket")?;
    let [free] = free_addresses()?;
    let own = gateway.address("web").port();
    let (before, serves) = (listening()?, operator.wait_of_one_mind()?);
    let taken_at = taken.local_addr()?;
    for (address, reason) in [
        (
            taken_at.to_string(),
            format!("listener \"bad\" cannot be opened: cannot listen on {taken_at}: "),
        ),
        ("192.0.2.1:80".to_owned(), "cannot listen on 192.0.2.1:80: ".to_owned()),
        (format!("unix:{}", path.display()), format!("cannot listen on unix:{}", path.display())),
        (
            format!("0.0.0.0:{own}"),
            format!("cannot be opened at 0.0.0.0:{own} while listener \"web\" is open"),
        ),
    ] {
        // The file itself is good: the listener that is in the way is not in it any more.
        operator.write(|text| {
            let web = gateway.address("web").to_string();
            let [_, elsewhere] = free_addresses::<2>().unwrap();
            let text = match address.ends_with(&format!(":{own}")) {
                true => text.replacen(&web, &elsewhere.to_string(), 1),
                false => text.to_owned(),
            };
            with(&text, &[("good", &at(free)), ("bad", &at(&address))])
        })?;
        let answer = operator.apply(&[])?;
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.err.contains(&reason), "{reason}: {answer:?}");
        assert_eq!(operator.wait_of_one_mind()?, serves);
        wait_closed(free)?;
        assert_eq!(listening()?.get(&own), before.get(&own), "{address}");
    }
    assert_eq!(fs::read_to_string(&path)?, "not a socket");
    answers(gateway.address("web"))
}

/// Who is killed in the middle of an apply.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Supervisor,
    Master,
    /// Both at once: nobody is left who knows what was under way.
    SupervisorAndMaster,
    Active,
    Standby,
}

/// What the log says when it is time to kill: the listeners are asked for, they are there, the
/// next generation serves, and it is current.
const INSTANTS: [&str; 4] =
    ["apply begins", "listening", "watching what serves now", "generation is current"];

impl Victim {
    fn kill(self, gateway: &Gateway) -> Option<Vec<u32>> {
        let active = || gateway.status().and_then(|status| status.active);
        let victims = match self {
            Self::Supervisor => vec![Process::Supervisor],
            Self::Master => vec![Process::Master],
            Self::SupervisorAndMaster => vec![Process::Supervisor, Process::Master],
            Self::Active => vec![Process::Worker(active()?)],
            Self::Standby => vec![Process::Worker(active()?.other())],
        };
        let victims = victims.into_iter().map(|process| gateway.process(process).ok());
        let victims: Vec<_> = victims.collect::<Option<_>>()?;
        let kill = |victim: &mainstay_e2e::children::Process| {
            victim.signal(Signal::KILL).ok()?;
            Some(victim.pid())
        };
        victims.iter().map(kill).collect()
    }
}

/// Applies what was written, and kills somebody when the log says that it is time.
fn apply_and_kill(operator: &Operator<'_>, victim: Victim, line: &str) -> anyhow::Result<()> {
    let gateway = operator.gateway;
    let start = gateway.log_bytes();
    let (answer, killed) = thread::scope(|scope| {
        let applying = scope.spawn(|| operator.apply(&[]));
        let killed = wait::until(line, DEADLINE, || {
            // An apply that opens nothing says nothing of it.
            let log = gateway.log_from(start);
            (log.contains(line) || log.contains("applied")).then_some(())
        })
        .and_then(|()| wait::until("a victim", DEADLINE, || victim.kill(gateway)));
        (applying.join().expect("an operator does not panic"), killed)
    });
    let (answer, killed) = (answer?, killed?);
    gateway.wait_ready_without(&killed)?;
    let before = answer.out.contains("in service");
    anyhow::ensure!(before == (answer.code == Some(0)), "{answer:?}");
    Ok(())
}

/// Whoever dies in the middle: one generation serves afterwards, and what is listened on is what it
/// says, in the kernel, by whoever asks, and after everyone was started anew.
fn whoever_dies(victim: Victim) -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair_with_all(&origin, &Accept::ALL))?;
    let operator = Operator::of(&gateway)?;
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    let extra: [SocketAddr; 3] = free_addresses()?;
    let path = gateway.path().join("extra.sock");
    let by_path = format!("unix:{}", path.display());
    let master = |address: SocketAddr| format!("{}\naccept = \"master\"", at(address));
    for line in INSTANTS {
        // Added; moved, with one that stays and one that gets another way; removed.
        for tables in [
            vec![("a", at(extra[0])), ("b", master(extra[1])), ("c", at(&by_path))],
            vec![("a", at(extra[2])), ("b", at(extra[1]))],
            vec![],
        ] {
            traffic.wait_answered(20)?;
            let tables: Vec<(&str, &str)> =
                tables.iter().map(|(name, table)| (*name, table.as_str())).collect();
            operator.write(|text| with(text, &tables))?;
            apply_and_kill(&operator, victim, line)
                .with_context(|| format!("{victim:?} at {line:?}: {tables:?}"))?;
            let serves = operator.wait_of_one_mind()?;
            let file = format!("state/generations/{serves}/gateway.toml");
            let text = fs::read_to_string(gateway.path().join(file))?;
            let as_it_says = || {
                let listening = listening().ok()?;
                let tcp = extra.iter().all(|address| {
                    let is_open = listening.contains_key(&address.port());
                    text.contains(&address.to_string()) == is_open
                });
                let unix = text.contains(&by_path) == UnixStream::connect(&path).is_ok();
                (tcp && unix).then_some(())
            };
            wait::until("what is listened on to be what is current", DEADLINE, as_it_says)
                .with_context(|| format!("{victim:?} at {line:?}\n{}", gateway.log_tail()))?;
            for address in extra.iter().filter(|address| text.contains(&address.to_string())) {
                answers(*address).with_context(|| gateway.log_tail())?;
            }
            // The next one begins with what this one was to bring.
            let answer = operator.apply(&[])?;
            anyhow::ensure!(answer.code == Some(0), "{answer:?}\n{}", gateway.log_tail());
            operator.wait_of_one_mind()?;
        }
    }
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    Ok(())
}

#[test]
fn a_supervisor_that_dies_leaves_the_listeners_of_one_generation() -> anyhow::Result<()> {
    whoever_dies(Victim::Supervisor)
}

#[test]
fn a_master_that_dies_leaves_the_listeners_of_one_generation() -> anyhow::Result<()> {
    whoever_dies(Victim::Master)
}

#[test]
fn a_supervisor_and_a_master_that_die_leave_the_listeners_of_one_generation() -> anyhow::Result<()>
{
    whoever_dies(Victim::SupervisorAndMaster)
}

#[test]
fn an_active_worker_that_dies_leaves_the_listeners_of_one_generation() -> anyhow::Result<()> {
    whoever_dies(Victim::Active)
}

#[test]
fn a_standby_that_dies_leaves_the_listeners_of_one_generation() -> anyhow::Result<()> {
    whoever_dies(Victim::Standby)
}

/// Asks on a connection, which whoever answers closes; what came.
fn ask(stream: &mut (impl Read + Write)) -> std::io::Result<Vec<u8>> {
    let head = "GET /small HTTP/1.1\r\nHost: torture.test\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Connects and asks until nobody listens any more; how many were answered, and how many were not.
fn ask_to_the_end<S: Read + Write>(connect: impl Fn() -> std::io::Result<S>) -> (u64, u64) {
    let (mut answered, mut lost) = (0, 0);
    while let Ok(mut stream) = connect() {
        match ask(&mut stream) {
            Ok(answer) if answer.starts_with(b"HTTP/1.1 200 ") => answered += 1,
            Ok(_) | Err(_) => lost += 1,
        }
    }
    (answered, lost)
}

/// Whoever has connected to a listener that goes is served. Of TCP connections, one that was being
/// established in the very last moment may be reset.
#[test]
fn whoever_came_to_a_listener_that_goes_is_served() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let operator = Operator::of(&gateway)?;
    for accept in Accept::ALL {
        let accept = format!("accept = \"{}\"", accept.name());
        let [address] = free_addresses()?;
        let path = gateway.path().join("extra.sock");
        let tables = [
            ("tcp", format!("{}\n{accept}", at(address))),
            ("unix", format!("{}\n{accept}", at(format!("unix:{}", path.display())))),
        ];
        let tables = tables.each_ref().map(|(name, table)| (*name, table.as_str()));
        apply_well(&operator, &tables)?;
        let (by_tcp, by_path, gone) = thread::scope(|scope| {
            let by_tcp = scope.spawn(|| ask_to_the_end(|| TcpStream::connect(address)));
            let by_path = scope.spawn(|| ask_to_the_end(|| UnixStream::connect(&path)));
            let gone = apply_well(&operator, &[]);
            (by_tcp.join().unwrap(), by_path.join().unwrap(), gone)
        });
        gone?;
        let seen = format!("{accept}: {by_tcp:?}, {by_path:?}\n{}", gateway.log_tail());
        assert!(by_tcp.0 > 0 && by_path.0 > 0, "{seen}");
        assert!(by_tcp.1 <= 1 && by_path.1 == 0, "{seen}");
        assert!(!path.exists());
    }
    Ok(())
}

/// 200 listeners, and 250 sockets while an apply is under way: one more is refused.
#[test]
fn there_may_be_so_many_listeners_and_no_more() -> anyhow::Result<()> {
    const MORE: usize = 198;
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let operator = Operator::of(&gateway)?;
    let path = |number: usize| gateway.path().join(format!("{number}.sock"));
    let tables = |moved: usize| -> Vec<(String, String)> {
        let place = |number| if number < moved { number + MORE } else { number };
        let table = |number| at(format!("unix:{}", path(place(number)).display()));
        (0..MORE).map(|number| (format!("l{number}"), table(number))).collect()
    };
    let apply = |moved: usize| -> anyhow::Result<Answer> {
        let tables = tables(moved);
        let tables: Vec<_> = tables.iter().map(|(name, table)| (&**name, &**table)).collect();
        apply(&operator, &tables)
    };
    let is_served = |number: usize| -> anyhow::Result<bool> {
        Ok(ask(&mut UnixStream::connect(path(number))?)?.starts_with(b"HTTP/1.1 200 "))
    };
    let answer = apply(0)?;
    assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
    assert!(is_served(0)? && is_served(MORE - 1)?);
    let answer = apply(51)?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("251 listeners would be open while it is applied"), "{answer:?}");
    let answer = apply(50)?;
    assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
    assert!(is_served(MORE)? && is_served(MORE - 1)?);
    wait::until("the name of a listener that moved to go", DEADLINE, || {
        (!path(0).exists()).then_some(())
    })?;
    let victims =
        [Process::Supervisor, Process::Master].map(|victim| gateway.kill(victim, Signal::KILL));
    let victims: Vec<u32> =
        victims.into_iter().map(|victim| Ok(victim?.pid())).collect::<anyhow::Result<_>>()?;
    gateway.wait_ready_without(&victims)?;
    assert!(is_served(MORE)? && is_served(MORE - 1)?);
    Ok(())
}

/// An address that was listened on before the current generation is new to the next one: nobody
/// is served there by the current one, which has known it.
#[test]
fn an_address_of_old_is_as_new_as_any() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let operator = Operator::of(&gateway)?;
    let [address] = free_addresses()?;
    apply_well(&operator, &[("extra", &at(address))])?;
    apply_well(&operator, &[])?;
    // It comes back, and waits for a probe to be answered.
    let probes = "[apply]\nprobes = [{ service = \"web\", path = \"/hold?key=k\" }]\n";
    operator.write(|text| with(text, &[("extra", &at(address))]).replace("[apply]\n", probes))?;
    thread::scope(|scope| -> anyhow::Result<()> {
        let applying = scope.spawn(|| operator.apply(&["--confirm", "1s"]));
        origin.wait_held("k", 1)?;
        let mut early = Client::connect(address)?;
        early.send(&request("GET", "/echo", &[]))?;
        let status = gateway.wait_for("a status", |_| true)?;
        let open: u64 = status.processes.iter().map(|process| process.connections).sum();
        assert_eq!(open, 1, "the probe's, and nobody else's");
        origin.release("k");
        assert_eq!(early.response("GET")?.head.status, 200, "after the swap");
        let answer = applying.join().expect("an operator does not panic")?;
        anyhow::ensure!(answer.code == Some(0), "{answer:?}\n{}", gateway.log_tail());
        Ok(())
    })
}

/// A new listener that came with a generation that hurts is closed again, and the old ones stay.
#[test]
fn what_is_undone_leaves_the_listeners_as_they_were() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let operator = Operator::of(&gateway)?;
    let (serves, [address, elsewhere]) = (operator.wait_of_one_mind()?, free_addresses()?);
    let before = listening()?;
    let web = gateway.address("web");
    let moved = |text: &str| {
        let text = with(text, &[("extra", &at(address))]);
        text.replacen(&web.to_string(), &elsewhere.to_string(), 1)
    };
    let probe = r#"[apply]
probes = [{ service = "web", path = "/status?code=503" }]
"#;
    operator.write(|text| moved(text).replace("[apply]\n", probe))?;
    let answer = operator.apply(&[])?;
    assert!(answer.err.contains("503 came"), "{answer:?}");
    for address in [address, elsewhere] {
        wait_closed(address)?;
    }
    // And one that is watched: all of its requests fail.
    let mut early = Client::connect(web)?;
    assert_eq!(early.get("/small")?.head.status, 200);
    let server = format!("servers = [\"{}\"]", origin.http());
    operator.write(|text| moved(text).replacen(&server, "servers = [\"127.0.0.1:1\"]", 1))?;
    let stop = Stop::default();
    let answer = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.is_over() {
                // It is to fail under the one, and to be well under the other.
                drop(Client::connect(web).and_then(|mut client| client.get("/small")));
            }
        });
        let answer = operator.apply(&["--confirm", "10s"]);
        stop.stop();
        answer
    })?;
    assert!(answer.err.contains("requests failed after the swap"), "{answer:?}");
    for address in [address, elsewhere] {
        wait_closed(address)?;
    }
    assert_eq!(operator.wait_of_one_mind()?, serves);
    assert_eq!(listening()?[&web.port()], before[&web.port()]);
    assert_eq!(early.get("/small")?.head.status, 200, "it was not closed on the way");
    answers(web)
}
