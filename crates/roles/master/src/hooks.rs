//! What this machine wants run around an apply.
//!
//! A hook is a child with limits; while it runs, the master goes on. What it says is in the
//! answer, whether it went well or not. For what the network is made ready is noted on the disk
//! before that begins, and forgotten when the generation is current or everything was undone: a
//! master that finds such a note of another one undoes it first.

use anyhow::Context as _;
use mainstay_child::{End, Order, Outcome, Running, end_left_behind};
use mainstay_config::host;
use mainstay_generations::Generations;
use mainstay_model::{Chain, Generation};
use mainstay_pair::{ApplyEvent, Hook};
use mainstay_wire::command::HookSaid;
use tracing::{info, warn};

use crate::listeners::Changes;
use crate::settings::plan;
use crate::token::Token;
use crate::turn::Master;

/// Where a hook finds its commands.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A hook that runs.
#[derive(Debug)]
pub(crate) struct RunningHook {
    hook: Hook,
    child: Running,
    /// It undoes what another master has left.
    pub(crate) is_for_another: bool,
}

/// What a hook is told.
struct Subject {
    generation: Generation,
    changes: Changes,
}

impl Master {
    /// Runs a hook, and tells the apply how that went; one that is not there went well.
    pub(crate) fn run_hook(&mut self, hook: Hook) -> anyhow::Result<()> {
        let Some(applying) = &self.applying else { return Ok(()) };
        let changes = applying.changes.clone();
        let subject = Subject { generation: applying.apply.generation(), changes };
        let Some(configured) = self.configured(hook) else {
            return self.step_apply(ApplyEvent::HookDone);
        };
        if hook == Hook::Network
            && let Err(error) =
                Generations::of(&self.settings.host.state).connect(subject.generation)
        {
            // What cannot be noted could not be undone.
            self.note_reason(format!("hook {}: {}", name(hook), Chain(&error)));
            return self.step_apply(ApplyEvent::HookFailed);
        }
        info!(hook = name(hook), command = ?configured.command, "hook is run");
        match Running::start(self.order(hook, &configured, &subject)) {
            Ok(child) => {
                self.watch(&child, Token::Hook)?;
                self.hook = Some(RunningHook { hook, child, is_for_another: false });
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

    /// Begins to undo what a master before us has made of the network, and throws away what it
    /// had begun.
    pub(crate) fn undo_what_was_left(&mut self) -> anyhow::Result<()> {
        let generations = Generations::of(&self.settings.host.state);
        let left = generations.connected()?.filter(|&left| left != self.generation);
        let (Some(generation), Some(configured)) = (left, self.configured(Hook::UndoNetwork))
        else {
            return self.have_undone();
        };
        // What it listens on can be told as long as its text is there.
        let text = std::fs::read_to_string(generations.file(generation)).unwrap_or_default();
        let planned = plan(&text).unwrap_or_default();
        let subject = Subject { generation, changes: self.listeners.changes(&planned) };
        warn!(%generation, "what was made of the network for an apply that died is undone");
        // It may be at it still.
        let state = self.settings.host.state.as_os_str();
        let marks = [("MAINSTAY_STEP", name(Hook::Network).as_ref()), ("MAINSTAY_STATE", state)];
        match end_left_behind(&marks) {
            Ok(0) => {}
            Ok(processes) => warn!(processes, "a hook that was left behind is ended"),
            Err(error) => warn!(%error, "cannot look for a hook that was left behind"),
        }
        match Running::start(self.order(Hook::UndoNetwork, &configured, &subject)) {
            Ok(child) => {
                self.watch(&child, Token::Hook)?;
                self.hook =
                    Some(RunningHook { hook: Hook::UndoNetwork, child, is_for_another: true });
                Ok(())
            }
            Err(error) => {
                warn!(error = %Chain(&error), "hook cannot be run");
                self.have_undone()
            }
        }
    }

    /// Nothing is left of an apply that came to nothing.
    fn have_undone(&self) -> anyhow::Result<()> {
        let generations = Generations::of(&self.settings.host.state);
        generations.forget_connected()?;
        Ok(generations.discard_staged()?)
    }

    fn configured(&self, hook: Hook) -> Option<host::Hook> {
        let hooks = &self.settings.host.hooks;
        match hook {
            Hook::PreApply => hooks.pre_apply.clone(),
            Hook::Network | Hook::UndoNetwork => hooks.network.clone(),
            Hook::PostApply => hooks.post_apply.clone(),
        }
    }

    fn order(&self, hook: Hook, configured: &host::Hook, subject: &Subject) -> Order {
        let Subject { generation, changes } = subject;
        let file = Generations::of(&self.settings.host.state).file(*generation);
        let mut environment = vec![
            ("PATH".to_owned(), PATH.into()),
            ("MAINSTAY_STEP".to_owned(), name(hook).into()),
            ("MAINSTAY_GENERATION".to_owned(), generation.to_string().into()),
            ("MAINSTAY_FROM".to_owned(), self.generation.to_string().into()),
            ("MAINSTAY_GATEWAY_TOML".to_owned(), file.into()),
            ("MAINSTAY_STATE".to_owned(), self.settings.host.state.clone().into()),
            ("MAINSTAY_ADDED".to_owned(), changes.added.join("\n").into()),
            ("MAINSTAY_REMOVED".to_owned(), changes.removed.join("\n").into()),
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
        let Some(RunningHook { hook, child, is_for_another }) = self.hook.take() else {
            return Ok(());
        };
        self.poller.remove(&child).context("cannot stop watching a hook")?;
        let said = output.trim_end();
        if is_for_another {
            info!(hook = name(hook), %end, said, "what was left is undone");
            return self.have_undone();
        }
        if hook == Hook::UndoNetwork {
            Generations::of(&self.settings.host.state).forget_connected()?;
        }
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
