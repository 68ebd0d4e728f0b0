//! Names that sections give themselves and by which other sections call them.

use std::collections::BTreeMap;

use crate::entry::Text;
use crate::section::Section;
use crate::suggest::suggestion;

/// Longest name. Names are labels of metrics and words in log lines.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// The names of all sections of one kind, and their places in order.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    /// What they name: `listener`.
    kind: &'static str,
    indexes: BTreeMap<String, usize>,
    /// Each as it was written, by index; none where it was no name or another's.
    texts: Vec<Option<Text<'a>>>,
}

impl<'a> Names<'a> {
    pub(crate) const fn new(kind: &'static str) -> Self {
        Self { kind, indexes: BTreeMap::new(), texts: Vec::new() }
    }

    /// Reads the `name` of the next section. Call it once for each, in order.
    pub(crate) fn read(&mut self, section: &mut Section<'a>) -> String {
        let index = self.texts.len();
        let name = section.text("name").filter(|name| self.is_new(name, section));
        let shown = name.as_ref().map(|name| name.get_ref().to_string());
        if let (Some(name), Some(shown)) = (&name, &shown) {
            check_form("name", name, section);
            // Even if it was wrong: who calls it by that name is right.
            self.indexes.insert(shown.clone(), index);
        }
        self.texts.push(name);
        shown.unwrap_or_default()
    }

    fn is_new(&self, name: &Text<'a>, section: &Section<'a>) -> bool {
        let new = !self.indexes.contains_key(name.get_ref().as_ref());
        if !new {
            let sentence = format!("{} {:?} exists already", self.kind, name.get_ref());
            section.problems().add(name.span(), sentence);
        }
        new
    }

    /// Whether every section has a name by which it could be called.
    pub(crate) fn are_all_known(&self) -> bool {
        self.texts.iter().all(Option::is_some)
    }

    /// The index of the section that is meant.
    pub(crate) fn resolve(&self, name: &Text<'a>, section: &Section<'a>) -> Option<usize> {
        let index = self.indexes.get(name.get_ref().as_ref()).copied();
        // It may be meant for a section whose name is a problem already.
        if index.is_none() && self.are_all_known() {
            let hint = suggestion(name.get_ref(), self.indexes.keys().map(String::as_str));
            let sentence = format!("there is no {} {:?}{hint}", self.kind, name.get_ref());
            section.problems().add(name.span(), sentence);
        }
        index
    }

    /// The name at an index, as it was written, if there was one.
    pub(crate) fn text(&self, index: usize) -> Option<&Text<'a>> {
        self.texts.get(index)?.as_ref()
    }

    pub(crate) const fn len(&self) -> usize {
        self.texts.len()
    }
}

/// Whether what `key` has can be a name.
pub(crate) fn check_form(key: &str, name: &Text<'_>, section: &Section<'_>) {
    let text = name.get_ref();
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=NAME_BYTES_MAX).contains(&text.len()) || !text.chars().all(known) {
        let sentence = format!(
            "{key} {text:?} must be 1 to {NAME_BYTES_MAX} characters out of a-z, A-Z, 0-9, \"-\", \"_\" and \".\""
        );
        section.problems().add(name.span(), sentence);
    }
}
