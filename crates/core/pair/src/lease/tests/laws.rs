//! Laws over every sequence of events that two workers can cause, and some that they cannot.
//!
//! `Workers` is the other side: what two processes do with what they are told. It answers
//! late or not at all, dies at any time, and is restarted.

use proptest::prelude::*;

use super::*;

/// One worker process as it is, not as the master knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Dead,
    /// It lives. What it was sent and has not acted on is in `Workers::inbox`.
    Alive {
        holds: Serving,
        greeted: bool,
        announced: bool,
        killed: bool,
    },
}

#[derive(Debug)]
struct Workers {
    lease: Lease,
    now: Timestamp,
    bodies: [Body; 2],
    /// Who said that it leaves: it ends, sooner or later.
    leaving: [bool; 2],
    inbox: [Vec<Effect>; 2],
}

/// What happens next. Anything that is not possible just now does nothing.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Start(Slot),
    Greet(Slot),
    Announce(Slot),
    Read(Slot),
    Die(Slot),
    Bury(Slot),
    Tell(Event),
    Pass(u64),
    NewMaster,
}

impl Workers {
    fn new() -> Self {
        let now = Timestamp::from_micros(1);
        let (lease, _) = Lease::start(LIMITS, [Living::No; 2], now);
        let (bodies, leaving) = ([Body::Dead; 2], [false; 2]);
        Self { lease, now, bodies, leaving, inbox: [vec![], vec![]] }
    }

    fn step(&mut self, event: Event) {
        let (lease, effects) = self.lease.step(self.now, event);
        self.lease = lease;
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Serve(slot) => {
                    assert_eq!(
                        self.lease.health(slot),
                        Health::Ready,
                        "served a worker that is down"
                    );
                    self.inbox[slot.index()].push(effect);
                }
                Effect::Revoke(slot) => self.inbox[slot.index()].push(effect),
                Effect::Kill { slot, .. } => {
                    if let Body::Alive { killed, .. } = &mut self.bodies[slot.index()] {
                        *killed = true;
                    }
                }
                Effect::AcceptAndRefuse | Effect::StopRefusing | Effect::Report(_) => {}
            }
        }
    }

    fn happen(&mut self, luck: Luck) {
        match luck {
            Luck::Start(slot) => self.start(slot),
            Luck::Greet(slot) => self.greet(slot),
            Luck::Announce(slot) => self.announce(slot),
            Luck::Read(slot) => self.read(slot),
            Luck::Die(slot) => {
                if let Body::Alive { killed, .. } = &mut self.bodies[slot.index()] {
                    *killed = true;
                }
            }
            Luck::Bury(slot) => self.bury(slot),
            Luck::Tell(event) => {
                let stopping = event == Event::Stopping;
                let unknown = event.slot().is_some_and(|slot| !self.greeted(slot));
                if !stopping && !unknown {
                    if let Event::Leaving(slot) = event {
                        self.leaving[slot.index()] = true;
                    }
                    self.step(event);
                }
            }
            Luck::Pass(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                self.step(Event::Tick);
            }
            Luck::NewMaster => self.new_master(),
        }
        self.one_lease_holder();
    }

    fn greeted(&self, slot: Slot) -> bool {
        matches!(self.bodies[slot.index()], Body::Alive { greeted: true, .. })
    }

    fn start(&mut self, slot: Slot) {
        if self.bodies[slot.index()] == Body::Dead {
            self.bodies[slot.index()] = Body::Alive {
                holds: Serving::Standby,
                greeted: false,
                announced: false,
                killed: false,
            };
            self.step(Event::Started(slot));
        }
    }

    fn greet(&mut self, slot: Slot) {
        if let Body::Alive { holds, greeted: greeted @ false, announced, killed: false } =
            &mut self.bodies[slot.index()]
        {
            let (serving, announced) = (*holds, *announced);
            *greeted = true;
            self.step(Event::Arrived { slot, serving });
            if announced {
                self.step(Event::Ready(slot));
            }
        }
    }

    fn announce(&mut self, slot: Slot) {
        if let Body::Alive { greeted: true, announced, killed: false, .. } =
            &mut self.bodies[slot.index()]
        {
            *announced = true;
            self.step(Event::Ready(slot));
        }
    }

    fn read(&mut self, slot: Slot) {
        let Body::Alive { holds, killed: false, .. } = &mut self.bodies[slot.index()] else {
            return;
        };
        if self.inbox[slot.index()].is_empty() {
            return;
        }
        if self.inbox[slot.index()].remove(0) == Effect::Serve(slot) {
            *holds = Serving::Active;
        } else {
            *holds = Serving::Standby;
            if self.greeted(slot) {
                self.step(Event::Revoked(slot));
            }
        }
    }

    /// The master hears of a death; the supervisor may start the next.
    fn bury(&mut self, slot: Slot) {
        if let Body::Alive { killed: true, .. } = self.bodies[slot.index()] {
            self.bodies[slot.index()] = Body::Dead;
            self.leaving[slot.index()] = false;
            self.inbox[slot.index()].clear();
            self.step(Event::Died(slot));
        }
    }

    fn new_master(&mut self) {
        // A worker acts on all that the old master said before it greets the new one.
        for slot in Slot::ALL {
            if let Body::Alive { greeted, .. } = &mut self.bodies[slot.index()] {
                *greeted = false;
            }
            while !self.inbox[slot.index()].is_empty()
                && matches!(self.bodies[slot.index()], Body::Alive { killed: false, .. })
            {
                self.read(slot);
            }
            self.inbox[slot.index()].clear();
        }
        let living = self.bodies.map(|body| match body {
            Body::Dead => Living::No,
            Body::Alive { .. } => Living::Yes,
        });
        let (lease, effects) = Lease::start(LIMITS, living, self.now);
        self.lease = lease;
        self.perform(effects);
    }

    /// Of the workers that can still act, at most one holds the lease.
    fn one_lease_holder(&self) {
        let holders = self
            .bodies
            .iter()
            .filter(|body| {
                matches!(body, Body::Alive { holds: Serving::Active, killed: false, .. })
            })
            .count();
        assert!(holders <= 1, "two workers hold the lease: {self:?}");
    }

    /// The bad luck stops: everything that is under way arrives, and who leaves is gone.
    fn calm_down(&mut self) {
        for _ in 0..20 {
            for slot in Slot::ALL {
                if self.leaving[slot.index()] {
                    self.happen(Luck::Die(slot));
                }
                self.happen(Luck::Bury(slot));
                self.happen(Luck::Start(slot));
                self.happen(Luck::Greet(slot));
                self.happen(Luck::Announce(slot));
                self.happen(Luck::Read(slot));
            }
            self.happen(Luck::Pass(500));
        }
    }
}

