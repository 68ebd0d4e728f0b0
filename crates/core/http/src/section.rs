//! The field section of a head: one pass that classifies every field, checks the ends of the
//! lines, and takes in what delimits the message.
//!
//! `httparse` ends a line at a bare line feed too, and skips it; it says where every name
//! begins, and so what stands before it is checked here.
//!
//! Source: RFC 9112, sections 2.2, 5 and 6.

use memchr::memmem;

use crate::field::Field;
use crate::framing::Lengths;
use crate::hop::{Kind, Options, classify, strike_named};
use crate::refusal::{Defect, HeadDefect};

/// The name under which this gateway appears in `Via`.
pub(crate) const VIA_NAME: &str = "mainstay";

/// A field that may be there once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Single<'b> {
    #[default]
    None,
    One(&'b [u8]),
    Many,
}

impl<'b> Single<'b> {
    const fn add(&mut self, value: &'b [u8]) {
        *self = match self {
            Self::None => Self::One(value),
            Self::One(_) | Self::Many => Self::Many,
        };
    }

    /// Its value, if it is there once.
    pub(crate) const fn one(self) -> Option<&'b [u8]> {
        match self {
            Self::One(value) => Some(value),
            Self::None | Self::Many => None,
        }
    }
}

/// What the `Expect` fields ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expected {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

/// What the fields of a head say about the message and the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Section<'b> {
    pub(crate) lengths: Lengths,
    pub(crate) options: Options,
    pub(crate) host: Single<'b>,
    pub(crate) upgrade: Single<'b>,
    pub(crate) expected: Expected,
    /// How often a gateway of our kind is named in `Via`.
    pub(crate) passages: usize,
}

/// Reads the fields of `head`, which ends with the empty line. `kinds` gets what each is.
#[inline]
pub(crate) fn read_section<'b>(
    head: &'b [u8],
    fields: &[Field<'b>],
    kinds: &mut [Kind],
) -> Result<Section<'b>, Defect> {
    let mut section = Section::default();
    for (field, kind) in fields.iter().zip(kinds.iter_mut()) {
        let start = offset_in(head, field.name.as_bytes());
        if head.get(start.wrapping_sub(2)) != Some(&b'\r') {
            return Err(HeadDefect::BareLineFeed.into());
        }
        *kind = classify(field.name);
        match *kind {
            Kind::EndToEnd
            | Kind::HopByHop
            | Kind::Date
            | Kind::Forwarded
            | Kind::ForwardedFor
            | Kind::ForwardedHost
            | Kind::ForwardedProto
            | Kind::ForwardedOther
            | Kind::RequestId
            | Kind::Cookie => {}
            Kind::Host => section.host.add(field.value),
            Kind::ContentLength => section.lengths.add_content_length(field.value)?,
            Kind::TransferEncoding => section.lengths.add_transfer_encoding(field.value)?,
            Kind::Connection => section.options.add(field.value)?,
            Kind::Upgrade => section.upgrade.add(field.value),
            Kind::Expect => section.expected = section.expected.and(field.value),
            Kind::Via => {
                section.passages += memmem::find_iter(field.value, VIA_NAME).count();
            }
        }
    }
    if !head.ends_with(b"\r\n\r\n") {
        return Err(HeadDefect::BareLineFeed.into());
    }
    if section.options.names_fields() {
        strike_named(fields, kinds);
    }
    Ok(section)
}

impl Expected {
    const fn and(self, value: &[u8]) -> Self {
        match self {
            Self::Nothing | Self::Continue if value.eq_ignore_ascii_case(b"100-continue") => {
                Self::Continue
            }
            Self::Nothing | Self::Continue | Self::Unknown => Self::Unknown,
        }
    }
}

/// Where in `head` its part `part` begins.
#[inline]
pub(crate) fn offset_in(head: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().wrapping_sub(head.as_ptr().addr())
}
