//! Rows of events and what is told of them, and the laws over all rows.

use mainstay_model::{Generation, Slot};
use proptest::prelude::*;

use super::*;

const POLICY: Policy = Policy { repeat: Duration::from_secs(300) };
const ONE: Process = Process::Worker(Slot::One);

fn at(second: u64) -> Moment {
    Moment { now: Timestamp::from_micros(second * 1_000_000), unix_ms: second * 1_000 }
}

/// Reads a word of a row as an event.
fn read(word: &str) -> Event {
    let ending = "SIGKILL".to_owned();
    match word {
        "died" => Event::died(ONE, 7, ending),
        "died-otherwise" => Event::died(ONE, 7, "exit code 1".to_owned()),
        "died-two" => Event::died(Process::Worker(Slot::Two), 8, ending),
        "up" => Event::up(ONE, 9),
        "down" => Event::died(Process::Master, 5, ending),
        "system-up" => Event::up(Process::Master, 6),
        "loop" => Event::CrashLooped { process: ONE, pid: 7, ending },
        "stable" => Event::CrashLoopEnded { process: ONE, pid: 9 },
        "nobody" => Event::NoWorkerReady,
        "refused" => Event::ConnectionsRefused,
        "serves" => Event::WorkerServes { slot: Slot::One },
        "failover" => Event::FailedOver { from: Slot::One, to: Slot::Two },
        "apply-refused" => Event::ApplyRefused { reason: "one".to_owned() },
        "apply-refused-otherwise" => Event::ApplyRefused { reason: "two".to_owned() },
        "stopped" => Event::SystemStopped,
        "applied" => Event::Applied { generation: Generation::FIRST },
        other => panic!("no such event: {other}"),
    }
}

/// A record as a row shows it.
fn show(record: &Record) -> String {
    let count = match record.suppressed {
        0 => String::new(),
        suppressed => format!("+{suppressed}"),
    };
    format!("{} {}{count}", record.change.name(), record.alert.name())
}

#[test]
fn what_is_told_of_events() {
    check(
        "
        # second:event                 | what is told
        0:died 1:up                    | raised process_died, cleared process_died
        0:up                           |
        0:died 1:died-two 2:up         | raised process_died, raised process_died, cleared process_died
        0:down 1:system-up             | raised system_down, cleared system_down
        0:system-up                    | happened system_up

        # What stands is counted while it is suppressed, and told again with the count.
        0:died 1:died 2:died-otherwise | raised process_died, suppressed process_died+1, suppressed process_died+2
        0:died 1:died 300:             | raised process_died, suppressed process_died+1, repeated process_died+1
        0:died 300: 599: 600:          | raised process_died, repeated process_died, repeated process_died
        0:died 1:died 301:died         | raised process_died, suppressed process_died+1, repeated process_died+1
        0:died 1:died 2:up             | raised process_died, suppressed process_died+1, cleared process_died+1

        # Who died, came back, and died again died twice.
        0:died 1:up 2:died             | raised process_died, cleared process_died, raised process_died

        # A crash loop is one alert, until the process has stayed up.
        0:died 1:up 2:loop 3:up 4:loop 5:up 9:stable | raised process_died, cleared process_died, raised crash_looped, suppressed crash_looped+1, cleared crash_looped+1
        0:loop 1:died                  | raised crash_looped, suppressed crash_looped+1
        0:loop 1:died-two              | raised crash_looped, raised process_died
        0:stable                       |

        0:nobody 5:refused 6:serves 7:serves | raised no_worker_ready, raised connections_refused, cleared no_worker_ready, cleared connections_refused

        # What stands ends with the gateway.
        0:died 1:nobody 2:stopped      | raised process_died, raised no_worker_ready, cleared process_died, cleared no_worker_ready, happened system_stopped

        # What merely happens is told, but not the same again, and all of it in the end.
        0:failover 1:failover 2:failover 300: 600: 900: | happened failed_over, suppressed failed_over+1, suppressed failed_over+2, repeated failed_over+2
        0:failover 300: 301:failover   | happened failed_over, happened failed_over
        0:apply-refused 1:apply-refused-otherwise 2:apply-refused-otherwise | happened apply_refused, happened apply_refused, suppressed apply_refused+1
        0:apply-refused 1:applied      | happened apply_refused, happened applied
        ",
    );
}

#[track_caller]
fn check(table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let (events, told) = row.split_once('|').unwrap();
        let mut alerts = Alerts::default();
        let mut found = Vec::new();
        for word in events.split_whitespace() {
            let (second, event) = word.split_once(':').unwrap();
            let moment = at(second.parse().unwrap());
            found.extend(match event {
                "" => alerts.on_tick(POLICY, moment),
                event => alerts.on(POLICY, moment, &read(event)),
            });
        }
        let found: Vec<String> = found.iter().map(show).collect();
        assert_eq!(found.join(", "), told.trim(), "in row: {row}");
    }
}

#[test]
fn different_sentences_about_one_thing_have_a_limit_too() {
    let mut alerts = Alerts::default();
    let told = (0..20).flat_map(|number| {
        alerts.on(POLICY, at(1), &Event::ApplyRefused { reason: number.to_string() })
    });
    let told: Vec<Record> = told.collect();
    assert!(told[..10].iter().all(|record| record.change == Change::Happened));
    assert!(told[10..].iter().all(|record| record.change == Change::Suppressed));
    let [last] = &alerts.on_tick(POLICY, at(301))[..] else { panic!("one record") };
    assert_eq!(show(last), "repeated apply_refused+10");
    assert_eq!(last.summary, "an apply was refused: 19");
}

