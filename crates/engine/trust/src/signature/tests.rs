//! The RFC's own example, requests of ours, and what happens when a byte of one changes.

use proptest::prelude::*;

use super::*;
use crate::digest;

/// RFC 9421, appendix B.1.4.
const RFC_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----
";

/// RFC 9421, appendix B.2.6.
const RFC_INPUT: &str = r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
const RFC_SIGNATURE: &str = "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:";

fn rfc_key() -> AgentKey {
    AgentKey::from_pem(RFC_PRIVATE.as_bytes()).unwrap()
}

#[test]
fn the_example_of_the_rfc_is_signed_and_verified_as_it_says() {
    let inputs = fields::dictionary(RFC_INPUT).unwrap();
    let mut text = String::new();
    for (component, value) in [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ] {
        line(&mut text, component, value).unwrap();
    }
    last_line(&mut text, inputs[0].text);
    let key = rfc_key();
    let signature = fields::bytes_text(&key.sign(text.as_bytes()));
    assert_eq!(format!("sig-b26={signature}"), RFC_SIGNATURE);

    let signatures = fields::dictionary(RFC_SIGNATURE).unwrap();
    let Some(Bare::Bytes(signature)) = signatures[0].item() else { panic!("{signatures:?}") };
    assert!(key.public().verify(text.as_bytes(), signature));
}

/// A request, so that its parts can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    method: String,
    path: String,
    content_digest: String,
    instance_uid: String,
    fields: SignatureFields,
}

impl Request {
    fn new(nonce: Option<&str>) -> Self {
        let mut request = Self {
            method: "POST".to_owned(),
            path: "/v1/opamp".to_owned(),
            content_digest: digest::content(b"a body"),
            instance_uid: "01923456-789a-7fff-bfff-ffffffffffff".to_owned(),
            fields: SignatureFields { signature_input: String::new(), signature: String::new() },
        };
        request.fields = sign(&rfc_key(), &request.covered(), nonce, 1_618_884_473).unwrap();
        request
    }

    fn covered(&self) -> Covered<'_> {
        Covered {
            method: &self.method,
            path: &self.path,
            content_digest: &self.content_digest,
            instance_uid: &self.instance_uid,
        }
    }

    fn check(&self) -> Result<Presented, SignatureError> {
        let presented = Presented::parse(&self.fields.signature_input, &self.fields.signature)?;
        presented.verify(&rfc_key().public(), &self.covered())?;
        Ok(presented)
    }

    /// Everything that is covered, and the signature.
    fn parts(&mut self) -> [&mut String; 6] {
        [
            &mut self.method,
            &mut self.path,
            &mut self.content_digest,
            &mut self.instance_uid,
            &mut self.fields.signature_input,
            &mut self.fields.signature,
        ]
    }
}

#[test]
fn a_request_of_ours_has_this_form() {
    let request = Request::new(Some("dG9rZW4"));
    assert_eq!(
        request.fields.signature_input,
        concat!(
            r#"mainstay=("@method" "@path" "content-digest" "opamp-instance-uid")"#,
            r#";created=1618884473;keyid="JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs""#,
            r#";alg="ed25519";nonce="dG9rZW4""#
        )
    );
    let presented = request.check().unwrap();
    assert_eq!(presented.key_id(), rfc_key().public().key_id());
    assert_eq!(presented.nonce(), Some("dG9rZW4"));
    assert_eq!(presented.created_unix_s(), Some(1_618_884_473));
    assert_eq!(Request::new(None).check().unwrap().nonce(), None);
}

#[test]
fn a_signature_of_a_proxy_beside_ours_is_passed_over() {
    let mut request = Request::new(None);
    request.fields.signature_input.insert_str(0, "proxy=(\"@authority\");created=1, ");
    request.fields.signature.push_str(", proxy=:AAAA:");
    request.check().unwrap();
}

#[test]
fn the_key_of_another_agent_does_not_do() {
    let request = Request::new(None);
    let presented =
        Presented::parse(&request.fields.signature_input, &request.fields.signature).unwrap();
    let other = AgentKey::generate().unwrap().public();
    let found = presented.verify(&other, &request.covered());
    assert!(matches!(found, Err(SignatureError::Differs)));
}

#[test]
fn a_signature_covers_all_that_it_must_and_nothing_else() {
    let good = Request::new(None);
    for (what, from, to) in [
        ("one less", " \"opamp-instance-uid\"", ""),
        ("one twice", "\"@path\"", "\"@path\" \"@path\""),
        ("one more", "\"@path\"", "\"@path\" \"@authority\""),
        ("a parameter", "\"content-digest\"", "\"content-digest\";sf"),
        ("a token", "\"@method\"", "method"),
        ("no list", "(\"@method\" \"@path\" \"content-digest\" \"opamp-instance-uid\")", "1"),
    ] {
        let input = good.fields.signature_input.replace(from, to);
        assert_ne!(input, good.fields.signature_input, "{what}");
        let found = Presented::parse(&input, &good.fields.signature);
        assert!(matches!(found, Err(SignatureError::Components)), "{what}: {found:?}");
    }
}

