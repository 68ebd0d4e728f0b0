//! Which configuration is served, and since when.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mainstay_e2e::administration;
use mainstay_e2e::cli::{Answer, mainstay};
use mainstay_e2e::client::{Client, request};
use mainstay_e2e::gateway::{Accept, DEADLINE, Look};
use mainstay_e2e::luck::Luck;
use mainstay_e2e::traffic::{Plan, Traffic};
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::{Generation, Process, Slot};
use rustix::process::Signal;

/// A file that is being edited is not what is served.
#[test]
fn a_gateway_that_runs_goes_on_with_its_generation() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    fs::write(gateway.path().join("gateway.toml"), "[[listener]]\nname = ")?;
    for process in Slot::ALL.map(Process::Worker).into_iter().chain([Process::Master]) {
        let victim = gateway.kill(process, Signal::KILL)?;
        gateway.wait_ready_without(&[victim.pid()])?;
    }
    let supervisor = gateway.kill(Process::Supervisor, Signal::KILL)?;
    let status = gateway.wait_ready_without(&[supervisor.pid()])?;
    assert_eq!(status.generation, Generation::FIRST);
    assert_eq!(Client::connect(gateway.address("web"))?.get("/small")?.head.status, 200);
    Ok(())
}

#[test]
fn a_gateway_that_starts_anew_serves_the_file_as_another_generation() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let mut gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let path = gateway.path().join("gateway.toml");
    let text = fs::read_to_string(&path)?;
    // The same, then another, then the same again.
    let mut expected = Generation::FIRST;
    for change in ["", "\n# changed\n", ""] {
        if !change.is_empty() {
            expected = expected.next();
        }
        fs::write(&path, fs::read_to_string(&path)? + change)?;
        let supervisor = gateway.terminate(Signal::TERM)?;
        assert!(supervisor.ends_within(DEADLINE), "{}", gateway.log_tail());
        gateway.start_again()?;
        let status = gateway.wait_for("a status", |_| true)?;
        assert_eq!(status.generation, expected, "after {change:?}");
    }
    let kept = gateway.path().join("state/generations/1/gateway.toml");
    assert_eq!(fs::read_to_string(kept)?, text);
    Ok(())
}

/// A master that died after it had put a generation into service is followed by one that sees to
/// it; what is open stays open and is served by it from the next request on.
#[test]
fn workers_follow_the_current_generation_with_everything_that_is_open() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let (mut idle, mut busy) =
        (Client::connect(gateway.address("web"))?, Client::connect(gateway.address("web"))?);
    let long = format!("/small?{}", "x".repeat(100));
    assert_eq!(idle.get(&long)?.head.status, 200);
    busy.send(&request("GET", "/hold?key=k", &[]))?;
    origin.wait_held("k", 1)?;

    gateway.make_second(|first| format!("{first}\n[limits]\ntarget_bytes = 64\n"))?;
    let master = gateway.kill(Process::Master, Signal::KILL)?;
    gateway.wait_ready_without(&[master.pid()])?;
    wait::until("both workers to serve generation 2", DEADLINE, || {
        let log = gateway.log();
        (log.matches("serves another generation generation=2").count() >= 2).then_some(())
    })?;

    origin.release("k");
    assert_eq!(busy.response("GET")?.text(), "released\n");
    assert_eq!(busy.get(&long)?.head.status, 414);
    assert_eq!(idle.get("/small")?.head.status, 200);
    let victim = gateway.kill(Process::Worker(gateway.active()?), Signal::KILL)?;
    gateway.wait_ready_without(&[victim.pid()])?;
    assert_eq!(idle.get(&long)?.head.status, 414);
    Ok(())
}

