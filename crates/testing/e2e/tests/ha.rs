//! One process that does everything, and the way from a pair to it and back.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mainstay_e2e::announcer::{Announcer, id, login, logout};
use mainstay_e2e::caller::Caller;
use mainstay_e2e::cli::{Answer, mainstay};
use mainstay_e2e::client::{Client, request};
use mainstay_e2e::gateway::{Accept, DEADLINE, Look, binary};
use mainstay_e2e::luck::Luck;
use mainstay_e2e::traffic::{Plan, Traffic};
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::{Generation, Process};
use mainstay_wire::command::Status;
use rustix::process::Signal;

/// Runs a command of an operator of this gateway.
fn operate(gateway: &Gateway, words: &[&str]) -> anyhow::Result<Answer> {
    let run = gateway.path().join("run");
    mainstay(&[words, &["--run", run.to_str().context("a path that is text")?]].concat())
}

/// Has a gateway become one process, or a pair.
fn ha(gateway: &Gateway, command: &str) -> anyhow::Result<Answer> {
    let host = gateway.path().join("host.toml");
    let host = host.to_str().context("a path that is text")?;
    mainstay(&["ha", command, "--yes", "--host", host])
}

/// Traffic of every kind to a gateway while something is done to it; nothing of it may fail.
fn under_traffic(
    setup: &Setup,
    origin: &Origin,
    work: impl FnOnce(&Gateway, &Traffic) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let gateway = Gateway::start(setup)?;
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    traffic.wait_answered(100)?;
    let worked = work(&gateway, &traffic).and_then(|()| traffic.wait_answered(100));
    let report = traffic.stop(origin);
    worked.with_context(|| gateway.log_tail())?;
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    Ok(())
}

#[test]
fn a_pair_becomes_one_process_and_a_pair_again_with_nothing_closed() -> anyhow::Result<()> {
    const ROUNDS: usize = 3;
    let origin = Origin::start()?;
    under_traffic(&Setup::pair_with_all(&origin, &Accept::ALL), &origin, |gateway, traffic| {
        for _ in 0..ROUNDS {
            let answer = ha(gateway, "disable")?;
            anyhow::ensure!(answer.code == Some(0), "{answer:?}");
            anyhow::ensure!(
                answer.out.ends_with("this gateway is one process now\n"),
                "{answer:?}"
            );
            gateway.wait_for("one process", Look::is_one_process)?;
            traffic.wait_answered(100)?;
            let answer = ha(gateway, "enable")?;
            anyhow::ensure!(answer.code == Some(0), "{answer:?}");
            gateway.wait_for("a pair", Look::is_ready)?;
            traffic.wait_answered(100)?;
        }
        Ok(())
    })
}

#[test]
fn the_death_of_the_one_process_is_a_pause_and_nothing_else() -> anyhow::Result<()> {
    const DEATHS: usize = 5;
    let origin = Origin::start()?;
    let setup = Setup::pair_with_all(&origin, &Accept::ALL).as_one_process();
    under_traffic(&setup, &origin, |gateway, traffic| {
        for signal in [Signal::KILL, Signal::TERM, Signal::ABORT, Signal::STOP] {
            for _ in 0..DEATHS {
                let gone = gateway.kill(Process::Master, signal)?.pid();
                gateway.wait_for("the next one to serve", |status| {
                    status.is_one_process() && status.is_without(&[gone])
                })?;
                traffic.wait_answered(50)?;
            }
        }
        Ok(())
    })
}

/// A process without a keeper cannot be protected: a worker stands in for it until there is
/// another one.
#[test]
fn the_death_of_its_keeper_has_the_one_process_replaced() -> anyhow::Result<()> {
    const DEATHS: usize = 5;
    let origin = Origin::start()?;
    let metrics: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let setup = Setup::pair_with_all(&origin, &Accept::ALL).as_one_process();
    let setup = setup.with_host("metrics", "address", &*metrics.to_string());
    under_traffic(&setup, &origin, |gateway, traffic| {
        for _ in 0..DEATHS {
            let process = gateway.process(Process::Master)?.pid();
            let keeper = gateway.keeper(Process::Master)?;
            keeper.signal(Signal::KILL)?;
            gateway.wait_for("another process with a keeper", |status| {
                status.is_one_process() && status.is_without(&[process, keeper.pid()])
            })?;
            traffic.wait_answered(50)?;
        }
        Ok(())
    })
}

