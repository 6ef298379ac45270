//! From a block as the node's JSON has it to the bytes that the archive holds, with everything checked that can be checked at one block.

use crate::error::SegmentError;
use autonomys_node_rpc::chain_types::{HexBytes, HexHash, RpcSignedBlock};
use bytes::Bytes;
use subspace_archiving::encoding::{BlockHeader, Justification, SignedBlock, encode_genesis_block};
use subspace_core_primitives::BlockNumber;

/// A block to read and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLink {
    /// Its number.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: HexHash,
    /// Hash of the block before it, `None` for genesis.
    pub parent: Option<HexHash>,
}

impl BlockLink {
    /// The archived bytes of the block, when it is the one that this link stands for. Those of genesis fill a segment.
    ///
    /// # Errors
    /// [`SegmentError::WrongBlock`] with what does not fit.
    pub fn archived_bytes(&self, block: RpcSignedBlock) -> Result<Bytes, SegmentError> {
        let wrong = |reason| SegmentError::WrongBlock {
            number: self.number,
            reason,
        };
        let block = signed_block(block);
        if block.header.number != self.number {
            return Err(wrong("its header has another number"));
        }
        if block.header.hash() != self.hash.0 {
            return Err(wrong("its header does not have the hash of the block"));
        }
        if self
            .parent
            .is_some_and(|parent| parent.0 != block.header.parent_hash)
        {
            return Err(wrong("it does not continue the block before it"));
        }
        if self.number == 0 {
            return Ok(encode_genesis_block(&block).into());
        }
        if !block.has_archived_justification() {
            return Err(wrong(
                "it has no proof-of-time justification, which every block has; the node lost it (a node that was synced with --sync full \
                 from genesis has them all)",
            ));
        }
        Ok(block.encode_for_archiving().into())
    }
}

fn signed_block(block: RpcSignedBlock) -> SignedBlock {
    let bytes = |items: Vec<HexBytes>| items.into_iter().map(|item| item.0).collect();
    let header = block.block.header;
    let justifications = block.justifications.into_iter().flatten();
    SignedBlock {
        header: BlockHeader {
            parent_hash: header.parent_hash.0,
            number: header.number.0,
            state_root: header.state_root.0,
            extrinsics_root: header.extrinsics_root.0,
            digest_items: bytes(header.digest.logs),
        },
        extrinsics: bytes(block.block.extrinsics),
        justifications: justifications
            .map(|(engine_id, payload)| Justification { engine_id, payload })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn repeated(byte: &str) -> String {
        format!("0x{}", byte.repeat(32))
    }

    /// A block with a seal and a justification without checkpoints.
    fn example() -> Value {
        let seed = [0x55; 16];
        let payload: Vec<u8> = [&[0][..], &seed, &[0]].concat();
        json!({
            "block": {
                "header": {
                    "parentHash": repeated("11"), "number": "0x1a3a", "stateRoot": repeated("22"), "extrinsicsRoot": repeated("33"),
                    "digest": { "logs": [
                        "0x045355425f24018fe2ecc367d81500",
                        format!("0x055355425f0101{}", "44".repeat(64)),
                    ] }
                },
                "extrinsics": ["0x1001020304", "0x0c2a2b2c"]
            },
            "justifications": [[[83, 85, 66, 95], payload]]
        })
    }

    fn parse(json: Value) -> RpcSignedBlock {
        serde_json::from_value(json).unwrap()
    }

    fn link() -> BlockLink {
        let hash = serde_json::from_value(json!(
            "0x35c9f4c429422d0360dc0fbf0eb92505450214f54d59fdd00579d315365343cd"
        ));
        BlockLink {
            number: 6714,
            hash: hash.unwrap(),
            parent: Some(HexHash([0x11; 32])),
        }
    }

    #[test]
    fn json_becomes_the_archived_bytes() {
        let bytes = link().archived_bytes(parse(example())).unwrap();
        assert_eq!(bytes.len(), 220);
        // Compact number behind the parent hash, then behind the 185 bytes of the header the extrinsics as they are.
        assert_eq!(&bytes[32..34], [0xe9, 0x68]);
        assert_eq!(&bytes[185..195], [8, 0x10, 1, 2, 3, 4, 0x0c, 0x2a, 0x2b, 0x2c]);
        assert_eq!(&bytes[195..202], [1, 4, b'S', b'U', b'B', b'_', 0x48]);
        let block = signed_block(parse(example()));
        let mut unsealed = block.header.clone();
        unsealed.digest_items.pop();
        assert_eq!(
            HexHash(unsealed.hash()).to_string(),
            "0x4544badb83ed82feb4693a014ce3fbb8344fc34817e3c9d2b4d79cf94cc32763"
        );
    }

    #[test]
    fn only_the_justification_of_the_chain_is_archived() {
        let foreign = json!([[70, 82, 78, 75], [1, 2, 3]]);
        let mut block = example();
        let justifications = block["justifications"].as_array_mut().unwrap();
        justifications.insert(0, foreign.clone());
        let with_foreign = link().archived_bytes(parse(block)).unwrap();
        assert_eq!(with_foreign, link().archived_bytes(parse(example())).unwrap());
        let undecodable = json!([[83, 85, 66, 95], [0, 1, 2]]);
        for lost in [Value::Null, json!([]), json!([foreign]), json!([undecodable])] {
            let mut block = example();
            block["justifications"] = lost;
            let block = parse(block);
            // Without one the field is a zero, but then the node has lost something.
            let bytes = signed_block(block.clone()).encode_for_archiving();
            assert_eq!((bytes.len(), bytes.last()), (196, Some(&0)));
            let error = link().archived_bytes(block).unwrap_err().to_string();
            assert!(
                error.contains("block 6714") && error.contains("justification"),
                "{error}"
            );
        }
    }

    #[test]
    fn lies_are_named() {
        let mut other_parent = example();
        other_parent["block"]["header"]["parentHash"] = json!(repeated("12"));
        let mut other_number = example();
        other_number["block"]["header"]["number"] = json!("0x1a3b");
        for (block, reason) in [
            (other_parent, "hash of the block"),
            (other_number, "another number"),
        ] {
            let error = link().archived_bytes(parse(block)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let mut broken = link();
        broken.parent = Some(HexHash([0x12; 32]));
        let error = broken.archived_bytes(parse(example())).unwrap_err().to_string();
        assert!(error.contains("continue the block before it"), "{error}");
    }
}
