//! The handoff: accepted sockets on their way from the master to one worker thread.
//!
//! On the path of every connection of a listener with `accept = "master"`, so it is binary:
//! two bytes, little endian, for the listener of each descriptor, in order. The peer's
//! address is asked of the socket itself.

use mainstay_model::ListenerId;

/// Most connections in one handoff.
pub const HANDOFF_MAX: usize = 64;

/// Why a handoff could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandoffError {
    #[error("handoff of {bytes} bytes is not two bytes for each of {descriptors} descriptors")]
    Shape { bytes: usize, descriptors: usize },
}

/// Writes one handoff: the listener of each descriptor.
pub fn encode(listeners: &[ListenerId]) -> Vec<u8> {
    listeners.iter().flat_map(|listener| listener.0.to_le_bytes()).collect()
}

/// Reads one handoff that came with `descriptors` descriptors.
pub fn decode(
    bytes: &[u8],
    descriptors: usize,
) -> Result<impl Iterator<Item = ListenerId> + use<'_>, HandoffError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if pairs.len() != descriptors || !rest.is_empty() {
        return Err(HandoffError::Shape { bytes: bytes.len(), descriptors });
    }
    Ok(pairs.iter().map(|pair| ListenerId(u16::from_le_bytes(*pair))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_descriptor_has_its_listener() {
        let listeners = [ListenerId(0), ListenerId(513), ListenerId(u16::MAX)];
        let bytes = encode(&listeners);
        let read: Vec<_> = decode(&bytes, 3).unwrap().collect();
        assert_eq!(read, listeners);
    }

    #[test]
    fn a_handoff_that_lost_a_descriptor_is_refused() {
        let bytes = encode(&[ListenerId(1), ListenerId(2)]);
        assert!(decode(&bytes, 1).is_err());
        assert!(decode(&bytes[..3], 2).is_err());
    }
}
