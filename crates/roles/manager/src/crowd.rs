//! How many exchanges this manager lets in within a second: twice its share of what the fleet needs,
//! those that come at once among them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use mainstay_config::manager::Agents;
use mainstay_fleet::admission::{Admission, Rate, Verdict};
use mainstay_trust::token::random;

/// The part of a second's exchanges that may come at once.
const BURST_DIVISOR: u32 = 5;

/// Who is let in.
#[derive(Debug)]
pub(crate) struct Crowd {
    admission: Mutex<Admission>,
    per_second: AtomicU32,
    exchanges: usize,
}

impl Crowd {
    pub(crate) fn new(agents: &Agents) -> Self {
        Self {
            admission: Mutex::default(),
            per_second: AtomicU32::new(agents.rate_min),
            exchanges: agents.exchanges,
        }
    }

    /// So many agents are spread over so many managers.
    pub(crate) fn set_size(&self, agents: u64, managers: u64, settings: &Agents) {
        let rate = Rate::of_fleet(agents, settings.poll, managers, settings.rate_min);
        self.per_second.store(rate, Ordering::Relaxed);
    }

    /// Lets an exchange in, or says when it should come back. `waiting` are not answered yet.
    pub(crate) fn judge(&self, waiting: usize) -> Verdict {
        let per_second = self.per_second.load(Ordering::Relaxed);
        let burst = per_second.div_ceil(BURST_DIVISOR);
        let rate = Rate::new(per_second - burst, burst, self.exchanges);
        let luck = u64::from_be_bytes(random());
        let mut admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, verdict) = admission.judge(rate, mainstay_os::now(), waiting, luck);
        *admission = next;
        verdict
    }
}
