//! Rows of chunked bodies, and the law that no split matters.

use proptest::prelude::*;
use zerocopy::{FromZeros, IntoBytes, TryFromBytes};

use super::*;
use crate::table::rows;

/// Content, bytes left over, or the rule broken.
fn outcome(bytes: &[u8]) -> String {
    let mut output = vec![0; bytes.len()];
    let decoded = Chunks::start().decode(bytes, &mut output);
    let scanned = Chunks::start().scan(bytes);
    match (decoded, scanned) {
        (Ok(decoded), Ok(scanned)) => {
            assert_eq!((decoded.taken, decoded.end), (scanned.taken, scanned.end));
            let content = String::from_utf8_lossy(&output[..decoded.written]).into_owned();
            match decoded.end {
                BodyEnd::More => format!("{content:?} and more"),
                BodyEnd::Complete => format!("{content:?} +{}", bytes.len() - decoded.taken),
            }
        }
        (Err(decoded), Err(scanned)) => {
            assert_eq!(decoded, scanned);
            format!("{decoded:?}")
        }
        (decoded, scanned) => panic!("{decoded:?} but {scanned:?}"),
    }
}

#[track_caller]
fn check(table: &str) {
    for (bytes, expected) in rows(table) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
        assert_eq!(outcome(&bytes), expected, "for: {text:?}");
    }
}

#[test]
fn bodies_are_read() {
    check(
        r#"
        0\r\n\r\n => "" +0
        000\r\n\r\n => "" +0
        5\r\nhello\r\n0\r\n\r\n => "hello" +0
        5\r\nhello\r\n0\r\n\r\nGET / => "hello" +5
        5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n => "hello world" +0
        a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n => "01234567890123456789" +0
        000000000000005\r\nhello\r\n0\r\n\r\n => "hello" +0
        2\r\n\r\n\r\n0\r\n\r\n => "\r\n" +0
        0\r\nX: y\r\n\r\nz => "" +1
        0\r\nX:y\r\nGrpc-Status:\t0\xe9 \r\nE:\r\n\r\n => "" +0
        5\r\nhel => "hel" and more
        5\r\nhello => "hello" and more
        5\r\nhello\r\n0\r\n => "hello" and more
        5\r\nhello\r\n0\r\nX: y\r\n => "hello" and more
        7fffffffffffff\r\nhe => "he" and more
        "#,
    );
}

#[test]
fn extensions_are_read() {
    check(
        r#"
        0;a\r\n\r\n => "" +0
        1;a=b;c="d e\x5c"f;g"\r\nx\r\n0;z\r\n\r\n => "x" +0
        1;a=""\r\nx\r\n0\r\n\r\n => "x" +0
        1;a="\x5c\x5c\x5c""\r\nx\r\n0\r\n\r\n => "x" +0
        1;{a*255}\r\nx\r\n0\r\n\r\n => ExtensionTooLong
        1;{a*254}\r\nx\r\n0\r\n\r\n => "x" +0
        {1;aaaaaaaaaaaaaa\r\nx\r\n*1025}0\r\n\r\n => ExtensionTooLong
        1;\r\nx\r\n => ExtensionInvalid
        1;;a\r\nx\r\n => ExtensionInvalid
        1;a=\r\nx\r\n => ExtensionInvalid
        1;=b\r\nx\r\n => ExtensionInvalid
        1;a=b=c\r\nx\r\n => ExtensionInvalid
        1; a\r\nx\r\n => ExtensionInvalid
        1;a =b\r\nx\r\n => ExtensionInvalid
        1;a= b\r\nx\r\n => ExtensionInvalid
        1;a="b"c\r\nx\r\n => ExtensionInvalid
        1;a="b\r\nx\r\n => ExtensionInvalid
        1;a="\x5c\r\n"\r\nx\r\n => ExtensionInvalid
        1;a=\0\r\nx\r\n => ExtensionInvalid
        1;a\n\r\nx\r\n => BareLineFeed
        1;a="\n"\r\nx\r\n => BareLineFeed
        1;a\rb\r\nx\r\n => BareCarriageReturn
        1;a\r\r\nx\r\n => BareCarriageReturn
        1 ;a\r\nx\r\n => SizeInvalid
        "#,
    );
}

