//! A made-up gateway that does what the plan says, and dies as it likes.

use mainstay_model::Slot::{One, Two};
use proptest::prelude::*;

use super::*;

/// What runs, as a list; the condition is whatever the world makes of it.
#[derive(Clone, Debug)]
struct World {
    zero: Option<Zero>,
    broadcast: bool,
    workers: [bool; 2],
    /// Who holds the lease, if it lives.
    active: Option<Slot>,
}

impl World {
    const PAIR: Self = Self {
        zero: Some(Zero::Master),
        broadcast: true,
        workers: [true, true],
        active: Some(One),
    };

    const GATEWAY: Self = Self {
        zero: Some(Zero::Gateway(One)),
        broadcast: false,
        workers: [false, false],
        active: Some(One),
    };

    /// Whether a worker is there in this slot, in a process of its own or not.
    fn serves(&self, slot: Slot) -> bool {
        self.workers[slot.index()] || self.zero == Some(Zero::Gateway(slot))
    }

    /// The lease goes to whoever is there.
    fn settle(&mut self) {
        self.active = self.active.filter(|&slot| self.serves(slot));
        if self.active.is_none() && self.zero.is_some() {
            self.active = Slot::ALL.into_iter().find(|&slot| self.serves(slot));
        }
    }

    fn facts(&self) -> Facts {
        let is_whole = match self.zero {
            Some(Zero::Master) => self.broadcast && self.workers == [true, true],
            Some(Zero::Gateway(_)) => true,
            None => false,
        };
        let presence = |is_here| if is_here { Presence::Here } else { Presence::Away };
        Facts {
            zero: self.zero,
            course: Course::Stays,
            broadcast: presence(self.broadcast),
            workers: self.workers.map(presence),
            // Without one at index 0 nobody says anything.
            active: self.active.filter(|_| self.zero.is_some()),
            condition: if is_whole { Condition::Whole } else { Condition::Disturbed },
        }
    }

    fn set(&mut self, process: Process, is_here: bool) {
        match process {
            Process::Supervisor => {}
            Process::Master => self.zero = None,
            Process::Broadcast => self.broadcast = is_here,
            Process::Worker(slot) => self.workers[slot.index()] = is_here,
        }
    }

    /// Whoever is asked ends; whoever is missing is started.
    fn obey(&mut self, plan: &Plan) {
        for &process in &plan.asked {
            self.set(process, false);
        }
        self.settle();
        for &process in &plan.wanted {
            if !plan.asked.contains(&process) {
                self.set(process, true);
            }
        }
        if !plan.asked.contains(&Process::Master) {
            self.zero = self.zero.or(plan.zero);
        }
        self.settle();
    }

    /// Turns until it is what it is to be.
    fn become_(&mut self, target: Arrangement) -> usize {
        for turns in 0..10 {
            if self.facts().are(target) {
                return turns;
            }
            let before = self.active;
            let plan = plan(target, &self.facts());
            self.obey(&plan);
            self.check(before);
        }
        panic!("it does not become {target:?}: {self:?}");
    }

    /// There is never a time at which nobody serves, if somebody did; and no slot is taken
    /// twice.
    fn check(&self, before: Option<Slot>) {
        let serving = Slot::ALL.into_iter().filter(|&slot| self.serves(slot)).count();
        assert!(before.is_none() || serving > 0, "nobody is there to serve: {self:?}");
        if let Some(Zero::Gateway(slot)) = self.zero {
            assert!(!self.workers[slot.index()], "slot {slot} is taken twice: {self:?}");
            assert!(!self.broadcast, "two hold the ports of broadcast: {self:?}");
        }
    }
}

#[test]
fn a_pair_becomes_one_process_by_steps_that_a_pair_knows() {
    for active in Slot::ALL {
        let mut world = World { active: Some(active), ..World::PAIR };
        let standby = Process::Worker(active.other());
        let first = plan(Arrangement::OneProcess, &world.facts());
        assert_eq!(first.asked, [standby]);
        world.set(standby, false);
        let second = plan(Arrangement::OneProcess, &world.facts());
        assert_eq!(second.asked, [Process::Master, Process::Broadcast]);
        assert!(!second.wants(standby) && !second.wants(Process::Master));
        assert!(second.wants(Process::Worker(active)));
        world.obey(&second);
        let third = plan(Arrangement::OneProcess, &world.facts());
        assert_eq!(third.zero, Some(Zero::Gateway(active.other())));
        world.obey(&third);
        let last = plan(Arrangement::OneProcess, &world.facts());
        assert_eq!(last.asked, [Process::Worker(active)]);
        world.obey(&last);
        assert!(world.facts().are(Arrangement::OneProcess), "{world:?}");
        assert_eq!(plan(Arrangement::OneProcess, &world.facts()).asked, []);
    }
}

