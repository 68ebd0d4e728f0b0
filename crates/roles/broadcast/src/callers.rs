//! The command channel and the session channel: who comes in, and their lines.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyhow::Context as _;
use mainstay_config::host::LocalAddress;
use mainstay_message::{Lines, LinesError};
use mainstay_model::{Chain, Timestamp};
use mainstay_os::{Endpoint, Interest, accept, bind, now};
use mainstay_wire::caller::{LINE_BYTES_MAX, Refused, Welcome};
use mainstay_wire::session;
use serde::Serialize;
use tracing::{debug, info, warn};

use crate::access;
use crate::token::Token;
use crate::turn::Broadcast;

/// Most callers of a channel at a time, and most that wait to be let in.
const CALLERS_MAX: usize = 64;

/// How long a caller on TCP may take to say who it is.
const WELCOME_LIMIT: Duration = Duration::from_secs(5);

/// Lines that a caller may be ahead of the answers.
const AHEAD_MAX: usize = 64;

/// How often an address is tried that somebody else has: the keeper of a dead process may, until
/// what that left is taken.
const OPEN_INTERVAL: Duration = Duration::from_millis(50);

/// The doors of both channels, and who came in.
#[derive(Debug)]
pub(crate) struct Callers {
    doors: Vec<Door>,
    all: Vec<Caller>,
    seen: u32,
    token: String,
    missing: Vec<Missing>,
}

/// An address that somebody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing {
    address: SocketAddr,
    channel: Channel,
    /// Tried again at this instant.
    at: Timestamp,
}

#[derive(Debug)]
struct Door {
    socket: OwnedFd,
    channel: Channel,
    proof: Proof,
}

/// What a caller speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Command,
    Session,
}

impl Channel {
    const fn socket(self) -> &'static str {
        match self {
            Self::Command => "command.sock",
            Self::Session => "session.sock",
        }
    }

    const fn line_bytes_max(self) -> usize {
        match self {
            Self::Command => LINE_BYTES_MAX,
            Self::Session => session::LINE_BYTES_MAX,
        }
    }
}

/// How a caller shows that it may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// The kernel says who it is.
    Credentials,
    Token,
}

#[derive(Debug)]
struct Caller {
    number: u32,
    channel: Channel,
    lines: Lines,
    standing: Standing,
    /// Lines that were read and not answered yet; the first is being answered, if `busy`.
    waiting: VecDeque<Vec<u8>>,
    work: Work,
    hearing: Hearing,
    interest: Interest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has to name the token first.
    Stranger {
        until: Timestamp,
    },
    Known,
}

/// Whether a caller may say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    On,
    /// It has ended its side, as `echo … | socat` does, and waits for what it asked for.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    None,
    /// Its line is being carried out.
    UnderWay,
}

impl Callers {
    /// Opens the doors.
    pub(crate) fn open(host: &mainstay_config::Host) -> anyhow::Result<Self> {
        let token = access::token(&host.state)?;
        let mut callers =
            Self { doors: Vec::new(), all: Vec::new(), seen: 0, token, missing: Vec::new() };
        for (channel, address) in
            [(Channel::Command, host.broadcast.command), (Channel::Session, host.broadcast.session)]
        {
            let unix = Endpoint::Unix(host.run.join(channel.socket()));
            callers.open_door(&unix, channel, Proof::Credentials)?;
            match address {
                LocalAddress::Tcp(address) => callers.open_tcp(address, channel),
                LocalAddress::Unix => {}
            }
        }
        Ok(callers)
    }

    fn open_door(
        &mut self,
        endpoint: &Endpoint,
        channel: Channel,
        proof: Proof,
    ) -> anyhow::Result<()> {
        let backlog = u32::try_from(CALLERS_MAX).unwrap_or(u32::MAX);
        let socket = bind(endpoint, backlog).with_context(|| format!("cannot open {endpoint}"))?;
        debug!(%endpoint, ?channel, "channel is open");
        self.doors.push(Door { socket, channel, proof });
        Ok(())
    }

