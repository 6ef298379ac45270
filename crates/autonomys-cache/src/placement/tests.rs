//! Shares follow weights, little moves, hosts differ, and all agree.

mod movement;

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn member(number: usize, weight: u64, hosts: usize) -> Member {
    Member {
        id: format!("sharded-cache.{number:04}"),
        host: format!("host-{}", number % hosts.max(1)),
        weight,
    }
}

fn members(weights: &[u64], hosts: usize) -> Vec<Member> {
    (0..)
        .zip(weights)
        .map(|(number, &weight)| member(number, weight, hosts))
        .collect()
}

/// Fair shares in places, with the fraction.
fn fair(table: &ShardTable) -> Vec<f64> {
    let weights: Vec<u64> = table
        .members()
        .iter()
        .map(|one| one.weight)
        .filter(|&weight| weight > 0)
        .collect();
    let mut shares = shares::fair_shares(&weights, table.positions())
        .into_iter()
        .map(|share| share as f64 / (1u64 << shares::FRACTION_BITS) as f64);
    table
        .members()
        .iter()
        .map(|one| {
            if one.weight > 0 {
                shares.next().unwrap()
            } else {
                0.0
            }
        })
        .collect()
}

/// What holds for every table.
fn check(table: &ShardTable) {
    let (fair, loads) = (fair(table), table.loads());
    let total: u32 = loads.iter().sum();
    assert_eq!(total as usize, NUM_SHARDS * table.positions());
    let rooms: f64 = fair.iter().map(|fair| (fair * 1.045).floor()).sum();
    for (load, fair) in loads.iter().zip(&fair) {
        let bound = if rooms >= f64::from(total) {
            fair * 1.045
        } else {
            (fair * 1.045).floor() + 1.0
        };
        assert!(
            f64::from(*load) <= bound + 1e-6,
            "{load} places above the bound of {fair}: {loads:?}"
        );
        assert!(
            f64::from(*load) >= (fair * 0.9).floor() - 1.0,
            "{load} places below the share of {fair}: {loads:?}"
        );
    }
    // Members and hosts have the floor or the ceiling of their average in every shard.
    let mut by_host: BTreeMap<&str, u32> = BTreeMap::new();
    for (one, load) in table.members().iter().zip(&loads) {
        *by_host.entry(&one.host).or_default() += load;
    }
    let even = |count: u32, places: u32| {
        count >= places / NUM_SHARDS as u32 && count <= places.div_ceil(NUM_SHARDS as u32)
    };
    for shard in VirtualShard::all() {
        let mut mine: BTreeMap<u16, u32> = BTreeMap::new();
        let mut at_host: BTreeMap<&str, u32> = BTreeMap::new();
        for &number in table.owner_numbers(shard) {
            *mine.entry(number).or_default() += 1;
            *at_host
                .entry(&table.members()[usize::from(number)].host)
                .or_default() += 1;
        }
        for (number, count) in mine {
            assert!(
                even(count, loads[usize::from(number)]),
                "a member has {count} places in shard {shard}"
            );
        }
        for (host, count) in at_host {
            assert!(
                even(count, by_host[host]),
                "host {host} of {by_host:?} has {count} places in shard {shard}"
            );
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join { number: usize, weight: u64 },
    Leave(prop::sample::Index),
    Weigh(prop::sample::Index, u64),
    Move(prop::sample::Index, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..1000usize, 1..100u64).prop_map(|(number, weight)| Step::Join { number, weight }),
        2 => any::<prop::sample::Index>().prop_map(Step::Leave),
        1 => (any::<prop::sample::Index>(), 0..100u64).prop_map(|(index, weight)| Step::Weigh(index, weight)),
        1 => (any::<prop::sample::Index>(), 0..6usize).prop_map(|(index, host)| Step::Move(index, host)),
    ]
}

proptest! {
    // Each case makes several tables over all shards.
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn first_tables_are_exact_and_independent_of_order(
        weights in prop::collection::vec(0..100u64, 1..12), hosts in 1..6usize, positions in 1..8usize, rotation: prop::sample::Index,
    ) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        let list = members(&weights, hosts);
        let table = ShardTable::new(list.clone(), positions).unwrap();
        check(&table);
        for (load, fair) in table.loads().into_iter().zip(fair(&table)) {
            prop_assert!((f64::from(load) - fair).abs() <= 2.0, "{load} places of a fair share of {fair}");
        }
        let mut rotated = list;
        rotated.rotate_left(rotation.index(weights.len()));
        prop_assert_eq!(&ShardTable::new(rotated.clone(), positions).unwrap(), &table);
        prop_assert_eq!(&table.next(rotated, positions).unwrap(), &table);
        prop_assert_eq!(&ShardTable::from_bytes(&table.to_bytes()).unwrap(), &table);
    }

    #[test]
    fn any_history_keeps_the_promises(
        weights in prop::collection::vec(1..100u64, 1..10), positions in 1..7usize, steps in prop::collection::vec(step(), 1..8),
    ) {
        let mut list = members(&weights, 6);
        let mut table = ShardTable::new(list.clone(), positions).unwrap();
        for step in steps {
            match step {
                Step::Join { number, weight } => {
                    let one = member(number, weight, 6);
                    if list.iter().all(|other| other.id != one.id) {
                        list.push(one);
                    }
                }
                Step::Leave(index) if list.len() > 1 => drop(list.swap_remove(index.index(list.len()))),
                Step::Weigh(index, weight) => {
                    let index = index.index(list.len());
                    list[index].weight = weight;
                }
                Step::Move(index, host) => {
                    let index = index.index(list.len());
                    list[index].host = format!("host-{host}");
                }
                Step::Leave(_) => {}
            }
            if list.iter().all(|one| one.weight == 0) {
                list[0].weight = 1;
            }
            let next = table.next(list.clone(), positions).unwrap();
            check(&next);
            prop_assert_eq!(&table.next(list.clone(), positions).unwrap(), &next);
            table = next;
        }
    }
}

