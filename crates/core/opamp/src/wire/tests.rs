//! Messages on the wire: by the byte, within limits, and over any bytes.

use proptest::prelude::*;

use super::*;
use crate::enrol;
use crate::events::{Ack, BATCH_EVENTS_MAX, Batch, Event};
use crate::message::{AgentDescription, ComponentHealth, KeyValue};

fn uid() -> InstanceUid {
    InstanceUid::new(1_700_000_000_000, [5; 10])
}

fn request() -> AgentToServer {
    AgentToServer {
        instance_uid: uid().into(),
        sequence_num: 7,
        capabilities: crate::capability::agent::OURS,
        ..AgentToServer::default()
    }
}

#[test]
fn a_request_has_the_bytes_of_its_field_numbers() {
    let message = AgentToServer {
        agent_description: Some(AgentDescription {
            identifying_attributes: vec![KeyValue::text("a", "b")],
            non_identifying_attributes: vec![],
        }),
        ..request()
    };
    let mut expected = vec![0x0a, 16];
    expected.extend(uid().as_bytes());
    expected.extend([0x10, 7]);
    // 3: description { 1: attribute { 1: "a", 2: value { 1: "b" } } }
    expected.extend([0x1a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x12, 3, 0x0a, 1, b'b']);
    // 4: capabilities, 0xbb07 in groups of seven bits.
    assert_eq!(crate::capability::agent::OURS, 0xbb07);
    expected.extend([0x20, 0x87, 0xf6, 0x02]);
    assert_eq!(encode(&message), expected);
    let (name, decoded) = decode_request(&expected).unwrap();
    assert_eq!((name, decoded), (uid(), message));
}

#[test]
fn unknown_fields_are_ignored() {
    let mut bytes = encode(&request());
    // Field 99, three bytes; field 2000, a number.
    bytes.extend([0x9a, 0x06, 3, 1, 2, 3, 0x80, 0x7d, 1]);
    assert_eq!(decode_request(&bytes).unwrap().1, request());
}

#[test]
fn a_request_without_a_name_is_refused() {
    let nobody = AgentToServer { instance_uid: vec![1; 15], ..request() };
    let error = decode_request(&encode(&nobody)).unwrap_err();
    assert!(matches!(error, DecodeError::Uid { source: InstanceUidError::Length { bytes: 15 } }));
}

#[test]
fn many_small_things_are_refused_before_they_are_made() {
    let mut bytes = encode(&request());
    // A description of 200,000 empty attributes, in fields of 100,000 bytes each.
    for _ in 0..4 {
        bytes.push(0x1a);
        prost::encoding::encode_varint(100_000, &mut bytes);
        bytes.extend([0x0a, 0].repeat(50_000));
    }
    let error = decode_request(&bytes).unwrap_err();
    assert!(matches!(error, DecodeError::TooMuch { limit: PART_BYTES_MAX, .. }), "{error}");

    let crowd = CustomMessage {
        data: [0x1a, 0].repeat(BATCH_EVENTS_MAX + 1),
        ..Batch::default().to_message()
    };
    let error = Batch::from_message(&crowd).unwrap_err();
    assert!(matches!(error, DecodeError::TooMuch { limit: BATCH_EVENTS_MAX, .. }), "{error}");
}

#[test]
fn a_message_that_is_too_long_is_refused() {
    let error = decode_answer(&vec![0; MESSAGE_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, DecodeError::TooMuch { limit: MESSAGE_BYTES_MAX, .. }));
    let error = decode_request(&[0x10, 1].repeat(65)).unwrap_err();
    assert!(matches!(error, DecodeError::TooMuch { limit: FIELDS_MAX, .. }));
}

#[test]
fn what_nests_too_deep_is_refused() {
    let mut health = ComponentHealth::default();
    for _ in 0..200 {
        let parts = [(String::new(), health)].into();
        health = ComponentHealth { component_health_map: parts, ..ComponentHealth::default() };
    }
    let deep = AgentToServer { health: Some(health), ..request() };
    let error = decode_request(&encode(&deep)).unwrap_err();
    assert!(matches!(error, DecodeError::Fields { .. }), "{error}");
}

#[test]
fn fields_that_are_none_are_refused() {
    for (bytes, expected) in [
        (&[0x0a, 5, 1][..], ScanError::Ends),
        (&[0x80], ScanError::Ends),
        (&[0x09, 1, 2], ScanError::Ends),
        (&[0x02, 0], ScanError::FieldNumber { number: 0 }),
        (&[0x0b], ScanError::WireType { wire_type: 3 }),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], ScanError::Number),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80], ScanError::Number),
    ] {
        let error = decode_answer(bytes).unwrap_err();
        let DecodeError::Form { source, .. } = error else { panic!("{error}") };
        assert_eq!(source, expected, "{bytes:x?}");
    }
}

#[test]
fn a_batch_that_breaks_a_rule_is_refused() {
    let good = Batch { stream: vec![1; 16], first_seq: 1, ..Batch::default() };
    assert_eq!(Batch::from_message(&good.to_message()).unwrap(), Some(good.clone()));
    assert_eq!(good.last_seq(), 0);
    let one = vec![Event::default()];
    let long = vec![Event { body: "x".repeat(64 * 1024 + 1), ..Event::default() }];
    for (what, bad) in [
        ("stream", Batch { stream: vec![1; 15], ..good.clone() }),
        ("from zero", Batch { first_seq: 0, ..good.clone() }),
        ("ends", Batch { first_seq: u64::MAX, events: one, ..good.clone() }),
        ("long", Batch { events: long, ..good.clone() }),
        ("fingerprint", Batch { host_fingerprint: vec![0; 65], ..good }),
    ] {
        assert!(Batch::from_message(&bad.to_message()).is_err(), "{what}");
    }
}

#[test]
fn a_message_of_another_capability_is_none_of_ours() {
    let foreign = CustomMessage {
        capability: "com.example.events/v1".to_owned(),
        ..Batch::default().to_message()
    };
    assert!(Batch::from_message(&foreign).unwrap().is_none());
    assert!(Ack::from_message(&Batch::default().to_message()).unwrap().is_none());
}

#[test]
fn secrets_are_not_printed() {
    let request = enrol::Request { secret: b"s3cret".to_vec(), ..enrol::Request::default() };
    let invite = enrol::Invite { secret: b"s3cret".to_vec(), ..enrol::Invite::default() };
    let number = format!("{}", b's');
    for text in [format!("{request:?}"), format!("{invite:?}")] {
        assert!(!text.contains("secret") && !text.contains(&number), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        // What decodes encodes, and decodes to the same.
        if let Ok((_, message)) = decode_request(&bytes) {
            let again = decode_request(&encode(&message)).unwrap().1;
            // A number that is none is not equal to itself, so bytes are compared.
            prop_assert_eq!(encode(&again), encode(&message));
        }
        if let Ok(message) = decode_answer(&bytes) {
            prop_assert_eq!(encode(&decode_answer(&encode(&message)).unwrap()), encode(&message));
        }
    }

    #[test]
    fn a_batch_comes_back_as_it_was(
        first_seq in 1..u64::MAX / 2,
        texts in proptest::collection::vec(("[a-z-]{0,20}", ".{0,50}", 0..3_i32), 0..20),
    ) {
        let events = texts
            .into_iter()
            .map(|(kind, body, severity)| Event { unix_us: 1, severity, kind, body })
            .collect();
        let batch = Batch { stream: vec![9; 16], first_seq, events, ..Batch::default() };
        prop_assert_eq!(Batch::from_message(&batch.to_message()).unwrap(), Some(batch));
    }
}
