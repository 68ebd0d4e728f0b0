//! The origin's end of a WebSocket: an echo that also keeps a digest.

use crate::http::RequestHead;
use crate::pattern::Sum;
use crate::socket::{Broken, Socket};
use crate::websocket::{Frame, accept_key, opcode};

/// The text message that asks for the digest of all binary messages so far.
pub(crate) const ASK_SUM: &[u8] = b"sum";

/// Shakes hands and echoes until the peer closes.
pub(super) fn serve(socket: &mut Socket, head: &RequestHead) -> Result<(), Broken> {
    let Some(key) = head.fields.first("sec-websocket-key") else {
        return socket.send(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
    };
    let accept = accept_key(key);
    socket.send(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .as_bytes(),
    )?;
    let (mut sum, mut wire) = (Sum::default(), Vec::new());
    while let Some(frame) = Frame::read(socket)? {
        wire.clear();
        match frame.opcode() {
            opcode::TEXT if frame.payload == ASK_SUM => {
                Frame::whole(opcode::TEXT, sum.line().into_bytes()).write(&mut wire, None);
            }
            opcode::PING => Frame::whole(opcode::PONG, frame.payload).write(&mut wire, None),
            opcode::CLOSE => {
                frame.write(&mut wire, None);
                socket.send(&wire)?;
                return socket.finish();
            }
            _ => {
                sum.add(&frame.payload);
                frame.write(&mut wire, None);
            }
        }
        socket.send(&wire)?;
    }
    Ok(())
}
