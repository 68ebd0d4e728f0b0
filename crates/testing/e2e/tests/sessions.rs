//! The session channel: who is logged in, in every process, whatever dies.

use std::net::{SocketAddr, TcpListener};

use mainstay_e2e::announcer::{Announcer, id, login, logout};
use mainstay_e2e::caller::Caller;
use mainstay_e2e::client::Client;
use mainstay_e2e::gateway::{Accept, DEADLINE, Look};
use mainstay_e2e::luck::Luck;
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::{Process, Slot};
use mainstay_wire::session::{Reply, Request, Status, Whose};
use rustix::process::Signal;

/// Waits until master and both workers have everything.
fn wait_everywhere(announcer: &mut Announcer) -> anyhow::Result<Status> {
    let is_everywhere = || {
        let status = announcer.status().ok()?;
        let has_all =
            |standing: &mainstay_wire::session::Standing| standing.number == Some(status.committed);
        (status.processes.len() == 3 && status.processes.iter().all(has_all)).then_some(status)
    };
    Ok(wait::until("every process to have the sessions", DEADLINE, is_everywhere)?)
}

fn subject(name: &str) -> Request {
    Request::Logout(Whose { subject: Some(name.to_owned()), ..Whose::default() })
}

#[test]
fn who_logs_in_is_in_every_process_before_the_answer() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut announcer = Announcer::new(&gateway);
    for (number, name) in [(1, "alice"), (2, "alice"), (3, "bob"), (4, "carol")] {
        assert_eq!(announcer.ask(&login(number, name))?, Reply::Done { sessions: 1 });
        let status = announcer.status()?;
        assert_eq!((status.number, status.confirmed), (number, number));
        let numbers: Vec<_> = status.processes.iter().map(|standing| standing.number).collect();
        assert_eq!(numbers, [Some(number); 3], "{status:?}");
    }
    assert_eq!(announcer.ask(&Request::Touch { id: id(1) })?, Reply::Done { sessions: 1 });
    assert_eq!(announcer.ask(&Request::Touch { id: id(9) })?, Reply::Done { sessions: 0 });
    for (request, ended, left) in [
        (logout(9), 0, 4),
        (logout(3), 1, 3),
        (logout(3), 0, 3),
        (subject("alice"), 2, 1),
        (
            Request::Logout(Whose {
                provider_session: Some("provider-carol".to_owned()),
                ..Whose::default()
            }),
            1,
            0,
        ),
    ] {
        assert_eq!(announcer.ask(&request)?, Reply::Done { sessions: ended }, "{request:?}");
        assert_eq!(announcer.status()?.sessions, left);
    }
    Ok(())
}

