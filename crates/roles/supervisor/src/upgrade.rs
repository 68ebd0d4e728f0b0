//! Replacing the program of every process, with nothing closed.
//!
//! ```text
//!            it fits             exec                  all of them run it
//!  Checking ─────────▶ (becomes it) ──▶ Replacing ─────────────────────────▶ done
//!     │ no, or too late                    │ one does not come up
//!     ▼                                    ▼          exec                  all
//!   refused, nothing changed             (becomes what it was) ──▶ Replacing ──▶ failed
//! ```
//!
//! The supervisor goes first: if the new program cannot even do that, nothing else has happened.
//! To the other processes it is a supervisor that died and came back. Each of them whose program
//! is not the supervisor's is then asked to make way, by the moves that a reload uses: standby,
//! master, active, broadcast; the next one only when the gateway is whole again. The way back is the
//! same way with the other program.
//!
//! # Not here
//!
//! Files on the disk: whoever installs the program sees to them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow};
use mainstay_config::host::TrialUpgrade;
use mainstay_message::{receive, send};
use mainstay_model::{Chain, Process, Slot, Timestamp};
use mainstay_os::{Channel, Pidfd, become_program, control_socket, descriptor_path, now};
use mainstay_wire::event::Event;
use mainstay_wire::upgrade::{Handover, ToOperator};
use tracing::{info, warn};

use crate::children::{Child, Life, State, Word};
use crate::compatibility::understood;
use crate::ending::Ending;
use crate::token::{Token, place};
use crate::turn::{Phase, Supervisor};

/// Most of what a program may say about whether it fits.
const SAID_BYTES_MAX: u64 = 4 * 1024;

/// What the master said of the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PairWord {
    pub(crate) active: Option<Slot>,
    /// Both are ready, and nothing is being changed.
    pub(crate) is_whole: bool,
}

/// An upgrade that is under way.
#[derive(Debug)]
pub(crate) struct Upgrade {
    operator: Channel,
    until: Timestamp,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The program says whether it fits.
    Checking { program: File, pid: u32, pidfd: Pidfd, said: io::PipeReader },
    /// This is the program; the others are to become it.
    Replacing { way: Way, asked: Option<Asked> },
}

/// Where an upgrade goes.
#[derive(Debug)]
enum Way {
    /// To this program, from that one.
    Forth { former: File },
    /// Back to this program, because of what became of the other one.
    Back { reason: String },
}

/// A process that was asked to make way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    process: Process,
    pid: u32,
}

/// What the program that this process was has left.
#[derive(Debug)]
pub(crate) struct Former {
    operator: Channel,
    way: Way,
}

impl Former {
    /// Takes what waits on standard input.
    pub(crate) fn take_over() -> anyhow::Result<Self> {
        let channel = control_socket().context("standard input is no socket")?;
        let (handover, descriptors) = receive::<Handover>(&channel)
            .context("cannot read what it left")?
            .context("it left nothing")?;
        let Ok([operator, program]) = <[OwnedFd; 2]>::try_from(descriptors) else {
            return Err(anyhow!("it left other descriptors than it said"));
        };
        let operator = Channel::from_descriptor(operator).context("cannot use a channel")?;
        let way = match handover.failed {
            Some(reason) => Way::Back { reason },
            None => Way::Forth { former: File::from(program) },
        };
        Ok(Self { operator, way })
    }

    /// Becomes again what it was. Returns if that cannot be done.
    pub(crate) fn go_back(self, host: &Path, error: anyhow::Error) -> anyhow::Error {
        match self.way {
            Way::Forth { former } => {
                let reason = format!("it cannot start: {}", Chain(error.as_ref()));
                let failure = follow_with(&former, host, Some(reason), &self.operator);
                error.context(format!("cannot go back to the former program: {failure:#}"))
            }
            Way::Back { .. } => error,
        }
    }
}

impl Upgrade {
    /// When something is due.
    pub(crate) const fn until(&self) -> Timestamp {
        self.until
    }
}

/// Tells whoever asked. They may have gone; the upgrade goes on.
fn tell(operator: &Channel, message: &ToOperator) {
    if let Err(error) = send(operator, message, &[]) {
        info!(error = %Chain(&error), "whoever asked for the upgrade is not told");
    }
}

impl Supervisor {
    /// Begins with a check of the program that an operator sent.
    pub(crate) fn asked_to_upgrade(
        &mut self,
        operator: Channel,
        program: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        let begun = match program.into_iter().next() {
            None => Err(anyhow!("there is no program")),
            Some(_) if !matches!(self.phase, Phase::Gathering(_) | Phase::Running) => {
                Err(anyhow!("the gateway is being stopped"))
            }
            Some(_) if self.upgrade.is_some() => Err(anyhow!("another upgrade is under way")),
            Some(_) if self.is_changing() => {
                Err(anyhow!("the gateway is becoming {}", self.target))
            }
            Some(program) => self.begin_check(File::from(program)),
        };
        match begun {
            Ok(stage) => {
                info!("upgrade was asked for");
                let until = now() + self.settings.host.upgrade.timeout;
                self.upgrade = Some(Upgrade { operator, until, stage });
            }
            Err(error) => {
                let reason = Chain(error.as_ref()).to_string();
                warn!(reason, "upgrade is refused");
                tell(&operator, &ToOperator::Failed { reason });
            }
        }
        Ok(())
    }

