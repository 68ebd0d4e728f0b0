//! Keepers and heirs: what the protocol of `mainstay_wire::estate` demands of both.
//!
//! ```text
//!  heir                          keeper
//!   │ commit an offer               │
//!   │ answer it ──────────────────▶ │ drop it from the list
//!   │ work on it                    │
//! ```
//!
//! Three rules make a connection arrive once, wherever the heir dies:
//!
//! 1. The heir works on a connection after it answered the offer, not before.
//! 2. A keeper whose heir died reads every answer that still came, then looks into the heir's
//!    ledger, then accepts the next claim.
//! 3. A keeper shuts the lanes before it empties them, so that a later handoff fails.
//!
//! What a master was sending when it died is in its table and in a lane as well. Three more
//! rules bring both copies to one heir, who knows a connection that it has:
//!
//! 4. Handoffs go to the holder of the lease alone, and the master closes what it sent before
//!    it does anything else. So the lease does not move while there are two copies.
//! 5. A worker claims everything that is there before it gives the lease back, and keepers
//!    hear claims in the order in which they came.
//! 6. An heir takes what workers left before what a master left, so that it meets the copy
//!    that has a state first.

use std::collections::VecDeque;

use mainstay_model::Process as Role;
use mainstay_wire::pair::Serving;

use crate::action::pick;
use crate::world::{Body, Client, Entry, Flaw, Phase, Pid, World};

/// Most connections in one offer.
const ITEMS_MAX: usize = 2;

/// Most offers without an answer.
const OFFERS_MAX: usize = 2;

/// The keeper of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keeper {
    stage: Stage,
    claim: Option<Claim>,
    /// Who connected while another's claim was open, in order.
    waiting: VecDeque<Pid>,
}

#[derive(Clone, Debug, Default)]
enum Stage {
    /// Its process lives, or it has not woken up yet.
    #[default]
    Asleep,
    /// It offers what is left.
    Open {
        left: Vec<(Client, Phase)>,
        lanes: Lanes,
    },
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    Open,
    Shut,
}

#[derive(Clone, Debug)]
struct Claim {
    heir: Pid,
    /// Sent, not yet read by the heir.
    offers: VecDeque<Vec<(Client, Phase)>>,
    /// Sent and not yet known to be answered, read or not; oldest first.
    unanswered: VecDeque<Vec<(Client, Phase)>>,
    /// Answers under way. Offers are answered in order.
    answers: usize,
}

impl Keeper {
    pub(crate) const fn lanes_are_shut(&self) -> bool {
        matches!(self.stage, Stage::Open { lanes: Lanes::Shut, .. } | Stage::Gone)
    }

    /// What it has to give away; `None` while it has made no list.
    pub(crate) fn left(&self) -> Option<&[(Client, Phase)]> {
        match &self.stage {
            Stage::Asleep => None,
            Stage::Open { left, .. } => Some(left),
            Stage::Gone => Some(&[]),
        }
    }
}

impl World {
    /// The active worker claims one estate, behind whoever claimed it before.
    pub(crate) fn claim(&mut self, estate: usize) -> Option<()> {
        let active = self.workers(|process| {
            process.body == Body::Running && process.mind.serving == Serving::Active
        });
        let heir = pick(&active, 0)?;
        let estate = pick(&self.unclaimed(heir), estate)?;
        self.process_mut(estate).keeper.waiting.push_back(heir);
        Some(())
    }

    /// `heir` claims everything that is there.
    pub(crate) fn claim_everything(&mut self, heir: Pid) {
        for estate in self.unclaimed(heir) {
            self.process_mut(estate).keeper.waiting.push_back(heir);
        }
    }

    /// The estates that `heir` has not claimed.
    fn unclaimed(&self, heir: Pid) -> Vec<Pid> {
        let estates = self.estates.iter().copied();
        estates
            .filter(|estate| {
                let keeper = &self.process(*estate).keeper;
                let has = keeper.claim.as_ref().is_some_and(|claim| claim.heir == heir);
                !has && !keeper.waiting.contains(&heir)
            })
            .collect()
    }

    /// A keeper does the next thing.
    pub(crate) fn keep(&mut self, estate: usize) -> Option<()> {
        let pid = pick(&self.estates, estate)?;
        let heir = self.process(pid).keeper.claim.as_ref().map(|claim| claim.heir);
        let heir_died = heir.is_some_and(|heir| !self.process(heir).body.may_act());
        let did = if self.process(pid).keeper.left().is_none() {
            self.open_estate(pid);
            Some(())
        } else if heir_died {
            self.bury_heir(pid)
        } else if heir.is_none() {
            self.accept_claim(pid)
        } else {
            self.offer_or_read(pid)
        };
        if self.process(pid).keeper.left().is_some_and(<[_]>::is_empty) {
            self.process_mut(pid).keeper.stage = Stage::Gone;
            self.estates.retain(|estate| *estate != pid);
        }
        did
    }

