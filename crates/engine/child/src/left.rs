//! Commands that a process which died has left behind.
//!
//! They are known by what they were started with, which the kernel shows of every process.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use mainstay_os::Pidfd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// How long the kernel may take to end what was killed.
const END_MAX: Duration = Duration::from_millis(250);

/// Ends every process of this session with all of these in its environment, and waits for that;
/// returns how many there were. What has begun a session of its own meant to stay.
pub fn end_left_behind(environment: &[(&str, &OsStr)]) -> io::Result<usize> {
    let until = Instant::now() + END_MAX;
    let mut ended = 0;
    // Again, for what one of them may have started meanwhile.
    loop {
        let found = find(environment)?;
        for process in &found {
            process.kill()?;
        }
        for process in &found {
            wait(process, until)?;
        }
        ended += found.len();
        if found.is_empty() || Instant::now() >= until {
            return Ok(ended);
        }
    }
}

fn find(environment: &[(&str, &OsStr)]) -> io::Result<Vec<Pidfd>> {
    let session = session_of("self");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let is_ours = || {
            let text = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let is_it = has(&text, environment) && session_of(&pid.to_string()) == session;
            is_it.then_some(())
        };
        // It may be gone by now, and its number another's: looked at again with a hold on it.
        if is_ours().is_some()
            && let Ok(process) = Pidfd::open(pid)
            && is_ours().is_some()
        {
            found.push(process);
        }
    }
    Ok(found)
}

/// The number of its session: 0 if that was begun outside of our container (proc_pid_stat(5)).
fn session_of(pid: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(3)?.parse().ok()
}

fn has(text: &[u8], environment: &[(&str, &OsStr)]) -> bool {
    environment.iter().all(|(name, value)| {
        text.split(|&byte| byte == 0).any(|entry| {
            let rest = entry.strip_prefix(name.as_bytes());
            rest.and_then(|rest| rest.strip_prefix(b"=")) == Some(value.as_bytes())
        })
    })
}

fn wait(process: &Pidfd, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
    match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_was_left_behind_is_ended_and_nothing_else() {
        let mark = format!("left-{}", std::process::id());
        let start = |value: &str| {
            let mut command = Command::new("/bin/sleep");
            command.arg("1000").env("MARK", value).env("OTHER", "1").stdin(Stdio::null());
            command.spawn().unwrap()
        };
        let (mut left, mut other) = (start(&mark), start(&format!("{mark}-not")));
        let environment = [("MARK", OsStr::new(&mark)), ("OTHER", OsStr::new("1"))];
        // The kernel shows it a moment after the child has begun its program.
        let until = Instant::now() + Duration::from_secs(5);
        while find(&environment).unwrap().is_empty() {
            assert!(Instant::now() < until, "waited in vain for the child's environment");
            std::thread::yield_now();
        }
        assert_eq!(end_left_behind(&environment).unwrap(), 1);
        assert!(!left.wait().unwrap().success());
        assert_eq!(end_left_behind(&environment).unwrap(), 0);
        assert!(other.try_wait().unwrap().is_none(), "it runs still");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
