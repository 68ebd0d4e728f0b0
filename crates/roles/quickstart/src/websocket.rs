//! A WebSocket that sends back what it gets.

use std::io::{self, Write as _};
use std::net::TcpStream;

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Error, WebSocket};

/// Accepts the upgrade and echoes until the other side is done.
pub(crate) fn echo(mut stream: TcpStream, key: &str) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )?;
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    loop {
        let result = socket.read().and_then(|message| {
            // The library answers pings and closes by itself.
            if message.is_text() || message.is_binary() { socket.send(message) } else { Ok(()) }
        });
        match result {
            Ok(()) => {}
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(()),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}