/// More connections than processes were made for need new ones; what is open moves over to them.
#[test]
fn a_generation_that_needs_new_processes_closes_nothing() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active).with_gateway("limits", "connections", 100);
    let gateway = Gateway::start(&setup)?;
    let old = Slot::ALL.map(|slot| gateway.process(Process::Worker(slot)));
    let old: Vec<u32> = old.into_iter().map(|old| Ok(old?.pid())).collect::<anyhow::Result<_>>()?;
    let mut idle = Client::connect(gateway.address("web"))?;
    assert_eq!(idle.get("/small")?.head.status, 200);

    gateway.make_second(|first| first.replace("connections = 100", "connections = 1000"))?;
    gateway.kill(Process::Master, Signal::KILL)?;
    gateway.wait_for("new workers", |status| status.is_ready() && status.is_without(&old))?;
    assert_eq!(idle.get("/small")?.head.status, 200);
    Ok(())
}

/// `mainstay apply` of the first generation with something at its end.
fn apply(gateway: &Gateway, end: &str) -> anyhow::Result<Answer> {
    let first = gateway.path().join("state/generations/1/gateway.toml");
    let file = gateway.path().join("next.toml");
    fs::write(&file, fs::read_to_string(first)? + end)?;
    apply_file(gateway, &file)
}

fn apply_file(gateway: &Gateway, file: &std::path::Path) -> anyhow::Result<Answer> {
    let run = gateway.path().join("run");
    mainstay(&["apply".as_ref(), file.as_os_str(), "--run".as_ref(), run.as_os_str()])
}

#[test]
fn an_apply_is_served_from_the_next_request_on() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut idle = Client::connect(gateway.address("web"))?;
    let long = format!("/small?{}", "x".repeat(100));
    assert_eq!(idle.get(&long)?.head.status, 200);
    let active = gateway.active()?;

    let answer = apply(&gateway, "\n[limits]\ntarget_bytes = 64\n")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let steps = [
        "~ limits: target_bytes 8KiB → 64B",
        "generation 2: valid, and prepared for",
        "the standby loads and proves it",
        "active and standby change places",
        "clients are watched",
        "it is current, the former active follows",
        "generation 2 is in service",
    ];
    let said: Vec<&str> = answer.out.lines().collect();
    assert_eq!(said.len(), steps.len(), "{answer:?}");
    assert!(said.iter().zip(steps).all(|(line, step)| line.ends_with(step)), "{answer:?}");
    let status = gateway.wait_for("a status", |_| true)?;
    assert_eq!(status.generation, Generation::FIRST.next());
    assert_eq!(status.active, Some(active.other()), "the standby was first");
    assert_eq!(idle.get("/small")?.head.status, 200);
    assert_eq!(Client::connect(gateway.address("web"))?.get(&long)?.head.status, 414);

    // Nothing brings the first one back.
    let both = Slot::ALL.map(|slot| gateway.kill(Process::Worker(slot), Signal::KILL));
    let both: Vec<u32> =
        both.into_iter().map(|end| Ok(end?.pid())).collect::<anyhow::Result<_>>()?;
    gateway.wait_ready_without(&both)?;
    assert_eq!(Client::connect(gateway.address("web"))?.get(&long)?.head.status, 414);
    Ok(())
}

#[test]
fn a_dry_run_tells_what_would_change_and_changes_nothing() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let active = gateway.active()?;
    let (file, run) = (gateway.path().join("next.toml"), gateway.path().join("run"));
    let first = fs::read_to_string(gateway.path().join("state/generations/1/gateway.toml"))?;
    let dry_run = |end: &str| -> anyhow::Result<Answer> {
        fs::write(&file, format!("{first}{end}"))?;
        let (apply, run) = ([OsStr::new("apply"), file.as_os_str()], run.as_os_str());
        mainstay(&[&apply[..], &["--dry-run".as_ref(), "--run".as_ref(), run]].concat())
    };
    for (end, code, said) in [
        ("\n# another text\n", 0, "nothing differs from generation 1\nvalid, and not applied\n"),
        ("\n[limits]\nfields = 99\n", 0, "~ limits: fields 100 → 99\nvalid, and not applied\n"),
        ("\n[limits]\nfields = 500\n", 1, ""),
    ] {
        let answer = dry_run(end)?;
        assert_eq!((answer.code, &*answer.out), (Some(code), said), "{end}: {answer:?}");
    }
    assert!(!gateway.path().join("state/generations/2").exists());
    assert!(!gateway.path().join("state/generations/staged").exists());
    let status = gateway.wait_for("the pair to be ready", Look::is_ready)?;
    assert_eq!((status.generation, status.active), (Generation::FIRST, Some(active)));
    Ok(())
}

