//! An agent is to replace its key: offered among its connection settings, as
//! `other_connections["org.mainstay.key/v1"]`.
//!
//! ```text
//!   manager  ConnectionSettingsOffers { retired: this public key } ──▶   agent: it is mine
//!            ◀── enrol::Request { another public key }, signed with the retired one
//!            enrol::Enrolled ──▶                                         agent: uses the other one
//! ```
//!
//! The offer names the key that has had its time, so an agent that has replaced it already knows
//! that nothing is to be done, and an offer may be made as often as it takes. A private key is
//! never sent.

use crate::enrol::PUBLIC_KEY_BYTES;
use crate::message::{ConnectionSettingsOffers, OtherConnectionSettings};

/// The name of the connection.
pub const CONNECTION: &str = "org.mainstay.key/v1";

/// The name of its one setting: a public key in hexadecimal digits.
pub const RETIRED: &str = "retired";

/// Asks the owner of this public key to replace it.
pub fn offer(offers: &mut ConnectionSettingsOffers, retired: &[u8; PUBLIC_KEY_BYTES]) {
    let setting = (RETIRED.to_owned(), hex(retired));
    let settings = OtherConnectionSettings {
        other_settings: [setting].into(),
        ..OtherConnectionSettings::default()
    };
    offers.other_connections.insert(CONNECTION.to_owned(), settings);
}

/// Whether the owner of this public key is asked to replace it.
#[must_use]
pub fn is_asked(offers: &ConnectionSettingsOffers, key: &[u8; PUBLIC_KEY_BYTES]) -> bool {
    let settings = offers.other_connections.get(CONNECTION);
    let retired = settings.and_then(|settings| settings.other_settings.get(RETIRED));
    retired.is_some_and(|retired| retired.eq_ignore_ascii_case(&hex(key)))
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_the_key_is_asked_and_nobody_else() {
        let mut offers = ConnectionSettingsOffers::default();
        assert!(!is_asked(&offers, &[0xab; 32]));
        offer(&mut offers, &[0xab; 32]);
        let said = &offers.other_connections[CONNECTION].other_settings[RETIRED];
        assert_eq!(*said, "ab".repeat(32));
        assert!(is_asked(&offers, &[0xab; 32]));
        assert!(!is_asked(&offers, &[0xac; 32]));
    }
}
