//! Walks the fields of a protobuf message without making anything of them.
//!
//! Source: the protobuf encoding; groups (wire types 3 and 4) are not used by OpAMP, and refused.

/// Why bytes are not a row of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The bytes end within a field.
    #[error("it ends within a field")]
    Ends,
    /// A number of more than 64 bits.
    #[error("a number does not fit")]
    Number,
    /// A field that is numbered 0 or beyond the numbers there are.
    #[error("a field is numbered {number}")]
    FieldNumber {
        /// Its number.
        number: u64,
    },
    /// A wire type that OpAMP does not use.
    #[error("wire type {wire_type} is not used")]
    WireType {
        /// Which.
        wire_type: u8,
    },
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    /// What has a length; nothing for numbers.
    pub(super) content: &'a [u8],
}

/// The fields of a message, in order, up to the first error.
pub(super) const fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { rest: bytes }
}

#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// The highest number of a field in protobuf.
const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<Field<'a>, ScanError> {
        let key = self.number()?;
        let number = match u32::try_from(key >> 3) {
            Ok(number) if (1..=FIELD_NUMBER_MAX).contains(&(key >> 3)) => number,
            Ok(_) | Err(_) => return Err(ScanError::FieldNumber { number: key >> 3 }),
        };
        let content: &[u8] = match key & 7 {
            0 => {
                self.number()?;
                &[]
            }
            1 => {
                self.take(8)?;
                &[]
            }
            2 => {
                let length = self.number()?;
                self.take(usize::try_from(length).unwrap_or(usize::MAX))?
            }
            5 => {
                self.take(4)?;
                &[]
            }
            other => {
                let wire_type = u8::try_from(other).unwrap_or(u8::MAX);
                return Err(ScanError::WireType { wire_type });
            }
        };
        Ok(Field { number, content })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ScanError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ScanError::Ends)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number in groups of seven bits, the low ones first.
    fn number(&mut self) -> Result<u64, ScanError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(ScanError::Ends)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(ScanError::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ScanError::Number)
    }
}