/// What clients are hurt by is taken back, and a script can tell that from a refusal.
#[test]
fn an_apply_that_went_back_by_itself_says_so() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let file = gateway.path().join("next.toml");
    let first = fs::read_to_string(gateway.path().join("state/generations/1/gateway.toml"))?;
    // Nobody listens there.
    let dead = "[[upstream]]\nname = \"dead\"\nservers = [\"127.0.0.1:1\"]\n";
    let hurt = first.replace("upstream = \"web\"", "upstream = \"dead\"");
    fs::write(
        &file,
        format!(
            "{}\n{dead}",
            hurt.replace("confirm = \"100ms\"", "failures_least = 5\nconfirm = \"20s\"")
        ),
    )?;
    let over = AtomicBool::new(false);
    let answer = thread::scope(|scope| -> anyhow::Result<Answer> {
        scope.spawn(|| {
            let Ok(mut client) = Client::connect(gateway.address("web")) else { return };
            while !over.load(Ordering::Relaxed) {
                if client.get("/small").is_err() {
                    return;
                }
            }
        });
        let answer = apply_file(&gateway, &file);
        over.store(true, Ordering::Relaxed);
        answer
    })?;
    assert_eq!(answer.code, Some(3), "{answer:?}");
    assert!(answer.err.starts_with("went back: "), "{answer:?}");
    assert!(answer.err.ends_with("; generation 1 is in service\n"), "{answer:?}");
    let status = gateway.wait_for("the pair to be ready", Look::is_ready)?;
    assert_eq!(status.generation, Generation::FIRST);
    assert_eq!(Client::connect(gateway.address("web"))?.get("/small")?.head.status, 200);
    Ok(())
}

#[test]
fn what_cannot_be_served_is_refused_and_changes_nothing() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let active = gateway.active()?;
    for (end, reason) in [
        ("\n[limits]\nconnections = none\n", "next.toml:"),
        ("\n[limits]\nfields = 500\n", "from 1 to 128"),
        ("\n[access_log]\npath = \"/nowhere/log\"\n", "cannot open the access log /nowhere/log"),
    ] {
        let answer = apply(&gateway, end)?;
        assert_eq!(answer.code, Some(1), "{end}: {answer:?}");
        assert!(answer.err.contains(reason), "{end}: {answer:?}");
        let status = gateway.wait_for("the pair to be ready", Look::is_ready)?;
        assert_eq!((status.generation, status.active), (Generation::FIRST, Some(active)), "{end}");
    }
    assert!(!gateway.path().join("state/generations/staged").exists());
    Ok(())
}

