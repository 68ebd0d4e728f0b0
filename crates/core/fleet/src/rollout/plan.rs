//! How a rollout proceeds: how large its waves are, and what makes one bad.

use std::time::Duration;

/// Most waves of a rollout.
pub const WAVES_MAX: usize = 20;

const PATIENCE_MIN: Duration = Duration::from_secs(5);
const TIMES_MAX: Duration = Duration::from_hours(24 * 7);

/// How a rollout proceeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How much of the group has been offered the version with each wave; whoever is left comes
    /// with one more.
    pub waves: Vec<Share>,
    /// How many members of a wave may fail.
    pub failures: u32,
    /// How long nothing may change before the next wave.
    pub watch: Duration,
    /// How long a member of a wave may say nothing.
    pub patience: Duration,
    pub on_failure: OnFailure,
}

/// How much of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Members(u32),
    /// Rounded up.
    Percent(u8),
}

/// What a bad wave does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    Halt,
    RollBack,
}

/// Why a plan is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("a rollout has at most {WAVES_MAX} waves")]
    TooManyWaves,
    #[error("a wave is 1 to 100 percent, or at least one member")]
    Share,
    #[error("watching takes at most seven days")]
    Watch,
    #[error("patience is five seconds to seven days")]
    Patience,
}

impl Default for Plan {
    /// One gateway, a tenth, a half, all.
    fn default() -> Self {
        Self {
            waves: vec![Share::Members(1), Share::Percent(10), Share::Percent(50)],
            failures: 0,
            watch: Duration::from_mins(1),
            patience: Duration::from_mins(10),
            on_failure: OnFailure::Halt,
        }
    }
}

impl Plan {
    /// Whether it is one.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.waves.len() >= WAVES_MAX {
            return Err(PlanError::TooManyWaves);
        }
        let is_share = |share: &Share| match share {
            Share::Members(members) => *members >= 1,
            Share::Percent(percent) => (1..=100).contains(percent),
        };
        if !self.waves.iter().all(is_share) {
            return Err(PlanError::Share);
        }
        if self.watch > TIMES_MAX {
            return Err(PlanError::Watch);
        }
        if !(PATIENCE_MIN..=TIMES_MAX).contains(&self.patience) {
            return Err(PlanError::Patience);
        }
        Ok(())
    }

    /// The wave of each of `members`, in their order. A share that is no more than the one
    /// before it has no members, and is passed over.
    #[must_use]
    pub fn assign(&self, members: u32) -> Vec<u32> {
        let mut assigned = Vec::new();
        for (wave, share) in (0_u32..).zip(&self.waves) {
            let so_far = usize::try_from(share.of(members)).unwrap_or(usize::MAX);
            if so_far > assigned.len() {
                assigned.resize(so_far, wave);
            }
        }
        let last = u32::try_from(self.waves.len()).unwrap_or(u32::MAX);
        assigned.resize(usize::try_from(members).unwrap_or(usize::MAX), last);
        assigned
    }
}

impl Share {
    fn of(self, members: u32) -> u32 {
        match self {
            Self::Members(some) => some.min(members),
            Self::Percent(percent) => {
                let part = (u64::from(members) * u64::from(percent)).div_ceil(100);
                u32::try_from(part).unwrap_or(u32::MAX).min(members)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(waves: &[Share], members: u32) -> Vec<usize> {
        let plan = Plan { waves: waves.to_vec(), ..Plan::default() };
        let assigned = plan.assign(members);
        assert!(assigned.is_sorted());
        let last = u32::try_from(waves.len()).unwrap();
        (0..=last).map(|wave| assigned.iter().filter(|one| **one == wave).count()).collect()
    }

    #[test]
    fn shares_add_up_to_the_group() {
        use Share::{Members, Percent};
        for (waves, members, expected) in [
            (&[Members(1), Percent(10), Percent(50)][..], 1_000, vec![1, 99, 400, 500]),
            (&[Members(1), Percent(10), Percent(50)], 3, vec![1, 0, 1, 1]),
            (&[Percent(1)], 10, vec![1, 9]),
            (&[Percent(50), Percent(10)], 10, vec![5, 0, 5]),
            (&[Percent(100)], 10, vec![10, 0]),
            (&[Members(20)], 10, vec![10, 0]),
            (&[], 10, vec![10]),
            (&[Members(1)], 0, vec![0, 0]),
        ] {
            assert_eq!(sizes(waves, members), expected, "{waves:?} of {members}");
        }
    }

    #[test]
    fn a_plan_has_limits() {
        let plan = Plan::default();
        assert_eq!(plan.check(), Ok(()));
        let waves = |waves| Plan { waves, ..Plan::default() };
        assert_eq!(waves(vec![Share::Percent(0)]).check(), Err(PlanError::Share));
        assert_eq!(waves(vec![Share::Percent(101)]).check(), Err(PlanError::Share));
        assert_eq!(waves(vec![Share::Members(0)]).check(), Err(PlanError::Share));
        let many = waves(vec![Share::Percent(1); WAVES_MAX]);
        assert_eq!(many.check(), Err(PlanError::TooManyWaves));
        let slow = Plan { watch: TIMES_MAX * 2, ..Plan::default() };
        assert_eq!(slow.check(), Err(PlanError::Watch));
        let hasty = Plan { patience: Duration::ZERO, ..Plan::default() };
        assert_eq!(hasty.check(), Err(PlanError::Patience));
    }
}
