//! JSON forms of headers and blocks for `chain_*`.

use autonomys_node_rpc::chain_types::{
    HexBytes, HexHash, HexNumber, RpcBlock, RpcDigest, RpcHeader, RpcSignedBlock,
};
use subspace_archiving::encoding::{BlockHeader, Justification, SignedBlock};

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

/// The block of a JSON form, as another node gave it; nothing about it is checked.
pub fn block_from_json(block: RpcSignedBlock) -> SignedBlock {
    let bytes = |items: Vec<HexBytes>| items.into_iter().map(|item| item.0).collect();
    let header = block.block.header;
    SignedBlock {
        header: BlockHeader {
            parent_hash: header.parent_hash.0,
            number: header.number.0,
            state_root: header.state_root.0,
            extrinsics_root: header.extrinsics_root.0,
            digest_items: bytes(header.digest.logs),
        },
        extrinsics: bytes(block.block.extrinsics),
        justifications: block
            .justifications
            .into_iter()
            .flatten()
            .map(|(engine_id, payload)| Justification { engine_id, payload })
            .collect(),
    }
}
