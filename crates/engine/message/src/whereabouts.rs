//! Where a process of a gateway is found: a file in the run directory names it, and its supervisor
//! writes that.

use std::fs;
use std::path::{Path, PathBuf};

use mainstay_model::Process;
use mainstay_os::Incarnation;

/// The file that names a process.
pub fn pid_file(run: &Path, process: Process) -> PathBuf {
    run.join(format!("{}.pid", process.file_stem()))
}

/// Which process that file names, if there is one; it may have ended.
pub fn noted(run: &Path, process: Process) -> Option<Incarnation> {
    Incarnation::read(&fs::read_to_string(pid_file(run, process)).ok()?)
}

/// The number under which a process runs, if it does.
pub fn running(run: &Path, process: Process) -> Option<u32> {
    noted(run, process).filter(|noted| noted.still_runs()).map(|noted| noted.pid)
}
