//! The loop of one worker thread.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use mainstay_adopt::Place;
use mainstay_ledger::{Counter, Direction, LaneLedger, Left, Receipt};
use mainstay_model::{ConnectionId, ListenerId, Timestamp};
use mainstay_os::{Channel, Event, Interest, Poller, Ready, now};
use mainstay_wire::pair::Adopted;
use mainstay_wire::session::Use;

use crate::accept::{Accepting, Handing, Listening};
use crate::access::Bound;
use crate::access_log::{AccessLog, Origin};
use crate::connection::{Connection, Gone, Queued, Watch};
use crate::pool::{Owner, Upstreams};
use crate::relay::JOINED_BYTES_MAX;
use crate::reload::{self, Loaded};
use crate::sessions::{SessionChange, Sessions};
use crate::settings::Settings;
use crate::splice::{Content, Pipes};
use crate::token::Token;
use crate::upstream::Turns;
use crate::wheel::{Entry, Wheel};

/// Events taken from the poller at a time.
const EVENTS_MAX: usize = 512;
/// How often a lane looks at its deadlines, and shows that it is alive.
const TICK: Duration = Duration::from_millis(50);
/// Connections that get another turn between two looks at the poller.
const RUNS_MAX: usize = 64;
/// How often it does what can wait.
const SWEEP: Duration = Duration::from_secs(1);

/// What the control thread tells a lane.
#[derive(Debug)]
pub enum Command {
    /// The listening sockets from here on. What waits at others is taken, if this lane accepts;
    /// and those in `ended` are closed for everyone after that.
    Listeners {
        listeners: Vec<Listening>,
        ended: Vec<Arc<OwnedFd>>,
    },
    Accept,
    /// Answered with [`Report::Stopped`].
    StopAccepting,
    /// Take in what the master has handed over. Answered with [`Report::Received`].
    ReceiveHandoffs,
    /// Serve this connection as if it had been accepted from that listener.
    Serve {
        client: OwnedFd,
        listener: ListenerId,
    },
    /// Serve by another configuration. Answered with [`Report::Loaded`].
    Load(Loaded),
    /// Answered with [`Report::SessionsChanged`].
    Sessions(SessionChange),
    /// Answered with [`Report::Adopted`] and the same ticket.
    Adopt {
        ticket: u64,
        receipt: Receipt,
        left: Vec<Left>,
    },
    /// Finish what is open until then, and end the thread.
    Drain {
        until: Timestamp,
    },
    /// End the thread, and leave everything as the ledger says.
    Retire,
}

/// What a lane tells the control thread.
#[derive(Debug)]
pub enum Report {
    Stopped,
    Received,
    Loaded,
    SessionsChanged,
    /// Sessions were used here.
    Used(Vec<Use>),
    Adopted {
        ticket: u64,
        adopted: Adopted,
    },
    /// A worker died of this connection, which was given up here.
    Suspected {
        connection: ConnectionId,
        client: String,
    },
    /// The thread is about to end; nothing is left to do in it.
    Ended,
}

/// Why a lane could not be made or go on.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    #[error("cannot open the access log {}", path.display())]
    AccessLog { path: PathBuf, source: io::Error },

    #[error("cannot watch a lane's channels")]
    Watch { source: io::Error },

    #[error("cannot wait for events")]
    Wait { source: io::Error },
}

/// What a lane is made of.
#[derive(Debug)]
pub struct LaneSetup {
    pub settings: Arc<Settings>,
    pub ledger: LaneLedger,
    /// The receiving end of the lane's channel.
    pub handoffs: Channel,
    /// `None` for no access log.
    pub access_log: Option<PathBuf>,
    /// In whose name lines of the access log are.
    pub origin: Origin,
    /// Begins the names of this lane's exchanges: unlike that of any other lane ever.
    pub seed: u64,
    /// Where reports go, and what is raised when there is one.
    pub reports: Sender<(usize, Report)>,
    pub report_raised: Arc<Event>,
    /// The lane's number.
    pub index: usize,
}

/// The control thread's handle on a lane.
#[derive(Clone, Debug)]
pub struct LaneHandle {
    commands: Sender<Command>,
    raised: Arc<Event>,
}

impl LaneHandle {
    /// Tells the lane. A lane that has ended is told nothing.
    pub fn tell(&self, command: Command) -> io::Result<()> {
        match self.commands.send(command) {
            Ok(()) => self.raised.raise(),
            Err(_ended) => Ok(()),
        }
    }
}

