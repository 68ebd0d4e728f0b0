//! `host.toml`: any text is a host that is good, or problems that point into it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_config::host::{MEMORY_PERCENT_MAX, THREADS_MAX, parse};
use mainstay_config::{Host, Kind};
use mainstay_fuzz::lie_inside;

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(host) => {
            is_good(&host);
            assert_eq!(Kind::recognise(text), Ok(Kind::Host));
            assert_eq!(Kind::Host.problems(text), []);
        }
        Err(problems) => {
            lie_inside(&problems, text);
            assert_eq!(Kind::Host.problems(text), problems);
            if let Err(problems) = Kind::recognise(text) {
                lie_inside(&problems, text);
            }
        }
    }
});

fn is_good(host: &Host) {
    for path in [&host.state, &host.run, &host.gateway] {
        assert!(path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&0));
    }
    let [one, two] = &host.workers;
    assert_eq!(one.threads, two.threads);
    assert!((1..=THREADS_MAX).contains(&one.threads));
    let shares = [host.master.memory, one.memory, two.memory].map(|share| share.percent());
    assert!(shares.iter().all(|&share| share > 0));
    assert!(shares.iter().sum::<u8>() <= MEMORY_PERCENT_MAX);
    assert!(host.restart.delay_min <= host.restart.delay_max);
    for timeout in [
        host.pair.hold_timeout,
        host.pair.hang_timeout,
        host.pair.drain_timeout,
        host.pair.keep_timeout,
        host.restart.delay_min,
        host.restart.stable_after,
    ] {
        assert!(!timeout.is_zero());
    }
}
