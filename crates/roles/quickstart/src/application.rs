//! The demo application: a page, what it asks for, an echo, a download.
//!
//! One thread for each connection of the gateway, up to a limit. It knows the worker that
//! serves as anyone may know it: it asks the gateway.

use std::io::{self, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use mainstay_model::Chain;
use tracing::{debug, warn};

use crate::request::{Request, read, respond};
use crate::{download, gateway, websocket};

const PAGE: &str = include_str!("page.html");

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Most connections at a time.
const CONNECTIONS_MAX: usize = 512;

/// Starts it; it ends with the process.
pub(crate) fn start(listener: TcpListener, run: PathBuf) -> anyhow::Result<()> {
    let serve = move || accept(&listener, &Arc::new(run));
    thread::Builder::new()
        .name("application".to_owned())
        .spawn(serve)
        .context("cannot start a thread")
        .map(drop)
}

fn accept(listener: &TcpListener, run: &Arc<PathBuf>) {
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                warn!(error = %Chain(&error), "demo application cannot accept");
                continue;
            }
        };
        // Every thread holds one.
        if Arc::strong_count(run) > CONNECTIONS_MAX {
            warn!("demo application has too many connections, one was closed");
            continue;
        }
        let run = Arc::clone(run);
        let serve = move || {
            if let Err(error) = converse(stream, &run) {
                debug!(error = %Chain(&error), "connection to the demo application failed");
            }
        };
        if let Err(error) = thread::Builder::new().name("connection".to_owned()).spawn(serve) {
            warn!(error = %Chain(&error), "demo application cannot start a thread");
        }
    }
}

/// Answers one request after the other.
fn converse(mut stream: TcpStream, run: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    while let Some(request) = read(&mut input)? {
        let Request { path, websocket_key, .. } = request;
        match (path.as_str(), websocket_key) {
            // A client sends nothing before it has the answer, so nothing is left in `input`.
            ("/echo", Some(key)) => return websocket::echo(stream, &key),
            ("/", _) => respond(&mut stream, "200 OK", HTML, PAGE.as_bytes())?,
            ("/whoami", _) => {
                let status = serde_json::to_vec(&gateway::status(run))?;
                respond(&mut stream, "200 OK", JSON, &status)?;
            }
            ("/download", _) => download::write(&mut stream)?,
            ("/echo", None) => {
                respond(&mut stream, "426 Upgrade Required", TEXT, b"This is a WebSocket.\n")?;
            }
            _ => respond(&mut stream, "404 Not Found", TEXT, b"There is no such page.\n")?,
        }
        stream.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn ask(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        start(listener, PathBuf::from("/nowhere")).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn one_connection_carries_many_requests() {
        let answer =
            ask("GET / HTTP/1.1\r\n\r\nPOST /whoami HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc\
             GET /missing HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 3, "{answer}");
        assert!(answer.contains("\r\n\r\nnull"), "no gateway, no status: {answer}");
        assert!(answer.ends_with("There is no such page.\n"), "{answer}");
    }

    #[test]
    fn an_upgrade_is_accepted() {
        let answer =
            ask("GET /echo HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        assert!(
            answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{answer}"
        );
    }
}
