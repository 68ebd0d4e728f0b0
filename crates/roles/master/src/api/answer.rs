//! From a request to its response.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use mainstay_generations::Generations;
use mainstay_model::Generation;
use mainstay_wire::caller;
use mainstay_wire::command::{Command, Reply};
use serde::Serialize;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::Api;
use super::access::Caller;
use super::operation::{Operation, find};
use super::pieces::Pieces;
use super::problem::Problem;

/// What is sent back.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Everything that is answered here, for machines.
pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

/// How much of a file is in memory for one client.
const PIECE_BYTES: u64 = 64 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TOML: HeaderValue = HeaderValue::from_static("application/toml");

/// Answers one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    api: Arc<Api>,
    caller: Caller,
) -> Result<Response<Body>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = api.respond(request, &caller).await;
    let response = response.unwrap_or_else(|problem| {
        let status = problem.status.as_u16();
        // Who was let in and wanted something changed is noted. Anyone can be a stranger, often.
        if method == hyper::Method::POST && problem.status != StatusCode::UNAUTHORIZED {
            warn!(path, status, "a request was not done");
        } else {
            debug!(%method, path, status, "a request was not answered as it was meant");
        }
        problem.into_response()
    });
    Ok(response)
}

impl Api {
    async fn respond(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
    ) -> Result<Response<Body>, Problem> {
        let token = caller.check(request.headers())?;
        let operation = find(request.method(), request.uri().path())?;
        let (parts, body) = request.into_parts();
        if parts.method == hyper::Method::POST {
            info!(?operation, token, "an operator asks over HTTP");
        }
        let query = parts.uri.query().unwrap_or_default();
        match operation {
            Operation::Describe => Ok(whole(StatusCode::OK, JSON, DESCRIPTION)),
            Operation::Status => match self.ask(&Command::Status).await? {
                Reply::Status(status) => json(&status),
                reply => Err(unexpected(reply)),
            },
            Operation::Health => self.health().await,
            Operation::Generations => match self.ask(&Command::Generations).await? {
                Reply::Generations(generations) => json(&generations),
                reply => Err(unexpected(reply)),
            },
            Operation::Generation(generation) => self.generation(generation),
            Operation::Apply => self.apply(query, body).await,
            Operation::Rollback => self.roll_back(query).await,
            Operation::Swap => self.order(caller::Request::Swap {}).await,
            Operation::Purge => self.order(caller::Request::PurgeCache {}).await,
            Operation::PolicyRefresh => self.order(caller::Request::PolicyRefresh {}).await,
            Operation::EspStatus => self.order(caller::Request::EspStatus {}).await,
        }
    }

    /// The text of a generation that is kept.
    fn generation(&self, generation: Generation) -> Result<Response<Body>, Problem> {
        let file = Generations::of(&self.state).file(generation);
        match File::open(file).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((bytes, file)) => {
                let mut response = respond(StatusCode::OK, TOML, read_on(file).boxed_unsync());
                // So that a client knows if what it got is not whole.
                response.headers_mut().insert(CONTENT_LENGTH, bytes.into());
                Ok(response)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Problem::not_found(format!("there is no generation {generation}")))
            }
            Err(error) => Err(Problem::unavailable(error.to_string())),
        }
    }

    /// The whole body of a request, within its limits, and the room that it takes.
    pub(super) async fn read(
        &self,
        body: Incoming,
    ) -> Result<(Bytes, SemaphorePermit<'_>), Problem> {
        let limit = self.admin.body_bytes;
        let room = timeout(self.admin.timeout, self.bodies.acquire()).await;
        let Ok(Ok(room)) = room else {
            return Err(Problem::unavailable("others are sending configurations".to_owned()));
        };
        let collected = timeout(self.admin.timeout, Limited::new(body, limit).collect()).await;
        let collected = collected.map_err(|_elapsed| Problem::too_slow())?;
        match collected {
            Ok(collected) => Ok((collected.to_bytes(), room)),
            Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(limit)),
            Err(_) => Err(Problem::bad_request("the body did not arrive whole")),
        }
    }
}

/// What is in a file, as the client takes it.
fn read_on(mut file: File) -> Pieces {
    let (sender, pieces) = Pieces::channel(1);
    drop(tokio::spawn(async move {
        loop {
            let mut piece = Vec::new();
            let read = (&mut file).take(PIECE_BYTES).read_to_end(&mut piece);
            if matches!(read, Ok(0) | Err(_)) || sender.send(piece.into()).await.is_err() {
                return;
            }
        }
    }));
    pieces
}

/// A reply that the question cannot have.
pub(super) fn unexpected(reply: Reply) -> Problem {
    match reply {
        Reply::Refused { reason } => Problem::refused(reason),
        _ => Problem::unavailable("the master answered something else".to_owned()),
    }
}

/// What was asked for, as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Response<Body>, Problem> {
    let text =
        serde_json::to_string(value).map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok(whole(StatusCode::OK, JSON, text + "\n"))
}

/// A response that is there at once.
pub(super) fn whole(
    status: StatusCode,
    media_type: HeaderValue,
    text: impl Into<Bytes>,
) -> Response<Body> {
    respond(status, media_type, Full::new(text.into()).boxed_unsync())
}

/// A response with this body.
pub(super) fn respond(status: StatusCode, media_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
