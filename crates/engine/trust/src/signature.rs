//! Signed requests: HTTP Message Signatures with Ed25519.
//!
//! ```text
//!   signature-input: mainstay=("@method" "@path" "content-digest" "opamp-instance-uid");created=…;keyid="…";alg="ed25519";nonce="…"
//!   signature: mainstay=:…:
//! ```
//!
//! The signature covers what a request is (method, path), what it says (the digest of its body)
//! and who says it. Any balancer may read it, none can change it, and none needs to be told.
//! `nonce` is the token of the exchange: what makes a request unlike the one before.
//! `created` is for people. No clock decides; a clock that is ten years off harms nobody.
//!
//! # Invariants
//!
//! 1. What is verified is the text as it came. No second reading of it can mean something else.
//! 2. All four components are covered, each once and without parameters, and nothing else is.
//! 3. No value with a line break or another control character is signed or verified.
//!
//! Source: RFC 9421, sections 2 and 3; its own examples are in the tests.

pub mod fields;

use std::fmt::Write as _;

use crate::digest::CONTENT_DIGEST;
use crate::key::{AgentKey, PublicKey};
use fields::{Bare, FieldError, Member, Value};

/// The request header that says what is signed.
pub const SIGNATURE_INPUT: &str = "signature-input";

/// The request header with the signature.
pub const SIGNATURE: &str = "signature";

/// Ours among the signatures of a request. Others (a proxy's, say) are ignored.
const LABEL: &str = "mainstay";

/// The only algorithm.
const ALGORITHM: &str = "ed25519";

const INSTANCE_UID: &str = "opamp-instance-uid";

/// What is covered, in the order in which we write it.
const COMPONENTS: [&str; 4] = ["@method", "@path", CONTENT_DIGEST, INSTANCE_UID];

/// The most characters of a key's name or a token.
pub const PARAMETER_BYTES_MAX: usize = 256;

/// The parts of a request that a signature covers, as they stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered<'a> {
    /// `POST`.
    pub method: &'a str,
    /// Without a query.
    pub path: &'a str,
    /// The header `content-digest`.
    pub content_digest: &'a str,
    /// The header `opamp-instance-uid`.
    pub instance_uid: &'a str,
}

impl<'a> Covered<'a> {
    fn value(&self, component: &str) -> Option<&'a str> {
        match component {
            "@method" => Some(self.method),
            "@path" => Some(self.path),
            CONTENT_DIGEST => Some(self.content_digest),
            INSTANCE_UID => Some(self.instance_uid),
            _ => None,
        }
    }
}

/// The two headers of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFields {
    /// [`SIGNATURE_INPUT`].
    pub signature_input: String,
    /// [`SIGNATURE`].
    pub signature: String,
}

/// Why a request is not signed by whom it says.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// A header has not the form of one.
    #[error("{field} cannot be read")]
    Form {
        /// Which header.
        field: &'static str,
        /// What is wrong with it.
        source: FieldError,
    },
    /// No signature of ours is in it.
    #[error("{field} has no signature of an agent")]
    Missing {
        /// Which header.
        field: &'static str,
    },
    /// Other components are covered, or not all of them, or one in another way.
    #[error("the signature does not cover what it must, and that alone")]
    Components,
    /// A parameter is missing, of another type, too long, or of another algorithm.
    #[error("the signature's {parameter} is missing or wrong")]
    Parameter {
        /// Its name.
        parameter: &'static str,
    },
    /// A value that could be read as several.
    #[error("{component} cannot be signed: it has a control character")]
    Value {
        /// Of which component.
        component: &'static str,
    },
    /// It was made with another key, or of another request.
    #[error("the signature is not that of this request and this key")]
    Differs,
}

/// Signs a request. `nonce` is the token of the exchange, if there is one yet.
///
/// # Errors
///
/// If a value has a control character, or `nonce` cannot stand between quotes.
pub fn sign(
    key: &AgentKey,
    covered: &Covered<'_>,
    nonce: Option<&str>,
    created_unix_s: u64,
) -> Result<SignatureFields, SignatureError> {
    let key_id = key.public().key_id();
    let mut input = format!(
        r#"({});created={created_unix_s};keyid="{key_id}";alg="{ALGORITHM}""#,
        COMPONENTS.map(|component| format!("\"{component}\"")).join(" ")
    );
    if let Some(nonce) = nonce {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if nonce.len() > PARAMETER_BYTES_MAX || !nonce.bytes().all(plain) {
            return Err(SignatureError::Parameter { parameter: "nonce" });
        }
        input.push_str(";nonce=\"");
        input.push_str(nonce);
        input.push('"');
    }
    let signature = key.sign(base(&COMPONENTS, covered, &input)?.as_bytes());
    Ok(SignatureFields {
        signature_input: format!("{LABEL}={input}"),
        signature: format!("{LABEL}={}", fields::bytes_text(&signature)),
    })
}