    fn open_estate(&mut self, pid: Pid) {
        let lanes = if self.has(Flaw::LanesStayOpen) { Lanes::Open } else { Lanes::Shut };
        let process = self.process_mut(pid);
        let left = process.table.items().collect();
        process.table.lane.clear();
        process.keeper.stage = Stage::Open { left, lanes };
    }

    /// The next claim is heard.
    fn accept_claim(&mut self, pid: Pid) -> Option<()> {
        let keeper = &mut self.process_mut(pid).keeper;
        let heir = keeper.waiting.pop_front()?;
        keeper.claim =
            Some(Claim { heir, offers: VecDeque::new(), unanswered: VecDeque::new(), answers: 0 });
        Some(())
    }

    /// The heir is past doing anything: what did it take?
    fn bury_heir(&mut self, pid: Pid) -> Option<()> {
        let read = !self.has(Flaw::AnswersAreForgotten);
        let look = !self.has(Flaw::HeirsLedgerIsForgotten);
        let mut claim = self.process_mut(pid).keeper.claim.take()?;
        let answered = if read { claim.answers } else { 0 };
        let mut taken: Vec<Client> = Vec::new();
        for offer in claim.unanswered.drain(..answered) {
            taken.extend(offer.iter().map(|(client, _)| *client));
        }
        let ledger = &self.process(claim.heir).table.ledger;
        for (client, _) in claim.unanswered.iter().flatten() {
            if look && ledger.iter().any(|entry| entry.client == *client) {
                taken.push(*client);
            }
        }
        self.forget(pid, &taken);
        Some(())
    }

    fn offer_or_read(&mut self, pid: Pid) -> Option<()> {
        let Keeper { stage: Stage::Open { left, .. }, claim: Some(claim), .. } =
            &mut self.process_mut(pid).keeper
        else {
            return None;
        };
        if claim.answers > 0 {
            claim.answers -= 1;
            let offer = claim.unanswered.pop_front().unwrap_or_default();
            let taken: Vec<Client> = offer.iter().map(|(client, _)| *client).collect();
            self.forget(pid, &taken);
            Some(())
        } else if claim.unanswered.len() < OFFERS_MAX {
            let offered = claim.unanswered.iter().map(Vec::len).sum();
            let offer: Vec<_> = left.iter().skip(offered).take(ITEMS_MAX).copied().collect();
            if offer.is_empty() {
                return None;
            }
            claim.offers.push_back(offer.clone());
            claim.unanswered.push_back(offer);
            Some(())
        } else {
            None
        }
    }

    /// The keeper closes its copies of what was taken.
    fn forget(&mut self, pid: Pid, taken: &[Client]) {
        if let Stage::Open { left, .. } = &mut self.process_mut(pid).keeper.stage {
            left.retain(|(client, _)| !taken.contains(client));
        }
    }

    /// An heir commits one offer.
    pub(crate) fn take(&mut self, offer: usize) -> Option<()> {
        let worker_left = self.estates.iter().any(|estate| self.is_worker(*estate));
        let first = self.has(Flaw::MastersEstateFirst);
        let offers: Vec<(Pid, Pid)> = self
            .estates
            .iter()
            .filter(|estate| first || !worker_left || self.is_worker(**estate))
            .filter_map(|estate| {
                let claim = self.process(*estate).keeper.claim.as_ref()?;
                let can = self.process(claim.heir).body == Body::Running;
                (can && !claim.offers.is_empty()).then_some((*estate, claim.heir))
            })
            .collect();
        let (estate, heir) = pick(&offers, offer)?;
        let items = self.process_mut(estate).keeper.claim.as_mut()?.offers.pop_front()?;

        let twice = self.has(Flaw::SameConnectionTwice);
        let process = self.process_mut(heir);
        for (client, phase) in items {
            if twice || !process.table.knows(client) {
                process.table.ledger.push(Entry { client, phase, unanswered: Some(estate) });
            }
        }
        process.mind.to_answer.push_back(estate);
        Some(())
    }

    fn is_worker(&self, pid: Pid) -> bool {
        matches!(self.process(pid).role, Role::Worker(_))
    }

    /// An heir answers the oldest offer that it has committed.
    pub(crate) fn answer(&mut self, worker: usize) -> Option<()> {
        let owing = self
            .workers(|process| process.body == Body::Running && !process.mind.to_answer.is_empty());
        let heir = pick(&owing, worker)?;
        let process = self.process_mut(heir);
        let estate = process.mind.to_answer.pop_front()?;
        // Offers of one estate are answered in order, and this was its last one.
        if !process.mind.to_answer.contains(&estate) {
            for entry in &mut process.table.ledger {
                entry.unanswered = entry.unanswered.filter(|from| *from != estate);
            }
        }
        if let Some(claim) = self.process_mut(estate).keeper.claim.as_mut() {
            claim.answers += 1;
        }
        Some(())
    }
}
