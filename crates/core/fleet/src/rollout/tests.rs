//! Rows of single decisions, and whole rollouts with members that do as they please.

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

const fn member(wave: u32, mark: Mark, said: Said) -> Member {
    Member { wave, mark, said, heard: Heard::Online }
}

const fn silent(wave: u32) -> Member {
    Member { wave, mark: Mark::Offered, said: Said::Nothing, heard: Heard::Silent }
}

const fn view(members: &[Member]) -> View<'_> {
    View {
        state: State::Running,
        wave: Some(0),
        since_wave: Duration::ZERO,
        since_step: Duration::ZERO,
        former: Former::Version,
        members,
    }
}

const WAITING: Member = member(1, Mark::Waiting, Said::Nothing);

#[test]
fn an_order_fits_or_is_refused() {
    use Order::{Halt, Resume, RollBack, Start};
    let members = [member(0, Mark::Offered, Said::Nothing), WAITING];
    for (state, order_, expected) in [
        (State::Draft, Start, Some(State::Running)),
        (State::Draft, Halt, None),
        (State::Draft, Resume, None),
        (State::Draft, RollBack, Some(State::RolledBack)),
        (State::Running, Start, None),
        (State::Running, Halt, Some(State::Halted)),
        (State::Running, Resume, None),
        (State::Running, RollBack, Some(State::RollingBack)),
        (State::Halted, Start, None),
        (State::Halted, Halt, None),
        (State::Halted, Resume, Some(State::Running)),
        (State::Halted, RollBack, Some(State::RollingBack)),
        (State::RollingBack, Halt, None),
        (State::RolledBack, Start, None),
        (State::Done, RollBack, None),
    ] {
        let view = View { state, ..view(&members) };
        let step = order(&Plan::default(), &view, order_).ok();
        assert_eq!(step.map(|step| step.state), expected, "{order_} to {state}");
    }
}

#[test]
fn a_wave_that_is_good_and_quiet_is_followed_by_the_next() {
    let plan = Plan::default();
    let offered = [member(0, Mark::Offered, Said::Nothing), WAITING];
    assert_eq!(look(&plan, &view(&offered)), None, "it has time");
    let said = [member(0, Mark::Offered, Said::Applied), WAITING];
    let step = look(&plan, &view(&said)).unwrap();
    assert_eq!((step.state, step.marks), (State::Running, vec![(0, Mark::Applied)]));
    let applied = [member(0, Mark::Applied, Said::Applied), WAITING];
    assert_eq!(look(&plan, &view(&applied)), None, "it is watched");
    let watched = View { since_step: MINUTE, ..view(&applied) };
    let step = look(&plan, &watched).unwrap();
    assert_eq!((step.offer, step.desire), (Some(1), Desire::Keep));
    let last = [member(0, Mark::Applied, Said::Applied)];
    let step = look(&plan, &View { since_step: MINUTE, ..view(&last) }).unwrap();
    assert_eq!((step.state, step.desire), (State::Done, Desire::Adopt));
}

#[test]
fn a_failing_wave_halts_or_goes_back() {
    let failing = [member(0, Mark::Offered, Said::Failed), WAITING];
    let plan = Plan::default();
    let step = look(&plan, &view(&failing)).unwrap();
    assert_eq!((step.state, step.offer), (State::Halted, None));
    assert_eq!(step.reason.unwrap().to_string(), "wave 1: 1 failed, 0 are allowed");
    assert_eq!(step.marks, [(0, Mark::Failed)]);
    let plan = Plan { on_failure: OnFailure::RollBack, ..plan };
    let step = look(&plan, &view(&failing)).unwrap();
    assert_eq!((step.state, step.desire), (State::RollingBack, Desire::Revert));
    let first = View { former: Former::None, ..view(&failing) };
    assert_eq!(look(&plan, &first).unwrap().state, State::Halted, "there is nothing before");
}

