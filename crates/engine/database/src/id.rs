//! Names of rows. A key that outsiders choose or guess is bytes; a key that the database gives
//! is a number.

use std::fmt;
use std::str::FromStr;

macro_rules! bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// From what a column or a message holds; `None` if the length is wrong.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            /// From hexadecimal digits; hyphens are skipped, so a written UUID is fine.
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let mut digits = text.chars().filter(|&c| c != '-').map(|c| c.to_digit(16));
                let mut id = [0; $length];
                for byte in &mut id {
                    let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                        return Err(NotAnId);
                    };
                    *byte = u8::try_from(high << 4 | low).map_err(|_error| NotAnId)?;
                }
                if digits.next().is_some() { Err(NotAnId) } else { Ok(Self(id)) }
            }
        }
    };
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.parse().map(Self).map_err(|_error| NotAnId)
            }
        }
    };
}

/// A text that names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier")]
pub struct NotAnId;

bytes!(
    /// An agent, for life; OpAMP's `instance_uid`.
    AgentUid,
    16
);
bytes!(
    /// One queue of events on an agent's disk. A queue that was lost is followed by another.
    StreamId,
    16
);
bytes!(
    /// A process that serves agents; drawn when it starts for the first time.
    ManagerId,
    16
);
bytes!(
    /// What the database keeps of a secret: its SHA-256. Also the hash of a chain of events and
    /// of a configuration's text.
    Hash,
    32
);

impl Hash {
    /// Nothing was hashed: before the first event, and for an agent without a chain.
    pub const NONE: Self = Self([0; 32]);
}

number!(
    /// A group of gateways.
    GroupId
);
number!(
    /// A configuration; its texts are its versions.
    ConfigurationId
);
number!(
    /// One text of a configuration, never changed.
    VersionId
);
number!(
    /// A version on its way to a group, in waves.
    RolloutId
);
number!(
    /// A secret that lets agents join.
    EnrolmentId
);
number!(
    /// Somebody who may use the admin API.
    UserId
);
number!(
    /// A secret that stands for a user.
    ApiTokenId
);
number!(
    /// Something that somebody should look at.
    AlertId
);
number!(
    /// A line of the audit log.
    AuditId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_and_read_back() {
        let uid = AgentUid([0xab; 16]);
        assert_eq!(uid.to_string().parse(), Ok(uid));
        assert_eq!("abababab-abab-abab-abab-abababababab".parse(), Ok(uid));
        for wrong in
            ["", "ab", "abababababababababababababababxx", "ababababababababababababababababab"]
        {
            assert_eq!(wrong.parse::<AgentUid>(), Err(NotAnId), "{wrong}");
        }
        assert_eq!("17".parse(), Ok(GroupId(17)));
        assert_eq!(AgentUid::from_slice(&[1; 15]), None);
    }
}
