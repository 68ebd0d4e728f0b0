//! How an agent is named towards managers, in messages, headers and the database.
//!
//! Source: OpAMP 0.18, `instance_uid`: 16 bytes, of the form of a version 7 UUID (RFC 9562, 5.7).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of an agent for as long as it is registered.
///
/// It proves nothing: the agent's key does. Ordered by time of making, as its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceUid([u8; 16]);

/// Why a text or some bytes are no name of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstanceUidError {
    /// OpAMP asks for exactly 16.
    #[error("an instance uid has 16 bytes, not {bytes}")]
    Length {
        /// How many there are.
        bytes: usize,
    },
    /// Not 32 hexadecimal digits, with or without hyphens at the places of a UUID.
    #[error("an instance uid is written as a UUID")]
    NotAUuid,
    /// All bytes are zero.
    #[error("an instance uid is not all zeros")]
    Nil,
}

impl InstanceUid {
    /// A new one, from the time in ms since 1970 and ten random bytes.
    #[must_use]
    pub const fn new(unix_ms: u64, luck: [u8; 10]) -> Self {
        let [_, _, a, b, c, d, e, f] = unix_ms.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = luck;
        // Version 7 and the variant of RFC 9562.
        let (version, variant) = (0x70 | (r0 & 0x0f), 0x80 | (r2 & 0x3f));
        Self([a, b, c, d, e, f, version, r1, variant, r3, r4, r5, r6, r7, r8, r9])
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<InstanceUid> for String {
    fn from(uid: InstanceUid) -> Self {
        uid.to_string()
    }
}

impl From<InstanceUid> for Vec<u8> {
    fn from(uid: InstanceUid) -> Self {
        uid.0.to_vec()
    }
}

impl TryFrom<String> for InstanceUid {
    type Error = InstanceUidError;

    fn try_from(text: String) -> Result<Self, InstanceUidError> {
        text.parse()
    }
}

impl TryFrom<[u8; 16]> for InstanceUid {
    type Error = InstanceUidError;

    fn try_from(bytes: [u8; 16]) -> Result<Self, InstanceUidError> {
        if bytes == [0; 16] { Err(InstanceUidError::Nil) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<&[u8]> for InstanceUid {
    type Error = InstanceUidError;

    fn try_from(bytes: &[u8]) -> Result<Self, InstanceUidError> {
        <[u8; 16]>::try_from(bytes)
            .map_or(Err(InstanceUidError::Length { bytes: bytes.len() }), Self::try_from)
    }
}

impl fmt::Display for InstanceUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for InstanceUid {
    type Err = InstanceUidError;

    fn from_str(text: &str) -> Result<Self, InstanceUidError> {
        let digits = match text.len() {
            32 => text.to_owned(),
            36 if has_hyphens_in_place(text) => text.replace('-', ""),
            _ => return Err(InstanceUidError::NotAUuid),
        };
        // `from_str_radix` takes a sign, too.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InstanceUidError::NotAUuid);
        }
        u128::from_str_radix(&digits, 16)
            .map_or(Err(InstanceUidError::NotAUuid), |number| Self::try_from(number.to_be_bytes()))
    }
}

fn has_hyphens_in_place(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_one_is_a_uuid_of_version_7() {
        let uid = InstanceUid::new(0x0192_3456_789a, [0xff; 10]);
        assert_eq!(uid.to_string(), "01923456-789a-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn it_is_read_with_and_without_hyphens() {
        let uid = InstanceUid::new(1_700_000_000_000, [7; 10]);
        let text = uid.to_string();
        assert_eq!(text.parse(), Ok(uid));
        assert_eq!(text.replace('-', "").to_uppercase().parse(), Ok(uid));
        assert_eq!(InstanceUid::try_from(uid.as_bytes().as_slice()), Ok(uid));
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        for text in [
            "",
            "0",
            "+1923456789a7fffbfffffffffffffff",
            "01923456-789a7-fff-bfff-ffffffffffff",
            "01923456-789a-7fff-bfff-fffffffffffg",
            "é1923456-789a-7fff-bfff-fffffffffff",
        ] {
            assert_eq!(text.parse::<InstanceUid>(), Err(InstanceUidError::NotAUuid), "{text}");
        }
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_eq!(nil.parse::<InstanceUid>(), Err(InstanceUidError::Nil));
        let short: &[u8] = &[1; 15];
        assert_eq!(InstanceUid::try_from(short), Err(InstanceUidError::Length { bytes: 15 }));
    }
}
