//! Structured fields: as much of them as signatures and digests need, read strictly.
//!
//! Dictionaries whose values are an item or an inner list, with parameters; items are whole
//! numbers, strings, tokens, byte sequences and booleans. Decimals and dates are refused: no
//! field of ours has one.
//!
//! Source: RFC 9651, section 4.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The most bytes of a field.
pub const FIELD_BYTES_MAX: usize = 2048;

/// The most members of a dictionary, items of a list, and parameters of each.
pub const COUNT_MAX: usize = 16;

/// Why a field cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// More than [`FIELD_BYTES_MAX`].
    #[error("it has more than {FIELD_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`COUNT_MAX`] of something.
    #[error("it has more than {COUNT_MAX} members, items or parameters")]
    TooMany,
    /// Two of one name. The RFC takes the last; we take no chances.
    #[error("a name stands in it twice")]
    Twice,
    /// Not what the grammar has there.
    #[error("it is malformed at byte {at}")]
    Malformed {
        /// From 0.
        at: usize,
    },
}

/// A member of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name.
    pub key: &'a str,
    /// What is behind the name and `=`, parameters included, as it stands in the field.
    pub text: &'a str,
    /// What that means.
    pub value: Value,
    /// The parameters of the whole.
    pub parameters: Vec<(String, Bare)>,
}

/// The value of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One item.
    Item(Bare),
    /// An inner list.
    List(Vec<Item>),
}

/// An item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The item itself.
    pub bare: Bare,
    /// Its parameters.
    pub parameters: Vec<(String, Bare)>,
}

/// An item without its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bare {
    /// `42`
    Integer(i64),
    /// `"text"`
    String(String),
    /// `word`
    Token(String),
    /// `:AAAA:`
    Bytes(Vec<u8>),
    /// `?1`, or nothing at all behind a name.
    Boolean(bool),
}

impl Member<'_> {
    /// The value, if it is one item.
    #[must_use]
    pub const fn item(&self) -> Option<&Bare> {
        match &self.value {
            Value::Item(bare) => Some(bare),
            Value::List(_) => None,
        }
    }

    /// A parameter of the whole.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Bare> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// Bytes as they stand in a field.
#[must_use]
pub fn bytes_text(bytes: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(bytes))
}

/// The members of a dictionary; there is at least one.
///
/// # Errors
///
/// If the field is too long, malformed, or names something twice.
pub fn dictionary(field: &str) -> Result<Vec<Member<'_>>, FieldError> {
    if field.len() > FIELD_BYTES_MAX {
        return Err(FieldError::TooLong);
    }
    let mut reader = Reader { field, at: 0 };
    let mut members: Vec<Member<'_>> = Vec::new();
    reader.skip(b" ");
    loop {
        let member = reader.member()?;
        if members.len() == COUNT_MAX {
            return Err(FieldError::TooMany);
        }
        if members.iter().any(|other| other.key == member.key) {
            return Err(FieldError::Twice);
        }
        members.push(member);
        reader.skip(b" \t");
        match reader.next() {
            None => return Ok(members),
            Some(b',') => reader.skip(b" \t"),
            Some(_) => return Err(reader.malformed_before()),
        }
    }
}