#[test]
fn sizes_and_ends_are_read_strictly() {
    check(
        r"
        \r\n => SizeMissing
        ;a\r\n => SizeMissing
        \n => SizeMissing
        x\r\n => SizeInvalid
        -1\r\nx\r\n => SizeInvalid
        +1\r\nx\r\n => SizeInvalid
        0x1\r\nx\r\n => SizeInvalid
        1 \r\nx\r\n => SizeInvalid
        \x201\r\nx\r\n => SizeInvalid
        1_0\r\nx\r\n => SizeInvalid
        1\0\r\nx\r\n => SizeInvalid
        0000000000000001\r\nx\r\n => SizeTooLarge
        10000000000000000\r\nx\r\n => SizeTooLarge
        1\nx\r\n => BareLineFeed
        1\rx\r\n => BareCarriageReturn
        1\r\r\nx\r\n => BareCarriageReturn
        1\r\nxy\r\n => DataOverrun
        1\r\nx\n0\r\n\r\n => DataOverrun
        1\r\nx\rz => DataOverrun
        2\r\nx\r\n0\r\n\r\n => DataOverrun
        0\r\n\n => BareLineFeed
        0\r\n\rx => BareCarriageReturn
        ",
    );
}

#[test]
fn trailers_are_read_strictly() {
    check(
        r"
        0\r\nX: y\n\r\n => BareLineFeed
        0\r\nX\n: y\r\n\r\n => BareLineFeed
        0\r\nX: y\rz\r\n\r\n => BareCarriageReturn
        0\r\n X: y\r\n\r\n => TrailerFold
        0\r\nX: y\r\n\tz\r\n\r\n => TrailerFold
        0\r\nX : y\r\n\r\n => TrailerNameInvalid
        0\r\n: y\r\n\r\n => TrailerNameInvalid
        0\r\nX\r\n\r\n => TrailerNameInvalid
        0\r\nX\0: y\r\n\r\n => TrailerNameInvalid
        0\r\nX: \0\r\n\r\n => TrailerValueInvalid
        0\r\nX: \x7f\r\n\r\n => TrailerValueInvalid
        0\r\nX: {a*8188}\r\n\r\n => TrailersTooLong
        0\r\n{X: aaaaaaaaaaaaa\r\n*456}\r\n => TrailersTooLong
        0\r\nContent-Length: 5\r\n\r\n => TrailerForbidden
        0\r\ncontent-length:5\r\n\r\n => TrailerForbidden
        0\r\nContent_Length: 5\r\n\r\n => TrailerForbidden
        0\r\nX: y\r\nTRANSFER-ENCODING: chunked\r\n\r\n => TrailerForbidden
        0\r\nHost: a\r\n\r\n => TrailerForbidden
        0\r\nTrailer: a\r\n\r\n => TrailerForbidden
        0\r\nTE: a\r\n\r\n => TrailerForbidden
        0\r\nAuthorization: a\r\n\r\n => TrailerForbidden
        0\r\nX-Forwarded-For: a\r\n\r\n => TrailerForbidden
        ",
    );
    check(
        r#"
        0\r\nContent-Lengt: 5\r\nContent-Lengths: 5\r\nHos: a\r\nHosts: a\r\nT: a\r\nTEE: a\r\n\r\n => "" +0
        0\r\nX: {a*8187}\r\n\r\n => "" +0
        "#,
    );
}

#[test]
fn every_forbidden_trailer_is_refused() {
    for name in FORBIDDEN {
        let body = format!("0\r\n{}: x\r\n\r\n", name.to_ascii_uppercase());
        assert_eq!(outcome(body.as_bytes()), "TrailerForbidden", "{name}");
    }
}

#[test]
fn the_layout_is_fixed() {
    assert_eq!(size_of::<Chunks>(), 24);
    let mut chunks = Chunks::start();
    chunks.scan(b"5;a\r\nhe").unwrap();
    let bytes = chunks.as_bytes().to_vec();
    assert_eq!(Chunks::try_read_from_bytes(&bytes), Ok(chunks));
    assert_eq!(Chunks::new_zeroed_state(), Chunks::start());
}

