//! Which items of the history are this cache's by a shard map.

use crate::roles::placement::PlacedMap;
use autonomys_cache::CacheKey;
use autonomys_cache::coding::ItemCoding;
use autonomys_cache::placement::{MAX_POSITIONS, NUM_SHARDS, VirtualShard};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::segments::SegmentIndex;

/// A set of parts, one bit each; there are never more parts than positions.
type Parts = u32;
const _: () = assert!(MAX_POSITIONS <= Parts::BITS as usize);

/// The parts of each virtual shard that one member owns: 256 KiB.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    coding: ItemCoding,
    parts: Vec<Parts>,
}

/// What a look through the history found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Items of the share, newest first, as many as there is room for.
    pub(super) wanted: u64,
    /// Of these, how many are not here.
    pub(super) missing: u64,
    /// Oldest segment that there is room for.
    pub(super) oldest: u64,
    /// How many of its items there is room for, in order.
    pub(super) in_oldest: usize,
}

impl Survey {
    /// How many items of a segment there is room for.
    fn room_in(&self, segment: u64) -> usize {
        match segment.cmp(&self.oldest) {
            Ordering::Less => 0,
            Ordering::Equal => self.in_oldest,
            Ordering::Greater => usize::MAX,
        }
    }
}

impl Share {
    /// The share of a member.
    pub(super) fn new(map: &PlacedMap, own_id: &str) -> Self {
        let mut parts = vec![0; NUM_SHARDS];
        for shard in VirtualShard::all() {
            for (position, owner) in map.table.owners(shard).enumerate() {
                if owner.id == own_id {
                    parts[usize::from(shard.get())] |= 1 << map.coding.part_at(position);
                }
            }
        }
        Self {
            coding: map.coding,
            parts,
        }
    }

    /// Keys of a piece that are in the share.
    pub(super) fn keys(&self, index: PieceIndex) -> impl Iterator<Item = CacheKey> {
        let parts = self.parts[usize::from(VirtualShard::of_piece(index).get())];
        (0..self.coding.parts())
            .filter(move |part| parts & (1 << part) != 0)
            .map(move |part| self.coding.key(index, part))
    }

    /// Whether an item is in the share.
    pub(super) fn contains(&self, key: &CacheKey) -> bool {
        let parts = self.parts[usize::from(VirtualShard::of_piece(key.piece_index).get())];
        key.kind == self.coding.kind() && key.shard < self.coding.parts() && parts & (1 << key.shard) != 0
    }

    /// Keys of a segment that are in the share, in order.
    pub(super) fn segment_keys(&self, segment: u64) -> impl Iterator<Item = CacheKey> {
        SegmentIndex::from(segment)
            .segment_piece_indexes()
            .flat_map(|index| self.keys(index))
    }

    /// Keys of a segment that are in the share and have room, in order.
    fn wanted_keys(&self, segment: u64, survey: &Survey) -> impl Iterator<Item = CacheKey> {
        self.segment_keys(segment).take(survey.room_in(segment))
    }

    /// Looks through the segments, newest first, until `room` items are wanted.
    pub(super) fn survey(&self, segments: u64, room: u64, is_here: impl Fn(&CacheKey) -> bool) -> Survey {
        let mut survey = Survey {
            oldest: segments,
            ..Survey::default()
        };
        for segment in (0..segments).rev() {
            if survey.wanted >= room {
                break;
            }
            survey.oldest = segment;
            survey.in_oldest = 0;
            let left = usize::try_from(room - survey.wanted).unwrap_or(usize::MAX);
            for key in self.segment_keys(segment).take(left) {
                survey.in_oldest += 1;
                survey.wanted += 1;
                survey.missing += u64::from(!is_here(&key));
            }
        }
        survey
    }

    /// The next missing items of these segments, newest first: whole segments until there are `most` items or more. Returns the
    /// segments left.
    pub(super) fn missing(
        &self,
        segments: Range<u64>,
        survey: &Survey,
        most: usize,
        is_here: impl Fn(&CacheKey) -> bool,
    ) -> (Vec<CacheKey>, Range<u64>) {
        let mut keys = Vec::new();
        let mut left = segments;
        while keys.len() < most
            && let Some(segment) = left.next_back()
        {
            keys.extend(self.wanted_keys(segment, survey).filter(|key| !is_here(key)));
        }
        (keys, left)
    }

    /// Which of these items are neither in the share nor have room.
    pub(super) fn not_wanted(&self, keys: impl Iterator<Item = CacheKey>, survey: &Survey) -> Vec<CacheKey> {
        let in_oldest: BTreeSet<_> = self.wanted_keys(survey.oldest, survey).collect();
        keys.filter(|key| {
            let segment = key.piece_index.segment_index().get();
            let has_room = match segment.cmp(&survey.oldest) {
                Ordering::Less => false,
                Ordering::Equal => in_oldest.contains(key),
                Ordering::Greater => true,
            };
            !has_room || !self.contains(key)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cache::placement::{Member, ShardTable};
    use autonomys_cluster::shard_map::ShardMap;

    fn map(item_type: &str, members: usize) -> PlacedMap {
        let coding: ItemCoding = item_type.parse().expect("an item type");
        let members = (0..members).map(|number| Member {
            id: format!("cache-{number}"),
            host: format!("host-{number}"),
            weight: 100,
        });
        PlacedMap {
            map: ShardMap {
                version: 1,
                epoch: 0,
                layout: 0,
                item_type: item_type.to_owned(),
                members: Vec::new(),
                table: [0; 32],
                table_len: 0,
            },
            coding,
            table: ShardTable::new(members.collect(), coding.positions()).expect("a table"),
        }
    }

    #[test]
    fn shares_of_all_members_are_the_whole() {
        for (item_type, members) in [("piece", 3), ("split-piece:4", 3), ("split-parity-piece:4+2", 7)] {
            let map = map(item_type, members);
            let shares: Vec<_> = (0..members)
                .map(|number| Share::new(&map, &format!("cache-{number}")))
                .collect();
            assert_eq!(Share::new(&map, "stranger").segment_keys(2).count(), 0);
            let mut found = BTreeSet::new();
            for share in &shares {
                for key in share.segment_keys(2) {
                    assert!(found.insert(key), "{key} twice with {item_type}");
                    assert_eq!(shares.iter().filter(|share| share.contains(&key)).count(), 1);
                }
            }
            assert_eq!(found.len(), 256 * usize::from(map.coding.parts()), "{item_type}");
        }
    }

    #[test]
    fn the_newest_come_first_and_room_ends_it() {
        let map = map("piece", 1);
        let share = Share::new(&map, "cache-0");
        let survey = share.survey(4, 600, |key| key.piece_index.segment_index().get() == 3);
        assert_eq!(
            survey,
            Survey {
                wanted: 600,
                missing: 344,
                oldest: 1,
                in_oldest: 88
            }
        );
        let (keys, left) = share.missing(0..4, &survey, 300, |_| false);
        assert_eq!((keys.len(), left.clone()), (512, 0..2));
        assert_eq!(keys[0].piece_index.segment_index().get(), 3);
        let (keys, left) = share.missing(left, &survey, 300, |_| false);
        assert_eq!((keys.len(), left), (88, 0..0), "only what there is room for");
        let all = (0..4).flat_map(|segment| share.segment_keys(segment));
        assert_eq!(share.not_wanted(all, &survey).len(), 1024 - 600);
        assert_eq!(share.survey(0, 10, |_| false), Survey::default());
    }
}
