//! Files that only their owner may read, and files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says no.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system says no.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else could have read it, or changed it.
    #[error("{path} is open to others (mode {mode:o}); make it its owner's: chmod 600 {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Somebody else made it.
    #[error("{path} belongs to user {owner}, and not to the user of this process")]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// A directory, a pipe, a device.
    #[error("{path} is not a file")]
    NotAFile {
        /// What is no file.
        path: PathBuf,
    },
    /// It is not what it should be, then.
    #[error("{path} has more than {limit} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// How many bytes it may have.
        limit: usize,
    },
}

/// Reads a secret: a file of this user (or root's) that nobody else may read or write.
///
/// # Errors
///
/// If it is not that, or cannot be read.
pub fn read_secret(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    let metadata = metadata(path, &file)?;
    let (owner, mode) = (metadata.uid(), metadata.permissions().mode() & 0o7777);
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(FileError::Owner { path: path.to_owned(), owner });
    }
    if mode & 0o077 != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode });
    }
    read(path, file, limit)
}

/// Reads a file that anybody may read.
///
/// # Errors
///
/// If it is none, is too long, or cannot be read.
pub fn read_public(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    metadata(path, &file)?;
    read(path, file, limit)
}

/// Writes a secret: the file is there whole or not at all, and only its owner may read it.
///
/// # Errors
///
/// If it cannot be written.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, 0o600).map_err(|source| FileError::Write { path: path.to_owned(), source })
}

/// Writes a file that anybody may read: it is there whole or not at all.
///
/// # Errors
///
/// If it cannot be written.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, 0o644).map_err(|source| FileError::Write { path: path.to_owned(), source })
}

/// Without waiting for the writer of a pipe.
fn open(path: &Path) -> Result<File, FileError> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("the flag is below 2^31");
    OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|source| FileError::Read { path: path.to_owned(), source })
}

fn metadata(path: &Path, file: &File) -> Result<fs::Metadata, FileError> {
    let metadata =
        file.metadata().map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    Ok(metadata)
}

fn read(path: &Path, file: File, limit: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(one_more)
        .read_to_end(&mut bytes)
        .map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    if bytes.len() > limit {
        return Err(FileError::TooLong { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Through a file of another name beside it. The order is what a power failure cannot undo:
/// content, name, and then the directory.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let mut making = std::ffi::OsString::from(".");
    making.push(name);
    making.push(".new");
    let making = directory.join(making);
    match fs::remove_file(&making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&making)?;
    let written = file.write_all(bytes).and_then(|()| {
        // Whatever the umask takes away or leaves.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&making, path)
    });
    if let Err(error) = written {
        // It is in nobody's way, and the first error is the one to tell.
        drop(fs::remove_file(&making));
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        // What a power failure left behind.
        fs::write(directory.path().join(".secret.new"), "half").unwrap();
        write_secret(&path, b"one").unwrap();
        write_secret(&path, b"two").unwrap();
        assert_eq!(read_secret(&path, 3).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

        write_public(&path, b"three").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert!(matches!(read_secret(&path, 9), Err(FileError::Open { mode: 0o644, .. })));
        assert_eq!(read_public(&path, 9).unwrap(), b"three");
    }

    #[test]
    fn what_is_too_long_or_no_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        write_secret(&path, b"1234").unwrap();
        assert!(matches!(read_secret(&path, 3), Err(FileError::TooLong { limit: 3, .. })));
        let found = read_public(directory.path(), 3);
        assert!(matches!(found, Err(FileError::NotAFile { .. })));
        let found = read_secret(&directory.path().join("none"), 3);
        assert!(matches!(found, Err(FileError::Read { .. })));
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(read_secret(&path, 3), Err(FileError::NotAFile { .. })));
    }

    #[test]
    fn a_file_of_somebody_else_is_refused() {
        if !rustix::process::geteuid().is_root() {
            // Only root can give a file away, and what root gave nobody else may read.
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        write_secret(&path, b"1234").unwrap();
        std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
        assert!(matches!(read_secret(&path, 9), Err(FileError::Owner { owner: 4711, .. })));
    }
}
