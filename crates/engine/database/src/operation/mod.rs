//! What is not urgent, once for both databases: plain functions over a session.

pub(crate) mod access;
pub(crate) mod agents;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod configurations;
pub(crate) mod enrolment;
pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod managers;
pub(crate) mod presence;
pub(crate) mod rollouts;
pub(crate) mod settings;

use crate::page::{Page, Range};
use crate::session::Row;
use crate::store::Stored;

/// How a page's `next` names its last row: texts that may hold anything, joined.
const JOINT: char = '\u{1f}';

/// Makes a page of rows that were asked for with one row more than its limit.
pub(crate) fn page<T>(
    rows: Vec<Row>,
    range: &Range,
    read: impl Fn(&mut Row) -> Stored<T>,
    name: impl Fn(&T) -> String,
) -> Stored<Page<T>> {
    let limit = range.rows() as usize;
    let more = rows.len() > limit;
    let rows = rows.into_iter().take(limit).map(|mut row| read(&mut row));
    let rows = rows.collect::<Stored<Vec<T>>>()?;
    let next = if more { rows.last().map(name) } else { None };
    Ok(Page { rows, next })
}

/// Reads all rows.
pub(crate) fn all<T>(rows: Vec<Row>, read: impl Fn(&mut Row) -> Stored<T>) -> Stored<Vec<T>> {
    rows.into_iter().map(|mut row| read(&mut row)).collect()
}

/// Where a list by falling number goes on; a `next` that nobody gave means the beginning.
pub(crate) fn before(range: &Range) -> i64 {
    range.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(i64::MAX)
}

/// A pattern for LIKE with `!` as its escape: `text` as it stands, in lower case.
pub(crate) fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern
}
