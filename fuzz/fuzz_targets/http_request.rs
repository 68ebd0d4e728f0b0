//! Request heads: no panic, one reading, and a rewrite that reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_http::{
    Body, FieldSpace, Forwarded, HeadLimits, Identity, LoginAddress, Onward, Parsed, Persistence,
    Refusal, Request, parse_request, write_request,
};

const LIMITS: HeadLimits = HeadLimits { head_bytes: 4096, fields: 100, target_bytes: 2048 };

/// For the rewrite, which is longer.
const LIMITS_AFTER: HeadLimits = HeadLimits { head_bytes: 16384, fields: 128, target_bytes: 2049 };

const IDENTITY: Identity<'_> =
    Identity { cookie: "a", subject_header: "X-Forwarded-User", subject: Some("alice") };

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let mut space = FieldSpace::new();
    let parsed = parse_request(bytes, &mut space, &LIMITS);
    prefixes_agree(bytes, usize::from(choice), &parsed);
    let Ok(Parsed::Complete(request)) = parsed else { return };
    let head = &bytes[..request.head_bytes];
    assert!(request.head_bytes <= LIMITS.head_bytes);
    well_formed(head, &request);
    access(&request);

    let forwarded = if choice & 1 == 0 { Forwarded::Replace } else { Forwarded::Append };
    let onward = Onward {
        client: if choice & 2 == 0 { "192.0.2.1" } else { "2001:db8::1" },
        scheme: "http",
        request_id: "0123456789abcdef",
        forwarded,
        server: "10.0.0.1:8080",
        identity: (choice & 4 != 0).then_some(IDENTITY),
    };
    let mut out = vec![0; 16384];
    let length = write_request(&request, &onward, &mut out).expect("a buffer that is large");
    let written = &out[..length];
    assert!(write_request(&request, &onward, &mut vec![0; length - 1]).is_err());

    let mut space = FieldSpace::new();
    let after = match parse_request(written, &mut space, &LIMITS_AFTER) {
        Ok(Parsed::Complete(after)) => after,
        // Ours is one passage more.
        Err(Refusal::Loop) => return,
        other => panic!("{other:?} of {}", String::from_utf8_lossy(written)),
    };
    same(&request, &after, &onward);
    assert_eq!(after.head_bytes, length);
    well_formed(written, &after);
});

/// The address of a login cannot end its line.
fn access(request: &Request<'_, '_>) {
    let location = request.location(LoginAddress::Path("/in"), "http");
    assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location:?}");
    let _ = request.is_navigation();
}

/// A prefix of what was accepted is partial; what was refused stays refused.
fn prefixes_agree(bytes: &[u8], choice: usize, whole: &Result<Parsed<Request<'_, '_>>, Refusal>) {
    let cut = choice * bytes.len() / 256;
    let mut space = FieldSpace::new();
    match (parse_request(&bytes[..cut], &mut space, &LIMITS), whole) {
        (Ok(Parsed::Partial), _) => {}
        (Ok(Parsed::Complete(early)), Ok(Parsed::Complete(late))) => {
            assert_eq!(early.head_bytes, late.head_bytes);
            assert_eq!((early.target, early.body), (late.target, late.body));
        }
        (Err(early), Err(late)) => assert_eq!(early.status(), late.status()),
        (early, late) => panic!("{early:?} then {late:?}"),
    }
}

/// The grammar once more, without anything clever.
fn well_formed(head: &[u8], request: &Request<'_, '_>) {
    let head = head.strip_suffix(b"\r\n\r\n").expect("an end");
    let mut head = head;
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.split("\r\n");
    let words: Vec<&str> = lines.next().expect("a line").split(' ').collect();
    assert_eq!(words.len(), 3, "{words:?}");
    assert!(words[0].bytes().all(is_token), "{words:?}");
    assert!(words[1].bytes().all(|byte| byte.is_ascii_graphic()), "{words:?}");
    assert!(matches!(words[2], "HTTP/1.0" | "HTTP/1.1"), "{words:?}");
    let (mut hosts, mut lengths, mut codings) = (0, 0, 0);
    for line in lines {
        let (name, value) = line.split_once(':').expect("a colon");
        assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?}");
        assert!(value.chars().all(|it| it == '\t' || !it.is_control() || it > '\x7f'), "{value:?}");
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "content-length" => {
                lengths += 1;
                let length = value.trim_matches([' ', '\t']);
                assert_eq!(request.body, Body::Length(length.parse().expect("a number")));
                assert!(length.bytes().all(|byte| byte.is_ascii_digit()));
            }
            "transfer-encoding" => {
                codings += 1;
                assert!(value.trim_matches([' ', '\t']).eq_ignore_ascii_case("chunked"));
                assert_eq!(request.body, Body::Chunked);
            }
            _ => {}
        }
    }
    assert!(hosts == 1 || (hosts == 0 && words[2] == "HTTP/1.0"));
    assert!(lengths + codings <= 1);
    if lengths + codings == 0 {
        assert_eq!(request.body, Body::None);
    }
    assert!(!request.path.is_empty() && request.path.starts_with('/'));
    let decoded = request.path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
    assert!(!decoded.split('/').any(|segment| segment == "." || segment == ".."));
}

fn same(before: &Request<'_, '_>, after: &Request<'_, '_>, onward: &Onward<'_>) {
    assert_eq!(before.method_text, after.method_text);
    match before.target.strip_prefix('?') {
        Some(query) => assert_eq!(after.target.strip_prefix("/?"), Some(query)),
        None => assert_eq!(before.target, after.target),
    }
    assert_eq!(before.path, after.path);
    let authority = if before.authority.is_empty() { onward.server } else { before.authority };
    assert_eq!(authority, after.authority);
    assert_eq!(before.body, after.body);
    assert_eq!(before.upgrade, after.upgrade);
    assert_eq!(before.expectation, after.expectation);
    assert_eq!(after.persistence, Persistence::KeepAlive);
    let count = |name: &str| {
        after.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count()
    };
    for ours in ["host", "x-forwarded-for", "forwarded", "x-request-id"] {
        assert_eq!(count(ours), 1, "{ours}");
    }
    if onward.identity.is_some() {
        assert_eq!(count("x-forwarded-user"), 1);
        assert_eq!(after.cookie("a"), None);
    }
    for hop in ["te", "keep-alive", "proxy-connection", "proxy-authorization", "content_length"] {
        assert_eq!(count(hop), 0, "{hop}");
    }
    assert_eq!(count("connection"), usize::from(after.upgrade.is_some()));
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