#[test]
fn what_fails_late_counts() {
    let late = [member(0, Mark::Applied, Said::Unhealthy), member(1, Mark::Offered, Said::Nothing)];
    let step = look(&Plan::default(), &View { wave: Some(1), ..view(&late) }).unwrap();
    assert_eq!(step.state, State::Halted);
    // It was accepted by a resume.
    let known = [member(0, Mark::Failed, Said::Failed), member(1, Mark::Offered, Said::Nothing)];
    assert_eq!(look(&Plan::default(), &View { wave: Some(1), ..view(&known) }), None);
}

#[test]
fn the_silent_hold_up_nobody_and_the_slow_have_failed() {
    let plan = Plan::default();
    let over = |members| View { since_wave: plan.patience, since_step: MINUTE, ..view(members) };
    let one_away = [member(0, Mark::Applied, Said::Applied), silent(0), WAITING];
    assert_eq!(look(&plan, &over(&one_away)).unwrap().offer, Some(1));
    let all_away = [silent(0), WAITING];
    let step = look(&plan, &over(&all_away)).unwrap();
    assert_eq!(step.reason, Some(Reason::Nobody { wave: 0 }));
    let slow = [member(0, Mark::Offered, Said::Nothing), WAITING];
    assert_eq!(look(&plan, &over(&slow)).unwrap().state, State::Halted);
}

#[test]
fn resuming_accepts_what_failed() {
    let plan = Plan::default();
    let halted = |members| View { state: State::Halted, ..view(members) };
    let bad = [member(0, Mark::Failed, Said::Failed), WAITING];
    assert_eq!(order(&plan, &halted(&bad), Order::Resume).unwrap().offer, Some(1));
    let stopped = [member(0, Mark::Offered, Said::Nothing), WAITING];
    assert_eq!(order(&plan, &halted(&stopped), Order::Resume).unwrap().offer, Some(0));
    let last = [member(0, Mark::Failed, Said::Failed)];
    assert_eq!(order(&plan, &halted(&last), Order::Resume).unwrap().desire, Desire::Adopt);
}

#[test]
fn going_back_ends() {
    let plan = Plan::default();
    let back =
        |members, since_step| View { state: State::RollingBack, since_step, ..view(members) };
    let serving = [member(0, Mark::RolledBack, Said::Applied)];
    assert_eq!(look(&plan, &back(&serving, MINUTE)), None);
    let step = look(&plan, &back(&serving, plan.patience)).unwrap();
    assert_eq!(step.reason, Some(Reason::StillServing { members: 1 }));
    let gone = [member(0, Mark::RolledBack, Said::Nothing), silent(0)];
    assert_eq!(look(&plan, &back(&gone, MINUTE)).unwrap().state, State::RolledBack);
}

/// Carries a rollout out as a manager and its database would.
struct Fleet {
    plan: Plan,
    state: State,
    wave: Option<u32>,
    wave_at: Duration,
    step_at: Duration,
    now: Duration,
    members: Vec<Member>,
    /// What the good waves were, in order.
    passed: Vec<u32>,
}

impl Fleet {
    fn start(plan: Plan, members: u32) -> Self {
        let waves = plan.assign(members);
        let members = waves.iter().map(|&wave| member(wave, Mark::Waiting, Said::Nothing));
        let mut fleet = Self {
            plan,
            state: State::Draft,
            wave: None,
            wave_at: Duration::ZERO,
            step_at: Duration::ZERO,
            now: Duration::ZERO,
            members: members.collect(),
            passed: Vec::new(),
        };
        let step = order(&fleet.plan, &fleet.view(), Order::Start).unwrap();
        fleet.take(&step);
        fleet
    }