#[test]
fn an_alert_that_ends_says_since_when_it_stood() {
    let mut alerts = Alerts::default();
    drop(alerts.on(POLICY, at(5), &read("down")));
    let [cleared] = &alerts.on(POLICY, at(8), &read("system-up"))[..] else { panic!("one record") };
    assert_eq!((cleared.since_unix_ms, cleared.unix_ms), (5_000, 8_000));
    assert_eq!((cleared.kind, cleared.alert), (Kind::SystemUp, Kind::SystemDown));
    assert_eq!(cleared.severity, mainstay_wire::event::Severity::Critical);
}

#[test]
fn what_is_written_down_is_read_back() {
    let mut alerts = Alerts::default();
    for word in ["died", "loop", "failover", "applied"] {
        drop(alerts.on(POLICY, at(90), &read(word)));
    }
    let text = serde_json::to_string(&alerts).unwrap();
    let mut back: Alerts = serde_json::from_str(&text).unwrap();
    assert_eq!(back.report(), alerts.report());
    // The machine was started anew, and its clock with it.
    back.wake_up(at(3).now);
    assert_eq!(back.wake_at(POLICY), Some(at(303).now));
    assert!(back.stands(Kind::CrashLooped, Some(ONE)));
}

const WORDS: [&str; 16] = [
    "stopped",
    "died",
    "died-otherwise",
    "died-two",
    "up",
    "down",
    "system-up",
    "loop",
    "stable",
    "nobody",
    "refused",
    "serves",
    "failover",
    "apply-refused",
    "apply-refused-otherwise",
    "applied",
];

fn lives() -> impl Strategy<Value = Vec<(u64, Option<Event>)>> {
    let event = prop::option::weighted(0.8, prop::sample::select(&WORDS[..]).prop_map(read));
    prop::collection::vec((0_u64..200, event), 0..60)
}

/// Every record of a life, with the moments.
fn play(alerts: &mut Alerts, life: &[(u64, Option<Event>)]) -> Vec<Record> {
    let mut second = 0;
    let mut records = Vec::new();
    for (pause, event) in life {
        second += pause;
        records.extend(match event {
            Some(event) => alerts.on(POLICY, at(second), event),
            None => alerts.on_tick(POLICY, at(second)),
        });
    }
    records
}

proptest! {
    #[test]
    fn what_stands_was_raised_and_not_cleared(life in lives()) {
        let mut alerts = Alerts::default();
        let mut standing: Vec<(Kind, Option<Process>)> = Vec::new();
        for record in play(&mut alerts, &life) {
            let key = (record.alert, record.process);
            match record.change {
                Change::Raised => {
                    prop_assert!(!standing.contains(&key), "raised twice: {record:?}");
                    standing.push(key);
                }
                Change::Cleared => {
                    prop_assert!(standing.contains(&key), "not raised: {record:?}");
                    standing.retain(|standing| *standing != key);
                }
                Change::Repeated | Change::Happened | Change::Suppressed => {}
            }
        }
        let found: Vec<_> =
            alerts.report().standing.iter().map(|record| (record.alert, record.process)).collect();
        prop_assert_eq!(found, standing);
    }

    #[test]
    fn nothing_is_repeated_before_its_time(life in lives()) {
        let mut told: Vec<((Kind, Option<Process>), u64)> = Vec::new();
        for record in play(&mut Alerts::default(), &life) {
            let key = (record.alert, record.process);
            let last = told.iter().rev().find(|(other, _)| *other == key).map(|(_, at)| *at);
            if record.change == Change::Repeated {
                let last = last.expect("told before");
                prop_assert!(record.unix_ms >= last + 300_000, "{record:?} after {last}");
            }
            if matches!(record.change, Change::Raised | Change::Repeated | Change::Happened) {
                told.push((key, record.unix_ms));
            }
        }
    }

    #[test]
    fn every_event_is_told_or_counted(life in lives()) {
        // Events of one thing that merely happens: told ones and counted ones are all of them.
        let mut alerts = Alerts::default();
        let only: Vec<_> = life
            .into_iter()
            .map(|(pause, event)| (pause, event.map(|_| read("failover"))))
            .collect();
        let events = only.iter().filter(|(_, event)| event.is_some()).count();
        let mut records = play(&mut alerts, &only);
        records.extend(alerts.on_tick(POLICY, at(100_000)));
        let mut all = 0;
        for record in &records {
            all += match record.change {
                Change::Happened => 1 + record.suppressed,
                // Whether it came by time or by one more event.
                Change::Repeated => record.suppressed,
                Change::Suppressed | Change::Raised | Change::Cleared => 0,
            };
        }
        let by_event = records.iter().filter(|r| r.change == Change::Repeated).count();
        let all = usize::try_from(all).unwrap();
        prop_assert!(all <= events && events <= all + by_event, "{all} of {events}");
    }

    #[test]
    fn numbers_have_no_gaps(life in lives()) {
        let records = play(&mut Alerts::default(), &life);
        let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
        let expected: Vec<u64> = (1..).take(numbers.len()).collect();
        prop_assert_eq!(numbers, expected);
    }
}