/// One worker thread's connections and everything it needs for them.
#[derive(Debug)]
pub struct Lane {
    pub(crate) settings: Arc<Settings>,
    pub(crate) ledger: LaneLedger,
    pub(crate) poller: Poller,
    pub(crate) handoffs: Channel,
    pub(crate) listeners: Vec<Listening>,
    pub(crate) accepting: Accepting,
    pub(crate) handing: Handing,
    connections: Vec<Berth>,
    pub(crate) upstreams: Upstreams,
    /// By upstream.
    pub(crate) turns: Vec<Turns>,
    pub(crate) wheel: Wheel,
    pub(crate) runnable: VecDeque<(u32, u16)>,
    /// Places that are free as soon as the ledger does not speak of them any more.
    pub(crate) released: Vec<Place>,
    /// Two short pieces on their way out in one.
    pub(crate) joined: Vec<u8>,
    pub(crate) pipes: Pipes,
    pub(crate) bound: Bound,
    pub(crate) log: AccessLog,
    pub(crate) sessions: Sessions,
    /// Those that others are to know of.
    pub(crate) uses: Vec<Use>,
    pub(crate) now: Timestamp,
    pub(crate) seed: u64,
    pub(crate) requests: u64,
    /// When to close what is still open; `None` while nobody asked to stop.
    pub(crate) stopping: Option<Timestamp>,
    commands: Receiver<Command>,
    raised: Arc<Event>,
    reports: Sender<(usize, Report)>,
    report_raised: Arc<Event>,
    index: usize,
    /// The connections that are here; kept only while estates are being taken over.
    ids: Option<HashSet<u64>>,
    swept: Timestamp,
    due: Vec<Entry>,
}

/// Where a connection of this lane is; its age tells apart those that had it.
#[derive(Debug, Default)]
struct Berth {
    age: u16,
    connection: Option<Box<Connection>>,
}

/// How the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    On,
    /// There are commands.
    Obey,
    Retire,
}

impl Lane {
    /// A lane and the handle on it.
    pub fn new(setup: LaneSetup) -> Result<(Self, LaneHandle), LaneError> {
        let watch = |source| LaneError::Watch { source };
        let poller = Poller::new(EVENTS_MAX).map_err(watch)?;
        let raised = Arc::new(Event::new().map_err(watch)?);
        poller.add(&*raised, Token::Commands.pack(), Interest::ReadLevel).map_err(watch)?;
        let handoffs = &setup.handoffs;
        poller.add(handoffs, Token::Handoffs.pack(), Interest::ReadLevel).map_err(watch)?;
        let log = AccessLog::open(setup.access_log.clone(), &setup.origin).map_err(|source| {
            LaneError::AccessLog { path: setup.access_log.unwrap_or_default(), source }
        })?;
        let (commands, receiver) = mpsc::channel();
        let now = now();
        let pipes = Pipes::new(setup.settings.pipes);
        let mut lane = Self {
            upstreams: reload::upstreams(&setup.settings),
            turns: reload::turns(&setup.settings),
            settings: setup.settings,
            ledger: setup.ledger,
            poller,
            handoffs: setup.handoffs,
            listeners: Vec::new(),
            accepting: Accepting::Off,
            handing: Handing::On,
            connections: Vec::new(),
            wheel: Wheel::new(now),
            runnable: VecDeque::new(),
            released: Vec::new(),
            joined: Vec::with_capacity(JOINED_BYTES_MAX),
            pipes,
            bound: Bound::default(),
            log,
            sessions: Sessions::default(),
            uses: Vec::new(),
            now,
            seed: setup.seed,
            requests: 0,
            stopping: None,
            commands: receiver,
            raised: Arc::clone(&raised),
            reports: setup.reports,
            report_raised: setup.report_raised,
            index: setup.index,
            ids: None,
            swept: now,
            due: Vec::new(),
        };
        lane.ledger.set_limit(lane.settings.connections);
        Ok((lane, LaneHandle { commands, raised }))
    }

