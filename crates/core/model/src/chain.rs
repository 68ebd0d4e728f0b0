//! One printer for every error and its causes.

use std::error::Error;
use std::fmt;

/// Displays an error and its causes on one line: `a: b: c`.
///
/// Every log line and every exit message goes through this, so no error type repeats its
/// source in its own text.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the ledger")]
    struct Outer {
        source: std::io::Error,
    }

    #[test]
    fn causes_follow_on_the_same_line() {
        let error = Outer { source: std::io::Error::other("no space") };
        assert_eq!(Chain(&error).to_string(), "cannot open the ledger: no space");
    }
}
