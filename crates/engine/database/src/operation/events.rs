//! Reading events. The order of all events is that in which they became visible, which is not
//! the order in which their numbers were given where several transactions write at a time.
//!
//! In PostgreSQL an event's place is its transaction's number, then its own. A reader that goes
//! forward sees only transactions older than every one that is still open, so nothing that it
//! will see later has a place before what it has seen.
//! In SQLite there is one writer, so a number is enough; each day is a table.

use super::page;
use crate::event::{EventDay, EventFilter, EventPosition, EventRow};
use crate::page::{Page, Range};
use crate::session::{Conditions, Dialect, Row, Session};
use crate::store::Stored;
use crate::time::Day;

/// How a day's table is called in SQLite, and its partition in PostgreSQL.
pub(crate) fn table(day: Day) -> String {
    format!("event_{}", day.0)
}

/// Which way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// What became visible last, first; from before a position.
    Backward,
    /// From after a position.
    Forward,
}

pub(crate) fn list(
    s: &mut dyn Session,
    filter: &EventFilter,
    range: &Range,
) -> Stored<Page<EventRow>> {
    let end = EventPosition { transaction: i64::MAX, number: i64::MAX };
    let from = range.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(end);
    let rows = select(s, filter, Order::Backward, (from, range.rows() + 1))?;
    page(rows, range, read, |row| row.position.to_string())
}

pub(crate) fn after(
    s: &mut dyn Session,
    after: EventPosition,
    filter: &EventFilter,
    limit: u32,
) -> Stored<(Vec<EventRow>, EventPosition)> {
    // What is there when it begins: a filter may leave all of it out.
    let end = end(s)?;
    let limit = limit.clamp(1, Range::MAX);
    let rows = super::all(select(s, filter, Order::Forward, (after, limit))?, read)?;
    let full = rows.len() >= limit as usize;
    let last = rows.last().map_or(after, |row| row.position);
    let next = if full { last } else { last.max(end) };
    Ok((rows, next))
}

/// The last place of what is visible and has nothing open before it.
pub(crate) fn end(s: &mut dyn Session) -> Stored<EventPosition> {
    match s.dialect() {
        Dialect::Sqlite => {
            let number = s.number("SELECT last FROM event_number", &[])?;
            Ok(EventPosition { transaction: 0, number })
        }
        Dialect::Postgres => {
            let open = s.number(OLDEST_OPEN, &[])?;
            Ok(EventPosition { transaction: open - 1, number: i64::MAX })
        }
    }
}

const OLDEST_OPEN: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";

fn select(
    s: &mut dyn Session,
    filter: &EventFilter,
    order: Order,
    (place, limit): (EventPosition, u32),
) -> Stored<Vec<Row>> {
    let days = days(s, filter)?;
    match s.dialect() {
        Dialect::Postgres => {
            let mut conditions = conditions(filter);
            // Lets the planner leave out the other partitions.
            if let (Some(first), Some(last)) = (days.first(), days.last()) {
                conditions.and_plain(&format!("day BETWEEN {} AND {}", first.0, last.0));
            }
            let (transaction, number) =
                (conditions.bind(place.transaction), conditions.bind(place.number));
            let (sign, direction) = match order {
                Order::Backward => ("<", "DESC"),
                Order::Forward => (">", "ASC"),
            };
            conditions
                .and_plain(&format!("(transaction, number) {sign} ({transaction}, {number})"));
            if order == Order::Forward {
                conditions.and_plain(&format!("transaction < ({OLDEST_OPEN})"));
            }
            let limit = conditions.bind(limit);
            let sql = format!(
                "SELECT transaction, number, {COLUMNS} FROM event{}
                 ORDER BY transaction {direction}, number {direction} LIMIT {limit}",
                conditions.sql(),
            );
            s.rows(&sql, &conditions.values)
        }
        Dialect::Sqlite => by_day(s, filter, order, (place.number, limit), &days),
    }
}