    fn begin_check(&self, program: File) -> anyhow::Result<Stage> {
        let (said, output) = io::pipe().context("cannot make a pipe")?;
        let also = output.try_clone().context("cannot copy a pipe")?;
        let child = Command::new(descriptor_path(&program))
            .args(["fits".as_ref(), "--host".as_ref(), self.settings.file.as_os_str()])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(also)
            .spawn()
            .context("cannot run the program")?;
        let pid = child.id();
        let pidfd = Pidfd::open(pid).context("cannot watch the program")?;
        // Its end is reaped with all others.
        self.watch(&pidfd, Token::Check)?;
        Ok(Stage::Checking { program, pid, pidfd, said })
    }

    /// Looks whether the program that is checked is among those that ended.
    pub(crate) fn end_check(&mut self, endings: &BTreeMap<u32, Ending>) -> anyhow::Result<()> {
        let Some(Upgrade { stage: Stage::Checking { pid, .. }, .. }) = &self.upgrade else {
            return Ok(());
        };
        let Some(ending) = endings.get(pid) else { return Ok(()) };
        let Some(Upgrade { operator, stage: Stage::Checking { program, said, .. }, .. }) =
            self.upgrade.take()
        else {
            return Ok(());
        };
        let mut answer = String::new();
        said.take(SAID_BYTES_MAX).read_to_string(&mut answer).context("cannot read a pipe")?;
        let failure = if answer.trim_end() == understood() {
            tell(&operator, &ToOperator::Step { sentence: "the program fits".to_owned() });
            info!("becoming the new program");
            self.telling.settle();
            let failure = follow_with(&program, &self.settings.file, None, &operator);
            format!("{failure:#}")
        } else {
            format!("the program does not fit ({ending}): {}", answer.trim_end())
        };
        warn!(reason = failure, "upgrade is refused");
        self.telling.note(&Event::UpgradeFailed { reason: failure.clone() });
        tell(&operator, &ToOperator::Failed { reason: failure });
        Ok(())
    }

    /// Goes on with what the former program began.
    pub(crate) fn follow(&mut self, former: Former) {
        let Former { operator, way } = former;
        let until = now() + self.settings.host.upgrade.timeout;
        let upgrade = Upgrade { operator, until, stage: Stage::Replacing { way, asked: None } };
        tell(&upgrade.operator, &ToOperator::Step { sentence: "supervisor: replaced".to_owned() });
        self.upgrade = Some(upgrade);
    }

    /// Asks the next process to make way, if the last one is replaced.
    pub(crate) fn go_on_with_upgrade(&mut self, now: Timestamp) {
        let Some(upgrade) = &self.upgrade else { return };
        let is_late = now >= upgrade.until;
        match &upgrade.stage {
            Stage::Checking { pidfd, .. } => {
                if is_late && let Err(error) = pidfd.kill() {
                    warn!(%error, "cannot end a check");
                }
            }
            Stage::Replacing { asked, .. } => {
                let is_replaced =
                    self.is_whole() && asked.is_none_or(|asked| self.has_made_way(asked));
                match (is_replaced, asked) {
                    (true, _) => self.replace_next(now),
                    (false, Some(asked)) if is_late => {
                        let reason = format!("{} was not ready in time", asked.process);
                        self.upgrade_failed(reason);
                    }
                    (false, None) if is_late => {
                        self.upgrade_failed("the gateway was not whole in time".to_owned());
                    }
                    (false, _) => {}
                }
            }
        }
    }

    /// Whether everyone is there who is to be, and every worker is ready.
    pub(crate) fn is_whole(&self) -> bool {
        let is_welcomed = |child: &Child| match &child.state {
            State::Alive(life) => matches!(life.word, Word::Welcomed { .. }),
            State::Due(_) => false,
            State::Ended => true,
        };
        self.phase == Phase::Running && self.children.iter().all(is_welcomed) && self.pair.is_whole
    }

    pub(crate) fn life_of(&self, process: Process) -> Option<&Life> {
        let index = usize::try_from(place(process)).ok()?;
        self.children.get(index).and_then(Child::life)
    }

    fn has_made_way(&self, asked: Asked) -> bool {
        self.life_of(asked.process).is_some_and(|life| life.pid != asked.pid)
    }

