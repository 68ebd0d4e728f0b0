//! Room for the fields of one head, reused from head to head.

use std::fmt;
use std::mem::MaybeUninit;

use crate::hop::Kind;

/// Most fields of a head, whatever the limits say.
pub const FIELDS_MAX: usize = 128;

/// One field: its name as it came, and its value without the space around it.
pub type Field<'b> = httparse::Header<'b>;

/// Room for the fields of one head and what each of them means. Making one costs nothing
/// worth saving: it may live on the stack of whoever parses.
pub struct FieldSpace<'b> {
    pub(crate) fields: [MaybeUninit<Field<'b>>; FIELDS_MAX],
    pub(crate) kinds: [Kind; FIELDS_MAX],
}

impl FieldSpace<'_> {
    pub const fn new() -> Self {
        Self {
            fields: [const { MaybeUninit::uninit() }; FIELDS_MAX],
            kinds: [Kind::EndToEnd; FIELDS_MAX],
        }
    }
}

impl Default for FieldSpace<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FieldSpace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldSpace")
    }
}
