//! Orders told as conversations, and a made-up gateway whose processes die at any time.

use std::time::Duration;

use mainstay_model::Slot::{One, Two};
use mainstay_model::{Generation, Process, Slot, Timestamp};
use mainstay_wire::broadcast::{Answer, Order, Outcome};
use proptest::prelude::*;

use crate::{Effect, Event, Fanout};

const MASTER: Process = Process::Master;
const STANDBY: Process = Process::Worker(Two);
const ACTIVE: Process = Process::Worker(One);

fn generation(number: u64) -> Generation {
    number.to_string().parse().unwrap()
}

fn apply(number: u64) -> Order {
    Order::Apply { generation: generation(number), confirm_ms: 10 }
}

/// A gateway of which everyone is there and serves generation 1; worker one is active.
struct Told {
    fanout: Fanout,
    now: Timestamp,
    effects: Vec<Effect>,
}

impl Told {
    fn new(there: &[Process]) -> Self {
        let mut told =
            Self { fanout: Fanout::default(), now: Timestamp::default(), effects: Vec::new() };
        for &process in there {
            told.tell(Event::Came(process));
            match process {
                Process::Worker(slot) => told.tell(Event::Serves(slot, generation(1))),
                Process::Master | Process::Supervisor | Process::Broadcast => {
                    told.tell(Event::Decided { active: Some(One), current: generation(1) })
                }
            }
        }
        told
    }

    fn tell(&mut self, event: Event) {
        let effects = self.fanout.step(self.now, event);
        self.effects.extend(effects);
    }

    fn late(&mut self) {
        self.now = self.fanout.wake_at().expect("something is waited for");
        self.tell(Event::Tick);
    }

