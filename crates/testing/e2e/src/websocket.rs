//! As much of WebSocket (RFC 6455) as an echo needs: the handshake, frames, both ends.
//!
//! Source: RFC 6455, 4.2.2 and 5.2; RFC 3174 for SHA-1, which the handshake asks for and
//! nothing else here uses.

use std::net::SocketAddr;

use crate::client::{Client, request};
use crate::socket::{Broken, Socket};

/// A frame's kind (RFC 6455, 5.2).
pub mod opcode {
    pub const CONTINUATION: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// One frame, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN and the opcode, as on the wire.
    pub first: u8,
    pub payload: Vec<u8>,
}

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const PAYLOAD_BYTES_MAX: u64 = 16 << 20;

impl Frame {
    /// A message of one frame.
    pub const fn whole(opcode: u8, payload: Vec<u8>) -> Self {
        Self { first: FINAL | opcode, payload }
    }

    /// What the frame is.
    pub const fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    /// Writes the frame; a client's is masked.
    pub fn write(&self, out: &mut Vec<u8>, mask: Option<[u8; 4]>) {
        let flag = if mask.is_some() { MASKED } else { 0 };
        out.push(self.first);
        match self.payload.len() {
            length @ 0..126 => out.push(flag | u8::try_from(length).unwrap()),
            length @ 126..0x1_0000 => {
                out.push(flag | 126);
                out.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                out.push(flag | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        let start = out.len() + mask.map_or(0, |mask| mask.len());
        out.extend(mask.into_iter().flatten());
        out.extend_from_slice(&self.payload);
        apply(mask, &mut out[start..]);
    }

    /// Reads the next frame; none if the connection ended between two.
    pub fn read(socket: &mut Socket) -> Result<Option<Self>, Broken> {
        let Some(&first) = socket.take(1)?.first() else { return Ok(None) };
        let mut byte = [0];
        socket.take_exact(&mut byte)?;
        let length = match byte[0] & !MASKED {
            126 => {
                let mut wide = [0; 2];
                socket.take_exact(&mut wide)?;
                u64::from(u16::from_be_bytes(wide))
            }
            127 => {
                let mut wide = [0; 8];
                socket.take_exact(&mut wide)?;
                u64::from_be_bytes(wide)
            }
            short => u64::from(short),
        };
        if length > PAYLOAD_BYTES_MAX {
            return Err(Broken::malformed(format!("a frame of {length} bytes")));
        }
        let mut mask = None;
        if byte[0] & MASKED != 0 {
            let mut key = [0; 4];
            socket.take_exact(&mut key)?;
            mask = Some(key);
        }
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        socket.take_exact(&mut payload)?;
        apply(mask, &mut payload);
        Ok(Some(Self { first, payload }))
    }
}

fn apply(mask: Option<[u8; 4]>, payload: &mut [u8]) {
    if let Some(mask) = mask {
        payload.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    }
}

/// The client's end of a WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    socket: Socket,
    mask: u32,
}

impl WebSocket {
    /// Connects and shakes hands.
    pub fn connect(address: SocketAddr, target: &str) -> Result<Self, Broken> {
        Self::connect_with(address, target, &[])
    }

    /// Connects and shakes hands, with further fields.
    pub fn connect_with(
        address: SocketAddr,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Result<Self, Broken> {
        const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
        let mut client = Client::connect(address)?;
        let handshake = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        client.send(&request("GET", target, &[&handshake, fields].concat()))?;
        let head = client.final_head()?;
        if head.status != 101 {
            return Err(head.unexpected());
        }
        let (expected, found) = (accept_key(KEY), head.fields.first("sec-websocket-accept"));
        if found != Some(&expected) {
            let found = found.unwrap_or_default().to_owned();
            return Err(Broken::WrongAnswer { expected, found });
        }
        Ok(Self { socket: client.into_socket(), mask: 0x9d1c_35a7 })
    }

    /// Sends one message.
    pub fn send(&mut self, opcode: u8, payload: Vec<u8>) -> Result<(), Broken> {
        self.mask = self.mask.rotate_left(5).wrapping_add(0x4f1b_bcdc);
        let mut wire = Vec::with_capacity(payload.len() + 14);
        Frame::whole(opcode, payload).write(&mut wire, Some(self.mask.to_be_bytes()));
        self.socket.send(&wire)
    }

    /// The next message.
    pub fn receive(&mut self) -> Result<Frame, Broken> {
        Frame::read(&mut self.socket)?.ok_or(Broken::Closed)
    }

    /// Says goodbye, and sees that the other end does too.
    pub fn close(mut self) -> Result<(), Broken> {
        self.send(opcode::CLOSE, vec![0x03, 0xe8])?;
        let frame = self.receive()?;
        if frame.opcode() != opcode::CLOSE {
            let found = format!("frame {:#x}", frame.first);
            return Err(Broken::WrongAnswer { expected: "close".to_owned(), found });
        }
        self.socket.expect_end()
    }
}

/// What a server answers to a client's key.
pub fn accept_key(key: &str) -> String {
    base64(&sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()))
}

fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let end = padded.len();
    padded[end - 8..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());

    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks_exact(64) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes(bytes.try_into().unwrap());
        }
        for t in 16..80 {
            words[t] = (words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (t, word) in words.iter().enumerate() {
            let (mixed, constant) = match t {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e);
            let next = next.wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(value);
        }
    }
    let mut digest = [0; 20];
    for (place, value) in digest.chunks_exact_mut(4).zip(state) {
        place.copy_from_slice(&value.to_be_bytes());
    }
    digest
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 0x3f).unwrap();
            text.push(if place <= group.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_answers_as_in_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(base64(b"a"), "YQ==");
        // 56 bytes: the length does not fit the block of the text any more (RFC 3174, test 2).
        let digest = sha1(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
        assert_eq!(digest[..4], [0x84, 0x98, 0x3e, 0x44]);
    }
}
