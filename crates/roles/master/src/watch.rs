//! How clients fare under a generation that was just made active.

use mainstay_ledger::Counter;
use mainstay_model::Slot;
use mainstay_pair::{Answers, ApplyEvent, ApplyFormer, ApplyPart, Judgement, Watch};
use tracing::{info, warn};

use crate::apply::Applying;
use crate::turn::Master;

impl Master {
    pub(crate) fn begin_watch(&mut self) {
        let Some(applying) = &self.applying else { return };
        let ApplyPart::Watching { first } = applying.apply.part() else { return };
        let served_before = match applying.apply.former() {
            ApplyFormer::Other => first.other(),
            ApplyFormer::Nobody => first,
        };
        let before = self.answers(served_before).since(self.answered_before);
        let limits = applying.limits;
        info!(slot = %first, "watching what serves now");
        let watch = Watch::begin(limits, before, self.answers(first));
        if let Some(applying) = &mut self.applying {
            applying.watch = Some(watch);
        }
    }

    /// Looks how clients fare under what is being watched.
    pub(crate) fn look_at_watch(&mut self) -> anyhow::Result<()> {
        let Some(Applying { apply, watch: Some(watch), .. }) = &self.applying else {
            return Ok(());
        };
        let ApplyPart::Watching { first } = apply.part() else { return Ok(()) };
        match watch.judge(self.answers(first)) {
            Judgement::Well => Ok(()),
            Judgement::Hurt { failed, all } => {
                warn!(slot = %first, failed, all, "requests fail under the new generation");
                self.note_reason(format!("{failed} of {all} requests failed after the swap"));
                self.step_apply(ApplyEvent::Hurt)
            }
        }
    }

    /// What a worker has answered since it started.
    fn answers(&self, slot: Slot) -> Answers {
        let spoken = self.workers.get(slot).and_then(|worker| worker.spoken.as_ref());
        let Some(spoken) = spoken else { return Answers::default() };
        Answers {
            all: spoken.ledger.totals().requests,
            failed: spoken.ledger.counter(Counter::Responses5xx),
        }
    }

    /// Notes, now and then, how much was answered: the time before a swap is counted from there.
    pub(crate) fn note_answered(&mut self) {
        if self.applying.is_none()
            && let Some(slot) = self.active()
        {
            self.answered_before = self.answers(slot);
        }
    }
}