    /// Who was told what last.
    fn asked(&self) -> (Process, Order) {
        match self.effects.last() {
            Some(Effect::Do { process, order, .. }) => (*process, *order),
            other => panic!("nobody was told anything: {other:?}"),
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Some(Effect::Do { process, number, .. }) = self.effects.last().cloned() else {
            panic!("nobody was told anything: {:?}", self.effects);
        };
        self.tell(Event::Answered { process, number, answer });
    }

    fn ended(&self) -> Option<&Outcome> {
        match self.effects.last() {
            Some(Effect::End(outcome)) => Some(outcome),
            _ => None,
        }
    }
}

fn refused() -> Answer {
    Answer::Refused { reason: "no".to_owned() }
}

fn failed(process: Process, reason: &str) -> Outcome {
    Outcome::Failed { process, reason: reason.to_owned() }
}

#[test]
fn an_order_reaches_standby_master_and_active() {
    let follow = Order::Follow { generation: generation(2) };
    for (order, last) in [
        // By then it is current: nothing is left to prove.
        (apply(2), follow),
        (Order::Status, Order::Status),
        (Order::PurgeCache, Order::PurgeCache),
        (Order::Swap, Order::Swap),
    ] {
        let mut told = Told::new(&[ACTIVE, STANDBY, MASTER]);
        told.tell(Event::Wanted(order));
        for (process, order) in [(STANDBY, order), (MASTER, order), (ACTIVE, last)] {
            assert_eq!(told.asked(), (process, order));
            told.answer(Answer::DONE);
        }
        assert!(matches!(told.ended(), Some(Outcome::Done { said }) if said.len() == 3));
    }
}

#[test]
fn the_first_failure_is_the_last_attempt() {
    for (at, process) in [STANDBY, MASTER, ACTIVE].into_iter().enumerate() {
        let mut told = Told::new(&[ACTIVE, STANDBY, MASTER]);
        told.tell(Event::Wanted(Order::PolicyRefresh));
        for _ in 0..at {
            told.answer(Answer::DONE);
        }
        told.answer(refused());
        assert_eq!(told.ended(), Some(&failed(process, "no")));
    }
}

#[test]
fn who_is_down_does_not_block() {
    let mut told = Told::new(&[ACTIVE, MASTER]);
    told.tell(Event::Wanted(Order::Status));
    for process in [MASTER, ACTIVE] {
        assert_eq!(told.asked().0, process);
        told.answer(Answer::DONE);
    }
    assert!(matches!(told.ended(), Some(Outcome::Done { said }) if said.len() == 2));
    // Nobody at all is there.
    let mut told = Told::new(&[]);
    told.tell(Event::Wanted(Order::Status));
    assert_eq!(told.ended(), Some(&Outcome::Done { said: Vec::new() }));
}

#[test]
fn one_process_waits_for_no_standby() {
    let mut told = Told::new(&[]);
    told.fanout = Fanout::without_standby();
    told.tell(Event::Wanted(apply(2)));
    assert!(told.effects.is_empty(), "nobody has said yet who serves");
    let mut told = Told { fanout: Fanout::without_standby(), ..Told::new(&[]) };
    for event in [
        Event::Came(ACTIVE),
        Event::Serves(One, generation(1)),
        Event::Came(MASTER),
        Event::Decided { active: Some(One), current: generation(1) },
        Event::Wanted(apply(2)),
    ] {
        told.tell(event);
    }
    for process in [ACTIVE, MASTER] {
        assert_eq!(told.asked(), (process, apply(2)));
        told.answer(Answer::DONE);
    }
    assert!(matches!(told.ended(), Some(Outcome::Done { said }) if said.len() == 2));
}

#[test]
fn an_apply_waits_a_moment_for_a_standby_and_goes_on_without() {
    let mut told = Told::new(&[ACTIVE, MASTER]);
    told.tell(Event::Wanted(apply(2)));
    assert!(told.effects.is_empty());
    told.tell(Event::Came(STANDBY));
    assert_eq!(told.asked(), (STANDBY, apply(2)));

    let mut told = Told::new(&[ACTIVE, MASTER]);
    told.tell(Event::Wanted(apply(2)));
    told.late();
    assert_eq!(told.asked(), (ACTIVE, apply(2)), "the only one proves it");
    told.answer(Answer::DONE);
    assert_eq!(told.asked(), (MASTER, apply(2)));

    let mut told = Told::new(&[ACTIVE, MASTER]);
    told.tell(Event::Wanted(Order::Swap));
    told.late();
    assert_eq!(told.ended(), Some(&failed(STANDBY, "it is not there")));
}

#[test]
fn an_apply_that_fails_is_answered_when_it_is_undone() {
    let mut told = Told::new(&[ACTIVE, STANDBY, MASTER]);
    told.tell(Event::Wanted(apply(2)));
    told.tell(Event::Serves(Two, generation(2)));
    told.answer(Answer::DONE);
    told.answer(refused());
    let follow = Order::Follow { generation: generation(1) };
    assert_eq!(told.asked(), (STANDBY, follow));
    told.tell(Event::Serves(Two, generation(1)));
    assert_eq!(told.ended(), Some(&failed(MASTER, "no")));
}

#[test]
fn a_master_that_died_after_it_had_put_it_into_service_did_not_fail() {
    for (current, outcome) in [(1, false), (2, true)] {
        let mut told = Told::new(&[ACTIVE, STANDBY, MASTER]);
        told.tell(Event::Wanted(apply(2)));
        told.tell(Event::Serves(Two, generation(2)));
        told.answer(Answer::DONE);
        told.tell(Event::Gone(MASTER));
        let before = told.effects.len();
        told.tell(Event::Came(MASTER));
        assert_eq!(told.effects.len(), before, "nobody follows before the master has spoken");
        told.tell(Event::Decided { active: Some(Two), current: generation(current) });
        let astray = if outcome { One } else { Two };
        assert_eq!(told.asked().0, Process::Worker(astray));
        told.tell(Event::Serves(astray, generation(current)));
        let is_done = matches!(told.ended(), Some(Outcome::Done { .. }));
        assert_eq!(is_done, outcome, "{:?}", told.effects);
    }
}

#[test]
fn a_worker_that_comes_back_with_something_else_follows() {
    let mut told = Told::new(&[ACTIVE, MASTER]);
    told.tell(Event::Came(STANDBY));
    told.tell(Event::Serves(Two, generation(7)));
    assert_eq!(told.asked(), (STANDBY, Order::Follow { generation: generation(1) }));
    // It is told once: one that cannot is replaced.
    let told_so_far = told.effects.len();
    told.answer(refused());
    told.tell(Event::Tick);
    assert_eq!(told.effects.len(), told_so_far);
}

/// What can happen in the made-up gateway.
#[derive(Clone, Copy, Debug)]
enum Act {
    Want(u64),
    /// The process that was told last does it, or does not.
    Obey {
        well: bool,
    },
    Die(Process),
    Return(Process),
    Wait,
}

/// Processes that do what they are told, as the roles do it.
struct World {
    told: Told,
    there: [bool; 3],
    serves: [Generation; 2],
    current: Generation,
    active: Slot,
    wanted: usize,
    last: u64,
    /// What processes were told and have not answered, and how many effects that is from.
    pending: Vec<(Process, u64, Order)>,
    seen: usize,
}

impl World {
    fn new() -> Self {
        Self {
            told: Told::new(&[ACTIVE, STANDBY, MASTER]),
            there: [true; 3],
            serves: [generation(1); 2],
            current: generation(1),
            active: One,
            wanted: 0,
            last: 1,
            pending: Vec::new(),
            seen: 0,
        }
    }

    fn place(process: Process) -> usize {
        match process {
            Process::Worker(slot) => slot.index(),
            Process::Master | Process::Supervisor | Process::Broadcast => 2,
        }
    }

    fn say(&mut self, process: Process) {
        match process {
            Process::Worker(slot) => {
                self.told.tell(Event::Serves(slot, self.serves[slot.index()]));
            }
            Process::Master | Process::Supervisor | Process::Broadcast => {
                let (active, current) = (Some(self.active), self.current);
                self.told.tell(Event::Decided { active, current });
            }
        }
    }