#[test]
fn what_is_no_line_of_the_channel_is_refused() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active).with_host("sessions", "max", 2);
    let gateway = Gateway::start(&setup)?;
    let mut announcer = Announcer::new(&gateway);
    let id = id(1).reveal();
    let long = "x".repeat(5_000);
    for line in [
        String::new(),
        "{}".to_owned(),
        r#"{"command":"swap"}"#.to_owned(),
        r#"{"command":"logout"}"#.to_owned(),
        format!(r#"{{"command":"logout","id":"{id}","subject":"alice"}}"#),
        format!(r#"{{"command":"set","id":"{id}x","subject":"alice"}}"#),
        format!(r#"{{"command":"set","id":"{id}","subject":""}}"#),
        format!(r#"{{"command":"set","id":"{id}","subject":"a","claims":{{"a":"{long}"}}}}"#),
        format!(r#"{{"command":"set","id":"{id}","subject":"a","absolute_limit_ms":0}}"#),
    ] {
        let reply = announcer.try_ask(&line);
        assert!(matches!(reply, Some(Reply::Refused { .. })), "{line}: {reply:?}");
    }
    announcer.insist(&login(1, "alice"))?;
    announcer.insist(&login(2, "alice"))?;
    let Reply::Refused { reason } = announcer.ask(&login(3, "alice"))? else { panic!("not full") };
    assert!(reason.contains("[sessions] max"), "{reason}");
    // Not one more: another about the same.
    announcer.insist(&login(2, "bob"))?;
    assert!(!gateway.log().contains(&id), "an id is in the log");
    Ok(())
}

#[test]
fn an_announcer_on_tcp_has_to_know_the_token() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let setup = Setup::pair(&origin, Accept::Active).with_host(
        "broadcast",
        "session",
        &*address.to_string(),
    );
    let gateway = Gateway::start(&setup)?;
    let refused = Caller::connect_to(address)?.ask(r#"{"command":"status"}"#)?;
    assert!(refused.contains("the first line must be"), "{refused}");
    let token = std::fs::read_to_string(gateway.path().join("state/broadcast.token"))?;
    let mut caller = Caller::connect_to(address)?;
    caller.say(&format!(r#"{{"token":"{}"}}"#, token.trim()))?;
    let answer = caller.ask(r#"{"command":"status"}"#)?;
    assert!(answer.starts_with(r#"{"outcome":"status""#), "{answer}");
    Ok(())
}

#[test]
fn a_session_that_is_not_used_ends_by_itself() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut announcer = Announcer::new(&gateway);
    let id = id(1).reveal();
    let line = format!(r#"{{"command":"set","id":"{id}","subject":"a","absolute_limit_ms":300}}"#);
    assert_eq!(announcer.try_ask(&line), Some(Reply::Done { sessions: 1 }));
    wait::until("the session to be over", DEADLINE, || {
        (announcer.status().ok()?.sessions == 0).then_some(())
    })?;
    Ok(())
}

#[test]
fn whoever_comes_back_has_the_sessions() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let mut gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut announcer = Announcer::new(&gateway);
    for number in 0..200 {
        announcer.insist(&login(number, if number % 2 == 0 { "even" } else { "odd" }))?;
    }
    for victim in [
        Process::Broadcast,
        Process::Master,
        Process::Worker(Slot::One),
        Process::Worker(Slot::Two),
        Process::Broadcast,
    ] {
        let killed = gateway.kill(victim, Signal::KILL)?;
        // While it is away.
        announcer.insist(&logout(1))?;
        gateway.wait_ready_without(&[killed.pid()])?;
        let status = wait_everywhere(&mut announcer)?;
        assert_eq!(status.sessions, 199, "after the death of {victim}");
    }
    let last = gateway.terminate(Signal::TERM)?;
    assert!(last.ends_within(DEADLINE), "the gateway does not end");
    gateway.start_again()?;
    assert_eq!(wait_everywhere(&mut announcer)?.sessions, 199);
    assert_eq!(announcer.count("odd")?, 99);
    Ok(())
}

/// A broadcast that cannot start keeps nobody from being served who needs no session.
#[test]
fn a_gateway_serves_without_a_journal() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup =
        Setup::pair(&origin, Accept::Active).with_host("sessions", "await_timeout", "300ms");
    let mut gateway = Gateway::start(&setup)?;
    let last = gateway.terminate(Signal::TERM)?;
    assert!(last.ends_within(DEADLINE), "the gateway does not end");
    let directory = gateway.path().join("state/sessions");
    std::fs::remove_dir_all(&directory)?;
    std::fs::write(&directory, "in the way")?;
    gateway.start_again()?;
    assert_eq!(Client::connect(gateway.address("web"))?.get("/small")?.head.status, 200);
    assert!(gateway.log().contains("the sessions have not come"), "{}", gateway.log_tail());
    std::fs::remove_file(&directory)?;
    let mut announcer = Announcer::new(&gateway);
    announcer.insist(&login(1, "alice"))?;
    wait_everywhere(&mut announcer)?;
    Ok(())
}

/// A worker that stands still is killed, and then a logout waits for it no longer.
#[test]
fn a_worker_that_hangs_holds_a_logout_up_no_longer_than_it_lives() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut announcer = Announcer::new(&gateway);
    announcer.insist(&login(1, "alice"))?;
    let hung = gateway.kill(Process::Worker(gateway.active()?), Signal::STOP)?;
    assert_eq!(announcer.ask(&logout(1))?, Reply::Done { sessions: 1 });
    assert!(hung.ends_within(DEADLINE), "it lives on");
    Ok(())
}

/// A process that does not answer holds a logout up, and is named; it is never passed over.
#[test]
fn a_logout_is_not_confirmed_for_who_does_not_answer() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active)
        .with_host("sessions", "confirm_timeout", "200ms")
        .with_host("pair", "hang_timeout", "20s");
    let gateway = Gateway::start(&setup)?;
    let mut announcer = Announcer::new(&gateway);
    announcer.insist(&login(1, "alice"))?;
    gateway.kill(Process::Worker(Slot::Two), Signal::STOP)?;
    let reply = announcer.ask(&logout(1))?;
    let Reply::Unconfirmed { reason } = reply else { panic!("{reply:?}") };
    assert!(reason.contains("worker two"), "{reason}");
    // Nothing is left to end, and yet it is not confirmed.
    assert!(matches!(announcer.ask(&logout(1))?, Reply::Unconfirmed { .. }));
    gateway.kill(Process::Worker(Slot::Two), Signal::CONT)?;
    announcer.insist(&logout(1))?;
    Ok(())
}

#[test]
fn nothing_that_was_confirmed_is_lost_and_nobody_comes_back() -> anyhow::Result<()> {
    const KILLS: u64 = 12;
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut announcer = Announcer::new(&gateway);
    let mut luck = Luck::new(0x5e55_1045);
    let victims = [
        Process::Broadcast,
        Process::Master,
        Process::Worker(Slot::One),
        Process::Worker(Slot::Two),
        Process::Supervisor,
    ];
    let (mut there, mut seen) = (Vec::new(), 0);
    for kill in 0..KILLS {
        if kill % 6 == 5 {
            for process in gateway.processes() {
                process.signal(Signal::KILL)?;
            }
        } else {
            let victim = luck.between(0..victims.len() as u64);
            let victim = victims[usize::try_from(victim)?];
            if let Ok(process) = gateway.process(victim) {
                process.signal(Signal::KILL)?;
            }
        }
        for _ in 0..20 {
            if luck.between(0..3) == 0 && !there.is_empty() {
                let at = usize::try_from(luck.between(0..there.len() as u64))?;
                announcer.insist(&logout(there.swap_remove(at)))?;
            } else {
                seen += 1;
                announcer.insist(&login(seen, "somebody"))?;
                there.push(seen);
            }
        }
        gateway.wait_for("the pair to be ready", Look::is_ready)?;
        assert_eq!(announcer.count("somebody")?, there.len() as u64, "after kill {kill}");
    }
    assert_eq!(wait_everywhere(&mut announcer)?.sessions, there.len() as u64);
    for number in 1..=seen {
        let ended = announcer.insist(&logout(number))?;
        assert_eq!(ended, u64::from(there.contains(&number)), "session {number}");
    }
    Ok(())
}
