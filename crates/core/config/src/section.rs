//! A table of a configuration file, read key by key.
//!
//! A section hands out each key once, by type. What is wrong is noted where it is and a
//! stand-in is returned, so that reading goes on and finds the next problem. What is left at
//! [`Section::finish`] are keys that nobody asked for: unknown, each a problem.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::TEXT_BYTES_MAX;
use crate::entry::{Entry, Text};
use crate::problem::{Problem, Problems};
use crate::scalar::show_size;
use crate::suggest::suggestion;

/// Longest text of which more than the first slip in TOML is reported: the parser keeps all
/// of them in memory, and may find one in every byte.
const RECOVERY_BYTES_MAX: usize = 256 * 1024;

/// Most unknown keys of a section that may be mistyped ones.
const MISTYPED_MAX: usize = 100;

/// Some keys and values under one heading.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    /// What an operator would call it: `[[listener]]`, `gateway.toml`.
    title: &'static str,
    /// Where a missing key is reported.
    span: Range<usize>,
    entries: Vec<(Text<'a>, Spanned<DeValue<'a>>)>,
    /// Every key that was asked for.
    known: Vec<&'static str>,
    problems: &'a Problems,
}

/// The text as a table; else every place where it is not TOML.
pub(crate) fn read_tables(text: &str) -> Result<DeTable<'_>, Vec<Problem>> {
    if text.len() > TEXT_BYTES_MAX {
        let limit = show_size(TEXT_BYTES_MAX as u64);
        let sentence = format!("a configuration file may have at most {limit}");
        return Err(vec![Problem::at(0..0, sentence)]);
    }
    let first = match DeTable::parse(text) {
        Ok(table) => return Ok(table.into_inner()),
        Err(error) => error,
    };
    let errors = if text.len() > RECOVERY_BYTES_MAX {
        vec![first]
    } else {
        DeTable::parse_recoverable(text).1
    };
    let problems = Problems::default();
    let mut spans: Vec<_> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    spans.sort_by_key(|(span, _)| span.start);
    let mut seen_until = 0;
    for (index, (span, message)) in spans.into_iter().enumerate() {
        // After a slip the parser stumbles on through the rest of the line: the first is it.
        let between = text.get(seen_until..span.start).unwrap_or_default();
        if index == 0 || between.contains('\n') {
            problems.add(span.clone(), format!("not TOML: {message}"));
        }
        seen_until = span.start;
    }
    problems.check(DeTable::new())
}

impl<'a> Section<'a> {
    /// A whole file. `title` is the name that its documentation gives it.
    pub(crate) fn file(
        text: &'a str,
        title: &'static str,
        problems: &'a Problems,
    ) -> Result<Self, Vec<Problem>> {
        Ok(Self::new(title, 0..0, read_tables(text)?, problems))
    }

    pub(crate) fn new(
        title: &'static str,
        span: Range<usize>,
        table: DeTable<'a>,
        problems: &'a Problems,
    ) -> Self {
        Self { title, span, entries: table.into_iter().collect(), known: Vec::new(), problems }
    }

    /// Where the section begins.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(crate) const fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// The value of a key, if it is there.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        let index = self.entries.iter().position(|(name, _)| name.get_ref() == key)?;
        let (_, value) = self.entries.swap_remove(index);
        Some(Entry::new(key, value, self.problems))
    }

    /// The value of a key that must be there.
    pub(crate) fn required(&mut self, key: &'static str) -> Option<Entry<'a>> {
        let entry = self.optional(key);
        if entry.is_none() {
            self.problems.add(self.span(), format!("{} needs the key {key:?}", self.title));
        }
        entry
    }

    /// A string that must be there.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Text<'a>> {
        self.required(key)?.text()
    }

    /// An array of strings that must be there, with at least one element.
    pub(crate) fn texts(&mut self, key: &'static str) -> Vec<Text<'a>> {
        let array = self.required(key).and_then(Entry::array).unwrap_or_default();
        array.into_iter().filter_map(Entry::text).collect()
    }

    /// A whole number.
    pub(crate) fn integer<T>(
        &mut self,
        key: &'static str,
        default: T,
        range: &RangeInclusive<T>,
    ) -> T
    where
        T: Copy + Display + PartialOrd + TryFrom<i128>,
    {
        self.optional(key).and_then(|entry| entry.integer(range)).unwrap_or(default)
    }

    /// A duration such as `"5s"`.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: &RangeInclusive<Duration>,
    ) -> Duration {
        self.optional(key).and_then(|entry| entry.duration(range)).unwrap_or(default)
    }

    /// A size such as `"16KiB"`, or a number of bytes.
    pub(crate) fn size(
        &mut self,
        key: &'static str,
        default: u64,
        range: &RangeInclusive<u64>,
    ) -> u64 {
        self.optional(key).and_then(|entry| entry.size(range)).unwrap_or(default)
    }

    /// A value for a check across sections: with its place, which is the section's if the
    /// default holds; nothing if it was a problem by itself.
    pub(crate) fn placed<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(Entry<'a>) -> Option<T>,
    ) -> Option<Spanned<T>> {
        match self.optional(key) {
            None => Some(Spanned::new(self.span(), default)),
            Some(entry) => {
                let span = entry.span();
                read(entry).map(|value| Spanned::new(span, value))
            }
        }
    }

    /// One word out of a few.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        words: &[(&str, T)],
    ) -> T {
        let Some(text) = self.optional(key).and_then(Entry::text) else { return default };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == text.get_ref()) {
            return *value;
        }
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let sentence = format!("{key:?} must be {}, not {:?}", quoted.join(" or "), text.get_ref());
        self.problems.add(text.span(), sentence);
        default
    }

    /// `[key]`: empty if it is not there.
    pub(crate) fn table(&mut self, key: &'static str, title: &'static str) -> Self {
        self.optional(key)
            .and_then(|entry| entry.table(title))
            .unwrap_or_else(|| self.absent(title))
    }

    /// A section that is not there: every key of it has its default.
    pub(crate) fn absent(&self, title: &'static str) -> Self {
        Self::new(title, self.span(), DeTable::new(), self.problems)
    }

    /// Every `[[key]]`, in the order of the file; nothing if what is there is no such thing,
    /// which was noted.
    pub(crate) fn tables(&mut self, key: &'static str, title: &'static str) -> Option<Vec<Self>> {
        match self.optional(key) {
            None => Some(Vec::new()),
            Some(entry) => entry.tables(title),
        }
    }

    /// Whatever is left is unknown.
    pub(crate) fn finish(self) {
        self.finish_file("", &[]);
    }

    /// As [`Self::finish`], for a whole file: knows the keys of the other file too.
    pub(crate) fn finish_file(self, other_title: &str, other_keys: &[&str]) {
        for (key, _) in &self.entries {
            let name = key.get_ref().as_ref();
            let hint = if other_keys.contains(&name) {
                format!("; it belongs in {other_title}")
            } else if self.entries.len() <= MISTYPED_MAX {
                suggestion(name, self.known.iter().copied())
            } else {
                String::new()
            };
            self.problems.add(key.span(), format!("{name:?} is not a key of {}{hint}", self.title));
        }
    }
}
