//! The headers of a signed request: any texts, split at a line break.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_trust::digest;
use mainstay_trust::key::PublicKey;
use mainstay_trust::signature::fields::{COUNT_MAX, dictionary};
use mainstay_trust::signature::{Covered, PARAMETER_BYTES_MAX, Presented};

fuzz_target!(|text: &str| {
    let (input, signature) = text.split_once('\n').unwrap_or((text, ""));
    for field in [input, signature] {
        let Ok(members) = dictionary(field) else { continue };
        assert!(!members.is_empty() && members.len() <= COUNT_MAX);
        for member in &members {
            assert!(field.contains(member.text) && field.contains(member.key));
        }
    }
    drop(digest::check_content(input, b"a body"));
    let Ok(presented) = Presented::parse(input, signature) else { return };
    assert!(presented.key_id().len() <= PARAMETER_BYTES_MAX);
    // A key that nobody has.
    let key = PublicKey::from_bytes(&[0x5a; 32]).expect("32 bytes");
    let covered = Covered {
        method: "POST",
        path: "/v1/opamp",
        content_digest: "sha-256=:AAAA:",
        instance_uid: "01923456-789a-7fff-bfff-ffffffffffff",
    };
    assert!(presented.verify(&key, &covered).is_err());
});