/// More connections than workers were made for: both are exchanged for new ones, by the moves of a
/// swap. Fewer: what is open stays open, and nobody else is let in.
#[test]
fn another_number_of_connections_closes_none() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active).with_gateway("limits", "connections", 8);
    let gateway = Gateway::start(&setup)?;
    let operator = administration::Operator::of(&gateway)?;
    let old = Slot::ALL.map(|slot| gateway.process(Process::Worker(slot)));
    let old: Vec<u32> = old.into_iter().map(|old| Ok(old?.pid())).collect::<anyhow::Result<_>>()?;
    let connect = |_| Ok(Client::connect(gateway.address("web"))?);
    let mut clients = (0..6).map(connect).collect::<anyhow::Result<Vec<Client>>>()?;
    let ask_all = |clients: &mut Vec<Client>| -> anyhow::Result<()> {
        for client in clients {
            assert_eq!(client.get("/small")?.head.status, 200);
        }
        Ok(())
    };
    ask_all(&mut clients)?;

    operator.write(|text| text.replace("connections = 8", "connections = 40"))?;
    let answer = operator.apply(&[])?;
    assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
    gateway.wait_for("new workers", |status| status.is_ready() && status.is_without(&old))?;
    clients.extend((6..30).map(connect).collect::<anyhow::Result<Vec<Client>>>()?);
    ask_all(&mut clients)?;

    operator.write(|text| text.replace("connections = 8", "connections = 4"))?;
    let answer = operator.apply(&[])?;
    assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
    ask_all(&mut clients)?;
    // The next worker is made for as many as may be left to it.
    let victim = gateway.kill(Process::Worker(gateway.active()?), Signal::KILL)?;
    gateway.wait_ready_without(&[victim.pid()])?;
    ask_all(&mut clients)?;
    let mut waits = Client::connect(gateway.address("web"))?;
    waits.send(&request("GET", "/small", &[]))?;
    ask_all(&mut clients)?;
    let accepted = |status: &mainstay_wire::command::Status| -> u64 {
        status.processes.iter().map(|process| process.connections).sum()
    };
    let status = gateway.wait_for("a status", |_| true)?;
    assert_eq!(accepted(&status), 30, "nobody else was let in");
    clients.truncate(3);
    assert_eq!(waits.response("GET")?.head.status, 200);
    Ok(())
}

/// Lines say whose they are, and go where the configuration says from the next one on.
#[test]
fn another_access_log_is_written_from_the_next_line_on() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut client = Client::connect(gateway.address("web"))?;
    let log = |name: &str| {
        fs::read_to_string(gateway.path().join("state").join(name)).unwrap_or_default()
    };
    let wait_for = |name: &str, target: &str| {
        let line = || log(name).lines().find(|line| line.contains(target)).map(str::to_owned);
        wait::until(&format!("{target} in {name}"), DEADLINE, line)
    };
    let index = |slot: Slot| slot.index() + 1;
    client.get("/small?first")?;
    let first = gateway.active()?;
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned();
    let line = wait_for("access.log", "/small?first")?;
    let origin = format!("Z\",\"gateway\":\"{name}\",\"index\":{},\"id\":\"", index(first));
    assert!(line.contains(&origin), "{line}");

    let answer = apply(&gateway, "\n[access_log]\npath = \"other.log\"\n")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    client.get("/small?second")?;
    let line = wait_for("other.log", "/small?second")?;
    assert!(line.contains(&format!("\"index\":{},", index(first.other()))), "{line}");
    assert!(!log("access.log").contains("/small?second"));

    let answer = apply(&gateway, "\n[access_log]\npath = \"off\"\n[limits]\npipes = 0\n")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    client.get("/small?third")?;
    let answer = apply(&gateway, "\n[limits]\npipes = 4096\n")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    client.get("/small?fourth")?;
    wait_for("access.log", "/small?fourth")?;
    assert!(!(log("access.log") + &log("other.log")).contains("/small?third"));
    Ok(())
}