/// The text that is signed (RFC 9421, 2.5).
fn base(components: &[&str], covered: &Covered<'_>, input: &str) -> Result<String, SignatureError> {
    let mut base = String::with_capacity(512);
    for component in components {
        let known = COMPONENTS.into_iter().find(|known| known == component);
        let known = known.ok_or(SignatureError::Components)?;
        let value = covered.value(known).ok_or(SignatureError::Components)?;
        line(&mut base, known, value)?;
    }
    last_line(&mut base, input);
    Ok(base)
}

fn line(base: &mut String, component: &'static str, value: &str) -> Result<(), SignatureError> {
    if value.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(SignatureError::Value { component });
    }
    // Writing to a text does not fail.
    let _infallible = writeln!(base, "\"{component}\": {}", value.trim_matches(' '));
    Ok(())
}

fn last_line(base: &mut String, input: &str) {
    base.push_str("\"@signature-params\": ");
    base.push_str(input);
}

/// A signature as it came, read but not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    components: Vec<&'static str>,
    /// The member's value as it stands in the header.
    input: String,
    key_id: String,
    nonce: Option<String>,
    created_unix_s: Option<u64>,
    signature: Vec<u8>,
}

impl Presented {
    /// Reads the two headers of a request.
    ///
    /// # Errors
    ///
    /// If there is no signature of ours in them, or it does not cover what it must.
    pub fn parse(signature_input: &str, signature: &str) -> Result<Self, SignatureError> {
        let inputs = fields::dictionary(signature_input)
            .map_err(|source| SignatureError::Form { field: SIGNATURE_INPUT, source })?;
        let input = ours(&inputs, SIGNATURE_INPUT)?;
        let signatures = fields::dictionary(signature)
            .map_err(|source| SignatureError::Form { field: SIGNATURE, source })?;
        let Some(Bare::Bytes(signature)) = ours(&signatures, SIGNATURE)?.item() else {
            return Err(SignatureError::Missing { field: SIGNATURE });
        };
        match input.parameter("alg") {
            None => {}
            Some(Bare::String(name)) if name == ALGORITHM => {}
            Some(_) => return Err(SignatureError::Parameter { parameter: "alg" }),
        }
        let key_id =
            text(input, "keyid")?.ok_or(SignatureError::Parameter { parameter: "keyid" })?;
        let created_unix_s = match input.parameter("created") {
            None => None,
            Some(Bare::Integer(seconds)) => u64::try_from(*seconds).ok(),
            Some(_) => return Err(SignatureError::Parameter { parameter: "created" }),
        };
        Ok(Self {
            components: components(input)?,
            input: input.text.to_owned(),
            key_id,
            nonce: text(input, "nonce")?,
            created_unix_s,
            signature: signature.clone(),
        })
    }

    /// Which key it says it was made with.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The token of the exchange.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// When it was made by the agent's clock, in s since 1970. For people.
    #[must_use]
    pub const fn created_unix_s(&self) -> Option<u64> {
        self.created_unix_s
    }

    /// Whether it was made with this key, of this request.
    ///
    /// # Errors
    ///
    /// If it was not.
    pub fn verify(&self, key: &PublicKey, covered: &Covered<'_>) -> Result<(), SignatureError> {
        let base = base(&self.components, covered, &self.input)?;
        if key.verify(base.as_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(SignatureError::Differs)
        }
    }
}

fn ours<'a, 'b>(
    members: &'a [Member<'b>],
    field: &'static str,
) -> Result<&'a Member<'b>, SignatureError> {
    members.iter().find(|member| member.key == LABEL).ok_or(SignatureError::Missing { field })
}

/// All of [`COMPONENTS`], each once, in the order of the signature.
fn components(input: &Member<'_>) -> Result<Vec<&'static str>, SignatureError> {
    let Value::List(items) = &input.value else { return Err(SignatureError::Components) };
    let mut found = Vec::with_capacity(COMPONENTS.len());
    for item in items {
        let known = match &item.bare {
            Bare::String(name) if item.parameters.is_empty() => {
                COMPONENTS.into_iter().find(|known| known == name)
            }
            _ => None,
        };
        let known = known.ok_or(SignatureError::Components)?;
        if found.contains(&known) {
            return Err(SignatureError::Components);
        }
        found.push(known);
    }
    if found.len() == COMPONENTS.len() { Ok(found) } else { Err(SignatureError::Components) }
}

fn text(input: &Member<'_>, parameter: &'static str) -> Result<Option<String>, SignatureError> {
    match input.parameter(parameter) {
        None => Ok(None),
        Some(Bare::String(text)) if text.len() <= PARAMETER_BYTES_MAX => Ok(Some(text.clone())),
        Some(_) => Err(SignatureError::Parameter { parameter }),
    }
}

#[cfg(test)]
mod tests;
