//! Which segments a full-piece cache means to hold, and in which order it fetches them.

use autonomys_cluster::InstanceId;
use autonomys_cluster::members::SegmentRange;
use std::fmt;
use std::str::FromStr;
use subspace_core_primitives::segments::SegmentIndex;

/// A range of segments as `--segments` takes it: `A..B` (without B) or `A..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Selection {
    first: u64,
    /// Not in it any more.
    end: u64,
}

impl Selection {
    /// Every segment.
    pub(super) const ALL: Self = Self {
        first: 0,
        end: u64::MAX,
    };

    pub(super) fn contains(&self, segment: SegmentIndex) -> bool {
        (self.first..self.end).contains(&segment.get())
    }

    /// As the member record has it.
    pub(super) fn range(&self) -> SegmentRange {
        SegmentRange {
            first: self.first.into(),
            count: self.end - self.first,
        }
    }
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (first, end) = text.split_once("..")?;
            let end = match end {
                "" => u64::MAX,
                end => end.parse().ok()?,
            };
            Some(Self {
                first: first.parse().ok()?,
                end,
            })
        };
        parse()
            .filter(|selection| selection.first < selection.end)
            .ok_or_else(|| {
                format!("{text:?} is no range of segments; write the first and the one after the last, as in 0..500, or 500..")
            })
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            u64::MAX => write!(formatter, "{}..", self.first),
            end => write!(formatter, "{}..{end}", self.first),
        }
    }
}

/// Whose turn it is to bring a segment into the full-piece caches: the others copy it from there. `caches` are those that mean
/// to hold it, in the order of their ids.
pub(super) fn turn(segment: SegmentIndex, caches: &[InstanceId]) -> Option<InstanceId> {
    let position = segment.get().checked_rem(caches.len() as u64)?;
    caches.get(position as usize).copied()
}

/// Consecutive runs of ascending segment indexes.
pub(super) fn ranges(segments: &[SegmentIndex]) -> Vec<SegmentRange> {
    let mut ranges: Vec<SegmentRange> = Vec::new();
    for &segment in segments {
        match ranges.last_mut() {
            Some(range) if range.first.get() + range.count == segment.get() => range.count += 1,
            _ => ranges.push(SegmentRange {
                first: segment,
                count: 1,
            }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::Role;

    #[test]
    fn ranges_join_neighbours() {
        let segments = [0_u64, 1, 2, 5, 7, 8].map(SegmentIndex::from);
        let found: Vec<_> = ranges(&segments)
            .iter()
            .map(|range| (range.first.get(), range.count))
            .collect();
        assert_eq!(found, [(0, 3), (5, 1), (7, 2)]);
        assert!(ranges(&[]).is_empty());
    }

    #[test]
    fn selections_are_read_and_refused() {
        let selection: Selection = "3..5".parse().unwrap();
        let held: Vec<_> = (0..8).filter(|&index| selection.contains(index.into())).collect();
        assert_eq!(held, [3, 4]);
        assert_eq!(selection.to_string(), "3..5");
        let open: Selection = "7..".parse().unwrap();
        assert!(open.contains(u64::MAX.saturating_sub(1).into()) && !open.contains(6.into()));
        assert_eq!(open.to_string(), "7..");
        for text in ["", "5", "5..5", "6..5", "..5", "a..b", "1..2..3", "-1..2"] {
            let error = text.parse::<Selection>().unwrap_err();
            assert!(
                error.contains("write the first and the one after the last"),
                "{error}"
            );
        }
    }

    #[test]
    fn caches_take_turns() {
        let caches = [(); 3].map(|()| InstanceId::generate(Role::FullPieceShardedCache));
        let turns: Vec<_> = (0..6).filter_map(|index| turn(index.into(), &caches)).collect();
        assert_eq!(turns, [caches, caches].concat());
        assert_eq!(turn(5.into(), &[]), None);
    }
}