/// What a machine wants run around an apply is run, and its words are in the answer.
#[test]
fn hooks_run_around_an_apply_and_can_refuse_it() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active);
    let mut gateway = Gateway::start(&setup)?;
    let (path, notes) = (gateway.path().to_owned(), gateway.path().join("notes"));
    let script = format!(
        "echo $MAINSTAY_STEP $MAINSTAY_FROM $MAINSTAY_GENERATION ${{MAINSTAY_UNDO-do}} >> {notes}; \
         echo said by $MAINSTAY_STEP; test -r $MAINSTAY_GATEWAY_TOML || exit 9; \
         ! grep -q refuse-$MAINSTAY_STEP $MAINSTAY_GATEWAY_TOML",
        notes = notes.display()
    );
    let hook = |name: &str| {
        format!(
            "{name} = {{ command = [\"/bin/sh\", \"-c\", '''{script}'''], timeout = \"5s\" }}\n"
        )
    };
    let supervisor = gateway.terminate(Signal::TERM)?;
    assert!(supervisor.ends_within(DEADLINE), "{}", gateway.log_tail());
    let host = fs::read_to_string(path.join("host.toml"))?;
    let hooks = ["pre_apply", "network", "post_apply"].map(hook).concat();
    fs::write(path.join("host.toml"), format!("{host}\n[hooks]\n{hooks}"))?;
    gateway.start_again()?;

    let took = |from: usize| -> anyhow::Result<Vec<String>> {
        Ok(fs::read_to_string(&notes)?.lines().skip(from).map(str::to_owned).collect())
    };
    let answer = apply(&gateway, "\n# well\n")?;
    assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
    assert!(answer.out.contains("hook pre_apply: it ended with exit code 0"), "{answer:?}");
    assert!(answer.out.contains("| said by network"), "{answer:?}");
    assert_eq!(took(0)?, ["pre_apply 1 2 do", "network 1 2 do", "post_apply 2 2 do"]);

    for (end, reason, ran) in [
        (
            "\n# refuse-pre_apply\n",
            "hook pre_apply: it ended with exit code 1: said by pre_apply",
            &["pre_apply 2 3 do"][..],
        ),
        (
            "\n# refuse-network\n",
            "hook network: it ended with exit code 1: said by network",
            &["pre_apply 2 4 do", "network 2 4 do", "network 2 4 1"],
        ),
        (
            "\n[access_log]\npath = \"/nowhere/log\"\n",
            "cannot open the access log /nowhere/log",
            &["pre_apply 2 5 do", "network 2 5 do", "network 2 5 1"],
        ),
    ] {
        let before = took(0)?.len();
        let answer = apply(&gateway, end)?;
        assert_eq!(answer.code, Some(1), "{end}: {answer:?}");
        assert!(answer.err.contains(reason), "{end}: {answer:?}");
        assert_eq!(took(before)?, ran, "{end}");
        let status = gateway.wait_for("the pair to be ready", Look::is_ready)?;
        assert_eq!(status.generation.number(), 2, "{end}");
    }
    Ok(())
}

/// Has the gateway started again with a hook for the network, which writes down what it is told;
/// returns where.
fn hook_into_the_network(gateway: &mut Gateway) -> anyhow::Result<PathBuf> {
    let (path, notes) = (gateway.path().to_owned(), gateway.path().join("notes"));
    // It stops in the middle if the configuration says so, until it is killed.
    let script = format!(
        "echo ${{MAINSTAY_UNDO-do}} $MAINSTAY_GENERATION + $MAINSTAY_ADDED - $MAINSTAY_REMOVED \
         >> {notes}; test -n \"$MAINSTAY_UNDO\" || ! grep -q stand-still $MAINSTAY_GATEWAY_TOML \
         || {{ echo stands >> {notes}; sleep 1000; echo late >> {notes}; }}",
        notes = notes.display()
    );
    let hook =
        format!("\n[hooks]\nnetwork = {{ command = [\"/bin/sh\", \"-c\", '''{script}'''] }}\n");
    let supervisor = gateway.terminate(Signal::TERM)?;
    assert!(supervisor.ends_within(DEADLINE), "{}", gateway.log_tail());
    let host = fs::read_to_string(path.join("host.toml"))?;
    fs::write(path.join("host.toml"), host + &hook)?;
    gateway.start_again()?;
    Ok(notes)
}

