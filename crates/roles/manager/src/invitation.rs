//! All that a host needs to become an agent, as one string.

use mainstay_config::alerts::ServerAddress;
use mainstay_config::manager::{Manager, Tls};
use mainstay_database::WallTime;
use mainstay_opamp::{token, wire};
use mainstay_trust::certificate::{self, CertificateError};
use mainstay_trust::token::{Secret, to_text};

/// The string for one secret. `pins` are the certificates that agents are to hold, as PEM.
pub(crate) fn text(
    settings: &Manager,
    pins: &str,
    group: &str,
    secret: &Secret,
    expires_at: Option<WallTime>,
) -> Result<String, CertificateError> {
    let certificates = match settings.agents.tls {
        Tls::On => certificate::from_pem(pins.as_bytes())?,
        Tls::Off => Vec::new(),
    };
    let seconds = expires_at.map_or(0, |at| at.0 / 1_000_000);
    let token = token::EnrolmentToken {
        managers: addresses(settings),
        certificates: certificates.iter().map(|der| der.to_vec()).collect(),
        group: group.to_owned(),
        secret: secret.as_bytes().to_vec(),
        expires_unix_s: u64::try_from(seconds).unwrap_or(0),
    };
    Ok(format!("{}{}", token::PREFIX, to_text(&wire::encode(&token))))
}

/// Where agents find managers.
fn addresses(settings: &Manager) -> Vec<String> {
    let scheme = match settings.agents.tls {
        Tls::On => "https",
        Tls::Off => "http",
    };
    let own = || {
        let address = settings.agents.address;
        let place = if address.ip().is_unspecified() {
            format!("{}:{}", mainstay_os::host_name(), address.port())
        } else {
            address.to_string()
        };
        vec![format!("{scheme}://{place}")]
    };
    let named: Vec<String> = settings
        .agents
        .managers
        .iter()
        .map(|manager| match manager {
            ServerAddress::Ip(address) => format!("{scheme}://{address}"),
            ServerAddress::Name { host, port } => format!("{scheme}://{host}:{port}"),
            ServerAddress::Unix(path) => format!("unix:{}", path.display()),
        })
        .collect();
    if named.is_empty() { own() } else { named }
}
