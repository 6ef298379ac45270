//! How many places each member gives up and receives, before any place is chosen.

use super::NUM_SHARDS;
use super::shares::{FRACTION_BITS, WHOLE};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nobody may hold more than 1.045 of its fair share of places. A history whose length is no multiple of 65 536 has one piece more
/// on some shards, which is up to 0.27 in a hundred at ten million pieces; with that the promise of 1.05 holds for pieces.
const BOUND: (u64, u64) = (1045, 1000);

/// From here on a member is the first to give and the last to receive. Otherwise many members of one weight could stand right at
/// the bound, and one that joins would push all of them over it at once.
const COMFORT: (u64, u64) = (102, 100);

/// A member that has less than 90/100 of its fair share gets more although nobody has left: its weight has grown.
const STARVED: (u64, u64) = (90, 100);

/// Added to the level of places beyond [`COMFORT`]: more than any number of places.
const UNCOMFORTABLE: i64 = 1 << 32;

/// All that decides about numbers of places.
pub(super) struct Situation<'a> {
    /// Fair share of each member, fixed point.
    pub(super) fair: &'a [u64],
    /// Places it has in the table before.
    pub(super) held: &'a [u32],
    /// Its host.
    pub(super) host: &'a [usize],
    pub(super) hosts: usize,
    pub(super) positions: usize,
}

/// Numbers of places, by member. Where two numbers differ, the draws decide who of several members on a level gives or gets.
#[derive(Debug)]
pub(super) struct Plan {
    /// It has to give places away until it holds no more than this.
    pub(super) keep_most: Vec<u32>,
    /// It may be asked to give until it holds this.
    pub(super) keep_least: Vec<u32>,
    /// Places given away in all.
    pub(super) releases: u32,
    /// It has to receive until it holds this.
    pub(super) owed: Vec<u32>,
    /// It may receive until it holds this.
    pub(super) most: Vec<u32>,
    /// Places that all members of a host may hold together.
    pub(super) host_most: Vec<u32>,
}

/// Makes the plan that moves the fewest places: only those beyond the bound, those of nobody, and what newcomers are due.
pub(super) fn plan(situation: &Situation<'_>) -> Plan {
    let Situation {
        fair,
        held,
        host,
        hosts,
        positions,
    } = *situation;
    let total = (NUM_SHARDS * positions) as u64;
    let up = bounds(situation, BOUND, total);
    let comfort = bounds(situation, COMFORT, total);
    let least_of_all = (positions / fair.len() * NUM_SHARDS) as u32;
    let low: Vec<u32> = (0..fair.len())
        .map(|one| {
            let due = match held[one] {
                0 => fair[one],
                _ => fair[one] / STARVED.1 * STARVED.0,
            };
            ((due >> FRACTION_BITS) as u32).max(least_of_all).min(up[one])
        })
        .collect();
    // How little a member should have a place as its `places`-th: the number above the whole part of its fair share.
    let level = |one: usize, places: u32| {
        let above = i64::from(places) - (fair[one] >> FRACTION_BITS) as i64;
        above + i64::from(places > comfort[one]) * UNCOMFORTABLE
    };

    let mut places: Vec<u32> = (0..fair.len())
        .map(|one| held[one].clamp(low[one], up[one]))
        .collect();
    let mut host_fair = vec![0u64; hosts];
    let mut host_places = vec![0u32; hosts];
    for one in 0..fair.len() {
        host_fair[host[one]] += fair[one];
        host_places[host[one]] += places[one];
    }
    // Without more weight than one position of all shards, a host never has to own a shard twice.
    let host_most: Vec<u32> = host_fair
        .iter()
        .map(|&fair| match fair <= WHOLE {
            true => NUM_SHARDS as u32,
            false => u32::MAX,
        })
        .collect();
    lower_hosts(&mut places, &mut host_places, &host_most, host, &low, level);

    let before = places.clone();
    let sum: u64 = places.iter().map(|&places| u64::from(places)).sum();
    let mut plan = Plan {
        keep_most: Vec::new(),
        keep_least: Vec::new(),
        releases: 0,
        owed: Vec::new(),
        most: Vec::new(),
        host_most,
    };
    if sum > total {
        let bottom = lower(&mut places, &low, sum - total, level);
        for one in 0..fair.len() {
            let (before, after) = (before[one], places[one]);
            let spare = u32::from(after < before && level(one, after + 1) == bottom);
            let more = u32::from(after > low[one] && level(one, after) == bottom);
            plan.keep_most.push((after + spare).min(held[one]));
            plan.keep_least.push((after - more).min(held[one]));
            // Who gives receives nothing, also when it gave more than its due.
            let due = if after > held[one] { after } else { 0 };
            plan.owed.push(due);
            plan.most.push(due);
        }
    } else {
        let top = raise(
            &mut places,
            &mut host_places,
            &plan.host_most,
            host,
            &up,
            total - sum,
            level,
        );
        for one in 0..fair.len() {
            let (before, after) = (before[one], places[one]);
            let spare = u32::from(after > before && level(one, after) == top);
            let more = u32::from(after < up[one] && level(one, after + 1) == top);
            plan.keep_most.push(before.min(held[one]));
            plan.keep_least.push(before.min(held[one]));
            plan.owed.push(after - spare);
            plan.most.push(after + more);
        }
    }
    plan.releases = (0..fair.len())
        .map(|one| held[one] - held[one].min(places[one]))
        .sum();
    plan
}

