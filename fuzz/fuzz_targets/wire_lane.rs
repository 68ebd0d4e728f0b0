//! Handoffs: what decodes is as many listeners as descriptors, and encodes to the same bytes.
//!
//! The first byte says how many descriptors came along.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_model::ListenerId;
use mainstay_wire::lane::{HandoffError, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let Some((&descriptors, bytes)) = bytes.split_first() else { return };
    let descriptors = usize::from(descriptors);
    match decode(bytes, descriptors).map(Iterator::collect::<Vec<ListenerId>>) {
        Ok(listeners) => {
            assert_eq!(listeners.len(), descriptors);
            assert_eq!(encode(&listeners), bytes);
        }
        Err(HandoffError::Shape { bytes: found, descriptors: came }) => {
            assert_eq!((found, came), (bytes.len(), descriptors));
            assert_ne!(found, 2 * came);
        }
    }
});