impl Chunks {
    /// A ledger begins as zeros.
    fn new_zeroed_state() -> Self {
        let zeros = <[u8; 24]>::new_zeroed();
        Self::try_read_from_bytes(&zeros).unwrap()
    }
}

/// Bodies that are right, nearly right, and wrong.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "0\r\n",
        "1\r\nx\r\n",
        "5\r\nhello\r\n",
        "a\r\n0123456789\r\n",
        "3;a=b\r\nabc\r\n",
        "\r\n",
        "1;a=\"b\\\"\"\r\nx\r\n",
        "X: y\r\n",
        "Host: y\r\n",
        "0;z\r\n",
        "\r",
        "\n",
        "5",
        ";",
        "\"",
    ]);
    let right = prop::sample::select(vec![
        "1\r\nx\r\n",
        "5\r\nhello\r\n",
        "A\r\n0123456789\r\n",
        "3;a=b\r\nabc\r\n",
        "01;a=\"b\\\"\"\r\nx\r\n",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat().into_bytes()),
        prop::collection::vec(right, 0..10).prop_map(|pieces| [
            &pieces.concat(),
            "0\r\nX: y\r\n\r\nrest"
        ]
        .concat()
        .into_bytes()),
        prop::collection::vec(any::<u8>(), 0..40),
    ]
}

/// Everything `decode` gives when the input comes in pieces and the room is small.
fn decode_in_pieces(
    body: &[u8],
    pieces: &[usize],
    room: usize,
) -> Result<(Vec<u8>, usize, BodyEnd), ChunkRefusal> {
    let mut chunks = Chunks::start();
    let (mut content, mut taken) = (Vec::new(), 0);
    let mut sizes = pieces.iter().copied().cycle();
    let mut seen = 0;
    while chunks.end() == BodyEnd::More {
        let mut output = vec![0; room];
        let decoded = chunks.decode(&body[taken..seen], &mut output)?;
        content.extend_from_slice(&output[..decoded.written]);
        taken += decoded.taken;
        if decoded.taken == 0 && decoded.written == 0 {
            if seen == body.len() {
                break;
            }
            seen = (seen + sizes.next().unwrap_or(1)).min(body.len());
        }
    }
    Ok((content, taken, chunks.end()))
}

proptest! {
    #[test]
    fn splits_do_not_matter(
        body in any_body(),
        pieces in prop::collection::vec(1..9_usize, 1..6),
        room in 1..9_usize,
    ) {
        let mut output = vec![0; body.len()];
        let whole = Chunks::start().decode(&body, &mut output).map(|decoded| {
            (output[..decoded.written].to_vec(), decoded.taken, decoded.end)
        });
        prop_assert_eq!(&decode_in_pieces(&body, &pieces, room), &whole);

        let mut chunks = Chunks::start();
        let mut taken = 0;
        let mut scanned = Ok(());
        for size in pieces.iter().cycle() {
            let piece = &body[taken..(taken + size).min(body.len())];
            match chunks.scan(piece) {
                Ok(scanned) => taken += scanned.taken,
                Err(refusal) => scanned = Err(refusal),
            }
            if scanned.is_err() || piece.is_empty() || chunks.end() == BodyEnd::Complete {
                break;
            }
        }
        prop_assert_eq!(scanned.map(|()| (taken, chunks.end())), whole.map(|(_, t, e)| (t, e)));
    }

    /// The state may come from the memory of a process that went wrong.
    #[test]
    fn no_state_panics(state in any::<[u8; 24]>(), kind in 0..18_u8, body in any_body()) {
        let mut state = state;
        state[21] = kind;
        let mut chunks = Chunks::try_read_from_bytes(&state).unwrap();
        let mut output = [0; 16];
        if let Ok(decoded) = chunks.decode(&body, &mut output) {
            prop_assert!(decoded.taken <= body.len() && decoded.written <= output.len());
        }
    }
}
