//! Certificates as they are made, as they are written, and as operators bring them.

use super::*;

fn made() -> Identity {
    Identity::generate("mainstay", &["managers.example".to_owned()], 1_700_000_000).unwrap()
}

#[test]
fn a_new_one_is_ecdsa_p_256_for_ten_years() {
    let facts = made().facts().unwrap();
    assert_eq!(facts.algorithm, Algorithm::EcdsaP256);
    assert_eq!(facts.subject, "CN=mainstay");
    assert_eq!(facts.not_before_unix_s, 1_700_000_000);
    assert_eq!(facts.not_after_unix_s, 1_700_000_000 + 315_360_000);
    assert_eq!(facts.fingerprint().len(), 32 * 3 - 1);
    assert_ne!(made().der(), made().der());
}

#[test]
fn any_clock_will_do_to_make_one() {
    for now in [0, u64::MAX] {
        Identity::generate("mainstay", &[], now).unwrap().facts().unwrap();
    }
}

#[test]
fn a_certificate_and_its_key_come_back_from_pem() {
    let identity = made();
    let pem = identity.to_pem();
    let again = Identity::from_pem(pem.as_bytes(), RsaKeys::Refused).unwrap();
    assert_eq!(again.der(), identity.der());
    assert_eq!(again.to_pem(), pem);
    assert_eq!(from_pem(pem.as_bytes()).unwrap(), [identity.der().clone()]);
    assert!(!identity.certificate_pem().contains("KEY"));
    let printed = format!("{identity:?}");
    assert!(printed.starts_with("Identity { sha256: \"") && printed.len() < 140, "{printed}");
}

#[test]
fn the_key_of_another_certificate_is_found_out() {
    let (one, other) = (made(), made());
    let key = other.to_pem().replace(&other.certificate_pem(), "");
    let mixed = one.certificate_pem() + &key;
    let found = Identity::from_pem(mixed.as_bytes(), RsaKeys::Refused);
    assert!(matches!(found, Err(CertificateError::Mismatch)), "{found:?}");
}

#[test]
fn an_rsa_key_is_refused_unless_somebody_insists() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
    let pem = certificate.pem() + &key.serialize_pem();
    let error = Identity::from_pem(pem.as_bytes(), RsaKeys::Refused).unwrap_err();
    assert!(matches!(error, CertificateError::Rsa { bits: 2048 }), "{error}");
    let identity = Identity::from_pem(pem.as_bytes(), RsaKeys::Allowed).unwrap();
    assert_eq!(identity.facts().unwrap().algorithm.to_string(), "RSA 2048");
}

#[test]
fn other_keys_are_known_by_name() {
    for (algorithm, expected) in [
        (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::EcdsaP384),
        (&rcgen::PKCS_ED25519, Algorithm::Ed25519),
    ] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
        let pem = certificate.pem() + &key.serialize_pem();
        let identity = Identity::from_pem(pem.as_bytes(), RsaKeys::Refused).unwrap();
        assert_eq!(identity.facts().unwrap().algorithm, expected);
    }
}

#[test]
fn what_is_no_certificate_is_refused() {
    let good = made();
    let many = good.certificate_pem().repeat(CERTIFICATES_MAX + 1);
    assert!(matches!(from_pem(many.as_bytes()), Err(CertificateError::TooMany)));
    assert!(matches!(from_pem(b""), Err(CertificateError::None)));
    let long = vec![b' '; PEM_BYTES_MAX + 1];
    assert!(matches!(from_pem(&long), Err(CertificateError::TooLong { .. })));
    let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert!(matches!(from_pem(broken), Err(CertificateError::Pem { .. })));
    let big = to_pem("CERTIFICATE", &[0; CERTIFICATE_BYTES_MAX + 1]);
    assert!(matches!(from_pem(big.as_bytes()), Err(CertificateError::TooLong { .. })));

    let alone = good.certificate_pem();
    let found = Identity::from_pem(alone.as_bytes(), RsaKeys::Refused);
    assert!(matches!(found, Err(CertificateError::Key)));
    let mut behind = good.der().to_vec();
    behind.push(0);
    assert!(matches!(facts(&behind), Err(CertificateError::Trailing)));
    assert!(matches!(facts(&[1, 2, 3]), Err(CertificateError::X509 { .. })));
}
