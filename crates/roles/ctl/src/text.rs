//! A configuration file as text, or the one reason why it is none.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use mainstay_config::TEXT_BYTES_MAX;

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
    let limit = TEXT_BYTES_MAX as u64;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLong);
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        TextError::NotUtf8 { line: good.iter().filter(|&&byte| byte == b'\n').count() + 1 }
    })
}
