//! What several targets share: the laws that they hold their decoder to, and a ledger to be
//! damaged.

#![forbid(unsafe_code)]

mod image;

pub use image::Image;

use std::fmt::Debug;
use std::path::Path;

use mainstay_config::Problem;
use mainstay_wire::frame::{self, FrameError, MESSAGE_BYTES_MAX, Message};

/// What decodes encodes, and decodes to the same; there is one encoding of it. Returns the
/// message, if there is one.
pub fn survives_the_wire<M>(bytes: &[u8]) -> Option<M>
where
    M: Message + PartialEq + Debug,
{
    let message: M = frame::decode(bytes).ok()?;
    let encoded = match frame::encode(&message) {
        Ok(encoded) => encoded,
        // What is left out of an optional field is written as `null`.
        Err(FrameError::TooLong { .. }) if bytes.len() > MESSAGE_BYTES_MAX / 2 => return None,
        Err(error) => panic!("{error:?} of {message:?}"),
    };
    let decoded: M = frame::decode(&encoded).expect("what was encoded decodes");
    assert_eq!(decoded, message);
    assert_eq!(frame::encode(&decoded).expect("as long as before"), encoded);
    Some(message)
}

/// Every problem has one line, and points into the text that was parsed, from its top down.
pub fn lie_inside(problems: &[Problem], text: &str) {
    assert!(!problems.is_empty(), "a text is refused for a reason");
    let lines: Vec<&str> = text.split('\n').collect();
    let mut before = (1, 1);
    for problem in problems {
        assert!(!problem.text().is_empty());
        let shown = problem.locate(Path::new("x.toml"), text);
        assert!(!shown.contains('\n'), "{shown:?}");
        let mut parts = shown.splitn(4, ':').skip(1);
        let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
        let place = (number().expect("a line"), number().expect("a column"));
        assert_eq!(parts.next().and_then(|rest| rest.strip_prefix(' ')), Some(problem.text()));
        let line = lines.get(place.0 - 1).expect("a line of the text");
        assert!((1..=line.chars().count() + 1).contains(&place.1), "{shown:?} in {line:?}");
        assert!(place >= before, "{shown:?} after {before:?}");
        before = place;
    }
}