/// What the hook for the network is told, and that it is undone whatever happens: the apply comes
/// to nothing, or the master dies while the hook runs, while it proves, or while it is watched.
#[test]
fn what_was_made_of_the_network_is_undone_after_the_death_of_the_master_too() -> anyhow::Result<()>
{
    let origin = Origin::start()?;
    let mut gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let notes = hook_into_the_network(&mut gateway)?;
    let operator = administration::Operator::of(&gateway)?;

    let took = || -> anyhow::Result<Vec<String>> {
        Ok(fs::read_to_string(&notes)?.lines().map(str::to_owned).collect())
    };
    let (web, free) = (gateway.address("web"), "127.0.0.1:0");
    let moved = |text: &str| text.replacen(&web.to_string(), free, 1);
    let probe = "[apply]\nprobes = [{ service = \"web\", path = \"/status?code=503\" }]\n";
    operator.write(|text| moved(text).replace("[apply]\n", probe))?;
    let answer = operator.apply(&[])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let changes = format!("2 + {free} - {web}");
    assert_eq!(took()?, [format!("do {changes}"), format!("1 {changes}")]);

    for (number, (end, line)) in [
        ("# stand-still\n", "hook is run hook=\"network\""),
        ("", "active and standby exchanged"),
        ("", "watching what serves now"),
    ]
    .into_iter()
    .enumerate()
    {
        let (start, before) = (gateway.log_bytes(), took()?.len());
        operator.write(|text| moved(text) + end)?;
        let answer = thread::scope(|scope| -> anyhow::Result<Answer> {
            let apply = scope.spawn(|| operator.apply(&["--confirm", "10s"]));
            wait::until(line, DEADLINE, || {
                let stands = end.is_empty() || took().ok()?.last()? == "stands";
                (gateway.log_from(start).contains(line) && stands).then_some(())
            })?;
            let master = gateway.kill(Process::Master, Signal::KILL)?;
            gateway.wait_ready_without(&[master.pid()])?;
            apply.join().expect("the apply does not panic")
        })?;
        assert!(matches!(answer.code, Some(1 | 3)), "{answer:?}");
        wait::until("what was left to be undone", DEADLINE, || {
            gateway.log_from(start).contains("what was left is undone").then_some(())
        })?;
        assert_eq!(operator.wait_of_one_mind()?, Generation::FIRST);
        let changes = format!("{} + {free} - {web}", number + 3);
        let mut wanted = vec![format!("do {changes}"), format!("1 {changes}")];
        if !end.is_empty() {
            wanted.insert(1, "stands".to_owned());
        }
        assert_eq!(took()?[before..], wanted, "{line}");
        for link in ["staged", "connected"] {
            let link = gateway.path().join("state/generations").join(link);
            assert!(fs::symlink_metadata(&link).is_err(), "{}", link.display());
        }
    }
    // What is in service is not undone by the next master.
    let before = took()?.len();
    operator.write(moved)?;
    let answer = operator.apply(&[])?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let master = gateway.kill(Process::Master, Signal::KILL)?;
    gateway.wait_ready_without(&[master.pid()])?;
    assert_eq!(took()?.len(), before + 1);
    Ok(())
}

/// A configuration proves itself by the requests that it names, before it serves anybody.
#[test]
fn a_generation_that_does_not_answer_its_probes_never_serves() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active);
    let gateway = Gateway::start(&setup)?;
    let active = gateway.active()?;
    let first = fs::read_to_string(gateway.path().join("state/generations/1/gateway.toml"))?;
    let probed = |probe: &str| -> anyhow::Result<Answer> {
        let file = gateway.path().join("next.toml");
        let probes = format!("[apply]\nprobes = [{probe}]\n");
        fs::write(&file, first.replace("[apply]\n", &probes))?;
        apply_file(&gateway, &file)
    };
    // Interim responses are no answer.
    let served = r#"{ service = "web", path = "/small" }, { service = "web", path = "/hints" }"#;
    for (probe, reason) in [
        (
            r#"{ service = "web", path = "/status?code=503" }"#,
            "worker STANDBY: probe of probe/status?code=503 (service \"web\") expected 200: 503 came",
        ),
        (
            r#"{ service = "web", path = "/small", expect = 401 }"#,
            "probe of probe/small (service \"web\") expected 401: 200 came",
        ),
        (
            r#"{ service = "web", path = "/hold?key=probe", timeout = "100ms" }"#,
            "expected 200: nothing came within 100 ms",
        ),
    ] {
        let answer = probed(&format!("{served}, {probe}"))?;
        let reason = reason.replace("STANDBY", &active.other().to_string());
        assert_eq!(answer.code, Some(1), "{probe}: {answer:?}");
        assert!(answer.err.contains(&reason), "{probe}: {answer:?}");
        let status = gateway.wait_for("the pair to be ready", Look::is_ready)?;
        assert_eq!((status.generation, status.active), (Generation::FIRST, Some(active)));
    }
    let answer = probed(served)?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(gateway.active()?, active.other());
    Ok(())
}

