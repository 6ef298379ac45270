//! Layout and limits of the messages.

use super::*;
use crate::codec::{cut, decode, encode};
use crate::ids::{ControllerId, InstanceId, Role};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::rpc::{
    FarmerAppInfo, FarmerProtocolInfo, RewardSigningInfo, SlotInfo, SolutionResponse,
};
use subspace_core_primitives::segments::HistorySize;
use subspace_core_primitives::solutions::Solution;

fn controller() -> ControllerId {
    InstanceId::generate(Role::Controller).try_into().unwrap()
}

#[test]
fn slot_announcement_layout() {
    let controller = controller();
    let slot_info = SlotInfo {
        slot_number: 7,
        global_challenge: [3; 32].into(),
        solution_range: 11,
        voting_solution_range: 13,
    };
    let bytes = encode(&SlotAnnouncement {
        controller,
        slot_info,
    })
    .unwrap();
    let id = controller.to_string();
    assert_eq!(bytes[0], 1, "version");
    assert_eq!(usize::from(bytes[1]), id.len() << 2, "compact length of the id");
    assert_eq!(&bytes[2..2 + id.len()], id.as_bytes());
    assert_eq!(bytes[2 + id.len()..2 + id.len() + 8], 7u64.to_le_bytes());
    assert_eq!(bytes.len(), 2 + id.len() + 8 + 32 + 8 + 8);
    assert_eq!(decode::<SlotAnnouncement>(&bytes).unwrap().slot_info, slot_info);
}

#[test]
fn everything_round_trips() {
    let key = PublicKey::from([9; 32]);
    let info = RewardSigningInfo {
        hash: [1; 32].into(),
        public_key: key,
    };
    let signing = RewardSigningAnnouncement {
        controller: controller(),
        info,
    };
    assert_eq!(
        decode::<RewardSigningAnnouncement>(&encode(&signing).unwrap()).unwrap(),
        signing
    );

    let solution = Solution::genesis_solution(key, key);
    let submit = SubmitSolution {
        response: SolutionResponse {
            slot_number: 5,
            solution,
        },
    };
    assert_eq!(
        decode::<SubmitSolution>(&encode(&submit).unwrap()).unwrap(),
        submit
    );

    let segments = |count| HistorySize::from_segments(count).unwrap();
    let app_info = FarmerAppInfo {
        genesis_hash: [4; 32].into(),
        dsn_bootstrap_nodes: Vec::new(),
        syncing: true,
        farming_timeout: std::time::Duration::from_millis(4500),
        protocol_info: FarmerProtocolInfo {
            history_size: segments(9),
            max_pieces_in_sector: 1000,
            recent_segments: segments(5),
            recent_history_fraction: (segments(1), segments(10)),
            min_sector_lifetime: segments(4),
        },
    };
    let reply = FarmerAppInfoReply {
        controller: controller(),
        info: app_info,
    };
    assert_eq!(
        decode::<FarmerAppInfoReply>(&encode(&reply).unwrap()).unwrap(),
        reply
    );
}

#[test]
fn a_node_may_talk_at_length() {
    let reply = NodeReply::refused(-32000, &"é".repeat(5000));
    let bytes = encode(&reply).unwrap();
    assert_eq!(decode::<NodeReply>(&bytes).unwrap(), reply);
    assert_eq!(cut("aé", 2), "a");
    assert_eq!(cut("aé", 3), "aé");
}

#[test]
fn proof_requests_fit_the_server() {
    const { assert!(ProofRequest::MAX_SIZE < crate::MIN_MAX_PAYLOAD) };
    // 32 768 chunks of 32 bytes and a bitmap of 65 536 bits.
    assert!(
        encode(&ProofRequest {
            within_ms: u32::MAX,
            payload: vec![1; (1 << 20) + (1 << 13) + 4096]
        })
        .is_ok()
    );
    assert!(
        encode(&ProofRequest {
            within_ms: 0,
            payload: vec![1; ProofRequest::MAX_SIZE]
        })
        .is_err()
    );
}

#[test]
fn the_largest_pages_of_a_cache_fit() {
    let item = |piece_index| CacheItem {
        piece_index,
        kind: 3,
        shard: u16::MAX,
    };
    let page = InventoryReply {
        epoch: u64::MAX,
        layout: u64::MAX,
        items: (0..CacheInventory::MAX_ITEMS)
            .map(|index| item(index.into()))
            .collect(),
        more: true,
    };
    assert_eq!(decode::<InventoryReply>(&encode(&page).unwrap()).unwrap(), page);
    let items: Vec<_> = (0..CacheRepair::MAX_ITEMS as u64).map(item).collect();
    let repair = CacheRepair { items: items.clone() };
    assert_eq!(decode::<CacheRepair>(&encode(&repair).unwrap()).unwrap(), repair);
    let reply = RepairReply { repaired: items };
    assert_eq!(decode::<RepairReply>(&encode(&reply).unwrap()).unwrap(), reply);
    let first = CacheInventory {
        after: Some(item(u64::MAX)),
        limit: u32::MAX,
    };
    assert!(encode(&first).unwrap().len() <= CacheInventory::MAX_SIZE);
    assert!(item(1) < item(2) && CacheItem { kind: 1, ..item(2) } < item(2));
}