    /// An address that somebody else has is no reason not to work: the Unix socket is there.
    fn open_tcp(&mut self, address: SocketAddr, channel: Channel) {
        if let Err(error) = self.open_door(&Endpoint::Tcp(address), channel, Proof::Token) {
            let error = Chain(error.as_ref());
            warn!(%address, ?channel, %error, "channel has no TCP address yet");
            self.missing.push(Missing { address, channel, at: now() + OPEN_INTERVAL });
        }
    }

    /// When an address is tried again that somebody else has.
    pub(crate) fn opens_at(&self) -> Option<Timestamp> {
        self.missing.iter().map(|missing| missing.at).min()
    }

    fn position(&self, number: u32) -> Option<usize> {
        self.all.iter().position(|caller| caller.number == number)
    }
}

impl Broadcast {
    /// Tries again to open what somebody else had.
    pub(crate) fn open_missing_door(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let (due, later): (Vec<Missing>, _) =
            self.callers.missing.iter().partition(|missing| missing.at <= now);
        self.callers.missing = later;
        for missing in due {
            let Missing { address, channel, .. } = missing;
            if self.callers.open_door(&Endpoint::Tcp(address), channel, Proof::Token).is_err() {
                self.callers.missing.push(Missing { at: now + OPEN_INTERVAL, ..missing });
                continue;
            }
            info!(%address, ?channel, "channel has its TCP address");
            let index = self.callers.doors.len().saturating_sub(1);
            let Some(door) = self.callers.doors.last() else { continue };
            self.watch(door.socket.as_fd(), Token::Door(u32::try_from(index).unwrap_or(u32::MAX)))?;
        }
        Ok(())
    }

    pub(crate) fn watch_doors(&self) -> anyhow::Result<()> {
        for (door, index) in self.callers.doors.iter().zip(0..) {
            self.watch(door.socket.as_fd(), Token::Door(index))?;
        }
        Ok(())
    }

    /// Lets in whoever is at this door.
    pub(crate) fn let_callers_in(&mut self, door: u32) -> anyhow::Result<()> {
        let Some(Door { socket, channel, proof }) =
            usize::try_from(door).ok().and_then(|index| self.callers.doors.get(index))
        else {
            return Ok(());
        };
        let (channel, proof) = (*channel, *proof);
        let mut came = Vec::new();
        while let Some((stream, _)) = accept(socket).context("cannot accept a caller")? {
            came.push(stream);
        }
        for stream in came {
            let count = self.callers.all.iter().filter(|caller| caller.channel == channel).count();
            if count >= CALLERS_MAX {
                warn!(limit = CALLERS_MAX, "too many callers, one was sent away");
                continue;
            }
            let standing = match proof {
                Proof::Token => Standing::Stranger { until: now() + WELCOME_LIMIT },
                Proof::Credentials if access::is_permitted(&stream) => Standing::Known,
                Proof::Credentials => {
                    warn!("a caller that is another user was sent away");
                    continue;
                }
            };
            self.callers.seen = self.callers.seen.wrapping_add(1);
            let number = self.callers.seen;
            self.watch(&stream, Token::Caller(number))?;
            self.callers.all.push(Caller {
                number,
                channel,
                lines: Lines::new(stream, channel.line_bytes_max()),
                standing,
                waiting: VecDeque::new(),
                work: Work::None,
                hearing: Hearing::On,
                interest: Interest::ReadLevel,
            });
        }
        Ok(())
    }

    /// Reads what a caller said, and sends what it had not taken.
    pub(crate) fn hear_caller(&mut self, number: u32) -> anyhow::Result<()> {
        let Some(at) = self.callers.position(number) else { return Ok(()) };
        let Some(caller) = self.callers.all.get_mut(at) else { return Ok(()) };
        let read = caller.lines.flush().and_then(|()| caller.lines.receive());
        match read {
            Ok(lines) if caller.waiting.len() + lines.len() <= AHEAD_MAX => {
                caller.waiting.extend(lines);
            }
            Ok(_) => {
                self.refuse_and_close(number, "too many lines that are not answered yet");
                return Ok(());
            }
            Err(LinesError::Closed) => return self.stop_hearing(number),
            Err(error) => {
                let reason = Chain(&error).to_string();
                self.refuse_and_close(number, &reason);
                return Ok(());
            }
        }
        self.work_for(number)
    }