/// Where in a change a process is killed: when the log has this line for the so-manieth time.
const DISABLING: [(&str, usize); 4] = [
    ("process is asked to end", 1),
    ("process is asked to end", 3),
    ("process started", 1),
    ("process is asked to end", 4),
];
const ENABLING: [(&str, usize); 4] = [
    ("process started", 1),
    ("process is asked to end", 1),
    ("process started", 2),
    ("process started", 4),
];

/// Whoever dies while the gateway changes, and whenever, it becomes what it was asked to, and
/// clients see nothing.
#[test]
fn a_death_while_it_changes_costs_no_client_anything() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    under_traffic(&Setup::pair_with_all(&origin, &Accept::ALL), &origin, |gateway, traffic| {
        let everyone = [Process::Supervisor].into_iter().chain(Process::SUPERVISED);
        for victim in everyone {
            for (disabling, enabling) in DISABLING.into_iter().zip(ENABLING) {
                for (command, when) in [("disable", disabling), ("enable", enabling)] {
                    change_with_a_death(gateway, command, when, victim)
                        .with_context(|| format!("{command}, {when:?}, death of {victim}"))?;
                    traffic.wait_answered(20)?;
                }
            }
        }
        Ok(())
    })
}

fn change_with_a_death(
    gateway: &Gateway,
    command: &str,
    (line, count): (&str, usize),
    victim: Process,
) -> anyhow::Result<()> {
    let start = gateway.log_bytes();
    let answer = thread::scope(|scope| {
        let changing = scope.spawn(|| ha(gateway, command));
        wait::until(line, DEADLINE, || {
            (gateway.log_from(start).matches(line).count() >= count).then_some(())
        })?;
        // It may have ended, or not be one of those that there are now.
        if let Ok(process) = gateway.process(victim) {
            process.signal(Signal::KILL)?;
        }
        changing.join().expect("an operator does not panic")
    })?;
    if answer.code != Some(0) {
        anyhow::ensure!(victim == Process::Supervisor, "{answer:?}");
        anyhow::ensure!(answer.err.contains("the next one goes on with it"), "{answer:?}");
    }
    let is_done = |status: &_| match command {
        "disable" => Look::is_one_process(status),
        _ => Look::is_ready(status),
    };
    gateway.wait_for(command, is_done)?;
    Ok(())
}

#[test]
fn one_process_is_administered_like_a_pair() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair_with_all(&origin, &Accept::ALL).as_one_process();
    under_traffic(&setup, &origin, |gateway, _| {
        let pid = gateway.process(Process::Master)?.pid();
        let next = next_file(gateway, |first| format!("{first}\n[limits]\ntarget_bytes = 64\n"))?;
        let begun = Instant::now();
        let answer = operate(gateway, &["apply", &next])?;
        anyhow::ensure!(answer.code == Some(0), "{answer:?}");
        for said in ["the one process loads and proves it", "generation 2 is in service"] {
            anyhow::ensure!(answer.out.contains(said), "{answer:?}");
        }
        // It waits for no standby.
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let long = format!("/small?{}", "x".repeat(100));
        let get = || -> anyhow::Result<u16> {
            Ok(Client::connect(gateway.address("web-master"))?.get(&long)?.head.status)
        };
        anyhow::ensure!(get()? == 414);

        let answer = operate(gateway, &["rollback"])?;
        anyhow::ensure!(answer.code == Some(0), "{answer:?}");
        anyhow::ensure!(get()? == 200);
        let answer = operate(gateway, &["swap"])?;
        anyhow::ensure!(answer.code == Some(1), "{answer:?}");
        anyhow::ensure!(answer.err.contains("this gateway is one process and has no standby"));
        for words in [&["purge"][..], &["policy", "refresh"], &["esp", "status"], &["generations"]]
        {
            let answer = operate(gateway, words)?;
            anyhow::ensure!(answer.code == Some(0), "{words:?}: {answer:?}");
        }
        let answer = operate(gateway, &["status"])?;
        anyhow::ensure!(answer.out.starts_with("generation 1, one process serves"), "{answer:?}");
        anyhow::ensure!(gateway.process(Process::Master)?.pid() == pid, "it was replaced");
        Ok(())
    })
}

