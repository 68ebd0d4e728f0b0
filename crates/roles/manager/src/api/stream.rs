//! Events as they come: server-sent events, in the order in which they became visible.
//!
//! Whoever comes back with the position of the last event that they saw (`Last-Event-ID`, which
//! browsers send by themselves, or `after`) misses nothing, at whichever manager.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use mainstay_database::{EventFilter, EventPosition, StoreError};
use mainstay_model::Chain;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::debug;

use super::Api;
use super::answer::{Answered, respond};
use super::ask::Ask;
use super::caller::{By, Caller};
use super::events::{filter, view};
use super::pieces::Pieces;
use super::problem::Problem;

/// How often the database is asked for what is new.
const LOOK: Duration = Duration::from_millis(500);

/// Most events of one look.
const EVENTS_MAX: u32 = 200;

/// After how long of nothing something is said, so that whoever is between keeps it open.
const QUIET: Duration = Duration::from_secs(15);

/// How often it is looked whether the caller still may.
const CHECK: Duration = Duration::from_secs(10);

/// How long a client may take to take a piece.
const SLOW: Duration = Duration::from_secs(30);

/// Longest that a stream lives; browsers open another by themselves.
const LIFE: Duration = Duration::from_hours(1);

const TYPE: HeaderValue = HeaderValue::from_static("text/event-stream");

pub(super) async fn events(api: &Arc<Api>, ask: &Ask) -> Answered {
    let filter = filter(ask)?;
    let last = ask.fields.get("last-event-id").map(|value| value.to_str().unwrap_or_default());
    let after = match last.or_else(|| ask.query.get("after").map(String::as_str)) {
        Some(text) => text
            .parse()
            .map_err(|_refused| Problem::bad_request(format!("{text:?} is no position")))?,
        None => api.store.events_end().await?,
    };
    let permit = Arc::clone(&api.streams).try_acquire_owned();
    let permit = permit.map_err(|_refused| Problem::unavailable("too many streams are open"))?;
    let (sender, pieces) = Pieces::channel(1);
    let (api, caller) = (Arc::clone(api), ask.caller()?.clone());
    drop(tokio::spawn(async move {
        let live = Live { api, caller, filter, after, sender };
        if let Err(error) = live.run().await {
            debug!(error = %Chain(&error), "a stream of events ended");
        }
        drop(permit);
    }));
    Ok(respond(StatusCode::OK, TYPE, pieces.boxed_unsync()))
}

/// One stream.
struct Live {
    api: Arc<Api>,
    caller: Caller,
    filter: EventFilter,
    after: EventPosition,
    sender: Sender<Bytes>,
}

impl Live {
    /// Ends when the client is gone or too slow, may no more, or the database does not answer.
    async fn run(mut self) -> Result<(), StoreError> {
        let begun = Instant::now();
        let (mut told, mut checked) = (begun, begun);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // So that the client knows at once that it is connected, and where.
        if self.send(format!(": after {}\n\n", self.after)).await.is_none() {
            return Ok(());
        }
        while begun.elapsed() < LIFE && !self.sender.is_closed() {
            looks.tick().await;
            if checked.elapsed() >= CHECK {
                if !self.may_still().await {
                    return Ok(());
                }
                checked = Instant::now();
            }
            let news = self.api.store.events_after(self.after, self.filter.clone(), EVENTS_MAX);
            let (events, after) = news.await?;
            self.after = after;
            let mut text = String::new();
            for event in &events {
                let (position, view) = (event.position, view(event));
                text.push_str(&format!("id: {position}\ndata: {view}\n\n"));
            }
            if text.is_empty() && told.elapsed() >= QUIET {
                ":\n\n".clone_into(&mut text);
            }
            if !text.is_empty() {
                told = Instant::now();
                if self.send(text).await.is_none() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Nothing if the client is gone or too slow.
    async fn send(&self, text: String) -> Option<()> {
        timeout(SLOW, self.sender.send(text.into())).await.ok()?.ok()
    }

    /// Whether the session or the token still counts.
    async fn may_still(&self) -> bool {
        match self.caller.by {
            By::Session { secret, .. } => {
                matches!(self.api.by_session(secret).await, Ok(Some(_)))
            }
            By::Token { secret } => self.api.by_token(secret).await.is_ok(),
        }
    }
}
