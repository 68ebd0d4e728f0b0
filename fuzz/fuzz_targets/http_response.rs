//! Response heads: no panic, one reading, and a rewrite that reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_http::{
    Back, BackConnection, BackFraming, Body, FieldSpace, HeadLimits, Method, Parsed, Persistence,
    Response, parse_response, write_response,
};

const LIMITS: HeadLimits = HeadLimits { head_bytes: 4096, fields: 100, target_bytes: 0 };

/// For the rewrite, which is longer.
const LIMITS_AFTER: HeadLimits = HeadLimits { head_bytes: 16384, fields: 128, target_bytes: 0 };

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let method = if choice & 1 == 0 { Method::Get } else { Method::Head };
    let mut space = FieldSpace::new();
    let parsed = parse_response(bytes, &mut space, &LIMITS, method);

    let cut = usize::from(choice) * bytes.len() / 256;
    let mut early_space = FieldSpace::new();
    match (parse_response(&bytes[..cut], &mut early_space, &LIMITS, method), &parsed) {
        (Ok(Parsed::Partial), _) | (Err(_), Err(_)) => {}
        (Ok(Parsed::Complete(early)), Ok(Parsed::Complete(late))) => same(&early, late),
        (early, late) => panic!("{early:?} then {late:?}"),
    }

    let Ok(Parsed::Complete(response)) = parsed else { return };
    assert!(bytes[..response.head_bytes].ends_with(b"\r\n\r\n"));
    assert!((100..1000).contains(&response.status));
    let back = Back {
        framing: if choice & 2 == 0 { BackFraming::AsReceived } else { BackFraming::Decoded },
        connection: match choice & 12 {
            0 => BackConnection::KeepAlive,
            4 => BackConnection::Close,
            _ => BackConnection::Implied,
        },
        date: (choice & 16 == 0).then_some("Thu, 01 Jan 1970 00:00:00 GMT"),
    };
    let mut out = vec![0; 16384];
    let length = write_response(&response, &back, &mut out).expect("a buffer that is large");
    assert!(write_response(&response, &back, &mut vec![0; length - 1]).is_err());

    let mut space = FieldSpace::new();
    let after = match parse_response(&out[..length], &mut space, &LIMITS_AFTER, method) {
        Ok(Parsed::Complete(after)) => after,
        other => panic!("{other:?} of {}", String::from_utf8_lossy(&out[..length])),
    };
    assert_eq!(after.head_bytes, length);
    assert_eq!(after.status, response.status);
    assert_eq!(after.reason, response.reason);
    assert_eq!(after.upgrade, response.upgrade);
    match (response.body, back.framing) {
        (Body::Chunked, BackFraming::Decoded) => assert_eq!(after.body, Body::UntilClose),
        (body, _) => assert_eq!(after.body, body),
    }
    if back.connection == BackConnection::Close && response.status >= 200 {
        assert_eq!(after.persistence, Persistence::Close);
    }
});

fn same(early: &Response<'_, '_>, late: &Response<'_, '_>) {
    assert_eq!(early.head_bytes, late.head_bytes);
    assert_eq!((early.status, early.body), (late.status, late.body));
    assert_eq!(early.persistence, late.persistence);
}
