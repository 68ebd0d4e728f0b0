//! How often somebody may be wrong about a password.
//!
//! Counted by where they come from, and not by the user they name: else anybody could lock
//! anybody out. Whoever has a whole IPv6 network counts as one.
//!
//! The count is this manager's alone. It slows guessing down; what stops it is Argon2 and the
//! length of passwords.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mainstay_model::Timestamp;

/// How long a failure counts.
const WINDOW: Duration = Duration::from_mins(5);

/// Most places that are remembered. More at once is an attack, and everybody waits.
const PLACES_MAX: usize = 10_000;

/// Whoever failed lately.
#[derive(Debug)]
pub(super) struct Throttle {
    failures_max: u32,
    places: BTreeMap<[u8; 8], Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    since: Timestamp,
}

impl Throttle {
    pub(super) const fn new(failures_max: u32) -> Self {
        Self { failures_max, places: BTreeMap::new() }
    }

    /// Counts a try before it is made; how long to wait if there were too many.
    pub(super) fn begin(&mut self, peer: IpAddr, now: Timestamp) -> Result<(), Duration> {
        if self.places.len() >= PLACES_MAX {
            self.places.retain(|_, failures| now.since(failures.since) < WINDOW);
        }
        let place = place(peer);
        if self.places.len() >= PLACES_MAX && !self.places.contains_key(&place) {
            return Err(WINDOW);
        }
        let failures = self.places.entry(place).or_insert(Failures { count: 0, since: now });
        let age = now.since(failures.since);
        if age >= WINDOW {
            *failures = Failures { count: 0, since: now };
        } else if failures.count >= self.failures_max {
            return Err(WINDOW.saturating_sub(age));
        }
        failures.count = failures.count.saturating_add(1);
        Ok(())
    }

    /// The try was good: it does not count.
    pub(super) fn succeeded(&mut self, peer: IpAddr) {
        if let Some(failures) = self.places.get_mut(&place(peer)) {
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

/// An IPv4 address, or an IPv6 network.
fn place(peer: IpAddr) -> [u8; 8] {
    let mut place = [0; 8];
    match peer.to_canonical() {
        IpAddr::V4(address) => {
            // No network of IPv6 begins so.
            for (byte, part) in
                place.iter_mut().zip([0, 0, 0xff, 0xff].iter().chain(&address.octets()))
            {
                *byte = *part;
            }
        }
        IpAddr::V6(address) => {
            for (byte, part) in place.iter_mut().zip(address.octets()) {
                *byte = part;
            }
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn too_many_failures_have_to_wait_and_others_do_not() {
        let mut throttle = Throttle::new(3);
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for second in 0..3 {
            assert_eq!(throttle.begin(one, at(second)), Ok(()));
        }
        assert_eq!(throttle.begin(one, at(10)), Err(Duration::from_secs(290)));
        assert_eq!(throttle.begin(other, at(10)), Ok(()));
        assert_eq!(throttle.begin(one, at(300)), Ok(()));
    }

    #[test]
    fn what_was_right_does_not_count() {
        let mut throttle = Throttle::new(1);
        let one = "192.0.2.1".parse().unwrap();
        for _ in 0..10 {
            assert_eq!(throttle.begin(one, at(1)), Ok(()));
            throttle.succeeded(one);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_place() {
        let mut throttle = Throttle::new(1);
        assert_eq!(throttle.begin("2001:db8::1".parse().unwrap(), at(1)), Ok(()));
        assert!(throttle.begin("2001:db8::ffff".parse().unwrap(), at(1)).is_err());
        assert_eq!(throttle.begin("2001:db8:0:1::1".parse().unwrap(), at(1)), Ok(()));
        assert_eq!(throttle.begin("192.0.2.1".parse().unwrap(), at(1)), Ok(()));
        assert!(throttle.begin("::ffff:192.0.2.1".parse().unwrap(), at(1)).is_err());
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut throttle = Throttle::new(1);
        for number in 0..u32::try_from(PLACES_MAX).unwrap() {
            assert_eq!(throttle.begin(IpAddr::V4(number.into()), at(1)), Ok(()));
        }
        let another = "203.0.113.1".parse().unwrap();
        assert_eq!(throttle.begin(another, at(2)), Err(WINDOW));
        assert_eq!(throttle.begin(another, at(400)), Ok(()));
    }
}