/// Room for more connections takes another process, other listeners take none; nothing is closed.
#[test]
fn one_process_changes_its_listeners_and_its_limits() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair_with_all(&origin, &Accept::ALL).as_one_process();
    under_traffic(&setup, &origin, |gateway, _| {
        let before = gateway.process(Process::Master)?.pid();
        let more: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let next = next_file(gateway, |first| {
            format!(
                "{}\n[[listener]]\nname = \"more\"\naddress = \"{more}\"\naccept = \"master\"\n",
                first.replace("listeners = [", "listeners = [\"more\", ")
            )
        })?;
        let answer = operate(gateway, &["apply", &next])?;
        anyhow::ensure!(answer.code == Some(0), "{answer:?}");
        anyhow::ensure!(Client::connect(more)?.get("/small")?.head.status == 200);
        anyhow::ensure!(gateway.process(Process::Master)?.pid() == before, "it was replaced");

        let next = next_file(gateway, |first| format!("{first}\n[limits]\nconnections = 20000\n"))?;
        let answer = operate(gateway, &["apply", &next])?;
        anyhow::ensure!(answer.code == Some(0), "{answer:?}");
        gateway.wait_for("a process with more room", |status| {
            status.is_one_process() && status.is_without(&[before])
        })?;
        anyhow::ensure!(Client::connect(more).is_err(), "it listens on what is no more");
        Ok(())
    })
}

/// What clients are hurt by is taken back in place, and at once.
#[test]
fn one_process_goes_back_by_itself() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active).as_one_process())?;
    let dead = "[[upstream]]\nname = \"dead\"\nservers = [\"127.0.0.1:1\"]\n";
    let next = next_file(&gateway, |first| {
        let hurt = first.replace("upstream = \"web\"", "upstream = \"dead\"");
        let hurt = hurt.replace("confirm = \"100ms\"", "failures_least = 5\nconfirm = \"20s\"");
        format!("{hurt}\n{dead}")
    })?;
    wait_at_broadcast(&gateway, 2)?;
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let answer = thread::scope(|scope| {
        scope.spawn(|| {
            let Ok(mut client) = Client::connect(gateway.address("web")) else { return };
            while !over.load(Ordering::Relaxed) {
                if client.get("/small").is_err() {
                    return;
                }
            }
        });
        let answer = operate(&gateway, &["apply", &next]);
        over.store(true, Ordering::Relaxed);
        answer
    })?;
    assert!(answer.err.starts_with("went back: "), "{answer:?}\n{}", gateway.log_tail());
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    let status = gateway.wait_for("one process", Look::is_one_process)?;
    assert_eq!(status.generation, Generation::FIRST);
    assert_eq!(Client::connect(gateway.address("web"))?.get("/small")?.head.status, 200);
    Ok(())
}