/// Members that differ in weight by a factor of eight, on hosts of four.
fn mixed(count: usize) -> Vec<Member> {
    (0..count)
        .map(|number| Member {
            host: format!("host-{}", number / 4),
            ..member(number, 1 << (number % 4), 1)
        })
        .collect()
}

#[test]
fn owners_stand_on_different_hosts_while_there_are_any() {
    for (list, positions) in [
        (members(&[100; 9], 3), 3),
        (members(&[100; 12], 4), 3),
        (mixed(32), 6),
    ] {
        let table = ShardTable::new(list.clone(), positions).unwrap();
        let after = table
            .next(list[1..].to_vec(), positions)
            .unwrap()
            .next(list, positions)
            .unwrap();
        for table in [&table, &after] {
            for shard in VirtualShard::all() {
                let hosts: BTreeSet<_> = table.owners(shard).map(|member| &member.host).collect();
                assert_eq!(hosts.len(), positions, "shard {shard}");
            }
        }
    }
}

#[test]
fn pieces_spread_evenly_over_shards() {
    for first in [0u64, 12_345, u64::MAX - 65_535] {
        let shards: BTreeSet<_> = (0..65_536)
            .map(|offset| VirtualShard::of_piece(PieceIndex::new(first.wrapping_add(offset))))
            .collect();
        assert_eq!(shards.len(), NUM_SHARDS);
    }
}

#[test]
fn the_first_table_is_pinned() {
    // Not a promise to clusters, whose tables are stored, but a change here shows that draws or shares have changed.
    let table = ShardTable::new(members(&[5, 7, 11, 13, 17], 3), 2).unwrap();
    let mut hasher = blake3::Hasher::new();
    table.owners.iter().for_each(|owner| {
        hasher.update(&owner.to_le_bytes());
    });
    assert_eq!(&hasher.finalize().to_hex()[..16], "9ebd160bfb043d50");
}

#[test]
fn damaged_and_foreign_bytes_are_refused() {
    let table = ShardTable::new(members(&[5, 7, 0], 3), 2).unwrap();
    let good = table.to_bytes();
    assert_eq!(
        good.len(),
        24 + 3 * (8 + 1 + 18 + 1 + 6) + 65_536 * 2 * 2 / 8 + 32
    );
    for byte in (0..good.len()).step_by(97).chain(0..24) {
        let mut bad = good.clone();
        bad[byte] ^= 4;
        assert!(ShardTable::from_bytes(&bad).is_err(), "byte {byte}");
    }
    for length in [0, 7, 24, 55, 56, good.len() - 1] {
        assert!(ShardTable::from_bytes(&good[..length]).is_err(), "{length} bytes");
    }
    let mut long = good.clone();
    long.resize(MAX_TABLE_BYTES + 1, 0);
    assert!(ShardTable::from_bytes(&long).is_err());
    let mut other = good.clone();
    other[12] = 1;
    assert_eq!(
        ShardTable::from_bytes(&other),
        Err(PlacementError::Unsupported {
            version: 1,
            algorithm: 1
        })
    );
    // Right checksum, wrong content: owner 2 has no weight; unsorted members; absurd counts.
    let resealed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good[..good.len() - 32].to_vec();
        change(&mut bytes);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        ShardTable::from_bytes(&bytes)
    };
    assert_eq!(resealed(&|_| {}), Ok(table));
    assert!(resealed(&|bytes| *bytes.last_mut().unwrap() = 0xaa).is_err());
    assert!(resealed(&|bytes| bytes[24 + 8 + 1] = b'z').is_err());
    assert!(resealed(&|bytes| bytes[16] = 4).is_err());
    assert!(resealed(&|bytes| bytes[19] = 0xff).is_err());
    assert!(resealed(&|bytes| bytes[20] = 3).is_err());
    assert!(resealed(&|bytes| bytes.push(0)).is_err());
}

#[test]
fn bad_lists_are_refused_by_name() {
    let twice = vec![member(0, 1, 1), member(0, 2, 1)];
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
    let long = Member {
        id: "x".repeat(256),
        ..member(0, 1, 1)
    };
    assert_eq!(
        ShardTable::new(vec![long], 1),
        Err(PlacementError::LongName { found: 256 })
    );
}

#[test]
fn many_small_members_stay_within_whole_places() {
    let table = ShardTable::new(members(&vec![1; MAX_MEMBERS], 512), 1).unwrap();
    assert!(table.loads().into_iter().all(|load| load == 16));
    let next = table.next(members(&vec![1; MAX_MEMBERS - 1], 512), 1).unwrap();
    check(&next);
    assert_eq!(table.moved_places(&next), 16);
}
