//! What an operator types, and what comes back.

use std::fs;

use mainstay_e2e::cli::mainstay;
use mainstay_e2e::gateway::{Accept, Look};
use mainstay_e2e::{Gateway, Origin, Setup};
use mainstay_model::Process;
use mainstay_wire::command::{State, Status};

#[test]
fn check_accepts_what_run_accepts() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair_with_all(&origin, &Accept::ALL))?;
    for name in ["host.toml", "gateway.toml"] {
        let answer = mainstay(&["check".as_ref(), gateway.path().join(name).as_os_str()])?;
        assert_eq!(answer.code, Some(0), "{name}: {answer:?}");
    }
    Ok(())
}

#[test]
fn check_names_every_problem_with_its_place() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("gateway.toml");
    let text = "[[listener]]\nname = \"web\"\naddress = \"nowhere\"\naccept = \"perhaps\"\n";
    fs::write(&path, text)?;
    let answer = mainstay(&["check".as_ref(), path.as_os_str()])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let said = answer.out + &answer.err;
    for place in ["gateway.toml:3:11: ", "gateway.toml:4:10: "] {
        assert!(said.contains(place), "no {place} in:\n{said}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_not_there_is_a_failure_and_a_wrong_word_a_usage_error() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let missing = dir.path().join("gateway.toml");
    assert_eq!(mainstay(&["check".as_ref(), missing.as_os_str()])?.code, Some(1));
    assert_eq!(mainstay(&["chekc"])?.code, Some(2));
    Ok(())
}

#[test]
fn status_tells_of_every_process() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let host = gateway.path().join("host.toml");
    let arguments = ["status".as_ref(), "--json".as_ref(), "--host".as_ref(), host.as_os_str()];
    let answer = mainstay(&arguments)?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let status: Status = serde_json::from_str(&answer.out)?;
    assert!(status.is_ready(), "{status:#?}");
    for process in Process::SUPERVISED.into_iter().chain([Process::Supervisor]) {
        let Some(said) = status.process(process) else { panic!("no {process}: {status:#?}") };
        assert_eq!(said.pid, gateway.process(process)?.pid(), "{process}");
        assert_ne!(said.state, State::Down, "{process}");
        assert!(said.memory_bytes > 0 && said.since_unix > 0, "{said:?}");
    }

    let run = gateway.path().join("run");
    let plain = mainstay(&["status".as_ref(), "--run".as_ref(), run.as_os_str()])?;
    assert_eq!(plain.code, Some(0), "{plain:?}");
    for word in ["master", "active", "standby"] {
        assert!(plain.out.contains(word), "no {word} in:\n{}", plain.out);
    }
    Ok(())
}

#[test]
fn the_status_of_nothing_is_a_failure() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let answer = mainstay(&["status".as_ref(), "--run".as_ref(), dir.path().as_os_str()])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(!answer.err.is_empty(), "it says nothing");
    Ok(())
}