fn any_slot() -> impl Strategy<Value = Slot> {
    prop_oneof![Just(Slot::One), Just(Slot::Two)]
}

fn any_luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        3 => any_slot().prop_map(Luck::Start),
        5 => any_slot().prop_map(Luck::Greet),
        5 => any_slot().prop_map(Luck::Announce),
        6 => any_slot().prop_map(Luck::Read),
        2 => any_slot().prop_map(Luck::Die),
        4 => any_slot().prop_map(Luck::Bury),
        1 => any_slot().prop_map(|slot| Luck::Tell(Event::Hung(slot))),
        1 => any_slot().prop_map(|slot| Luck::Tell(Event::HandoffFailed(slot))),
        1 => any_slot().prop_map(|slot| Luck::Tell(Event::Leaving(slot))),
        2 => Just(Luck::Tell(Event::SwapRequested)),
        2 => (1_u64..1500).prop_map(Luck::Pass),
        1 => Just(Luck::NewMaster),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let serving = prop_oneof![Just(Serving::Active), Just(Serving::Standby)];
    prop_oneof![
        (any_slot(), serving).prop_map(|(slot, serving)| Event::Arrived { slot, serving }),
        any_slot().prop_map(Event::Started),
        any_slot().prop_map(Event::Ready),
        any_slot().prop_map(Event::Revoked),
        any_slot().prop_map(Event::Leaving),
        any_slot().prop_map(Event::Hung),
        any_slot().prop_map(Event::HandoffFailed),
        any_slot().prop_map(Event::Died),
        Just(Event::SwapRequested),
        Just(Event::Tick),
    ]
}

/// Found by luck, which had thought that who leaves may stay.
#[test]
fn two_that_leave_at_once_are_followed_by_one_that_serves() {
    let mut workers = Workers::new();
    for slot in Slot::ALL {
        workers.happen(Luck::Start(slot));
        workers.happen(Luck::Greet(slot));
        workers.happen(Luck::Tell(Event::Leaving(slot)));
    }
    workers.calm_down();
    assert!(workers.lease.holder().is_some(), "{workers:?}");
}

proptest! {
    #[test]
    fn one_holds_the_lease_and_calm_brings_a_worker_that_serves(
        lucks in prop::collection::vec(any_luck(), 0..120),
    ) {
        let mut workers = Workers::new();
        for luck in lucks {
            workers.happen(luck);
        }
        workers.calm_down();
        let holder = workers.lease.holder().expect("a worker holds the lease");
        prop_assert_eq!(workers.lease.active(), holder);
        prop_assert_eq!(workers.lease.route(), Route::To(holder));
        let serves = matches!(
            workers.bodies[holder.index()],
            Body::Alive { holds: Serving::Active, killed: false, .. }
        );
        prop_assert!(serves, "{:?}", workers);
    }

    /// Also for words in an order that no process would choose.
    #[test]
    fn the_lease_is_given_to_a_ready_worker_alone(
        living in prop::array::uniform2(prop_oneof![Just(Living::Yes), Just(Living::No)]),
        events in prop::collection::vec((any_event(), 0_u64..800), 0..80),
    ) {
        let mut now = Timestamp::from_micros(1);
        let (mut lease, mut effects) = Lease::start(LIMITS, living, now);
        for (event, millis) in events {
            let before = lease.holder();
            let served: Vec<Slot> = effects
                .iter()
                .filter_map(|effect| match effect {
                    Effect::Serve(slot) => Some(*slot),
                    Effect::Revoke(_)
                    | Effect::Kill { .. }
                    | Effect::AcceptAndRefuse
                    | Effect::StopRefusing
                    | Effect::Report(_) => None,
                })
                .collect();
            prop_assert!(served.len() <= 1);
            if let [slot] = served[..] {
                prop_assert_eq!(lease.health(slot), Health::Ready);
                prop_assert_eq!(before, Some(slot));
                prop_assert_eq!(lease.active(), slot);
            }
            now = now + Duration::from_millis(millis);
            (lease, effects) = lease.step(now, event);
            // Whoever is condemned and holds the lease holds it until its death.
            if let Some(holder) = before
                && lease.health(holder) == Health::Down
                && lease.holder() != Some(holder)
            {
                let ended = matches!(
                    event,
                    Event::Died(slot) | Event::Revoked(slot) | Event::Arrived { slot, .. }
                        if slot == holder
                );
                prop_assert!(ended, "{:?} ended the lease of {}", event, holder);
            }
        }
    }
}
