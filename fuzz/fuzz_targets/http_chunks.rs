//! Chunked bodies: any split gives the same outcome, and the same as a plain parser that has
//! the whole body before it.
//!
//! The first four bytes of the input say how the rest is cut and how much room there is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_http::{BodyEnd, ChunkRefusal, Chunks};

type Outcome = Result<(Vec<u8>, usize, BodyEnd), ChunkRefusal>;

fuzz_target!(|bytes: &[u8]| {
    let Some((cuts, body)) = bytes.split_first_chunk::<4>() else { return };
    let whole = decode(body, &[body.len().max(1)], body.len().max(1));
    let pieces = [usize::from(cuts[0]) + 1, usize::from(cuts[1]) + 1, usize::from(cuts[2] & 7) + 1];
    assert_eq!(decode(body, &pieces, usize::from(cuts[3] & 31) + 1), whole);
    assert_eq!(decode(body, &[1], 1), whole);
    let expected = whole.clone().map(|(_, taken, end)| (taken, end));
    assert_eq!(scan(body, &pieces), expected);
    assert_eq!(scan(body, &[1]), expected);
    assert_eq!(scan(body, &[body.len().max(1)]), expected);

    match (plain(body), whole) {
        (Plain::Complete(content, taken), whole) => {
            assert_eq!(whole, Ok((content, taken, BodyEnd::Complete)));
        }
        (Plain::Partial, whole) => assert!(!matches!(whole, Ok((_, _, BodyEnd::Complete)))),
        // The limits are beyond it.
        (Plain::Wrong, whole) => assert!(
            !matches!(whole, Ok((_, _, BodyEnd::Complete))),
            "{:?}",
            String::from_utf8_lossy(body)
        ),
    }
});

fn decode(body: &[u8], pieces: &[usize], room: usize) -> Outcome {
    let mut chunks = Chunks::start();
    let (mut content, mut taken, mut seen) = (Vec::new(), 0, 0);
    let mut sizes = pieces.iter().cycle();
    let mut output = vec![0; room];
    while chunks.end() == BodyEnd::More {
        let decoded = chunks.decode(&body[taken..seen], &mut output)?;
        assert_eq!(decoded.end, chunks.end());
        content.extend_from_slice(&output[..decoded.written]);
        taken += decoded.taken;
        if decoded.taken == 0 && decoded.written == 0 {
            if seen == body.len() {
                break;
            }
            seen = (seen + sizes.next().copied().unwrap_or(1)).min(body.len());
        }
    }
    Ok((content, taken, chunks.end()))
}

fn scan(body: &[u8], pieces: &[usize]) -> Result<(usize, BodyEnd), ChunkRefusal> {
    let mut chunks = Chunks::start();
    let mut taken = 0;
    for size in pieces.iter().cycle() {
        let piece = &body[taken..(taken + size).min(body.len())];
        let scanned = chunks.scan(piece)?;
        taken += scanned.taken;
        if scanned.end == BodyEnd::Complete || piece.is_empty() {
            break;
        }
        assert_eq!(scanned.taken, piece.len());
    }
    Ok((taken, chunks.end()))
}

/// What a parser makes of it that knows the grammar, and neither limits nor forbidden names.
enum Plain {
    /// The content, and where the body ends.
    Complete(Vec<u8>, usize),
    Partial,
    Wrong,
}

fn plain(body: &[u8]) -> Plain {
    let (mut content, mut at) = (Vec::new(), 0);
    let mut extensions = 0;
    loop {
        let Some(line) = line(&body[at..]) else { return Plain::Partial };
        at += line.len() + 2;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        extensions += extension.len();
        if size.is_empty() || size.len() > 15 || extension.len() > 255 || extensions > 16000 {
            return Plain::Wrong;
        }
        if !extension.is_empty() && !is_extension(extension) {
            return Plain::Wrong;
        }
        let size = str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("hexadecimal digits");
        if size == 0 {
            break;
        }
        let Some(data) = body[at..].get(..size) else { return Plain::Partial };
        content.extend_from_slice(data);
        at += size;
        match &body[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Plain::Partial,
            _ => return Plain::Wrong,
        }
    }
    let trailers = at;
    loop {
        let Some(line) = line(&body[at..]) else { return Plain::Partial };
        at += line.len() + 2;
        if line.is_empty() {
            return Plain::Complete(content, at);
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return Plain::Wrong };
        let (name, value) = line.split_at(colon);
        if name.is_empty()
            || !name.iter().all(|&byte| is_token(byte))
            || !value.iter().all(|&byte| is_text(byte))
            || at - trailers > 8000
            || is_forbidden(name)
        {
            return Plain::Wrong;
        }
    }
}

/// Up to the first CRLF.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(2).position(|pair| pair == b"\r\n").map(|end| &bytes[..end])
}

fn is_extension(text: &[u8]) -> bool {
    let Some(text) = text.strip_prefix(b";") else { return false };
    let name = text.iter().take_while(|&&byte| is_token(byte)).count();
    let rest = &text[name..];
    if name == 0 {
        return false;
    }
    let rest = match rest {
        [b'=', b'"', quoted @ ..] => {
            let mut rest = quoted;
            loop {
                match rest {
                    [b'"', after @ ..] => break after,
                    [b'\\', byte, after @ ..] if is_text(*byte) => rest = after,
                    [b'\\', ..] | [] => return false,
                    [byte, after @ ..] if is_text(*byte) => rest = after,
                    _ => return false,
                }
            }
        }
        [b'=', token @ ..] => {
            let value = token.iter().take_while(|&&byte| is_token(byte)).count();
            if value == 0 {
                return false;
            }
            &token[value..]
        }
        rest => rest,
    };
    rest.is_empty() || is_extension(rest)
}

fn is_forbidden(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-");
    [
        "content-length",
        "transfer-encoding",
        "host",
        "trailer",
        "connection",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
        "expect",
        "max-forwards",
        "cache-control",
        "range",
        "content-encoding",
        "content-type",
        "content-range",
        "authorization",
        "proxy-authorization",
        "proxy-authenticate",
        "www-authenticate",
        "cookie",
        "set-cookie",
        "if-match",
        "if-none-match",
        "location",
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
        "x-real-ip",
    ]
    .contains(&name.as_str())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (b' '..=b'~').contains(&byte) || byte >= 0x80
}