struct Reader<'a> {
    field: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.field.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn takes(&mut self, expected: u8) -> bool {
        let found = self.peek() == Some(expected);
        self.at += usize::from(found);
        found
    }

    fn skip(&mut self, bytes: &[u8]) {
        while self.peek().is_some_and(|byte| bytes.contains(&byte)) {
            self.at += 1;
        }
    }

    /// What is not in the grammar may be the first byte of a longer character, so texts are cut
    /// where only ASCII was read.
    fn since(&self, start: usize) -> &'a str {
        self.field.get(start..self.at).unwrap_or_default()
    }

    const fn malformed(&self) -> FieldError {
        FieldError::Malformed { at: self.at }
    }

    const fn malformed_before(&self) -> FieldError {
        FieldError::Malformed { at: self.at.saturating_sub(1) }
    }

    fn member(&mut self) -> Result<Member<'a>, FieldError> {
        let key = self.key()?;
        if !self.takes(b'=') {
            let (start, value) = (self.at, Value::Item(Bare::Boolean(true)));
            let parameters = self.parameters()?;
            return Ok(Member { key, text: self.since(start), value, parameters });
        }
        let start = self.at;
        let value = if self.takes(b'(') { self.list()? } else { Value::Item(self.bare()?) };
        let parameters = self.parameters()?;
        Ok(Member { key, text: self.since(start), value, parameters })
    }

    fn list(&mut self) -> Result<Value, FieldError> {
        let mut items = Vec::new();
        loop {
            self.skip(b" ");
            if self.takes(b')') {
                return Ok(Value::List(items));
            }
            if items.len() == COUNT_MAX {
                return Err(FieldError::TooMany);
            }
            let bare = self.bare()?;
            items.push(Item { bare, parameters: self.parameters()? });
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(self.malformed());
            }
        }
    }

    fn parameters(&mut self) -> Result<Vec<(String, Bare)>, FieldError> {
        let mut parameters: Vec<(String, Bare)> = Vec::new();
        while self.takes(b';') {
            self.skip(b" ");
            let key = self.key()?;
            let value = if self.takes(b'=') { self.bare()? } else { Bare::Boolean(true) };
            if parameters.len() == COUNT_MAX {
                return Err(FieldError::TooMany);
            }
            if parameters.iter().any(|(other, _)| other == key) {
                return Err(FieldError::Twice);
            }
            parameters.push((key.to_owned(), value));
        }
        Ok(parameters)
    }

    fn key(&mut self) -> Result<&'a str, FieldError> {
        let start = self.at;
        if !self.peek().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'*') {
            return Err(self.malformed());
        }
        while self.peek().is_some_and(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        }) {
            self.at += 1;
        }
        Ok(self.since(start))
    }

    fn bare(&mut self) -> Result<Bare, FieldError> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b':') => self.bytes(),
            Some(b'?') => self.boolean(),
            Some(byte) if byte == b'-' || byte.is_ascii_digit() => self.integer(),
            Some(byte) if byte == b'*' || byte.is_ascii_alphabetic() => Ok(self.token()),
            Some(_) | None => Err(self.malformed()),
        }
    }

    fn string(&mut self) -> Result<Bare, FieldError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next() {
                Some(b'"') => return Ok(Bare::String(text)),
                Some(b'\\') => match self.next() {
                    Some(byte @ (b'"' | b'\\')) => text.push(char::from(byte)),
                    Some(_) | None => return Err(self.malformed_before()),
                },
                Some(byte) if (0x20..0x7f).contains(&byte) => text.push(char::from(byte)),
                Some(_) | None => return Err(self.malformed_before()),
            }
        }
    }

    fn bytes(&mut self) -> Result<Bare, FieldError> {
        self.at += 1;
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_graphic() && byte != b':') {
            self.at += 1;
        }
        let text = self.since(start);
        let decoded = STANDARD.decode(text).ok();
        match decoded {
            Some(bytes) if self.takes(b':') => Ok(Bare::Bytes(bytes)),
            Some(_) | None => Err(FieldError::Malformed { at: start }),
        }
    }

    fn boolean(&mut self) -> Result<Bare, FieldError> {
        self.at += 1;
        match self.next() {
            Some(b'0') => Ok(Bare::Boolean(false)),
            Some(b'1') => Ok(Bare::Boolean(true)),
            Some(_) | None => Err(self.malformed_before()),
        }
    }

    /// At most 15 digits, as the RFC has it.
    fn integer(&mut self) -> Result<Bare, FieldError> {
        let start = self.at;
        let sign = usize::from(self.takes(b'-'));
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let text = self.since(start);
        if text.len() - sign > 15 || self.peek() == Some(b'.') {
            return Err(self.malformed());
        }
        text.parse()
            .map_or(Err(FieldError::Malformed { at: start }), |number| Ok(Bare::Integer(number)))
    }

    fn token(&mut self) -> Bare {
        let start = self.at;
        while self.peek().is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
        }) {
            self.at += 1;
        }
        Bare::Token(self.since(start).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_keeps_its_text_beside_its_meaning() {
        let field = r#"a=("x";k "y\"");n=-7;t=to/ken;b=:AQI=:;flag, c;d=?0"#;
        let members = dictionary(field).unwrap();
        let [a, c] = members.as_slice() else { panic!("{members:?}") };
        assert_eq!(a.text, r#"("x";k "y\"");n=-7;t=to/ken;b=:AQI=:;flag"#);
        let list = vec![
            Item {
                bare: Bare::String("x".to_owned()),
                parameters: vec![("k".to_owned(), Bare::Boolean(true))],
            },
            Item { bare: Bare::String("y\"".to_owned()), parameters: vec![] },
        ];
        assert_eq!(a.value, Value::List(list));
        assert_eq!(a.parameter("n"), Some(&Bare::Integer(-7)));
        assert_eq!(a.parameter("t"), Some(&Bare::Token("to/ken".to_owned())));
        assert_eq!(a.parameter("b"), Some(&Bare::Bytes(vec![1, 2])));
        assert_eq!(a.parameter("flag"), Some(&Bare::Boolean(true)));
        assert_eq!((c.item(), c.text), (Some(&Bare::Boolean(true)), ";d=?0"));
    }

    #[test]
    fn what_the_grammar_has_not_is_refused() {
        let many = (0..17).map(|index| format!("a{index}")).collect::<Vec<_>>().join(",");
        for (field, expected) in [
            ("", FieldError::Malformed { at: 0 }),
            ("A=1", FieldError::Malformed { at: 0 }),
            ("a=", FieldError::Malformed { at: 2 }),
            ("a=1,", FieldError::Malformed { at: 4 }),
            ("a=1 b=2", FieldError::Malformed { at: 4 }),
            ("a=1.5", FieldError::Malformed { at: 3 }),
            ("a=1234567890123456", FieldError::Malformed { at: 18 }),
            ("a=-", FieldError::Malformed { at: 2 }),
            ("a=\"é\"", FieldError::Malformed { at: 3 }),
            ("a=\"x", FieldError::Malformed { at: 3 }),
            ("a=\"\\n\"", FieldError::Malformed { at: 4 }),
            ("a=:AA:", FieldError::Malformed { at: 3 }),
            ("a=:AAAA", FieldError::Malformed { at: 3 }),
            ("a=(\"x\"\"y\")", FieldError::Malformed { at: 6 }),
            ("a=(\"x\"", FieldError::Malformed { at: 6 }),
            ("a=?2", FieldError::Malformed { at: 3 }),
            ("a=@5", FieldError::Malformed { at: 2 }),
            ("a=1,a=2", FieldError::Twice),
            ("a=1;b=1;b=2", FieldError::Twice),
            (&many, FieldError::TooMany),
            (&"a".repeat(2049), FieldError::TooLong),
        ] {
            assert_eq!(dictionary(field), Err(expected), "{field}");
        }
    }
}
