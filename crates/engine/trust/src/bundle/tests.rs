//! Bundles on disk: what is written is read, and what does not belong together is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const TEXT: &str = "database = \"postgres://db1,db2/fleet\"\n";

fn identity() -> Identity {
    Identity::generate("mainstay", &[], 1_700_000_000).unwrap()
}

fn bundle() -> Bundle {
    let (identity, next) = (identity(), identity());
    let agent_certificates = vec![identity.der().clone(), next.der().clone()];
    Bundle { agent_certificates, settings: TEXT.to_owned(), identity }
}

#[test]
fn a_bundle_is_three_files_and_comes_back_from_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle");
    let written = bundle();
    written.write(&path).unwrap();
    let mut files: Vec<(String, u32)> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            (entry.file_name().into_string().unwrap(), mode)
        })
        .collect();
    files.sort();
    let expected = [(AGENT_CERTIFICATE, 0o644), (SERVER_CERTIFICATE, 0o600), (SETTINGS, 0o600)];
    assert_eq!(files, expected.map(|(name, mode)| (name.to_owned(), mode)));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);

    let read = Bundle::read(&path, RsaKeys::Refused).unwrap();
    assert_eq!(read.agent_certificates, written.agent_certificates);
    assert_eq!(read.settings, written.settings);
    assert_eq!(read.identity.to_pem(), written.identity.to_pem());
    assert!(!format!("{read:?}").contains("postgres"));
}

#[test]
fn a_bundle_that_others_may_read_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    for file in [SETTINGS, SERVER_CERTIFICATE] {
        bundle().write(directory.path()).unwrap();
        let path = directory.path().join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let found = Bundle::read(directory.path(), RsaKeys::Refused);
        let Err(BundleError::File { source: FileError::Open { .. } }) = found else {
            panic!("{file}: {found:?}")
        };
    }
    fs::remove_file(directory.path().join(AGENT_CERTIFICATE)).unwrap();
    let found = Bundle::read(directory.path(), RsaKeys::Refused);
    assert!(matches!(found, Err(BundleError::File { source: FileError::Read { .. } })));
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (one, other) = (identity(), identity());
    let (agent, server) = (one.certificate_pem(), one.to_pem());
    let check = |agent: &str, settings: &[u8], server: &str| {
        Bundle::from_files(agent.as_bytes(), settings, server.as_bytes(), RsaKeys::Refused)
            .unwrap_err()
    };
    let text = TEXT.as_bytes();
    assert!(matches!(check(&server, text, &server), BundleError::KeyForAgents));
    let found = check(&other.certificate_pem(), text, &server);
    assert!(matches!(found, BundleError::NotForAgents));
    assert!(matches!(
        check(&agent, text, &agent),
        BundleError::Certificate { file: SERVER_CERTIFICATE, source: CertificateError::Key }
    ));
    assert!(matches!(
        check("", text, &server),
        BundleError::Certificate { file: AGENT_CERTIFICATE, source: CertificateError::None }
    ));
    for settings in [&b" \n"[..], b"\xff", &[b'x'; SETTINGS_BYTES_MAX + 1]] {
        assert!(matches!(check(&agent, settings, &server), BundleError::Settings));
    }
}
