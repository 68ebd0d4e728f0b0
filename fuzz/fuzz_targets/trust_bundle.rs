//! The files of a bundle: any bytes, split where no PEM has a byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_trust::bundle::Bundle;
use mainstay_trust::certificate::{self, CERTIFICATES_MAX, RsaKeys, to_pem};
use mainstay_trust::key::AgentKey;

fuzz_target!(|bytes: &[u8]| {
    let mut files = bytes.splitn(3, |&byte| byte == 0);
    let [agent, settings, server] = [(); 3].map(|()| files.next().unwrap_or_default());
    if let Ok(found) = certificate::from_pem(agent) {
        assert!((1..=CERTIFICATES_MAX).contains(&found.len()));
        let pem: String = found.iter().map(|der| to_pem("CERTIFICATE", der)).collect();
        assert_eq!(certificate::from_pem(pem.as_bytes()).ok(), Some(found.clone()));
        for der in &found {
            drop(certificate::facts(der));
        }
    }
    drop(AgentKey::from_pem(server));
    let Ok(bundle) = Bundle::from_files(agent, settings, server, RsaKeys::Allowed) else { return };
    let agents: String =
        bundle.agent_certificates.iter().map(|der| to_pem("CERTIFICATE", der)).collect();
    let server = bundle.identity.to_pem();
    let settings = bundle.settings.as_bytes();
    let again =
        Bundle::from_files(agents.as_bytes(), settings, server.as_bytes(), RsaKeys::Allowed)
            .expect("what was read is read again");
    assert_eq!(again.agent_certificates, bundle.agent_certificates);
    assert_eq!(again.identity.to_pem(), server);
});
