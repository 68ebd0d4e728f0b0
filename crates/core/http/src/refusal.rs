//! Why a message is not forwarded: one variant for each rule that it broke.
//!
//! The rules that hold for requests and responses alike are in enums of their own
//! ([`HeadDefect`], [`LengthDefect`], [`ConnectionDefect`]). The text of each is the sentence
//! that a client may read: it says what is wrong with the message and nothing about us.
//!
//! Source: RFC 9112, sections 2, 3, 5 and 6; RFC 9110, sections 4.2, 5, 7 and 10.1.1.

/// A head that is not what the grammar says, or is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadDefect {
    #[error("a line ends in a bare line feed")]
    BareLineFeed,
    #[error("a line has a bare carriage return")]
    BareCarriageReturn,
    #[error("the head has a control character")]
    ControlCharacter,
    #[error("there is whitespace before the first field")]
    SpaceBeforeFirstField,
    #[error("there is whitespace between a field name and its colon")]
    SpaceBeforeColon,
    #[error("a field is folded over several lines")]
    ObsoleteFold,
    #[error("a field name is invalid")]
    FieldNameInvalid,
    #[error("a field has no colon")]
    ColonMissing,
    #[error("there are too many fields")]
    TooManyFields,
    #[error("the head is too long")]
    TooLong,
}

/// A message whose length can be read in more than one way, or in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthDefect {
    #[error("Content-Length is not a number")]
    LengthInvalid,
    #[error("Content-Length is too large")]
    LengthTooLarge,
    /// Even if all say the same: nothing that is right sends it.
    #[error("there is more than one Content-Length")]
    LengthRepeated,
    #[error("there are both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    #[error("there is more than one Transfer-Encoding")]
    CodingRepeated,
    #[error("Transfer-Encoding is malformed")]
    CodingInvalid,
    /// A well-formed list of codings that are not ours.
    #[error("the transfer coding is unknown")]
    CodingUnknown,
    #[error("Transfer-Encoding is not part of HTTP/1.0")]
    CodingInHttp10,
}

/// A `Connection` field that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionDefect {
    #[error("Connection has an invalid option")]
    OptionInvalid,
    #[error("Connection has too many options")]
    TooManyOptions,
    /// It would take away a field that delimits or routes the message.
    #[error("Connection names a field that it may not remove")]
    NamesProtectedField,
}

/// A request target that is not one, or that two servers could take for two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetDefect {
    #[error("the request target has characters that are not visible ASCII")]
    NotVisibleAscii,
    #[error("the request target has a fragment")]
    Fragment,
    #[error("the request target is neither a path nor a URI")]
    FormInvalid,
    #[error("the asterisk is a target of OPTIONS alone")]
    AsteriskWithoutOptions,
    #[error("the scheme of the request target is not http or https")]
    SchemeUnknown,
    #[error("the path has a dot segment")]
    DotSegment,
    #[error("the path has a backslash")]
    Backslash,
    #[error("the path has an invalid percent-encoding")]
    EncodingInvalid,
}

/// A request that does not say clearly for which host it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostDefect {
    #[error("Host is missing")]
    Missing,
    #[error("there is more than one Host")]
    Repeated,
    #[error("the host is empty")]
    Empty,
    #[error("the host is invalid")]
    Invalid,
    #[error("the request target and Host disagree")]
    Disagrees,
}

/// Why a request is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Head(#[from] HeadDefect),
    #[error(transparent)]
    Length(#[from] LengthDefect),
    #[error(transparent)]
    Connection(#[from] ConnectionDefect),
    #[error(transparent)]
    Target(#[from] TargetDefect),
    #[error(transparent)]
    Host(#[from] HostDefect),
    #[error("there are too many empty lines before the request")]
    TooManyLeadingLines,
    #[error("the request line is malformed")]
    RequestLine,
    #[error("the request target is too long")]
    TargetTooLong,
    #[error("the method is too long")]
    MethodTooLong,
    #[error("the method is not allowed")]
    MethodNotAllowed,
    #[error("the version of HTTP is not supported")]
    VersionUnsupported,
    #[error("the expectation cannot be met")]
    ExpectationUnknown,
    /// It has come through this gateway, or others of its kind, too often.
    #[error("the request goes round in a loop")]
    Loop,
}

impl Refusal {
    /// The status of the answer to it.
    pub const fn status(self) -> u16 {
        match self {
            Self::Head(HeadDefect::TooLong | HeadDefect::TooManyFields) => 431,
            Self::Length(LengthDefect::CodingUnknown) | Self::MethodTooLong => 501,
            Self::Head(_)
            | Self::Length(_)
            | Self::Connection(_)
            | Self::Target(_)
            | Self::Host(_)
            | Self::TooManyLeadingLines
            | Self::RequestLine => 400,
            Self::MethodNotAllowed => 405,
            Self::TargetTooLong => 414,
            Self::ExpectationUnknown => 417,
            Self::VersionUnsupported => 505,
            Self::Loop => 508,
        }
    }
}

/// Why a response is not passed on. The client is answered 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Head(#[from] HeadDefect),
    #[error(transparent)]
    Length(#[from] LengthDefect),
    #[error(transparent)]
    Connection(#[from] ConnectionDefect),
    #[error("the status line is malformed")]
    StatusLine,
    #[error("the version of HTTP is not supported")]
    VersionUnsupported,
    /// A 1xx or 204 that says that content follows.
    #[error("a response that has no content announces some")]
    ContentForbidden,
    #[error("a 101 response does not name the protocol")]
    UpgradeMissing,
    #[error("a 101 response to a request that asked for no other protocol")]
    UpgradeUnasked,
}

impl Fault {
    /// The status of the answer to the client.
    pub const fn status(self) -> u16 {
        502
    }
}

/// A defect that a request and a response can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    Head(HeadDefect),
    Length(LengthDefect),
    Connection(ConnectionDefect),
}

impl From<HeadDefect> for Defect {
    fn from(defect: HeadDefect) -> Self {
        Self::Head(defect)
    }
}

impl From<LengthDefect> for Defect {
    fn from(defect: LengthDefect) -> Self {
        Self::Length(defect)
    }
}

impl From<ConnectionDefect> for Defect {
    fn from(defect: ConnectionDefect) -> Self {
        Self::Connection(defect)
    }
}

impl From<Defect> for Refusal {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::Head(defect) => Self::Head(defect),
            Defect::Length(defect) => Self::Length(defect),
            Defect::Connection(defect) => Self::Connection(defect),
        }
    }
}

impl From<Defect> for Fault {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::Head(defect) => Self::Head(defect),
            Defect::Length(defect) => Self::Length(defect),
            Defect::Connection(defect) => Self::Connection(defect),
        }
    }
}