    fn act(&mut self, act: Act) {
        self.perform(act);
        for effect in &self.told.effects[self.seen..] {
            if let Effect::Do { process, number, order } = effect {
                self.pending.push((*process, *number, *order));
            }
        }
        self.seen = self.told.effects.len();
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Want(_) if self.is_busy() => {}
            Act::Want(step) => {
                self.last += step;
                self.wanted += 1;
                self.told.tell(Event::Wanted(apply(self.last)));
            }
            Act::Obey { well } => self.obey(well),
            Act::Die(process) => {
                if std::mem::take(&mut self.there[Self::place(process)]) {
                    self.pending.retain(|(told, _, _)| *told != process);
                    self.told.tell(Event::Gone(process));
                    if process == Process::Worker(self.active)
                        && self.there[self.active.other().index()]
                    {
                        self.active = self.active.other();
                        if self.there[2] {
                            self.say(MASTER);
                        }
                    }
                }
            }
            Act::Return(process) => {
                if !std::mem::replace(&mut self.there[Self::place(process)], true) {
                    if let Process::Worker(slot) = process {
                        self.serves[slot.index()] = self.current;
                    }
                    self.told.tell(Event::Came(process));
                    self.say(process);
                }
            }
            Act::Wait => {
                if self.told.fanout.wake_at().is_some() {
                    self.told.late();
                }
            }
        }
    }

    fn obey(&mut self, well: bool) {
        if self.pending.is_empty() {
            return;
        }
        let (process, number, order) = self.pending.remove(0);
        if well {
            match (process, order) {
                (
                    Process::Worker(slot),
                    Order::Apply { generation, .. } | Order::Follow { generation },
                ) => {
                    self.serves[slot.index()] = generation;
                    self.say(process);
                }
                (Process::Master, Order::Apply { generation, .. }) => {
                    self.current = generation;
                    if let Some(first) =
                        Slot::ALL.into_iter().find(|s| self.serves[s.index()] == generation)
                    {
                        self.active = first;
                    }
                    self.say(process);
                }
                _ => {}
            }
        } else if let (Process::Worker(_), Order::Follow { .. }) = (process, order) {
            // It is replaced.
            self.perform(Act::Die(process));
            return self.perform(Act::Return(process));
        }
        let answer = if well { Answer::DONE } else { refused() };
        self.told.tell(Event::Answered { process, number, answer });
    }

    fn outcomes(&self) -> usize {
        self.told.effects.iter().filter(|effect| matches!(effect, Effect::End(_))).count()
    }

    fn is_busy(&self) -> bool {
        self.outcomes() < self.wanted
    }

    /// Nothing goes wrong any more.
    fn calm_down(&mut self) {
        for process in [MASTER, ACTIVE, STANDBY] {
            self.act(Act::Return(process));
        }
        for _ in 0..12 {
            self.act(Act::Obey { well: true });
        }
        for _ in 0..4 {
            self.act(Act::Wait);
            self.act(Act::Obey { well: true });
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    let process = prop_oneof![Just(MASTER), Just(ACTIVE), Just(STANDBY)];
    let other = process.clone();
    prop_oneof![
        2 => (1_u64..3).prop_map(Act::Want),
        6 => any::<bool>().prop_map(|well| Act::Obey { well }),
        2 => process.prop_map(Act::Die),
        3 => other.prop_map(Act::Return),
        1 => Just(Act::Wait),
    ]
}

proptest! {
    /// Every order has one outcome, which is true at that instant, and in the end one
    /// generation serves everywhere.
    #[test]
    fn one_generation_serves_in_the_end(acts in prop::collection::vec(act(), 0..60)) {
        let mut world = World::new();
        for act in acts {
            let before = world.outcomes();
            world.act(act);
            prop_assert!(world.outcomes() <= world.wanted);
            if world.outcomes() > before {
                let outcome = world.told.effects.iter().rev().find_map(|effect| match effect {
                    Effect::End(outcome) => Some(outcome),
                    Effect::Do { .. } => None,
                });
                let is_done = matches!(outcome, Some(Outcome::Done { .. }));
                prop_assert_eq!(is_done, world.current == generation(world.last), "{:?}", outcome);
            }
        }
        world.calm_down();
        prop_assert_eq!(world.outcomes(), world.wanted, "{:?}", world.told.effects);
        prop_assert_eq!(world.serves, [world.current; 2], "{:?}", world.told.effects);
    }
}

#[test]
fn what_takes_too_long_has_failed() {
    let mut told = Told::new(&[ACTIVE, STANDBY, MASTER]);
    told.tell(Event::Wanted(Order::Status));
    told.now = told.now + Duration::from_secs(1);
    told.tell(Event::Tick);
    assert_eq!(told.asked().0, STANDBY);
    told.late();
    assert_eq!(told.ended(), Some(&failed(STANDBY, "it took too long")));
}