    fn view(&self) -> View<'_> {
        View {
            state: self.state,
            wave: self.wave,
            since_wave: self.now - self.wave_at,
            since_step: self.now - self.step_at,
            former: Former::Version,
            members: &self.members,
        }
    }

    fn take(&mut self, step: &Step) {
        self.step_at = self.now;
        self.state = step.state;
        for &(place, mark) in &step.marks {
            self.members[place].mark = mark;
        }
        if let Some(wave) = step.offer {
            if Some(wave) != self.wave {
                self.passed.extend(self.wave);
            }
            self.wave = Some(wave);
            self.wave_at = self.now;
            for one in self.members.iter_mut().filter(|one| one.wave == wave) {
                if one.mark == Mark::Waiting {
                    one.mark = Mark::Offered;
                }
            }
        }
        if step.desire == Desire::Revert {
            for one in self.members.iter_mut().filter(|one| one.mark != Mark::Waiting) {
                one.mark = Mark::RolledBack;
            }
        }
    }

    fn turn(&mut self, after: Duration) {
        self.now += after;
        if let Some(step) = look(&self.plan, &self.view()) {
            let goes_on = step.offer.is_some() || step.state == State::Done;
            if let (true, Some(wave)) = (goes_on, self.wave) {
                let failed = self.failures_in(wave);
                assert!(failed <= self.plan.failures as usize, "wave {wave}: {failed} failed");
            }
            self.take(&step);
        }
    }

    fn failures_in(&self, wave: u32) -> usize {
        let failed = |one: &&Member| one.wave == wave && one.mark == Mark::Failed;
        self.members.iter().filter(failed).count()
    }
}

#[test]
fn a_bad_version_reaches_one_wave_of_a_thousand() {
    let mut fleet = Fleet::start(Plan::default(), 1_000);
    for _ in 0..100 {
        for one in &mut fleet.members {
            if one.mark != Mark::Waiting {
                one.said = Said::Failed;
            }
        }
        fleet.turn(MINUTE);
    }
    assert_eq!(fleet.state, State::Halted);
    let reached = fleet.members.iter().filter(|one| one.mark != Mark::Waiting).count();
    assert_eq!(reached, 1);
}

#[test]
fn a_good_version_reaches_everybody() {
    let mut fleet = Fleet::start(Plan::default(), 1_000);
    for _ in 0..100 {
        for one in &mut fleet.members {
            if one.mark != Mark::Waiting {
                one.said = Said::Applied;
            }
        }
        fleet.turn(MINUTE);
    }
    assert_eq!(fleet.state, State::Done);
    assert!(fleet.members.iter().all(|one| one.mark == Mark::Applied));
    assert_eq!(fleet.passed, [0, 1, 2]);
}

proptest! {
    /// Members fail, fall silent and answer as they like: no wave is offered after a bad one
    /// unless an operator resumes, and every rollout comes to rest.
    #[test]
    fn waves_follow_good_waves(
        count in 1_u32..40,
        failures in 0_u32..3,
        turns in prop::collection::vec((0_u8..6, 0_usize..40, 1_u64..400), 50..200),
    ) {
        let plan = Plan { failures, ..Plan::default() };
        let mut fleet = Fleet::start(plan, count);
        for (deed, place, seconds) in turns {
            let place = place % fleet.members.len();
            let one = &mut fleet.members[place];
            match deed {
                0 | 1 if one.mark != Mark::Waiting => one.said = Said::Applied,
                2 if one.mark != Mark::Waiting && place.is_multiple_of(5) => one.said = Said::Failed,
                3 => one.heard = Heard::Silent,
                4 => one.heard = Heard::Online,
                5 if fleet.state == State::Halted => {
                    let step = order(&fleet.plan, &fleet.view(), Order::Resume).unwrap();
                    fleet.take(&step);
                }
                _ => {}
            }
            fleet.turn(Duration::from_secs(seconds));
            let beyond = |one: &&Member| Some(one.wave) > fleet.wave;
            prop_assert!(fleet.members.iter().filter(beyond).all(|one| one.mark == Mark::Waiting));
        }
        // Everybody answers: it ends.
        for _ in 0..200 {
            for one in fleet.members.iter_mut().filter(|one| one.mark == Mark::Offered) {
                (one.said, one.heard) = (Said::Applied, Heard::Online);
            }
            fleet.turn(Duration::from_mins(10));
        }
        prop_assert!(matches!(fleet.state, State::Done | State::Halted), "{:?}", fleet.state);
    }
}
