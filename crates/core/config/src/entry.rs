//! One value of a configuration file, on its way to a type.
//!
//! # Invariants
//!
//! 1. A reader that returns nothing has noted a problem.

use std::fmt::{self, Display};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeString, DeValue};

use crate::problem::Problems;
use crate::scalar::{
    Percent, read_duration, read_percent, read_size, show_duration, show_percent, show_size,
};
use crate::section::Section;

/// A string with its place.
pub(crate) type Text<'a> = Spanned<DeString<'a>>;

/// A value, its place, and what a sentence about it begins with.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    subject: Subject,
    span: Range<usize>,
    value: DeValue<'a>,
    problems: &'a Problems,
}

/// What a sentence is about.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Key(&'static str),
    /// An element of the array that a key has.
    ElementOf(&'static str),
}

/// A value that has a short form and a long one.
#[derive(Debug)]
pub(crate) enum Form<'a> {
    Short(Text<'a>),
    Long(Section<'a>),
}

impl<'a> Entry<'a> {
    /// The value of a key.
    pub(crate) fn new(
        key: &'static str,
        value: Spanned<DeValue<'a>>,
        problems: &'a Problems,
    ) -> Self {
        Self { subject: Subject::Key(key), span: value.span(), value: value.into_inner(), problems }
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether it is this very string.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.value.as_str() == Some(word)
    }

    pub(crate) fn text(self) -> Option<Text<'a>> {
        let DeValue::String(text) = self.value else { return self.wrong_type("a string") };
        Some(Spanned::new(self.span, text))
    }

    /// `true` or `false`
    pub(crate) fn boolean(self) -> Option<bool> {
        let DeValue::Boolean(value) = self.value else { return self.wrong_type("a boolean") };
        Some(value)
    }

    /// A whole number.
    pub(crate) fn integer<T>(self, range: &RangeInclusive<T>) -> Option<T>
    where
        T: Copy + Display + PartialOrd + TryFrom<i128>,
    {
        let DeValue::Integer(number) = &self.value else { return self.wrong_type("an integer") };
        let integer = integer_value(number).and_then(|number| T::try_from(number).ok());
        match integer.filter(|integer| range.contains(integer)) {
            Some(integer) => Some(integer),
            None => self.out_of_range([range.start(), range.end()].map(T::to_string)),
        }
    }

    /// `"5s"`
    pub(crate) fn duration(self, range: &RangeInclusive<Duration>) -> Option<Duration> {
        let shape = "a duration such as \"250ms\", \"5s\", \"1m\" or \"1h\"";
        let duration = self.measure(shape, read_duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        self.out_of_range([*range.start(), *range.end()].map(show_duration))
    }

    /// `"16KiB"`, or a number of bytes.
    pub(crate) fn size(self, range: &RangeInclusive<u64>) -> Option<u64> {
        let size = match &self.value {
            DeValue::Integer(number) => integer_value(number).and_then(|n| u64::try_from(n).ok()),
            DeValue::String(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                let shape = "a size such as 16384, \"16KiB\" or \"1MiB\"";
                Some(self.measure(shape, read_size)?)
            }
        };
        match size.filter(|size| range.contains(size)) {
            Some(size) => Some(size),
            None => self.out_of_range([*range.start(), *range.end()].map(show_size)),
        }
    }

    /// `"25%"`
    pub(crate) fn percent(self, range: &RangeInclusive<Percent>) -> Option<Percent> {
        let percent = self.measure("a share such as \"25%\"", read_percent)?;
        if range.contains(&percent) {
            return Some(percent);
        }
        self.out_of_range([*range.start(), *range.end()].map(show_percent))
    }

    /// The elements of an array; at least one.
    pub(crate) fn array(self) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value else { return self.wrong_type("an array") };
        let (Subject::Key(key) | Subject::ElementOf(key)) = self.subject;
        if array.is_empty() {
            let sentence = format!("{} must have at least one element", self.subject);
            self.problems.add(self.span, sentence);
            return None;
        }
        let element = |value: Spanned<DeValue<'a>>| Self {
            subject: Subject::ElementOf(key),
            ..Self::new(key, value, self.problems)
        };
        Some(array.into_iter().map(element).collect())
    }

    /// A table. A missing key of it is reported where it begins.
    pub(crate) fn table(self, title: &'static str) -> Option<Section<'a>> {
        let DeValue::Table(table) = self.value else { return self.wrong_type("a table") };
        Some(Section::new(title, self.span, table, self.problems))
    }

    /// Several tables, written `[[…]]`. Elements that are no tables are left out;
    /// nothing if all were.
    pub(crate) fn tables(self, title: &'static str) -> Option<Vec<Section<'a>>> {
        let expected = format!("written {title}");
        let DeValue::Array(array) = self.value else { return self.wrong_type(&expected) };
        let length = array.len();
        let mut sections = Vec::with_capacity(length);
        for value in array {
            let span = value.span();
            let entry = Self { span, value: value.into_inner(), ..self };
            if let DeValue::Table(table) = entry.value {
                sections.push(Section::new(title, entry.span, table, self.problems));
            } else {
                entry.wrong_type::<()>(&expected);
            }
        }
        (length == 0 || !sections.is_empty()).then_some(sections)
    }

    /// A string, or a table for what the string cannot say.
    pub(crate) fn form(self, title: &'static str, expected: &str) -> Option<Form<'a>> {
        match self.value {
            DeValue::String(text) => Some(Form::Short(Spanned::new(self.span, text))),
            DeValue::Table(table) => {
                Some(Form::Long(Section::new(title, self.span, table, self.problems)))
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => self.wrong_type(expected),
        }
    }

    /// A string that `read` understands.
    fn measure<T>(&self, shape: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let measure = self.value.as_str().and_then(read);
        if measure.is_none() {
            let sentence = format!("{} must be {shape}, not {}", self.subject, self.shown());
            self.problems.add(self.span(), sentence);
        }
        measure
    }

    fn out_of_range<T>(&self, [low, high]: [String; 2]) -> Option<T> {
        let sentence =
            format!("{} must be from {low} to {high}, not {}", self.subject, self.shown());
        self.problems.add(self.span(), sentence);
        None
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let sentence = format!("{} must be {expected}, not {}", self.subject, self.type_name());
        self.problems.add(self.span(), sentence);
        None
    }

    /// As it may stand in a sentence.
    fn shown(&self) -> String {
        match &self.value {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => self.type_name().to_owned(),
        }
    }

    const fn type_name(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        }
    }
}

impl Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key:?}"),
            Self::ElementOf(key) => write!(f, "each element of {key:?}"),
        }
    }
}

fn integer_value(number: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}