    /// Works until told to end.
    pub fn run(mut self) -> Result<(), LaneError> {
        self.ledger.set_thread(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        loop {
            let limit = if self.runnable.is_empty() { TICK } else { Duration::ZERO };
            let count =
                self.poller.wait(Some(limit)).map_err(|source| LaneError::Wait { source })?;
            self.now = now();
            self.ledger.beat();
            let mut is_told = false;
            for index in 0..count {
                let Some(ready) = self.poller.event(index) else { break };
                is_told |= self.dispatch(ready) == Course::Obey;
            }
            // Connections that wait come before what is wanted of the lane: that may be many more.
            if is_told && self.obey() == Course::Retire {
                self.retire();
                return Ok(());
            }
            self.run_runnable();
            self.keep_time();
            if self.stopping.is_some() && self.open_connections() == 0 {
                self.flush_log();
                self.report(Report::Ended);
                return Ok(());
            }
        }
    }

    fn dispatch(&mut self, ready: Ready) -> Course {
        match Token::unpack(ready.token) {
            Some(Token::Client { slot, age }) => self.client_event(slot, age, ready),
            Some(Token::Upstream { index, age }) => self.upstream_event(index, age, ready),
            // Its queue is looked at again in the next turn.
            Some(Token::Listener { id }) => drop(self.accept_from(id)),
            Some(Token::Handoffs) => self.receive_handoffs(),
            Some(Token::Commands) => return Course::Obey,
            None => {}
        }
        Course::On
    }

    fn client_event(&mut self, slot: u32, age: u16, ready: Ready) {
        let Some(connection) = self.connection_mut(slot, age) else { return };
        let is = &mut connection.client_is;
        is.readable |= ready.is_readable();
        is.writable |= ready.is_writable();
        is.ended |= ready.is_ended();
        self.work_on(slot, |_, _| if ready.is_failed() { Err(Gone::ClientLeft) } else { Ok(()) });
    }

    fn upstream_event(&mut self, index: u32, age: u16, ready: Ready) {
        let Some(socket) = self.upstreams.current(index, age) else { return };
        let slot = match socket.owner {
            Owner::Slot(slot) => slot,
            Owner::Idle(_) => {
                // Writable is what it is; anything else is the end of it.
                if ready.is_readable() {
                    drop(self.upstreams.remove(index));
                }
                return;
            }
        };
        self.work_on(slot, |lane, connection| lane.upstream_ready(connection, index, ready));
    }

    fn obey(&mut self) -> Course {
        if let Err(error) = self.raised.take() {
            tracing::warn!(%error, "cannot take a raised event back");
        }
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Listeners { listeners, ended } => {
                    self.let_go(&listeners, &ended);
                    self.take_up(listeners);
                }
                Command::Accept => self.start_accepting(),
                Command::StopAccepting => {
                    self.stop_accepting(Accepting::Off);
                    self.report(Report::Stopped);
                }
                Command::ReceiveHandoffs => {
                    self.receive_handoffs();
                    self.report(Report::Received);
                }
                Command::Adopt { ticket, receipt, left } => {
                    let adopted = self.adopt_all(left, receipt);
                    self.report(Report::Adopted { ticket, adopted });
                    // Those who wait come before those who are adopted next.
                    self.ask_again();
                    return Course::On;
                }
                Command::Load(loaded) => {
                    self.load(loaded);
                    self.report(Report::Loaded);
                }
                Command::Sessions(change) => self.change_sessions(change),
                Command::Serve { client, listener } => self.take_over(client, listener),
                Command::Drain { until } => self.drain_until(until),
                Command::Retire => return Course::Retire,
            }
        }
        Course::On
    }

    /// Comes back to the commands after a turn of everything else.
    fn ask_again(&self) {
        if let Err(error) = self.raised.raise() {
            tracing::warn!(%error, "cannot raise an event");
        }
    }

    pub(crate) fn report(&self, report: Report) {
        // Without a control thread there is no process.
        if self.reports.send((self.index, report)).is_ok()
            && let Err(error) = self.report_raised.raise()
        {
            tracing::warn!(%error, "cannot raise an event");
        }
    }

    /// Ends with everything as the ledger says: the sockets stay open, for whoever comes
    /// after.
    fn retire(mut self) {
        self.flush_log();
        self.report(Report::Ended);
        #[expect(clippy::mem_forget, reason = "dropping would close what an heir is to get")]
        std::mem::forget(self);
    }

    fn drain_until(&mut self, until: Timestamp) {
        self.close_listeners();
        self.receive_handoffs();
        self.stopping = Some(until);
        for slot in self.slots() {
            self.work_on(slot, |_, connection| {
                let idle = connection.record.exchange.phase == mainstay_http::Phase::Waiting
                    && connection.record.streams.request.is_empty();
                if idle && !connection.client_is.readable { Err(Gone::Stopping) } else { Ok(()) }
            });
        }
    }

    /// Whether the lane finishes what it has and takes nothing new.
    pub(crate) const fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    fn run_runnable(&mut self) {
        for _ in 0..self.runnable.len().min(RUNS_MAX) {
            let Some((slot, age)) = self.runnable.pop_front() else { return };
            if let Some(connection) = self.connection_mut(slot, age) {
                connection.queued = Queued::No;
                self.work_on(slot, |_, _| Ok(()));
            }
        }
    }

    fn keep_time(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(self.now, &mut due);
        for entry in due.drain(..) {
            self.look_at_deadline(entry);
        }
        self.due = due;
        if self.now.since(self.swept) < SWEEP {
            return;
        }
        self.swept = self.now;
        self.ids = None;
        self.tell_uses();
        self.flush_log();
        self.follow_log();
        let limit = self.settings.timeouts.upstream_idle;
        while let Some(socket) = self.upstreams.expire(self.now, limit) {
            drop(socket);
        }
        self.ledger.set_gauge(Counter::Pooled, self.upstreams.idle_count() as u64);
        self.resume_accepting();
    }

    /// One step of a connection: `act`, then as far as it gets.
    pub(crate) fn work_on(
        &mut self,
        slot: u32,
        act: impl FnOnce(&mut Self, &mut Connection) -> Result<(), Gone>,
    ) {
        let Some(mut connection) = self.take_out(slot) else { return };
        self.ledger.enter(slot);
        let outcome = act(self, &mut connection).and_then(|()| self.step(&mut connection));
        match outcome {
            Ok(()) => {
                self.rest(&mut connection);
                self.put_back(connection);
            }
            Err(gone) => self.close(connection, gone),
        }
        self.ledger.leave();
    }

    /// Leaves a connection to wait: its bytes in buffers of its own, its deadline set, and
    /// everything in the ledger.
    fn rest(&mut self, connection: &mut Connection) {
        // Also when the ledger is up to date: it may say that bytes are in a shared area.
        self.keep_leftovers(connection, Direction::Request);
        self.keep_leftovers(connection, Direction::Response);
        self.arm(connection);
        self.watch(connection);
        self.commit(connection);
        // Only now does the ledger not speak of it any more.
        if connection.record.pipe_id == 0
            && let Some(pipe) = connection.pipe.take()
        {
            self.pipes.give_back(pipe, Content::Nothing);
        }
    }

    /// Has the poller tell when the client takes more, from the first time that it did not.
    fn watch(&self, connection: &mut Connection) {
        use std::os::fd::AsFd;
        if connection.client_is.writable || connection.watch != Watch::Reads {
            return;
        }
        let token = Token::Client { slot: connection.slot, age: connection.age }.pack();
        match self.poller.change(connection.client.as_fd(), token, Interest::ReadWrite) {
            Ok(()) => connection.watch = Watch::ReadsAndWrites,
            Err(error) => tracing::warn!(%error, "cannot watch a connection"),
        }
    }

    /// Sets the deadline of a connection that was put in its slot and waits.
    pub(crate) fn rest_again(&mut self, slot: u32) {
        if let Some(mut connection) = self.take_out(slot) {
            self.arm(&mut connection);
            self.put_back(connection);
        }
    }

    /// The age of the next connection in a slot.
    pub(crate) fn next_age(&mut self, slot: u32) -> u16 {
        let index = slot as usize;
        if index >= self.connections.len() {
            self.connections.resize_with(index + 1, Berth::default);
        }
        self.connections.get_mut(index).map_or(0, |place| {
            place.age = place.age.wrapping_add(1);
            place.age
        })
    }

    /// Every slot that ever held a connection.
    pub(crate) fn slots(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.connections.len()).expect("far fewer slots")
    }

    /// The connection in a slot, to be put back.
    pub(crate) fn take_out(&mut self, slot: u32) -> Option<Box<Connection>> {
        self.connections.get_mut(slot as usize)?.connection.take()
    }

    pub(crate) fn put_back(&mut self, connection: Box<Connection>) {
        if let Some(place) = self.connections.get_mut(connection.slot as usize) {
            place.connection = Some(connection);
        }
    }

    /// The connection in a slot, if it is still the one of that age.
    pub(crate) fn connection_mut(&mut self, slot: u32, age: u16) -> Option<&mut Connection> {
        let place = self.connections.get_mut(slot as usize)?;
        place.connection.as_deref_mut().filter(|connection| connection.age == age)
    }

    /// Notes a new connection's id, if anybody will ask for it.
    pub(crate) fn note_id(&mut self, id: u64) {
        if let Some(ids) = &mut self.ids {
            ids.insert(id);
        }
    }

    /// The ids of the connections that are here, for as long as estates are being taken over.
    pub(crate) fn ids(&mut self) -> &mut HashSet<u64> {
        let connections = self.connections.iter().filter_map(|berth| berth.connection.as_ref());
        self.ids.get_or_insert_with(|| connections.map(|connection| connection.record.id).collect())
    }

    fn open_connections(&self) -> usize {
        self.connections.iter().filter(|place| place.connection.is_some()).count()
    }
}
