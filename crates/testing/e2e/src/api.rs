//! Somebody at the admin API: a request and its response, by hand, over the socket or over TLS.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;

use crate::gateway::{DEADLINE, Gateway};
use crate::wait;

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// In lower case, a line each.
    pub fields: String,
    pub body: String,
}

impl Response {
    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("no JSON: {self:?}"))
    }

    /// Each line of the body as JSON.
    pub fn lines(&self) -> anyhow::Result<Vec<Value>> {
        let lines = self.body.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().with_context(|| format!("no lines of JSON: {self:?}"))
    }
}

/// A connection to the socket in the run directory.
pub fn connect(gateway: &Gateway) -> anyhow::Result<UnixStream> {
    let path = gateway.path().join("run/api.sock");
    let stream = wait::until("the admin API", DEADLINE, || UnixStream::connect(&path).ok())?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// `GET` or `POST`, a path, and what is sent along.
pub fn ask(gateway: &Gateway, request: &str, body: &str) -> anyhow::Result<Response> {
    let mut stream = connect(gateway)?;
    send(&mut stream, request, "", body)?;
    receive(stream)
}

/// The same over TLS, by who believes this certificate alone.
pub fn ask_securely(
    address: SocketAddr,
    certificate: &Path,
    request: &str,
    token: Option<&str>,
) -> anyhow::Result<Response> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fs::read(certificate)?)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection =
        rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("gateway.test")?)?;
    let connect = || TcpStream::connect(address).ok();
    let stream = wait::until("the admin API's address", DEADLINE, connect)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let fields = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    send(&mut stream, request, &fields.unwrap_or_default(), "")?;
    receive(stream)
}

/// Sends a request, whose fields are whole lines.
pub fn send(
    stream: &mut impl Write,
    request: &str,
    fields: &str,
    body: &str,
) -> anyhow::Result<()> {
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: gateway.test\r\n{fields}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    Ok(stream.flush()?)
}

/// Reads a response to its end, which is the end of the connection too.
pub fn receive(stream: impl Read) -> anyhow::Result<Response> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        anyhow::ensure!(stream.read_line(&mut head)? > 0, "the head ends in {head:?}");
    }
    let (first, fields) = head.split_once("\r\n").context("a first line")?;
    let status = first.split(' ').nth(1).context("a status")?.parse()?;
    let fields = fields.to_ascii_lowercase();
    let mut body = Vec::new();
    if fields.contains("transfer-encoding: chunked") {
        while let Some(chunk) = read_chunk(&mut stream)? {
            body.extend(chunk);
        }
    } else {
        stream.read_to_end(&mut body)?;
    }
    Ok(Response { status, fields, body: String::from_utf8(body)? })
}

/// The next chunk; none at the end.
pub fn read_chunk(stream: &mut BufReader<impl Read>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let length = usize::from_str_radix(line.trim_end(), 16).with_context(|| line.clone())?;
    let mut chunk = vec![0; length + 2];
    stream.read_exact(&mut chunk)?;
    chunk.truncate(length);
    Ok((length > 0).then_some(chunk))
}
