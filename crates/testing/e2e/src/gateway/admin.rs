//! Asking a gateway for its status, over its own socket.
//!
//! Not through `mainstay status`: a test asks hundreds of times, and a process for each would
//! be the load that it measures.

use std::path::Path;
use std::time::Duration;

use mainstay_model::{Process, Slot};
use mainstay_wire::command::{Command, ProcessStatus, Reply, State, Status};
use mainstay_wire::frame;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

/// What a master may take to answer. A dead one's keeper holds the connection open, so there
/// is no end of file to wait for.
const PATIENCE: Duration = Duration::from_millis(500);

/// The gateway's status, if its master answers.
pub(super) fn status(path: &Path) -> Option<Status> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).ok()?;
    connect(&socket, &SocketAddrUnix::new(path).ok()?).ok()?;
    send(&socket, &frame::encode(&Command::Status).ok()?, SendFlags::NOSIGNAL).ok()?;
    let limit = Timespec::try_from(PATIENCE).unwrap();
    poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&limit)).ok()?;
    let mut answer = vec![0; frame::MESSAGE_BYTES_MAX];
    let (bytes, _) = recv(&socket, &mut answer[..], RecvFlags::empty()).ok()?;
    frame::decode::<Reply>(&answer[..bytes]).ok()?.into_status()
}

/// What the harness asks of a status.
pub trait Look {
    /// What it says of one process.
    fn process(&self, process: Process) -> Option<&ProcessStatus>;

    /// Whether one worker serves and the other stands by.
    fn is_ready(&self) -> bool;

    /// Whether one process does everything.
    fn is_one_process(&self) -> bool;

    /// The slot that does not serve; none while nobody serves.
    fn standby(&self) -> Option<Slot>;

    /// Whether none of `pids` is one of its processes or keepers any more.
    fn is_without(&self, pids: &[u32]) -> bool;
}

impl Look for Status {
    fn process(&self, process: Process) -> Option<&ProcessStatus> {
        self.processes.iter().find(|status| status.process == process)
    }

    fn is_ready(&self) -> bool {
        let state = |slot| self.process(Process::Worker(slot)).map(|status| status.state);
        self.active.is_some_and(|active| {
            state(active) == Some(State::Active) && state(active.other()) == Some(State::Standby)
        })
    }

    fn is_one_process(&self) -> bool {
        let state = |process| self.process(process).map(|status| status.state);
        state(Process::Master) == Some(State::Active)
            && self
                .processes
                .iter()
                .all(|status| matches!(status.process, Process::Supervisor | Process::Master))
    }

    fn standby(&self) -> Option<Slot> {
        self.active.map(Slot::other)
    }

    fn is_without(&self, pids: &[u32]) -> bool {
        let mut all =
            self.processes.iter().flat_map(|status| [Some(status.pid), status.keeper_pid]);
        !all.any(|pid| pid.is_some_and(|pid| pids.contains(&pid)))
    }
}
