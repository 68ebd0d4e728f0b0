//! What this machine wants run around an apply.
//!
//! A hook is a child with limits; while it runs, the master goes on. What it says is in the
//! answer, whether it went well or not.

use anyhow::Context as _;
use mainstay_child::{End, Order, Outcome, Running};
use mainstay_config::host;
use mainstay_generations::Generations;
use mainstay_model::Chain;
use mainstay_pair::{ApplyEvent, Hook};
use mainstay_wire::command::HookSaid;
use tracing::{info, warn};

use crate::token::Token;
use crate::turn::Master;

/// Where a hook finds its commands.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A hook that runs.
#[derive(Debug)]
pub(crate) struct RunningHook {
    hook: Hook,
    child: Running,
}

impl Master {
    /// Runs a hook, and tells the apply how that went; one that is not there went well.
    pub(crate) fn run_hook(&mut self, hook: Hook) -> anyhow::Result<()> {
        let hooks = &self.settings.host.hooks;
        let configured = match hook {
            Hook::PreApply => &hooks.pre_apply,
            Hook::Network | Hook::UndoNetwork => &hooks.network,
            Hook::PostApply => &hooks.post_apply,
        };
        let Some(configured) = configured.clone() else {
            return self.step_apply(ApplyEvent::HookDone);
        };
        info!(hook = name(hook), command = ?configured.command, "hook is run");
        match Running::start(self.order(hook, &configured)) {
            Ok(child) => {
                self.watch(&child, Token::Hook)?;
                self.hook = Some(RunningHook { hook, child });
                Ok(())
            }
            Err(error) => {
                let reason = Chain(&error).to_string();
                warn!(hook = name(hook), reason, "hook cannot be run");
                self.note_reason(format!("hook {}: {reason}", name(hook)));
                self.step_apply(ApplyEvent::HookFailed)
            }
        }
    }

    fn order(&self, hook: Hook, configured: &host::Hook) -> Order {
        let generation = self.applied_generation().unwrap_or(self.generation);
        let file = Generations::of(&self.settings.host.state).file(generation);
        let mut environment = vec![
            ("PATH".to_owned(), PATH.into()),
            ("MAINSTAY_STEP".to_owned(), name(hook).into()),
            ("MAINSTAY_GENERATION".to_owned(), generation.to_string().into()),
            ("MAINSTAY_FROM".to_owned(), self.generation.to_string().into()),
            ("MAINSTAY_GATEWAY_TOML".to_owned(), file.into()),
            ("MAINSTAY_STATE".to_owned(), self.settings.host.state.clone().into()),
        ];
        if hook == Hook::UndoNetwork {
            environment.push(("MAINSTAY_UNDO".to_owned(), "1".into()));
        }
        let mut words = configured.command.iter();
        Order {
            program: words.next().map(Into::into).unwrap_or_default(),
            arguments: words.map(Into::into).collect(),
            environment,
            input: None,
            timeout: configured.timeout,
            output_bytes: configured.output_bytes,
        }
    }

    /// A hook is over.
    pub(crate) fn end_hook(&mut self) -> anyhow::Result<()> {
        let outcome = self.hook.as_ref().and_then(|running| running.child.outcome());
        let Some(Outcome { end, output }) = outcome else { return Ok(()) };
        let Some(RunningHook { hook, child }) = self.hook.take() else { return Ok(()) };
        self.poller.remove(&child).context("cannot stop watching a hook")?;
        let said = output.trim_end();
        if let Some(applying) = &self.applying {
            let (hook, output) = (name(hook).to_owned(), said.to_owned());
            applying.tell_hook(HookSaid { hook, end: end.to_string(), output });
        }
        if end == End::Exited(0) {
            info!(hook = name(hook), said, "hook went well");
            return self.step_apply(ApplyEvent::HookDone);
        }
        warn!(hook = name(hook), %end, said, "hook failed");
        if matches!(hook, Hook::PreApply | Hook::Network) {
            let colon = if said.is_empty() { "" } else { ": " };
            self.note_reason(format!("hook {}: {end}{colon}{said}", name(hook)));
        }
        self.step_apply(ApplyEvent::HookFailed)
    }
}

/// As host.toml calls it.
const fn name(hook: Hook) -> &'static str {
    match hook {
        Hook::PreApply => "pre_apply",
        Hook::Network | Hook::UndoNetwork => "network",
        Hook::PostApply => "post_apply",
    }
}