/// Places up to a multiple of the fair share. Where whole places are too coarse for that, the fewest members get one more, those
/// first that have it already.
fn bounds(situation: &Situation<'_>, multiple: (u64, u64), total: u64) -> Vec<u32> {
    let Situation { fair, held, .. } = *situation;
    let most = (situation.positions.div_ceil(fair.len()) * NUM_SHARDS) as u32;
    let mut up: Vec<u32> = fair
        .iter()
        .map(|&fair| (((fair / multiple.1 * multiple.0) >> FRACTION_BITS) as u32).min(most))
        .collect();
    let mut missing = total.saturating_sub(up.iter().map(|&up| u64::from(up)).sum());
    let mut order: Vec<usize> = (0..fair.len()).collect();
    while missing > 0 {
        let rest = |one: usize| fair[one].saturating_sub(u64::from(up[one]) << FRACTION_BITS);
        order.sort_by_key(|&one| (held[one] <= up[one], Reverse(rest(one)), one));
        let before = missing;
        for &one in &order {
            if missing > 0 && up[one] < most {
                up[one] += 1;
                missing -= 1;
            }
        }
        if missing == before {
            break;
        }
    }
    up
}

/// Takes from the members of hosts that hold too much, those highest above their fair share first.
fn lower_hosts(
    places: &mut [u32],
    host_places: &mut [u32],
    host_most: &[u32],
    host: &[usize],
    low: &[u32],
    level: impl Fn(usize, u32) -> i64,
) {
    let mut heaps: Vec<BinaryHeap<(i64, Reverse<usize>)>> = vec![BinaryHeap::new(); host_most.len()];
    for (one, &places) in places.iter().enumerate() {
        if places > low[one] && host_places[host[one]] > host_most[host[one]] {
            heaps[host[one]].push((level(one, places), Reverse(one)));
        }
    }
    for (number, mut heap) in heaps.into_iter().enumerate() {
        while host_places[number] > host_most[number]
            && let Some((_, Reverse(one))) = heap.pop()
        {
            places[one] -= 1;
            host_places[number] -= 1;
            if places[one] > low[one] {
                heap.push((level(one, places[one]), Reverse(one)));
            }
        }
    }
}

/// Takes `count` places from the members highest above their fair share; the level of the last one.
fn lower(places: &mut [u32], low: &[u32], count: u64, level: impl Fn(usize, u32) -> i64) -> i64 {
    let mut heap: BinaryHeap<_> = (0..places.len())
        .filter(|&one| places[one] > low[one])
        .map(|one| (level(one, places[one]), Reverse(one)))
        .collect();
    let mut bottom = i64::MAX;
    for _ in 0..count {
        let Some((_, Reverse(one))) = heap.pop() else {
            break;
        };
        bottom = bottom.min(level(one, places[one]));
        places[one] -= 1;
        if places[one] > low[one] {
            heap.push((level(one, places[one]), Reverse(one)));
        }
    }
    bottom
}

/// Gives `count` places to the members lowest against their fair share; the level of the last one.
fn raise(
    places: &mut [u32],
    host_places: &mut [u32],
    host_most: &[u32],
    host: &[usize],
    up: &[u32],
    count: u64,
    level: impl Fn(usize, u32) -> i64,
) -> i64 {
    let mut top = i64::MIN;
    let mut left = count;
    // Rounding can leave a place that only fits on a host beyond its limit.
    for limited in [true, false] {
        let mut heap: BinaryHeap<_> = (0..places.len())
            .filter(|&one| places[one] < up[one])
            .map(|one| Reverse((level(one, places[one] + 1), one)))
            .collect();
        while left > 0
            && let Some(Reverse((_, one))) = heap.pop()
        {
            if limited && host_places[host[one]] >= host_most[host[one]] {
                continue;
            }
            places[one] += 1;
            host_places[host[one]] += 1;
            left -= 1;
            top = top.max(level(one, places[one]));
            if places[one] < up[one] {
                heap.push(Reverse((level(one, places[one] + 1), one)));
            }
        }
    }
    top
}
