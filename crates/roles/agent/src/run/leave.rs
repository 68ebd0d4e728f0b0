//! The end: the last message says that it is the last (OpAMP, `AgentToServer.agent_disconnect`).
//!
//! Whether it arrives changes nothing for this agent: if it does not, managers find out that the
//! agent is silent, and the next start finds out where the chain stands.

use std::time::Duration;

use mainstay_model::Chain;
use mainstay_os::now;
use tracing::{info, warn};

use super::{Running, shown};
use crate::exchange::{Parting, Then, View};

/// How long all of it may take.
const LEAVE_MAX: Duration = Duration::from_secs(2);

impl Running {
    /// Tells the manager that was spoken to last that this agent ends.
    pub(super) async fn leave(&mut self) {
        self.abandon();
        let until = now() + LEAVE_MAX;
        while self.is_registered() {
            let place = self.endpoints.current();
            let Some(manager) = self.settings.managers.get(place).cloned() else { return };
            let view = View { look: shown(self.look.as_ref()), description: self.description() };
            let Parting { asked, then } = self.exchanges.leave(&view);
            let (contact, key) = (self.contact.clone(), self.exchanges.keys().current);
            let answered = match contact.ask(&manager, &key, &asked, until.since(now())).await {
                Ok(answered) => answered,
                Err(error) => {
                    info!(error = %Chain(&error), "no manager is told that this agent ends");
                    return;
                }
            };
            if let Err(error) = self.exchanges.take(&answered.message) {
                warn!(error = %Chain(error.as_ref()), "an answer cannot be used");
                return;
            }
            if then == Then::End {
                return;
            }
        }
    }
}
