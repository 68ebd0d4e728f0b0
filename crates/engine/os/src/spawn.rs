//! Starting a role of this same binary.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::channel::Channel;
use crate::process::Pidfd;

/// Starts a role. Its standard input is its control socket; it works in `directory`, and in
/// a process group of its own, so that an interrupt from a terminal reaches only us.
///
/// One inherited descriptor, at the one number every process knows. So there is no
/// descriptor number in argv, no close-on-exec flag to clear and restore, and no
/// `from_raw_fd` in the child: whatever else it needs arrives as a message.
pub fn spawn(arguments: &[OsString], directory: &Path) -> io::Result<(u32, Pidfd, Channel)> {
    let (ours, theirs) = Channel::pair()?;
    // Not `current_exe()`: after a package upgrade that path is a different build.
    let child = Command::new("/proc/self/exe")
        .arg0("mainstay")
        .args(arguments)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .current_dir(directory)
        .process_group(0)
        .spawn()?;
    let pid = child.id();
    // Waited for through the pidfd from here on.
    Ok((pid, Pidfd::open(pid)?, ours))
}

/// The control socket this process was started with.
pub fn control_socket() -> io::Result<Channel> {
    let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
    Channel::from_descriptor(descriptor)
}