/// An apply needs broadcast, and everyone there.
fn wait_at_broadcast(gateway: &Gateway, everyone: usize) -> anyhow::Result<()> {
    Ok(wait::until("everyone at broadcast", DEADLINE, || {
        let answer = Caller::connect(gateway).ok()?.ask(r#"{"command":"status"}"#).ok()?;
        (answer.matches("serves generation").count() == everyone).then_some(())
    })?)
}

/// `mainstay apply` reads this: the first generation, changed.
fn next_file(gateway: &Gateway, change: impl FnOnce(&str) -> String) -> anyhow::Result<String> {
    let first = gateway.path().join("state/generations/1/gateway.toml");
    let file = gateway.path().join("next.toml");
    fs::write(&file, change(&fs::read_to_string(first)?))?;
    Ok(file.to_str().context("a path that is text")?.to_owned())
}

#[test]
fn one_process_is_upgraded_with_nothing_closed() -> anyhow::Result<()> {
    const UPGRADES: usize = 3;
    let origin = Origin::start()?;
    let setup = Setup::pair_with_all(&origin, &Accept::ALL).as_one_process();
    under_traffic(&setup, &origin, |gateway, traffic| {
        for number in 1..=UPGRADES {
            let program = gateway.path().join(format!("next-{number}"));
            fs::copy(binary()?, &program)?;
            let path = program.to_str().context("a path that is text")?;
            let answer = operate(gateway, &["upgrade", path])?;
            anyhow::ensure!(answer.code == Some(0), "{answer:?}");
            for process in [Process::Supervisor, Process::Master] {
                let pid = gateway.process(process)?.pid();
                let runs = fs::read_link(format!("/proc/{pid}/exe"))?;
                anyhow::ensure!(runs == program, "{process} runs {}", runs.display());
            }
            gateway.wait_for("one process", Look::is_one_process)?;
            traffic.wait_answered(50)?;
        }
        Ok(())
    })
}

/// The ports of broadcast are the one process's, also after its death, which leaves them with a
/// keeper for as long as something is to be adopted.
#[test]
fn the_command_channel_is_back_after_a_death() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let setup = Setup::pair(&origin, Accept::Active).as_one_process();
    let setup = setup.with_host("broadcast", "command", &*address.to_string());
    let gateway = Gateway::start(&setup)?;
    let token = fs::read_to_string(gateway.path().join("state/broadcast.token"))?;
    let mut held = Client::connect(gateway.address("web"))?;
    held.send(&request("GET", "/hold?key=k", &[]))?;
    origin.wait_held("k", 1)?;
    for _ in 0..3 {
        wait::until("an answer on TCP", DEADLINE, || {
            let mut caller = Caller::connect_to(address).ok()?;
            caller.say(&format!(r#"{{"token":"{}"}}"#, token.trim())).ok()?;
            let answer = caller.ask(r#"{"command":"status"}"#).ok()?;
            answer.starts_with(r#"{"outcome":"done""#).then_some(())
        })?;
        let killed = gateway.kill(Process::Master, Signal::KILL)?.pid();
        gateway.wait_for("the next one", |status| {
            status.is_one_process() && status.is_without(&[killed])
        })?;
    }
    origin.release("k");
    assert_eq!(held.response("GET")?.text(), "released\n");
    Ok(())
}

#[test]
fn one_process_finishes_what_is_open_before_it_ends() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Master).as_one_process())?;
    let mut client = Client::connect(gateway.address("web"))?;
    client.send(&request("GET", "/hold?key=last", &[]))?;
    origin.wait_held("last", 1)?;
    let supervisor = gateway.terminate(Signal::TERM)?;
    wait::until("new connections to be refused", DEADLINE, || {
        TcpStream::connect(gateway.address("web")).is_err().then_some(())
    })?;
    assert!(!supervisor.ends_within(Duration::ZERO), "{}", gateway.log_tail());
    origin.release("last");
    assert_eq!(client.response("GET")?.text(), "released\n");
    drop(client);
    assert!(supervisor.ends_within(DEADLINE), "{}", gateway.log_tail());
    assert_eq!(gateway.processes().len(), 0, "{:?}", gateway.processes());
    Ok(())
}

#[test]
fn nothing_is_changed_without_a_yes() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let host = gateway.path().join("host.toml");
    let before = format!("# written by hand\n{}", fs::read_to_string(&host)?);
    fs::write(&host, &before)?;
    let answer =
        mainstay(&["ha".as_ref(), "disable".as_ref(), "--host".as_ref(), host.as_os_str()])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("say --yes"), "{answer:?}");
    assert_eq!(fs::read_to_string(&host)?, before);
    gateway.wait_for("a pair", Look::is_ready)?;

    assert_eq!(ha(&gateway, "disable")?.code, Some(0));
    let after = fs::read_to_string(&host)?;
    assert_eq!(after, format!("{before}\n[ha]\nenabled = false\n"));
    // It says so already, and the gateway is so already.
    assert_eq!(ha(&gateway, "disable")?.code, Some(0));
    assert_eq!(fs::read_to_string(&host)?, after);
    Ok(())
}

#[test]
fn a_gateway_that_does_not_run_starts_as_what_it_is_to_be() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let mut gateway = Gateway::start(&Setup::pair(&origin, Accept::Active).as_one_process())?;
    let stop = |gateway: &Gateway| -> anyhow::Result<()> {
        let supervisor = gateway.terminate(Signal::TERM)?;
        anyhow::ensure!(supervisor.ends_within(DEADLINE), "{}", gateway.log_tail());
        Ok(())
    };
    stop(&gateway)?;
    assert_eq!(gateway.processes().len(), 0, "{:?}", gateway.processes());
    let answer = ha(&gateway, "enable")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(
        answer.out.ends_with("no supervisor runs: the next one to start is a pair\n"),
        "{answer:?}"
    );
    gateway.start_again()?;
    assert_eq!(Client::connect(gateway.address("web"))?.get("/small")?.head.status, 200);
    Ok(())
}

