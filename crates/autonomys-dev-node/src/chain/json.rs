//! JSON forms of headers and blocks for `chain_*`.

use autonomys_node_rpc::chain_types::{
    HexBytes, HexHash, HexNumber, RpcBlock, RpcDigest, RpcHeader, RpcSignedBlock,
};
use subspace_archiving::encoding::{BlockHeader, SignedBlock};

/// JSON form of a header.
pub fn header_to_json(header: &BlockHeader) -> RpcHeader {
    RpcHeader {
        parent_hash: HexHash(header.parent_hash),
        number: HexNumber(header.number),
        state_root: HexHash(header.state_root),
        extrinsics_root: HexHash(header.extrinsics_root),
        digest: RpcDigest {
            logs: header.digest_items.iter().cloned().map(HexBytes).collect(),
        },
    }
}

/// JSON form of a block.
pub fn block_to_json(block: SignedBlock) -> RpcSignedBlock {
    let justifications: Vec<_> = block
        .justifications
        .into_iter()
        .map(|justification| (justification.engine_id, justification.payload))
        .collect();
    RpcSignedBlock {
        block: RpcBlock {
            header: header_to_json(&block.header),
            extrinsics: block.extrinsics.into_iter().map(HexBytes).collect(),
        },
        justifications: (!justifications.is_empty()).then_some(justifications),
    }
}
