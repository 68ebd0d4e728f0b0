//! An answer of a manager: any bytes, read as OpAMP, and as our own capabilities in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_opamp::enrol::{self, Enrolled, Invite};
use mainstay_opamp::events::{self, Ack, CHAIN_BYTES_MAX, STREAM_BYTES};
use mainstay_opamp::wire::{decode_answer, encode};

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = decode_answer(bytes) else { return };
    let encoded = encode(&message);
    match decode_answer(&encoded) {
        Ok(decoded) => assert_eq!(encode(&decoded), encoded),
        Err(error) => assert!(encoded.len() > bytes.len(), "{error}"),
    }
    let Some(mut custom) = message.custom_message else { return };
    (custom.capability, custom.r#type) = (events::CAPABILITY.into(), events::ACK.into());
    if let Ok(Some(ack)) = Ack::from_message(&custom) {
        assert!(ack.stream.len() == STREAM_BYTES && ack.chain.len() <= CHAIN_BYTES_MAX);
    }
    (custom.capability, custom.r#type) = (enrol::CAPABILITY.into(), enrol::ENROLLED.into());
    if let Ok(Some(enrolled)) = Enrolled::from_message(&custom) {
        assert!(enrolled.chain.len() <= CHAIN_BYTES_MAX);
    }
    custom.r#type = enrol::INVITE.into();
    if let Ok(Some(invite)) = Invite::from_message(&custom) {
        assert!(invite.secret.len() <= enrol::SECRET_BYTES_MAX);
    }
});