/// A change that does not come to its end is turned round, and host.toml says again what it said.
#[test]
fn a_change_that_fails_goes_back_and_closes_nothing() -> anyhow::Result<()> {
    for command in ["disable", "enable"] {
        let origin = Origin::start()?;
        let pair = Setup::pair_with_all(&origin, &Accept::ALL).with_host("trial", "ha", "fails");
        let setup = if command == "enable" { pair.as_one_process() } else { pair };
        under_traffic(&setup, &origin, |gateway, _| {
            let host = gateway.path().join("host.toml");
            let before = (fs::read_to_string(&host)?, made_of(gateway)?);
            let answer = ha(gateway, command)?;
            anyhow::ensure!(answer.code == Some(1), "{answer:?}");
            anyhow::ensure!(answer.err.contains("not changed: it is not"), "{answer:?}");
            anyhow::ensure!(before == (fs::read_to_string(&host)?, made_of(gateway)?));
            Ok(())
        })?;
    }
    Ok(())
}

/// Which processes there are.
fn made_of(gateway: &Gateway) -> anyhow::Result<Vec<Process>> {
    let is_whole = |status: &Status| status.is_ready() || status.is_one_process();
    let status = gateway.wait_for("a whole gateway", is_whole)?;
    Ok(status.processes.iter().map(|status| status.process).collect())
}

/// While something else is being done, a change is waited with; not for ever.
#[test]
fn a_change_in_the_middle_of_an_apply_waits_or_is_given_up() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active).with_host("upgrade", "timeout", "1s");
    let gateway = Gateway::start(&setup)?;
    let next = next_file(&gateway, |first| format!("{first}\n# changed\n"))?;
    wait_at_broadcast(&gateway, 3)?;
    for (confirm, code) in [("3s", 1), ("500ms", 0)] {
        let start = gateway.log_bytes();
        let (applied, changed) = thread::scope(|scope| {
            let applying =
                scope.spawn(|| operate(&gateway, &["apply", &next, "--confirm", confirm]));
            let line = "watching what serves now";
            wait::until(line, DEADLINE, || gateway.log_from(start).contains(line).then_some(()))
                .with_context(|| gateway.log_tail())?;
            let changed = ha(&gateway, "disable")?;
            let applied = applying.join().expect("an operator does not panic")?;
            anyhow::Ok((applied, changed))
        })?;
        assert_eq!(applied.code, Some(0), "{applied:?}");
        assert_eq!(changed.code, Some(code), "{changed:?}");
        assert_eq!(code == 1, changed.err.contains("not whole in time"), "{changed:?}");
    }
    gateway.wait_for("one process", Look::is_one_process)?;
    Ok(())
}

/// Whoever is logged in stays it, and whoever is logged out too, through a change, in one
/// process, through its death, and back.
#[test]
fn sessions_are_the_same_in_one_process_and_in_a_pair() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active).with_sessions();
    let gateway = Gateway::start(&setup)?;
    let mut announcer = Announcer::new(&gateway);
    let status_of = |user: u64| -> anyhow::Result<u16> {
        let cookie = format!("sid={}", id(user).reveal());
        let mut client = Client::connect(gateway.address("web"))?;
        client.send(&request("GET", "/bytes?n=1&seed=1", &[("Cookie", &cookie)]))?;
        Ok(client.response("GET")?.head.status)
    };
    let mut users = 0..;
    // Of every stage, one that stays and one that goes.
    let mut inside = Vec::new();
    let mut outside = Vec::new();
    let mut turn = |announcer: &mut Announcer| -> anyhow::Result<()> {
        let [stays, goes] = [(); 2].map(|()| users.next().unwrap());
        announcer.insist(&login(stays, "alice"))?;
        announcer.insist(&login(goes, "bob"))?;
        announcer.insist(&logout(goes))?;
        inside.push(stays);
        outside.push(goes);
        for (users, status) in [(&inside, 200), (&outside, 401)] {
            for user in users {
                anyhow::ensure!(status_of(*user)? == status, "user {user}: not {status}");
            }
        }
        Ok(())
    };
    turn(&mut announcer)?;
    for (command, look) in
        [("disable", Look::is_one_process as fn(&Status) -> bool), ("enable", Look::is_ready)]
    {
        let answer = ha(&gateway, command)?;
        anyhow::ensure!(answer.code == Some(0), "{answer:?}\n{}", gateway.log_tail());
        gateway.wait_for(command, look)?;
        turn(&mut announcer)?;
        let gone = gateway.kill(Process::Master, Signal::KILL)?.pid();
        gateway.wait_for("another master", |status| look(status) && status.is_without(&[gone]))?;
        turn(&mut announcer)?;
    }
    Ok(())
}
