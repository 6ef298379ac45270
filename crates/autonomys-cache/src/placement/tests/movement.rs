//! What moves from one table to the next.

use super::*;

/// The fewest places that any algorithm could move: what the bound, newcomers and leavers demand.
fn least_movement(before: &ShardTable, after: &ShardTable) -> f64 {
    let held: BTreeMap<&str, u32> = before
        .members()
        .iter()
        .map(|one| one.id.as_str())
        .zip(before.loads())
        .collect();
    let present: BTreeSet<&str> = after
        .members()
        .iter()
        .filter(|one| one.weight > 0)
        .map(|one| one.id.as_str())
        .collect();
    let left: u32 = held
        .iter()
        .filter(|(id, _)| !present.contains(**id))
        .map(|(_, held)| held)
        .sum();
    let joined: f64 = after
        .members()
        .iter()
        .zip(fair(after))
        .filter(|(one, _)| held.get(one.id.as_str()).is_none_or(|&held| held == 0))
        .map(|(_, fair)| fair.floor())
        .sum();
    f64::from(left).max(joined)
}

#[test]
fn joining_leaving_and_returning_moves_one_share() {
    for (list, positions) in [
        (members(&[100; 11], 100), 1),
        (members(&[100; 11], 100), 2),
        (members(&[100; 11], 100), 6),
        (members(&[100; 41], 10), 6),
        (mixed(60), 2),
        (members(&[7; 300], 300), 1),
        (mixed(300), 6),
    ] {
        let mut fewer = list.clone();
        fewer.remove(3);
        let before = ShardTable::new(fewer.clone(), positions).unwrap();
        let joined = before.next(list.clone(), positions).unwrap();
        let left = joined.next(fewer, positions).unwrap();
        let back = left.next(list, positions).unwrap();
        for (what, a, b) in [
            ("join", &before, &joined),
            ("leave", &joined, &left),
            ("return", &left, &back),
        ] {
            check(b);
            let (moved, least) = (a.moved_places(b) as f64, least_movement(a, b));
            assert!(
                moved >= least && moved <= least * 1.25,
                "{what} moved {moved} places of at least {least} at {positions} positions"
            );
        }
        // Who comes back finds most of what it had.
        let id = "sharded-cache.0003";
        let (mut kept, mut had) = (0, 0);
        for shard in VirtualShard::all().filter(|&shard| joined.is_owner(shard, id)) {
            had += 1;
            kept += usize::from(back.is_owner(shard, id));
        }
        assert!(
            kept * 10 > had * 6,
            "{kept} of {had} shards came back at {positions} positions of {}",
            back.members().len()
        );
    }
}

#[test]
fn long_histories_move_little_and_keep_shares() {
    for positions in [1, 2, 6] {
        let mut list = mixed(80);
        let mut table = ShardTable::new(list.clone(), positions).unwrap();
        for step in 0..30usize {
            if step % 2 == 0 {
                // As regular as `mixed`, so that hosts keep their room.
                let number = 200 + step;
                list.push(Member {
                    host: format!("host-{number}"),
                    ..member(number, 1 << (step % 4), 1)
                });
            } else {
                list.swap_remove(step * 29 % list.len());
            }
            let next = table.next(list.clone(), positions).unwrap();
            let (moved, least) = (table.moved_places(&next) as f64, least_movement(&table, &next));
            assert!(
                moved <= least * 1.25,
                "step {step} moved {moved} places of at least {least} at {positions} positions"
            );
            table = next;
        }
        check(&table);
    }
}

#[test]
fn small_changes_of_weight_move_nothing_and_large_ones_move_the_difference() {
    let mut list = members(&[1000; 12], 12);
    let table = ShardTable::new(list.clone(), 2).unwrap();
    for (number, one) in list.iter_mut().enumerate() {
        one.weight = 980 + (number as u64 * 7) % 40;
    }
    let wobbled = table.next(list.clone(), 2).unwrap();
    assert_eq!(table.moved_places(&wobbled), 0);
    list[5].weight = 2000;
    let grown = wobbled.next(list.clone(), 2).unwrap();
    check(&grown);
    let gained = grown.loads()[5] - table.loads()[5];
    assert!(
        wobbled.moved_places(&grown) <= gained as usize * 5 / 4
            && f64::from(grown.loads()[5]) >= fair(&grown)[5] * 0.89
    );
    list[5].weight = 0;
    let gone = grown.next(list, 2).unwrap();
    check(&gone);
    assert_eq!((gone.loads()[5], gone.members()[5].weight), (0, 0));
}

#[test]
fn a_cluster_grows_from_one_member_and_shrinks_back() {
    for positions in [1, 2, 6] {
        let all = members(&[50; 8], 4);
        let mut table = ShardTable::new(all[..1].to_vec(), positions).unwrap();
        assert_eq!(table.owners(VirtualShard::from(7)).len(), positions);
        for count in (2..=8).chain((1..8).rev()) {
            table = table.next(all[..count].to_vec(), positions).unwrap();
            check(&table);
            let hosts: BTreeSet<_> = table.owners(VirtualShard::from(9)).map(|one| &one.host).collect();
            // Equal members on four hosts: nobody needs two owners on one host as long as there are other hosts, except where
            // one host has more than its part of the members.
            if count == 4 || count == 8 {
                assert_eq!(hosts.len(), positions.min(4));
            }
        }
    }
}

#[test]
fn another_number_of_positions_keeps_the_first_ones() {
    let list = members(&[50; 20], 20);
    let one = ShardTable::new(list.clone(), 1).unwrap();
    let six = one.next(list.clone(), 6).unwrap();
    check(&six);
    let first_kept = VirtualShard::all()
        .filter(|&shard| one.owner(shard, 0) == six.owner(shard, 0))
        .count();
    assert!(
        first_kept > NUM_SHARDS * 95 / 100,
        "{first_kept} first owners were kept"
    );
    let back = six.next(list, 1).unwrap();
    check(&back);
    assert_eq!(back.positions(), 1);
}