    fn replace_next(&mut self, now: Timestamp) {
        let active = self.pair.active.unwrap_or(Slot::One);
        let order = [
            Process::Worker(active.other()),
            Process::Master,
            Process::Worker(active),
            Process::Broadcast,
        ];
        let next = order.into_iter().find(|&process| !self.runs_this_program(process));
        let timeout = self.settings.host.upgrade.timeout;
        let Some(Upgrade { stage: Stage::Replacing { asked, .. }, until, .. }) = &mut self.upgrade
        else {
            return;
        };
        let before = std::mem::take(asked);
        *until = now + timeout;
        if let Some(Asked { process, .. }) = before
            && let Some(upgrade) = &self.upgrade
        {
            tell(&upgrade.operator, &ToOperator::Step { sentence: format!("{process}: replaced") });
            let is_forth = matches!(upgrade.stage, Stage::Replacing { way: Way::Forth { .. }, .. });
            if is_forth && self.settings.host.trial.upgrade == TrialUpgrade::Fails {
                self.upgrade_failed("[trial] of host.toml has every upgrade fail".to_owned());
                return;
            }
        }
        match next {
            Some(process) => self.ask_to_make_way(process),
            None => self.upgrade_done(),
        }
    }

    fn ask_to_make_way(&mut self, process: Process) {
        let Some(life) = self.life_of(process) else { return };
        let pid = life.pid;
        info!(%process, pid, "process is asked to make way for the other program");
        if let Err(error) = life.pidfd.terminate() {
            warn!(%process, %error, "cannot ask a process to end");
        }
        if process != Process::Broadcast {
            // The master says anew who serves: when it has seen that one is missing, or when it
            // is there again itself.
            self.pair.is_whole = false;
        }
        if let Some(Upgrade { stage: Stage::Replacing { asked, .. }, .. }) = &mut self.upgrade {
            *asked = Some(Asked { process, pid });
        }
    }

    /// Whether a process is an instance of this very file. One that ended is started as it.
    fn runs_this_program(&self, process: Process) -> bool {
        let file = |pid: &str| {
            let status = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
            Some((status.dev(), status.ino()))
        };
        let own = file("self");
        self.life_of(process).is_none_or(|life| file(&life.pid.to_string()) == own)
    }

    /// A process died that was not asked to.
    pub(crate) fn upgrade_met_death(&mut self, process: Process, pid: u32) {
        let Some(Upgrade { stage: Stage::Replacing { asked, .. }, .. }) = &self.upgrade else {
            return;
        };
        if asked.is_some_and(|asked| asked.process == process && asked.pid != pid) {
            self.upgrade_failed(format!("{process} died as soon as it was replaced"));
        }
    }

    fn upgrade_failed(&mut self, reason: String) {
        let Some(upgrade) = self.upgrade.take() else { return };
        warn!(reason, "upgrade failed");
        self.telling.settle();
        let reason = match &upgrade.stage {
            Stage::Replacing { way: Way::Forth { former }, .. } => {
                let host = self.settings.file.clone();
                let failure = follow_with(former, &host, Some(reason.clone()), &upgrade.operator);
                format!("{reason}; and the former program cannot be begun again: {failure:#}")
            }
            Stage::Replacing { way: Way::Back { reason: first }, .. } => {
                format!("{first}; and not every process is back to the former program: {reason}")
            }
            Stage::Checking { .. } => reason,
        };
        self.telling.note(&Event::UpgradeFailed { reason: reason.clone() });
        tell(&upgrade.operator, &ToOperator::Failed { reason });
    }

    fn upgrade_done(&mut self) {
        let Some(upgrade) = self.upgrade.take() else { return };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        match upgrade.stage {
            Stage::Replacing { way: Way::Back { ref reason }, .. } => {
                warn!(version, reason, "every process is back to the former program");
                self.telling.note(&Event::UpgradeFailed { reason: reason.clone() });
                tell(&upgrade.operator, &ToOperator::Failed { reason: reason.clone() });
            }
            Stage::Replacing { way: Way::Forth { .. }, .. } | Stage::Checking { .. } => {
                info!(version, "every process runs the new program");
                self.telling.note(&Event::Upgraded { version: version.clone() });
                tell(&upgrade.operator, &ToOperator::Done { version });
            }
        }
    }

    /// The gateway stops: it does so with whatever program each process runs.
    pub(crate) fn give_up_upgrade(&mut self) {
        if let Some(upgrade) = self.upgrade.take() {
            warn!("upgrade is given up, the gateway stops");
            tell(
                &upgrade.operator,
                &ToOperator::Failed { reason: "the gateway is being stopped".to_owned() },
            );
        }
    }
}

/// Becomes another program, which goes on with the upgrade. Returns if that fails.
fn follow_with(
    program: &File,
    host: &Path,
    failed: Option<String>,
    operator: &Channel,
) -> anyhow::Error {
    let attempt = || -> anyhow::Result<(OwnedFd, Vec<OsString>)> {
        let (ours, theirs) = Channel::pair().context("cannot make a channel")?;
        let own = File::open("/proc/self/exe").context("cannot open this program")?;
        let descriptors = [operator.as_fd(), own.as_fd()];
        send(&ours, &Handover { failed }, &descriptors).context("cannot leave word")?;
        let arguments = ["run".into(), "--host".into(), host.into(), "--upgraded".into()];
        Ok((theirs.into(), arguments.to_vec()))
    };
    match attempt() {
        Ok((input, arguments)) => {
            let error = become_program(program, &arguments, input);
            anyhow::Error::new(error).context("cannot begin the program")
        }
        Err(error) => error,
    }
}
