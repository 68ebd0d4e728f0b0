//! Who sent a request: a signature over it, or a secret that it brings.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName};
use mainstay_model::InstanceUid;
use mainstay_opamp::refusal::Refusal;
use mainstay_opamp::{INSTANCE_UID_HEADER, PATH, token as enrolment};
use mainstay_trust::digest::{self, CONTENT_DIGEST};
use mainstay_trust::key::PublicKey;
use mainstay_trust::signature::{Covered, Presented, SIGNATURE, SIGNATURE_INPUT};
use mainstay_trust::token::{Secret, from_long_text};

use super::refused::Refused;

/// What a request brings to show who sent it. Not believed yet.
pub(super) enum Proof<'a> {
    Signed(Signed<'a>),
    Bearer(Secret),
}

/// A signature, with what it covers. The digest of the body was found right.
pub(super) struct Signed<'a> {
    presented: Presented,
    covered: Covered<'a>,
}

impl<'a> Proof<'a> {
    /// Reads the headers of a request of `uid` with this body.
    pub(super) fn read(
        headers: &'a HeaderMap,
        uid: InstanceUid,
        body: &[u8],
    ) -> Result<Self, Refused> {
        if let Some(input) = text(headers, SIGNATURE_INPUT)? {
            return Signed::read(headers, input, uid, body).map(Proof::Signed);
        }
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match bearer.and_then(secret) {
            Some(secret) => Ok(Proof::Bearer(secret)),
            None => Err(unproven("the request has neither a signature nor a bearer token")),
        }
    }
}

impl<'a> Signed<'a> {
    fn read(
        headers: &'a HeaderMap,
        input: &str,
        uid: InstanceUid,
        body: &[u8],
    ) -> Result<Self, Refused> {
        let needed = |name| {
            text(headers, name)?.ok_or_else(|| unproven(&format!("the header {name} is missing")))
        };
        let presented = Presented::parse(input, needed(SIGNATURE)?)
            .map_err(|error| unproven(&mainstay_model::Chain(&error).to_string()))?;
        let content_digest = needed(CONTENT_DIGEST)?;
        digest::check_content(content_digest, body)
            .map_err(|error| unproven(&mainstay_model::Chain(&error).to_string()))?;
        let instance_uid = needed(INSTANCE_UID_HEADER)?;
        if instance_uid.parse() != Ok(uid) {
            return Err(unproven("the header names another agent than the message"));
        }
        // What else could be meant was refused before.
        let covered = Covered { method: "POST", path: PATH, content_digest, instance_uid };
        Ok(Self { presented, covered })
    }

    /// The token of the exchange.
    pub(super) fn nonce(&self) -> Option<&str> {
        self.presented.nonce()
    }

    /// Whether the owner of this key made it.
    pub(super) fn check(&self, key: &[u8; 32]) -> Result<(), Refused> {
        let key = PublicKey::from_bytes(key)
            .ok_or_else(|| unproven("the key of this agent is not known"))?;
        self.presented
            .verify(&key, &self.covered)
            .map_err(|error| unproven(&mainstay_model::Chain(&error).to_string()))
    }
}

/// The one value of a header.
fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refused> {
    let mut values = headers.get_all(HeaderName::from_static(name)).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(unproven(&format!("the header {name} is there twice")));
    }
    let text = value.to_str().ok();
    text.map(Some).ok_or_else(|| unproven(&format!("the header {name} is no text")))
}

/// The secret of an enrolment token, given alone or as the whole token.
fn secret(authorization: &str) -> Option<Secret> {
    let (scheme, given) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let given = given.trim();
    match given.strip_prefix(enrolment::PREFIX) {
        None => Secret::from_text(given),
        Some(text) => {
            let bytes = from_long_text(text, enrolment::TOKEN_BYTES_MAX)?;
            let token = enrolment::EnrolmentToken::decode(&bytes).ok()?;
            Secret::from_bytes(&token.secret)
        }
    }
}

fn unproven(sentence: &str) -> Refused {
    Refused::new(Refusal::BadSignature, sentence)
}

#[cfg(test)]
mod tests {
    use mainstay_opamp::wire;
    use mainstay_trust::token::to_text;

    use super::*;

    #[test]
    fn a_secret_is_given_alone_or_as_the_whole_token() {
        let made = Secret::new();
        let token = enrolment::EnrolmentToken {
            secret: made.as_bytes().to_vec(),
            ..enrolment::EnrolmentToken::default()
        };
        let whole = format!("{}{}", enrolment::PREFIX, to_text(&wire::encode(&token)));
        assert_eq!(secret(&format!("Bearer {}", made.to_text())), Some(made));
        assert_eq!(secret(&format!("bearer  {whole}")), Some(made));
        for wrong in ["", "Bearer", "Basic abc", "Bearer abc", "Bearer mainstay-1.abc"] {
            assert_eq!(secret(wrong), None, "{wrong}");
        }
    }
}
