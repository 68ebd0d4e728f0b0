//! Real handshakes, in memory, of an agent that holds pins and a manager that shows something.

use std::io::{self, Read as _, Write as _};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConnection, Connection, ServerConnection};

use super::*;
use crate::certificate::Identity;

const NOW: u64 = 1_700_000_000;

fn identity() -> Identity {
    Identity::generate("mainstay", &[], NOW).unwrap()
}

fn pin(kind: PinKind, identity: &Identity) -> Pin {
    Pin { kind, der: identity.der().clone() }
}

fn manager(identity: &Identity) -> Arc<ServerConfig> {
    server_config(&Shown::new(identity).unwrap()).unwrap()
}

/// What came of a handshake: what the agent saw and what the manager read, or the agent's error.
struct Outcome {
    agent: Result<Option<Seen>, rustls::Error>,
    /// What the manager has read of the agent's request.
    manager_read: Vec<u8>,
    /// Whether the manager sent a ticket, or either side resumed.
    resumed: Option<rustls::HandshakeKind>,
}

fn handshake(
    verifier: &Arc<PinVerifier>,
    server: Arc<ServerConfig>,
    version: &'static SupportedProtocolVersion,
) -> Outcome {
    let client = client_config(verifier, &[version]).unwrap();
    connect(verifier, client, server)
}

