//! Rows of lives and the delays after them, and the laws over all rows.

use proptest::prelude::*;

use super::*;

const POLICY: Restart = Restart {
    delay_min: Duration::from_millis(10),
    delay_max: Duration::from_secs(5),
    stable_after: Duration::from_secs(10),
};

/// Plays lives that follow each other at once and writes down what was decided.
fn play(lives: &[Duration]) -> Vec<Delay> {
    let mut backoff = Backoff::new(POLICY);
    let mut now = Timestamp::from_micros(0);
    let mut delays = Vec::new();
    for &lived in lives {
        now = now + lived;
        let delay = backoff.died(now, lived);
        now = now + delay.wait;
        delays.push(delay);
    }
    delays
}

#[test]
fn delays_and_verdicts() {
    check(
        "
        # lives in ms            | waits in ms             | loop at
        0                        | 10                      | -
        0 0 0 0                  | 10 20 40 80             | -
        0 0 0 0 0                | 10 20 40 80 160         | 5
        0 0 0 0 0 0 0 0 0 0 0 0  | 10 20 40 80 160 320 640 1280 2560 5000 5000 5000 | 5 6 7 8 9 10 11 12

        # A long life is forgiven everything, to the millisecond.
        0 0 0 0 9999 0           | 10 20 40 80 160 320     | 5 6
        0 0 0 0 10000 0          | 10 20 40 80 10 20       | -
        99999 99999 99999 99999 99999 | 10 10 10 10 10     | -

        # Young enough is young: no matter that it lived most of the ten seconds.
        9000 9000 9000 9000 9000 9000 9000 | 10 20 40 80 160 320 640 | 5 6 7
        ",
    );
}

#[track_caller]
fn check(table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [lives, waits, loops] = cells[..] else { panic!("three cells, not {row:?}") };
        let lives: Vec<Duration> =
            lives.split(' ').map(|ms| Duration::from_millis(ms.parse().unwrap())).collect();
        let delays = play(&lives);
        let found: Vec<String> =
            delays.iter().map(|delay| delay.wait.as_millis().to_string()).collect();
        assert_eq!(found.join(" "), waits, "in row: {row}");
        let found: Vec<String> = (1..)
            .zip(&delays)
            .filter(|(_, delay)| delay.verdict == Verdict::CrashLoop)
            .map(|(number, _): (u32, _)| number.to_string())
            .collect();
        let found = if found.is_empty() { "-".to_owned() } else { found.join(" ") };
        assert_eq!(found, loops, "in row: {row}");
    }
}

#[test]
fn five_young_deaths_are_a_loop_only_within_a_minute() {
    let cases = [
        ([0, 15, 30, 45, 60], Verdict::CrashLoop),
        ([0, 15, 30, 45, 61], Verdict::Accident),
        ([0, 1, 2, 3, 3600], Verdict::Accident),
    ];
    for (seconds, expected) in cases {
        let mut backoff = Backoff::new(POLICY);
        let verdicts = seconds.map(|second: u64| {
            backoff.died(Timestamp::from_micros(second * 1_000_000), Duration::ZERO).verdict
        });
        assert_eq!(verdicts[4], expected, "deaths at {seconds:?}");
        assert_eq!(verdicts[..4], [Verdict::Accident; 4], "deaths at {seconds:?}");
    }
}

proptest! {
    #[test]
    fn a_delay_stays_between_its_limits(lives in lives()) {
        for delay in play(&lives) {
            prop_assert!((POLICY.delay_min..=POLICY.delay_max).contains(&delay.wait));
        }
    }

    #[test]
    fn a_delay_doubles_or_starts_again(lives in lives()) {
        let delays = play(&lives);
        for (pair, lived) in delays.windows(2).zip(lives.iter().skip(1)) {
            let expected = if *lived >= POLICY.stable_after {
                POLICY.delay_min
            } else {
                (pair[0].wait * 2).min(POLICY.delay_max)
            };
            prop_assert_eq!(pair[1].wait, expected);
        }
    }

    #[test]
    fn a_process_that_lives_long_is_in_no_loop(lives in lives()) {
        for (delay, lived) in play(&lives).iter().zip(&lives) {
            if *lived >= POLICY.stable_after {
                prop_assert_eq!(delay.verdict, Verdict::Accident);
            }
        }
    }

    #[test]
    fn five_deaths_at_start_are_always_a_loop(number in 5_usize..40) {
        let delays = play(&vec![Duration::ZERO; number]);
        prop_assert!(delays.iter().skip(4).take(6).all(|d| d.verdict == Verdict::CrashLoop));
    }
}

fn lives() -> impl Strategy<Value = Vec<Duration>> {
    prop::collection::vec((0_u64..20_000).prop_map(Duration::from_millis), 1..40)
}

/// Delays that grow beyond the window do not end a crash loop: a life that is long enough does.
#[test]
fn a_crash_loop_lasts_until_the_process_does() {
    let policy = Restart {
        delay_min: Duration::from_millis(10),
        delay_max: Duration::from_secs(60),
        stable_after: Duration::from_secs(10),
    };
    let (mut backoff, mut now) = (Backoff::new(policy), Timestamp::default());
    for death in 1..=30 {
        let Delay { wait, verdict } = backoff.died(now, Duration::ZERO);
        let expected = if death < LOOP_DEATHS { Verdict::Accident } else { Verdict::CrashLoop };
        assert_eq!(verdict, expected, "death {death}");
        now = now + wait;
    }
    let verdict = backoff.died(now, policy.stable_after).verdict;
    assert_eq!(verdict, Verdict::Accident);
}
