//! Starting a role of this same binary.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::channel::Channel;
use crate::process::Pidfd;
use crate::signal::{block_termination, ignore_broken_pipes};

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

/// Becomes another program, with the same number and the same children. `input` is its standard
/// input, and the one descriptor that it inherits. Returns if that fails, with everything as it
/// was but the standard input.
pub fn become_program(program: &File, arguments: &[OsString], input: OwnedFd) -> io::Error {
    let error = Command::new(descriptor_path(program))
        .arg0("mainstay")
        .args(arguments)
        .stdin(Stdio::from(input))
        .exec();
    // What `exec` gave up for the sake of the other program.
    ignore_broken_pipes();
    match block_termination() {
        Ok(_set) => error,
        Err(error) => error,
    }
}

/// A name of an open file, for as long as this process has it open: also of one that has no
/// other name any more.
pub fn descriptor_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The control socket this process was started with.
pub fn control_socket() -> io::Result<Channel> {
    let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
    Channel::from_descriptor(descriptor)
}