/// A probe that is slow does not have the ones after it time out as connections that stay silent.
#[test]
fn a_probe_waits_for_the_ones_before_it_on_no_connection() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active).with_gateway("timeouts", "keepalive", "1s");
    let gateway = Gateway::start(&setup)?;
    let file = gateway.path().join("next.toml");
    let first = fs::read_to_string(gateway.path().join("state/generations/1/gateway.toml"))?;
    let probes = r#"[apply]
probes = [{ service = "web", path = "/hold?key=probe", timeout = "10s" }, { service = "web", path = "/small" }]
"#;
    fs::write(&file, first.replace("[apply]\n", probes))?;
    let answer = thread::scope(|scope| -> anyhow::Result<Answer> {
        let apply = scope.spawn(|| apply_file(&gateway, &file));
        origin.wait_held("probe", 1)?;
        // As long as a silent connection lives, and so longer than one from before that.
        let mut silent = Client::connect(gateway.address("web"))?;
        silent.get("/small")?;
        let closed = silent.head();
        anyhow::ensure!(closed.is_err(), "a silent connection is closed, not {closed:?}");
        origin.release("probe");
        apply.join().expect("the apply does not panic")
    })?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    Ok(())
}

/// Everything that clients do at once, while one generation follows the other.
#[test]
fn applies_under_load_cost_nothing() -> anyhow::Result<()> {
    const APPLIES: u64 = 10;
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair_with_all(&origin, &Accept::ALL))?;
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    for number in 1..=APPLIES {
        traffic.wait_answered(100)?;
        let answer = apply(&gateway, &format!("\n# {number}\n"))?;
        assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
    }
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    let status = gateway.wait_for("the pair to be ready", Look::is_ready)?;
    assert_eq!(status.generation.number(), APPLIES + 1);
    Ok(())
}

/// What was applied outlives the gateway; a file that was edited since takes its place.
#[test]
fn what_was_applied_is_served_after_a_stop_unless_the_file_was_edited_since() -> anyhow::Result<()>
{
    let origin = Origin::start()?;
    let mut gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let answer = apply(&gateway, "\n# applied\n")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    for (edit, generation) in [(None, 2), (Some("\n# edited\n"), 3)] {
        let path = gateway.path().join("gateway.toml");
        if let Some(edit) = edit {
            fs::write(&path, fs::read_to_string(&path)? + edit)?;
        }
        let supervisor = gateway.terminate(Signal::TERM)?;
        assert!(supervisor.ends_within(DEADLINE), "{}", gateway.log_tail());
        gateway.start_again()?;
        let status = gateway.wait_for("a status", |_| true)?;
        assert_eq!(status.generation.number(), generation, "after {edit:?}");
    }
    Ok(())
}

/// The short form of `cargo xtask administration`: every process is killed in every step.
#[test]
fn administration_under_load_costs_nothing_and_tells_the_truth() -> anyhow::Result<()> {
    administration::observe(&administration::Options::SHORT).map(drop)
}