fn connect(
    verifier: &Arc<PinVerifier>,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Outcome {
    // Any name: nobody looks at it.
    let name = ServerName::try_from("wrong.example").unwrap();
    let mut agent = Connection::from(ClientConnection::new(client, name).unwrap());
    let mut manager = Connection::from(ServerConnection::new(server).unwrap());
    // An agent sends its request as soon as it may.
    agent.writer().write_all(b"secret request").unwrap();
    let mut manager_read = Vec::new();
    let mut failed = None;
    while agent.wants_write() || manager.wants_write() {
        // The manager's own error is the agent's alert, or the other way round.
        drop(pass(&mut agent, &mut manager));
        let mut bytes = [0; 64];
        match manager.reader().read(&mut bytes) {
            Ok(length) => manager_read.extend(&bytes[..length]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        if let Err(error) = pass(&mut manager, &mut agent) {
            failed.get_or_insert(error);
        }
    }
    let resumed = agent.handshake_kind();
    let agent = match failed {
        Some(error) => Err(error),
        None => {
            assert!(!agent.is_handshaking());
            Ok(verifier.seen(agent.peer_certificates(), NOW))
        }
    };
    Outcome { agent, manager_read, resumed }
}

fn pass(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

/// A manager that shows a certificate with whatever key it has.
fn impostor(shown: &Identity, key: &PrivateKeyDer<'_>) -> Arc<ServerConfig> {
    let key = aws_lc_rs::sign::any_supported_type(key).unwrap();
    let certified = Arc::new(CertifiedKey::new(vec![shown.der().clone()], key));
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Arc::new(config)
}

fn another_key() -> PrivateKeyDer<'static> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

#[test]
fn each_of_the_pins_is_accepted_whatever_the_name() {
    let (current, next, recovery) = (identity(), identity(), identity());
    let kinds = [PinKind::Current, PinKind::Next, PinKind::Recovery];
    let identities = [&current, &next, &recovery];
    let pins = kinds.into_iter().zip(identities).map(|(kind, one)| pin(kind, one)).collect();
    let verifier = PinVerifier::new(pins);
    for version in VERSIONS {
        for (kind, identity) in kinds.into_iter().zip(identities) {
            let outcome = handshake(&verifier, manager(identity), version);
            let seen = outcome.agent.unwrap().unwrap();
            assert_eq!((seen.kind, seen.dates), (kind, Dates::Within), "{version:?}");
            assert_eq!(outcome.manager_read, b"secret request");
        }
    }
}

#[test]
fn another_certificate_gets_not_one_byte() {
    let verifier = PinVerifier::new(vec![pin(PinKind::Current, &identity())]);
    for version in VERSIONS {
        let outcome = handshake(&verifier, manager(&identity()), version);
        let error = outcome.agent.unwrap_err();
        let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error
        else {
            panic!("{version:?}: {error}")
        };
        assert!(cause.downcast_ref::<NotPinned>().is_some(), "{cause}");
        assert_eq!(outcome.manager_read, b"");
    }
}

#[test]
fn the_right_certificate_with_the_wrong_key_gets_not_one_byte() {
    let current = identity();
    let verifier = PinVerifier::new(vec![pin(PinKind::Current, &current)]);
    for version in VERSIONS {
        let server = impostor(&current, &another_key());
        let outcome = handshake(&verifier, server, version);
        assert_eq!(
            outcome.agent.unwrap_err(),
            rustls::Error::InvalidCertificate(CertificateError::BadSignature),
            "{version:?}"
        );
        assert_eq!(outcome.manager_read, b"");
    }
}

#[test]
fn an_expired_certificate_is_accepted_and_said_to_be_expired() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    for (first, last, expected) in
        [(1990, 1995, Dates::Expired), (2090, 2095, Dates::Early), (1990, 2095, Dates::Within)]
    {
        let mut parameters = rcgen::CertificateParams::new([]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(first, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(last, 1, 1);
        let pem = parameters.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        let identity = Identity::from_pem(pem.as_bytes(), certificate::RsaKeys::Refused).unwrap();
        let verifier = PinVerifier::new(vec![pin(PinKind::Current, &identity)]);
        for version in VERSIONS {
            let outcome = handshake(&verifier, manager(&identity), version);
            assert_eq!(outcome.agent.unwrap().unwrap().dates, expected, "{version:?}");
        }
    }
}

#[test]
fn no_session_is_resumed() {
    let current = identity();
    let verifier = PinVerifier::new(vec![pin(PinKind::Current, &current)]);
    let client = verifier.client_config().unwrap();
    // Not even with a server that would.
    let willing = impostor(&current, current.key());
    for server in [manager(&current), willing] {
        for _ in 0..2 {
            let outcome = connect(&verifier, Arc::clone(&client), Arc::clone(&server));
            outcome.agent.unwrap();
            assert_eq!(outcome.resumed, Some(rustls::HandshakeKind::Full));
        }
    }
}

#[test]
fn without_pins_nothing_is_accepted() {
    let verifier = PinVerifier::new(Vec::new());
    let outcome = handshake(&verifier, manager(&identity()), VERSIONS[0]);
    assert!(outcome.agent.is_err());
    assert_eq!(verifier.seen(None, NOW), None);
    assert_eq!(verifier.seen(Some(&[identity().der().clone()]), NOW), None);
}

#[test]
fn another_certificate_is_shown_from_the_next_handshake_on() {
    let (current, next) = (identity(), identity());
    let pins = vec![pin(PinKind::Current, &current), pin(PinKind::Next, &next)];
    let verifier = PinVerifier::new(pins);
    let shown = Shown::new(&current).unwrap();
    let server = server_config(&shown).unwrap();
    for version in VERSIONS {
        shown.show(&current).unwrap();
        // One that has read the greeting ends with what it began with.
        let name = ServerName::try_from("wrong.example").unwrap();
        let client = client_config(&verifier, &[version]).unwrap();
        let mut agent = Connection::from(ClientConnection::new(client, name).unwrap());
        let mut begun = Connection::from(ServerConnection::new(Arc::clone(&server)).unwrap());
        pass(&mut agent, &mut begun).unwrap();
        shown.show(&next).unwrap();
        while begun.wants_write() || agent.wants_write() {
            pass(&mut begun, &mut agent).unwrap();
            pass(&mut agent, &mut begun).unwrap();
        }
        assert!(!agent.is_handshaking() && !begun.is_handshaking());
        let seen = verifier.seen(agent.peer_certificates(), NOW).unwrap();
        assert_eq!(seen.kind, PinKind::Current, "{version:?}");

        let outcome = handshake(&verifier, Arc::clone(&server), version);
        let seen = outcome.agent.unwrap().unwrap();
        assert_eq!((seen.kind, seen.sha256), (PinKind::Next, shown.sha256()), "{version:?}");
    }
}