    /// A caller has said everything: it goes when it has its answers.
    fn stop_hearing(&mut self, number: u32) -> anyhow::Result<()> {
        let Some(at) = self.callers.position(number) else { return Ok(()) };
        let Some(caller) = self.callers.all.get_mut(at) else { return Ok(()) };
        if caller.work == Work::None && caller.waiting.is_empty() {
            self.close_caller(number);
            return Ok(());
        }
        caller.hearing = Hearing::Over;
        // Its end would be told again and again.
        self.poller.remove(&caller.lines).context("cannot stop watching a caller")
    }

    /// Carries out what a caller has said, a line at a time.
    fn work_for(&mut self, number: u32) -> anyhow::Result<()> {
        loop {
            let Some(at) = self.callers.position(number) else { return Ok(()) };
            let Some(caller) = self.callers.all.get_mut(at) else { return Ok(()) };
            if caller.work == Work::UnderWay {
                return Ok(());
            }
            let Some(line) = caller.waiting.pop_front() else {
                return match caller.hearing {
                    Hearing::On => self.watch_writing(number),
                    Hearing::Over => {
                        self.close_caller(number);
                        Ok(())
                    }
                };
            };
            match caller.standing {
                Standing::Known => {
                    caller.work = Work::UnderWay;
                    match caller.channel {
                        Channel::Command => self.carry_out(number, &line)?,
                        Channel::Session => self.carry_out_session(number, &line)?,
                    }
                }
                Standing::Stranger { .. } => {
                    let is_known = serde_json::from_slice::<Welcome>(&line)
                        .is_ok_and(|welcome| access::is_same(&welcome.token, &self.callers.token));
                    if !is_known {
                        warn!("a caller did not know the token and was sent away");
                        self.refuse_and_close(
                            number,
                            "the first line must be {\"token\":\"…\"} with the right one",
                        );
                        return Ok(());
                    }
                    caller.standing = Standing::Known;
                }
            }
        }
    }

    /// Answers the line of a caller that is under way.
    pub(crate) fn reply(&mut self, number: u32, reply: &impl Serialize) {
        let Some(at) = self.callers.position(number) else { return };
        let Some(caller) = self.callers.all.get_mut(at) else { return };
        caller.work = Work::None;
        let line = serde_json::to_vec(reply).expect("a reply is JSON");
        if let Err(error) = caller.lines.send(&line) {
            debug!(error = %Chain(&error), "cannot answer a caller");
            self.close_caller(number);
        }
    }

    /// What callers said while one of their lines was carried out.
    pub(crate) fn work_for_all(&mut self) -> anyhow::Result<()> {
        let numbers: Vec<u32> = self.callers.all.iter().map(|caller| caller.number).collect();
        for number in numbers {
            self.work_for(number)?;
        }
        Ok(())
    }

    /// Sends away who did not say in time that it may call.
    pub(crate) fn expire_callers(&mut self, now: Timestamp) {
        let is_overdue = |caller: &Caller| matches!(caller.standing, Standing::Stranger { until } if until <= now);
        let overdue: Vec<u32> =
            self.callers.all.iter().filter(|c| is_overdue(c)).map(|c| c.number).collect();
        for number in overdue {
            info!("a caller said nothing and was sent away");
            self.close_caller(number);
        }
    }

    /// Has the poller tell when a caller takes the rest of its answer.
    fn watch_writing(&mut self, number: u32) -> anyhow::Result<()> {
        let Some(at) = self.callers.position(number) else { return Ok(()) };
        let Some(caller) = self.callers.all.get_mut(at) else { return Ok(()) };
        let wanted =
            if caller.lines.is_behind() { Interest::ReadWrite } else { Interest::ReadLevel };
        if caller.interest != wanted {
            caller.interest = wanted;
            self.poller
                .change(&caller.lines, Token::Caller(number).number(), wanted)
                .context("cannot watch a caller")?;
        }
        Ok(())
    }

    fn refuse_and_close(&mut self, number: u32, reason: &str) {
        self.reply(number, &Refused { reason: reason.to_owned() });
        self.close_caller(number);
    }

    /// Its stream is closed when it goes out of scope: nobody else holds it.
    fn close_caller(&mut self, number: u32) {
        self.callers.all.retain(|caller| caller.number != number);
    }
}