/// What lies in the tables of days, by number. A clock may have been set back, and then numbers
/// of one day lie between those of another: so a day is left out only by its numbers.
fn by_day(
    s: &mut dyn Session,
    filter: &EventFilter,
    order: Order,
    (place, limit): (i64, u32),
    days: &[Day],
) -> Stored<Vec<Row>> {
    let mut spans = Vec::with_capacity(days.len());
    for &day in days {
        let table = table(day);
        let sql =
            format!("SELECT (SELECT min(number) FROM {table}), (SELECT max(number) FROM {table})");
        let Some(mut row) = s.row(&sql, &[])? else { continue };
        if let (Some(first), Some(last)) = (row.maybe_int()?, row.maybe_int()?) {
            spans.push((first, last, day));
        }
    }
    let (sign, direction) = match order {
        Order::Backward => {
            spans.sort_unstable_by_key(|&(_first, last, _day)| std::cmp::Reverse(last));
            ("<", "DESC")
        }
        Order::Forward => {
            spans.sort_unstable_by_key(|&(first, _last, _day)| first);
            (">", "ASC")
        }
    };
    let limit = limit as usize;
    let mut found: Vec<(i64, Row)> = Vec::new();
    for (first, last, day) in spans {
        let full = found.len() >= limit;
        let past = found.last().is_some_and(|&(number, _)| match order {
            Order::Backward => last < number,
            Order::Forward => first > number,
        });
        if full && past {
            break;
        }
        let mut conditions = conditions(filter);
        conditions.and(&format!("number {sign} ?"), place);
        let most = conditions.bind(limit as u64);
        let sql = format!(
            "SELECT number, 0, number, {COLUMNS} FROM {}{} ORDER BY number {direction} LIMIT {most}",
            table(day),
            conditions.sql(),
        );
        for mut row in s.rows(&sql, &conditions.values)? {
            found.push((row.int()?, row));
        }
        match order {
            Order::Backward => found.sort_by_key(|&(number, _)| std::cmp::Reverse(number)),
            Order::Forward => found.sort_by_key(|&(number, _)| number),
        }
        found.truncate(limit);
    }
    Ok(found.into_iter().map(|(_number, row)| row).collect())
}

const COLUMNS: &str = "agent, stream, sequence, at, received_at, manager, kind, severity, body";

/// The days that may hold what is asked for.
fn days(s: &mut dyn Session, filter: &EventFilter) -> Stored<Vec<Day>> {
    let mut days = s.days()?;
    if let Some(from) = filter.from {
        days.retain(|&day| day >= from.day());
    }
    if let Some(before) = filter.before {
        days.retain(|&day| day.start() < before);
    }
    Ok(days)
}

fn conditions(filter: &EventFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.and_maybe("agent = ?", filter.agent);
    conditions.and_maybe("stream = ?", filter.stream);
    conditions.and_like("kind", filter.kind.as_deref());
    conditions.and_maybe("severity >= ?", filter.severity);
    conditions.and_maybe("received_at >= ?", filter.from);
    conditions.and_maybe("received_at < ?", filter.before);
    conditions
}

fn read(row: &mut Row) -> Stored<EventRow> {
    let position = EventPosition { transaction: row.int()?, number: row.int()? };
    let agent = row.maybe_id()?;
    let (stream, sequence) = (row.maybe_id()?, row.maybe_int()?);
    let origin = stream.zip(sequence.map(i64::cast_unsigned));
    Ok(EventRow {
        position,
        agent,
        origin,
        at: row.int()?,
        received_at: row.time()?,
        manager: row.maybe_id()?,
        kind: row.text()?,
        severity: row.code()?,
        body: row.bytes()?,
    })
}

/// Every day with the number of its events.
pub(crate) fn days_with_counts(s: &mut dyn Session) -> Stored<Vec<EventDay>> {
    let mut days = Vec::new();
    for day in s.days()? {
        let sql = match s.dialect() {
            Dialect::Sqlite => format!("SELECT count(*) FROM {}", table(day)),
            Dialect::Postgres => format!("SELECT count(*) FROM event WHERE day = {}", day.0),
        };
        let events = s.number(&sql, &[])?.cast_unsigned();
        days.push(EventDay { day, events });
    }
    Ok(days)
}
