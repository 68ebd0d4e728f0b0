//! A configuration file as text, or the one reason why it is none.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use mainstay_config::TEXT_BYTES_MAX;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Most memory for a configuration that comes from elsewhere: a hundred times the longest text.
const MEMORY_BYTES_MAX: u64 = 100 * TEXT_BYTES_MAX as u64;

/// Why a file is no text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextError {
    #[error("cannot be read")]
    Read { source: io::Error },

    #[error("is longer than the {} MiB that a configuration may have", TEXT_BYTES_MAX >> 20)]
    TooLong,

    #[error("is not UTF-8 from line {line} on")]
    NotUtf8 { line: usize },
}

/// Reads a whole file, but never more than a configuration may have.
pub(crate) fn read(path: &Path) -> Result<String, TextError> {
    let read_error = |source| TextError::Read { source };
    let file = File::open(path).map_err(read_error)?;
    read_all(file)
}

/// Reads standard input, but never more than a configuration may have. Whatever it is, reading
/// it takes no more memory than a machine can spare: whoever sends it may not be known.
pub(crate) fn read_input() -> Result<String, TextError> {
    let limit = Rlimit { current: Some(MEMORY_BYTES_MAX), maximum: Some(MEMORY_BYTES_MAX) };
    setrlimit(Resource::Data, limit).map_err(|errno| TextError::Read { source: errno.into() })?;
    read_all(io::stdin().lock())
}

fn read_all(input: impl Read) -> Result<String, TextError> {
    let read_error = |source| TextError::Read { source };
    let limit = TEXT_BYTES_MAX as u64;
    let mut bytes = Vec::new();
    input.take(limit + 1).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLong);
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        TextError::NotUtf8 { line: good.iter().filter(|&&byte| byte == b'\n').count() + 1 }
    })
}
