//! The genesis block fills its segment: its archived bytes are lengthened by a keystream of its state root.

use super::SignedBlock;
use chacha20::ChaCha8;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use subspace_core_primitives::segments::RECORDED_HISTORY_SEGMENT_SIZE;

/// The archived bytes of the genesis block: its unfiltered encoding, then the ChaCha8 keystream (key: state root; nonce
/// and counter zero) up to the size of a recorded history segment. An incompressible first segment gives the very first
/// farmers something to plot.
pub fn encode_genesis_block(genesis: &SignedBlock) -> Vec<u8> {
    let mut bytes = genesis.encode();
    let encoded_length = bytes.len();
    if encoded_length < RECORDED_HISTORY_SEGMENT_SIZE {
        bytes.resize(RECORDED_HISTORY_SEGMENT_SIZE, 0);
        ChaCha8::new(&genesis.header.state_root.into(), &[0; 12].into())
            .apply_keystream(&mut bytes[encoded_length..]);
    }
    bytes
}
