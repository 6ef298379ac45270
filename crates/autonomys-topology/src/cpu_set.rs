//! Sets of processors, and the list form that Linux, `numactl` and `taskset` write them in.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Processor numbers in lists stay below this: Linux is built for 8192 processors at most, and a set that is read from text must not
/// grow without bound.
const LIST_LIMIT: usize = 1 << 16;

/// A set of processors (hardware threads), by the numbers the system gives them.
///
/// The text form is a comma-separated list of numbers and inclusive ranges, `0-3,8`; empty text is the empty set. Display writes the
/// shortest such list in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuSet(BTreeSet<usize>);

/// Why a text is no list of processors.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CpuSetError {
    /// Neither a number nor a range.
    #[error("{item:?} is neither a processor nor a range of processors; write a list like 0-3,8")]
    Malformed {
        /// The part of the list that is wrong.
        item: String,
    },
    /// A range that ends before it starts.
    #[error("the range {item:?} ends before it starts; write the lower processor first")]
    Backwards {
        /// The range.
        item: String,
    },
    /// A number that no system has.
    #[error("there is no processor {index}; numbers end at {}", LIST_LIMIT - 1)]
    TooLarge {
        /// The number.
        index: usize,
    },
}

impl CpuSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// How many processors are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when the processor is in the set.
    #[must_use]
    pub fn contains(&self, processor: usize) -> bool {
        self.0.contains(&processor)
    }

    /// Adds a processor; false when it was there before.
    pub fn insert(&mut self, processor: usize) -> bool {
        self.0.insert(processor)
    }

    /// The processors in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + '_ {
        self.0.iter().copied()
    }

    /// The processors that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.0.intersection(&other.0).copied().collect()
    }

    /// The processors that are in this set but not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.0.difference(&other.0).copied().collect()
    }

    /// True when no processor is in both sets.
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.0.is_disjoint(&other.0)
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(processors: I) -> Self {
        Self(processors.into_iter().collect())
    }
}

impl Extend<usize> for CpuSet {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, processors: I) {
        self.0.extend(processors);
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut processors = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = processors.next() {
            let mut last = first;
            while let Some(next) = processors.next_if(|&next| last.checked_add(1) == Some(next)) {
                last = next;
            }
            if first == last {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl FromStr for CpuSet {
    type Err = CpuSetError;

    fn from_str(list: &str) -> Result<Self, CpuSetError> {
        let list = list.trim();
        let mut processors = BTreeSet::new();
        if list.is_empty() {
            return Ok(Self(processors));
        }
        for item in list.split(',').map(str::trim) {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (number(first, item)?, number(last, item)?);
            if last < first {
                return Err(CpuSetError::Backwards { item: item.into() });
            }
            if last >= LIST_LIMIT {
                return Err(CpuSetError::TooLarge { index: last });
            }
            processors.extend(first..=last);
        }
        Ok(Self(processors))
    }
}

/// `text` as a number; the error names the item of the list that it is from.
fn number(text: &str, item: &str) -> Result<usize, CpuSetError> {
    // `parse` alone would let a sign pass.
    Some(text.trim())
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| CpuSetError::Malformed { item: item.into() })
}