#[test]
fn one_process_becomes_a_pair_when_a_standby_is_there() {
    let mut world = World::GATEWAY;
    let first = plan(Arrangement::Pair, &world.facts());
    assert_eq!((&first.wanted[..], &first.asked[..]), (&[Process::Worker(Two)][..], &[][..]));
    world.obey(&first);
    let second = plan(Arrangement::Pair, &world.facts());
    assert_eq!(second.asked, [Process::Master]);
    world.obey(&second);
    assert!(world.serves(Two) && !world.serves(One));
    assert_eq!(plan(Arrangement::Pair, &world.facts()), Plan::pair());
    assert_eq!(world.become_(Arrangement::Pair), 1);
}

#[test]
fn a_standby_that_is_not_ready_is_waited_for() {
    let pair = Facts { condition: Condition::Disturbed, ..World::PAIR.facts() };
    assert_eq!(plan(Arrangement::OneProcess, &pair).asked, []);
    let gateway = World { workers: [false, true], ..World::GATEWAY };
    let gateway = Facts { condition: Condition::Disturbed, ..gateway.facts() };
    assert_eq!(plan(Arrangement::Pair, &gateway).asked, []);
    assert_eq!(plan(Arrangement::OneProcess, &gateway).asked, []);
}

/// A keeper died: the one process is replaced by way of a worker.
#[test]
fn one_process_that_goes_gets_a_worker_that_stands_in() {
    let mut world = World::GATEWAY;
    let goes = |world: &World| Facts { course: Course::Goes, ..world.facts() };
    let first = plan(Arrangement::OneProcess, &goes(&world));
    assert_eq!((&first.wanted[..], &first.asked[..]), (&[Process::Worker(Two)][..], &[][..]));
    world.obey(&first);
    assert_eq!(plan(Arrangement::OneProcess, &goes(&world)).asked, []);
    // It goes by itself when the worker is ready.
    world.set(Process::Master, false);
    assert!(world.become_(Arrangement::OneProcess) > 0);
}

#[test]
fn what_starts_anew_is_what_it_is_to_be() {
    let nothing = World { zero: None, broadcast: false, workers: [false; 2], active: None };
    assert_eq!(plan(Arrangement::Pair, &nothing.facts()), Plan::pair());
    let plan = plan(Arrangement::OneProcess, &nothing.facts());
    assert_eq!(plan.zero, Some(Zero::Gateway(One)));
    assert_eq!((&plan.wanted[..], &plan.asked[..]), (&[][..], &[][..]));
}

#[derive(Clone, Copy, Debug)]
enum Luck {
    Obeys,
    Dies(Process),
    Turns(Arrangement),
}

fn luck() -> impl Strategy<Value = Luck> {
    let processes = prop::sample::select(&Process::SUPERVISED[..]);
    let targets = prop::sample::select(&[Arrangement::Pair, Arrangement::OneProcess][..]);
    prop_oneof![
        5 => Just(Luck::Obeys),
        2 => processes.prop_map(Luck::Dies),
        1 => targets.prop_map(Luck::Turns),
    ]
}

proptest! {
    /// Whoever dies, and however often it is turned round: in the end it is what it is to be.
    #[test]
    fn it_becomes_what_it_is_to_be(history in prop::collection::vec(luck(), 0..40)) {
        let mut world = World::PAIR;
        let mut target = Arrangement::Pair;
        for luck in history {
            match luck {
                Luck::Obeys => {
                    let before = world.active;
                    let plan = plan(target, &world.facts());
                    world.obey(&plan);
                    world.check(before);
                }
                Luck::Dies(process) => {
                    world.set(process, false);
                    world.settle();
                }
                Luck::Turns(to) => target = to,
            }
        }
        world.become_(target);
    }
}
