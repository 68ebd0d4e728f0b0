//! How a running agent is asked: one word on `agent.sock`, one JSON object back.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// Longest word.
const WORD_BYTES_MAX: u64 = 64;

/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// How long a word may take to come.
const WORD_LIMIT: Duration = Duration::from_secs(5);

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Between two attempts to accept, if the system refuses.
const PAUSE: Duration = Duration::from_millis(100);

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Status,
    Reregister,
    /// The same, with another key.
    Renew,
}

impl Question {
    const ALL: [Self; 3] = [Self::Status, Self::Reregister, Self::Renew];

    const fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Reregister => "reregister",
            Self::Renew => "renew",
        }
    }
}

/// Somebody who waits for an answer.
pub(crate) struct Caller {
    pub(crate) question: Question,
    pub(crate) answer: oneshot::Sender<Value>,
}

/// The socket, in a directory that only its owner may enter.
pub(crate) fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    mainstay_os::remove_if_there(path)
        .with_context(|| format!("cannot remove {}", path.display()))?;
    let bind = || -> io::Result<UnixListener> {
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().with_context(|| format!("cannot listen at {}", path.display()))
}

/// Takes one caller after the other, and hands on what they ask.
pub(crate) async fn serve(listener: UnixListener, callers: mpsc::Sender<Caller>) {
    let mut pause = tokio::time::interval(PAUSE);
    while !callers.is_closed() {
        match listener.accept().await {
            Ok((stream, _)) => answer(stream, &callers).await,
            Err(error) => {
                warn!(%error, "cannot accept at agent.sock");
                pause.tick().await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, callers: &mpsc::Sender<Caller>) {
    let mut word = String::new();
    let mut limited = (&mut stream).take(WORD_BYTES_MAX);
    let read = tokio::time::timeout(WORD_LIMIT, limited.read_to_string(&mut word)).await;
    if !matches!(read, Ok(Ok(_))) {
        return;
    }
    let question = Question::ALL.into_iter().find(|question| question.word() == word.trim());
    let said = match question {
        None => json!({"error": "this is nothing that can be asked"}),
        Some(question) => {
            let (sender, receiver) = oneshot::channel();
            if callers.send(Caller { question, answer: sender }).await.is_err() {
                return;
            }
            match tokio::time::timeout(ANSWER_LIMIT, receiver).await {
                Ok(Ok(said)) => said,
                Ok(Err(_)) | Err(_) => json!({"error": "no manager has done it so far"}),
            }
        }
    };
    // A caller that went away needs no answer.
    drop(stream.write_all(said.to_string().as_bytes()).await);
}

/// Asks a running agent; nothing if none runs. The lock is not looked at: whoever tried it would
/// be in the way of an agent that starts.
pub(crate) async fn ask(path: &Path, question: Question) -> anyhow::Result<Option<Value>> {
    let failed = || format!("cannot ask the agent at {}", path.display());
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(error).with_context(failed),
            };
        }
    };
    let work = async {
        stream.write_all(question.word().as_bytes()).await?;
        stream.shutdown().await?;
        let mut text = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text).await?;
        Ok::<_, io::Error>(text)
    };
    let asked = tokio::time::timeout(ANSWER_LIMIT + WORD_LIMIT, work).await;
    let text = asked.context("the agent does not answer")?.with_context(failed)?;
    serde_json::from_str(&text).map(Some).context("the agent's answer is no JSON")
}
