//! Shares follow weights, little moves, hosts differ, and all agree.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn members(weights: &[u64], hosts: usize) -> Vec<Member> {
    (0..)
        .zip(weights)
        .map(|(number, &weight)| Member {
            id: format!("sharded-cache.{number}"),
            host: format!("host-{}", number % hosts.max(1)),
            weight,
        })
        .collect()
}

fn loads(table: &ShardTable) -> BTreeMap<String, u64> {
    let mut loads: BTreeMap<_, _> = table
        .members()
        .iter()
        .map(|member| (member.id.clone(), 0))
        .collect();
    for shard in VirtualShard::all() {
        for member in table.owners(shard) {
            *loads.get_mut(&member.id).unwrap() += 1;
        }
    }
    loads
}

/// Places of `before` that another member holds in `after`.
fn moved(before: &ShardTable, after: &ShardTable) -> usize {
    VirtualShard::all()
        .map(|shard| {
            before
                .owners(shard)
                .zip(after.owners(shard))
                .filter(|(a, b)| a.id != b.id)
                .count()
        })
        .sum()
}

proptest! {
    // Each case makes tables over all shards.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn shares_are_bounded_owners_distinct_and_order_irrelevant(
        weights in prop::collection::vec(0..100u64, 1..12), hosts in 1..6usize, positions in 1..4usize, rotation: prop::sample::Index,
    ) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        let list = members(&weights, hosts);
        let table = ShardTable::new(list.clone(), positions).unwrap();
        let mut rotated = list.clone();
        rotated.rotate_left(rotation.index(list.len()));
        prop_assert_eq!(&ShardTable::new(rotated, positions).unwrap(), &table);

        let heavy = weights.iter().filter(|&&weight| weight > 0).count();
        prop_assert_eq!(table.positions(), positions.min(heavy));
        for shard in VirtualShard::all() {
            let mut ids: Vec<_> = table.owners(shard).map(|member| &member.id).collect();
            prop_assert!(table.owners(shard).all(|member| member.weight > 0));
            prop_assert_eq!(&table.owner(shard, 0).id, ids[0]);
            prop_assert_eq!(&table.owner(shard, table.positions() as u16).id, ids[0]);
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), table.positions());
        }
    }

    #[test]
    fn one_owner_per_shard_is_proportional(weights in prop::collection::vec(50..200u64, 2..10)) {
        let table = ShardTable::new(members(&weights, 100), 1).unwrap();
        let total: u64 = weights.iter().sum();
        for (weight, load) in weights.iter().zip(loads(&table).values()) {
            let fair = NUM_SHARDS as f64 * *weight as f64 / total as f64;
            prop_assert!((*load as f64) <= fair * 1.05 + 2.0, "{load} above the bound of {fair}");
            prop_assert!((*load as f64) >= fair * 0.93, "{load} far below the share of {fair}");
        }
    }
}

#[test]
fn replicas_and_parts_are_proportional() {
    for (weights, positions) in [
        (vec![10; 12], 2),
        (vec![10; 8], 6),
        (vec![4, 4, 8, 8, 4, 8, 4, 8, 8, 4], 2),
    ] {
        let table = ShardTable::new(members(&weights, 100), positions).unwrap();
        let total: u64 = weights.iter().sum();
        for (weight, load) in weights.iter().zip(loads(&table).values()) {
            let fair = (NUM_SHARDS * positions) as f64 * *weight as f64 / total as f64;
            assert!(
                (*load as f64) <= fair * 1.05 + 2.0,
                "{load} above the bound of {fair} in {weights:?}"
            );
            assert!(
                (*load as f64) >= fair * 0.88,
                "{load} far below the share of {fair} in {weights:?}"
            );
        }
    }
}

#[test]
fn a_member_that_dwarfs_the_others_owns_every_shard_once() {
    let table = ShardTable::new(members(&[1000, 10, 10], 100), 2).unwrap();
    let loads: Vec<_> = loads(&table).into_values().collect();
    assert_eq!(loads[0], NUM_SHARDS as u64);
    assert_eq!(loads[1] + loads[2], NUM_SHARDS as u64);
    assert!(loads[1].abs_diff(loads[2]) < NUM_SHARDS as u64 / 20);
}

#[test]
fn joining_and_leaving_moves_about_one_share() {
    for positions in [1, 2, 6] {
        let ten = members(&[100; 10], 100);
        let eleven = members(&[100; 11], 100);
        let small = ShardTable::new(ten, positions).unwrap();
        let large = ShardTable::new(eleven, positions).unwrap();
        let share = NUM_SHARDS * positions / 11;
        let moved = moved(&small, &large);
        // Beyond its share a newcomer moves places only through the bound and through distinctness.
        let tolerated = share * if positions == 6 { 16 } else { 12 } / 10;
        assert!(
            moved >= share * 9 / 10 && moved <= tolerated,
            "{moved} of a share of {share} at {positions} positions"
        );
    }
}

#[test]
fn owners_stand_on_different_hosts_while_there_are_any() {
    let table = ShardTable::new(members(&[100; 9], 3), 3).unwrap();
    let mut together = 0;
    for shard in VirtualShard::all() {
        let mut hosts: Vec<_> = table.owners(shard).map(|member| &member.host).collect();
        hosts.sort();
        hosts.dedup();
        together += usize::from(hosts.len() < 3);
    }
    assert!(
        together < NUM_SHARDS / 100,
        "{together} shards lose two owners with one host"
    );
}

#[test]
fn the_algorithm_is_pinned() {
    // A change of any of these moves all data of all clusters: it needs a new `ALGORITHM`.
    let table = ShardTable::new(members(&[5, 7, 11, 13, 17], 3), 2).unwrap();
    let mut hasher = blake3::Hasher::new();
    table.owners.iter().for_each(|owner| {
        hasher.update(&owner.to_le_bytes());
    });
    assert_eq!(&hasher.finalize().to_hex()[..16], "817f388761978dc3");
    let shards: Vec<_> = [0, 1, 2, 1_000_000]
        .map(|index| VirtualShard::of_piece(PieceIndex::new(index)).get())
        .to_vec();
    assert_eq!(shards, [57888, 37130, 38744, 26637]);
}

#[test]
fn bad_lists_are_refused_by_name() {
    let twice = vec![members(&[1], 1).remove(0), members(&[2], 1).remove(0)];
    assert!(matches!(
        ShardTable::new(twice, 1),
        Err(PlacementError::DuplicateMember { .. })
    ));
    assert_eq!(ShardTable::new(Vec::new(), 1), Err(PlacementError::NoMembers));
    assert_eq!(
        ShardTable::new(members(&[0, 0], 1), 1),
        Err(PlacementError::NoMembers)
    );
    assert_eq!(
        ShardTable::new(members(&[1], 1), 0),
        Err(PlacementError::BadPositions { found: 0 })
    );
    let many = members(&vec![1; MAX_MEMBERS + 1], 1);
    assert!(matches!(
        ShardTable::new(many, 1),
        Err(PlacementError::TooManyMembers { .. })
    ));
}
