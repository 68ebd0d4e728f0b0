//! A manager that is killed in the middle of its exchanges: what it answered is in the file.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use futures_util::future::join_all;
use mainstay_database::{Limits, Location, open};

use crate::fleet::{AGENTS, live, runtime, stored};
use crate::suite::World;
use crate::suite::world::{STREAM, uid};

/// Tells this program, started a second time, that it is the manager, and of which file.
const FILE: &str = "MAINSTAY_TEST_FILE";

/// What the manager says of each answer.
const ANSWERED: &str = "answered";

#[test]
fn everything_that_was_answered_is_there_after_a_kill() {
    if let Some(path) = env::var_os(FILE) {
        manage(path.into());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fleet.db");
    let mut answered = HashMap::new();
    for kill in 1..=4 {
        run_and_kill(&path, kill * 100, &mut answered);
        runtime().block_on(async {
            let store = open(&Location::File(path.clone()), &Limits::default()).await.unwrap();
            for number in 1..=AGENTS {
                let stored = stored(&*store, number).await;
                let there = stored.len() as u64;
                assert_eq!(stored, (1..=there).collect::<Vec<u64>>(), "agent {number}");
                assert!(there >= answered.get(&number).copied().unwrap_or(0), "agent {number}");
                let row = store.load(uid(number), Some(STREAM)).await.unwrap().unwrap();
                assert_eq!(row.cursor.through, there, "agent {number}");
                let sequence = row.chain.sequence;
                let reply = store.last_reply(uid(number), sequence).await.unwrap().unwrap();
                if sequence > 0 {
                    assert_eq!(reply, format!("reply {sequence}").into_bytes());
                }
            }
        });
    }
}

/// Runs a manager until it has given so many answers, and kills it. Notes what it answered.
fn run_and_kill(path: &Path, answers: usize, answered: &mut HashMap<u8, u64>) {
    let test = "killed::everything_that_was_answered_is_there_after_a_kill";
    let mut manager = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(manager.stdout.take().unwrap()).lines();
    let mut count = 0;
    for line in lines.map_while(Result::ok) {
        let mut words = line.split(' ');
        if words.next() != Some(ANSWERED) {
            continue;
        }
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        answered.insert(u8::try_from(number()).unwrap(), number());
        count += 1;
        if count == answers {
            manager.kill().unwrap();
        }
    }
    manager.wait().unwrap();
    assert!(count >= answers, "the manager ended by itself");
}

/// Exchanges until it is killed.
fn manage(path: PathBuf) {
    runtime().block_on(async {
        let location = Location::File(path);
        let one = open(&location, &Limits::default()).await.unwrap();
        let two = open(&location, &Limits::default()).await.unwrap();
        let world = World { one, two };
        if world.one.groups().await.unwrap().is_empty() {
            world.agents(AGENTS).await;
        }
        let never = AtomicBool::new(false);
        let lives = (1..=AGENTS).map(|number| {
            let store = if number % 2 == 0 { &world.one } else { &world.two };
            let answered = |number, through| {
                println!("{ANSWERED} {number} {through}");
            };
            live(&**store, number, answered, &never)
        });
        join_all(lives).await;
    });
}