#[test]
fn another_order_is_as_good() {
    let request = Request::new(None);
    let input = request.fields.signature_input.strip_prefix("mainstay=").unwrap();
    let input = input.replace(r#""@method" "@path""#, r#""@path" "@method""#);
    let order = ["@path", "@method", CONTENT_DIGEST, INSTANCE_UID];
    let text = base(&order, &request.covered(), &input).unwrap();
    let fields = SignatureFields {
        signature_input: format!("mainstay={input}"),
        signature: format!("mainstay={}", fields::bytes_text(&rfc_key().sign(text.as_bytes()))),
    };
    Request { fields, ..request }.check().unwrap();
}

#[test]
fn parameters_that_are_wrong_are_refused() {
    let good = Request::new(Some("x"));
    let long = format!("nonce=\"{}\"", "x".repeat(PARAMETER_BYTES_MAX + 1));
    for (from, to, expected) in [
        ("alg=\"ed25519\"", "alg=\"hmac-sha256\"", "alg"),
        ("alg=\"ed25519\"", "alg=ed25519", "alg"),
        ("keyid=", "keyed=", "keyid"),
        ("created=1618884473", "created=\"now\"", "created"),
        ("nonce=\"x\"", "nonce", "nonce"),
        ("nonce=\"x\"", &long, "nonce"),
    ] {
        let input = good.fields.signature_input.replace(from, to);
        match Presented::parse(&input, &good.fields.signature) {
            Err(SignatureError::Parameter { parameter }) => assert_eq!(parameter, expected),
            other => panic!("{from} {to}: {other:?}"),
        }
    }
    assert!(matches!(
        Presented::parse("other=()", &good.fields.signature),
        Err(SignatureError::Missing { field: SIGNATURE_INPUT })
    ));
    assert!(matches!(
        Presented::parse(&good.fields.signature_input, "mainstay=1"),
        Err(SignatureError::Missing { field: SIGNATURE })
    ));
}

#[test]
fn what_could_be_read_as_two_lines_is_neither_signed_nor_verified() {
    let request = Request::new(None);
    let path = "/v1/opamp\n\"content-digest\": x";
    let covered = Covered { path, ..request.covered() };
    let found = sign(&rfc_key(), &covered, None, 0);
    assert!(matches!(found, Err(SignatureError::Value { component: "@path" })));
    let presented =
        Presented::parse(&request.fields.signature_input, &request.fields.signature).unwrap();
    let found = presented.verify(&rfc_key().public(), &covered);
    assert!(matches!(found, Err(SignatureError::Value { component: "@path" })));
    for nonce in ["a\"b", "a\\b", "a b", "ä"] {
        let found = sign(&rfc_key(), &request.covered(), Some(nonce), 0);
        assert!(matches!(found, Err(SignatureError::Parameter { parameter: "nonce" })));
    }
}

proptest! {
    #[test]
    fn any_changed_byte_breaks_the_signature(
        part in 0..6_usize,
        place in any::<prop::sample::Index>(),
        byte in 0x20..0x7f_u8,
    ) {
        let good = Request::new(Some("dG9rZW4"));
        let mut bad = good.clone();
        let text = &mut *bad.parts()[part];
        let at = place.index(text.len());
        text.replace_range(at..=at, char::from(byte).encode_utf8(&mut [0; 4]));
        prop_assume!(bad != good);
        prop_assert!(bad.check().is_err(), "{bad:?}");
    }

    #[test]
    fn a_byte_more_or_less_breaks_the_signature(
        part in 0..6_usize,
        place in any::<prop::sample::Index>(),
        byte in prop::option::of(0x21..0x7f_u8),
    ) {
        let mut bad = Request::new(Some("dG9rZW4"));
        let text = &mut *bad.parts()[part];
        match byte {
            Some(byte) => text.insert(place.index(text.len()), char::from(byte)),
            None => drop(text.remove(place.index(text.len()))),
        }
        prop_assert!(bad.check().is_err(), "{bad:?}");
    }

    #[test]
    fn no_text_makes_the_reader_panic(input in ".{0,80}", signature in "[a-z=:;\"?() ,0-9]{0,80}") {
        drop(Presented::parse(&input, &signature));
        drop(Presented::parse(&signature, &input));
        drop(digest::check_content(&signature, b""));
    }
}
