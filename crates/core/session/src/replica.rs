//! The table of one process, as it follows broadcast: what it was told, what its threads go by,
//! and what it says.
//!
//! ```text
//!  fresh ── load ──▶ reading ──▶ staged ── apply, wait ──▶ staged ── apply, serve ──▶ changing ──▶ serving
//!                                                                 serving ── apply ──▶ changing ──▶ serving
//!                                                                 serving ── load ──▶ reading ──▶ changing ──▶ serving
//! ```
//!
//! # Invariants
//!
//! 1. It says `Applied` only when every thread goes by what it was told.
//! 2. What it has read is in force only when it was told to serve.
//! 3. What it says that it holds is what its threads go by, not what is on its way to them.

use mainstay_wire::session::{Place, Then, ToRegister};

/// How far a process has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// What all threads go by.
    held: Option<Place>,
    /// What has been read, and is not in force.
    staged: Option<Place>,
    work: Work,
    greeting: Greeting,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Work {
    #[default]
    None,
    Reading(Place),
    /// Threads are being told.
    Changing(Place),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Greeting {
    #[default]
    Said,
    /// Broadcast is to hear what we hold as soon as that is clear.
    Due,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaEvent {
    /// There is a broadcast, who has heard our Hello.
    Connected,
    /// It wants the journal read up to here.
    Load(Place),
    /// That is done.
    Read(Place),
    /// It sends so many updates, from this number on.
    Apply { first: u64, count: u64, then: Then },
    /// All threads go by what they were told.
    Changed,
}

/// What the process must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaEffect {
    /// Read the files that came with the message.
    Read(Place),
    /// Keep what was read aside.
    Stage,
    /// Apply the updates of the message to what is aside, but for so many at the start.
    ApplyStaged {
        skip: u64,
    },
    /// Have all threads go by what was read or is aside.
    Install,
    /// Have all threads apply the updates of the message, but for so many at the start.
    Apply {
        skip: u64,
    },
    Say(ToRegister),
    /// Broadcast does not keep to the protocol: let go of it, and begin anew.
    Leave,
}

impl Replica {
    /// What all threads go by; none: nobody is accepted.
    pub const fn held(&self) -> Option<Place> {
        self.held
    }

    /// Takes what happened; returns what must be done.
    pub fn step(&mut self, event: ReplicaEvent) -> Vec<ReplicaEffect> {
        match (event, self.work) {
            (ReplicaEvent::Connected, Work::Changing(_)) => {
                self.greeting = Greeting::Due;
                Vec::new()
            }
            (ReplicaEvent::Connected, Work::None | Work::Reading(_)) => {
                self.work = Work::None;
                self.staged = None;
                vec![ReplicaEffect::Say(ToRegister::At { held: self.held })]
            }
            (ReplicaEvent::Load(place), Work::None) => {
                self.work = Work::Reading(place);
                vec![ReplicaEffect::Read(place)]
            }
            (ReplicaEvent::Read(place), Work::Reading(wanted)) if place == wanted => {
                self.read(place)
            }
            // Of a broadcast that is gone.
            (ReplicaEvent::Read(_), Work::None | Work::Reading(_) | Work::Changing(_)) => {
                Vec::new()
            }
            (ReplicaEvent::Apply { first, count, then }, Work::None) => {
                self.apply(first, count, then)
            }
            (
                ReplicaEvent::Load(_) | ReplicaEvent::Apply { .. },
                Work::Reading(_) | Work::Changing(_),
            ) => vec![ReplicaEffect::Leave],
            (ReplicaEvent::Changed, Work::Changing(place)) => {
                self.work = Work::None;
                self.held = Some(place);
                let say = match std::mem::take(&mut self.greeting) {
                    Greeting::Due => ToRegister::At { held: self.held },
                    Greeting::Said => ToRegister::Applied { number: place.number },
                };
                vec![ReplicaEffect::Say(say)]
            }
            (ReplicaEvent::Changed, Work::None | Work::Reading(_)) => Vec::new(),
        }
    }

    fn read(&mut self, place: Place) -> Vec<ReplicaEffect> {
        if self.held.is_some() {
            self.work = Work::Changing(place);
            return vec![ReplicaEffect::Install];
        }
        self.work = Work::None;
        self.staged = Some(place);
        let applied = ToRegister::Applied { number: place.number };
        vec![ReplicaEffect::Stage, ReplicaEffect::Say(applied)]
    }

    fn apply(&mut self, first: u64, count: u64, then: Then) -> Vec<ReplicaEffect> {
        let Some(base) = self.held.or(self.staged) else { return vec![ReplicaEffect::Leave] };
        let next = base.number + 1;
        if first > next {
            return vec![ReplicaEffect::Leave];
        }
        let skip = (next - first).min(count);
        let to = Place { epoch: base.epoch, number: base.number.max(first + count - 1) };
        if self.held.is_some() {
            self.work = Work::Changing(to);
            return vec![ReplicaEffect::Apply { skip }];
        }
        let apply = ReplicaEffect::ApplyStaged { skip };
        match then {
            Then::Wait => {
                self.staged = Some(to);
                let applied = ToRegister::Applied { number: to.number };
                vec![apply, ReplicaEffect::Say(applied)]
            }
            Then::Serve => {
                self.staged = None;
                self.work = Work::Changing(to);
                vec![apply, ReplicaEffect::Install]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(number: u64) -> Place {
        Place { epoch: 7, number }
    }

    const fn applied(number: u64) -> ReplicaEffect {
        ReplicaEffect::Say(ToRegister::Applied { number })
    }

    const fn at(held: Option<Place>) -> ReplicaEffect {
        ReplicaEffect::Say(ToRegister::At { held })
    }

    const fn apply(first: u64, count: u64, then: Then) -> ReplicaEvent {
        ReplicaEvent::Apply { first, count, then }
    }

    fn check(replica: &mut Replica, rows: &[(ReplicaEvent, &[ReplicaEffect])]) {
        for (event, expected) in rows {
            assert_eq!(replica.step(*event), *expected, "{event:?}");
        }
    }

    fn serving() -> Replica {
        let mut replica = Replica::default();
        check(
            &mut replica,
            &[
                (ReplicaEvent::Connected, &[at(None)]),
                (ReplicaEvent::Load(place(5)), &[ReplicaEffect::Read(place(5))]),
                (ReplicaEvent::Read(place(5)), &[ReplicaEffect::Stage, applied(5)]),
                (apply(6, 2, Then::Wait), &[ReplicaEffect::ApplyStaged { skip: 0 }, applied(7)]),
                (
                    apply(8, 0, Then::Serve),
                    &[ReplicaEffect::ApplyStaged { skip: 0 }, ReplicaEffect::Install],
                ),
            ],
        );
        assert_eq!(replica.held(), None);
        check(&mut replica, &[(ReplicaEvent::Changed, &[applied(7)])]);
        assert_eq!(replica.held(), Some(place(7)));
        replica
    }

    #[test]
    fn what_was_read_is_in_force_when_it_is_told_to_serve_and_all_threads_have_it() {
        check(
            &mut serving(),
            &[
                (apply(8, 3, Then::Serve), &[ReplicaEffect::Apply { skip: 0 }]),
                (ReplicaEvent::Changed, &[applied(10)]),
            ],
        );
    }

    #[test]
    fn another_broadcast_hears_what_threads_go_by_when_that_is_clear() {
        check(
            &mut serving(),
            &[
                (apply(8, 3, Then::Serve), &[ReplicaEffect::Apply { skip: 0 }]),
                (ReplicaEvent::Connected, &[]),
                (ReplicaEvent::Changed, &[at(Some(place(10)))]),
                // It may have been told before it heard.
                (apply(10, 2, Then::Serve), &[ReplicaEffect::Apply { skip: 1 }]),
                (ReplicaEvent::Changed, &[applied(11)]),
            ],
        );
    }

    #[test]
    fn what_is_read_for_a_broadcast_that_is_gone_counts_for_nothing() {
        let mut replica = Replica::default();
        check(
            &mut replica,
            &[
                (ReplicaEvent::Connected, &[at(None)]),
                (ReplicaEvent::Load(place(5)), &[ReplicaEffect::Read(place(5))]),
                (ReplicaEvent::Connected, &[at(None)]),
                (ReplicaEvent::Read(place(5)), &[]),
                (ReplicaEvent::Load(place(6)), &[ReplicaEffect::Read(place(6))]),
                (ReplicaEvent::Read(place(5)), &[]),
                (ReplicaEvent::Read(place(6)), &[ReplicaEffect::Stage, applied(6)]),
                (ReplicaEvent::Connected, &[at(None)]),
                (apply(7, 1, Then::Serve), &[ReplicaEffect::Leave]),
            ],
        );
    }

    #[test]
    fn who_serves_goes_on_while_it_reads() {
        let mut replica = serving();
        let other = Place { epoch: 8, number: 2 };
        check(
            &mut replica,
            &[
                (ReplicaEvent::Load(other), &[ReplicaEffect::Read(other)]),
                (ReplicaEvent::Read(other), &[ReplicaEffect::Install]),
            ],
        );
        assert_eq!(replica.held(), Some(place(7)));
        check(&mut replica, &[(ReplicaEvent::Changed, &[applied(2)])]);
        assert_eq!(replica.held(), Some(other));
    }

    #[test]
    fn a_gap_is_an_end() {
        check(&mut serving(), &[(apply(9, 1, Then::Serve), &[ReplicaEffect::Leave])]);
    }
}
