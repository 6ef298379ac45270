//! What the node has: identity, headers, best block, and whether it has the blocks at all.

use crate::error::ExportError;
use crate::headers::HeaderChain;
use crate::node::Node;
use crate::plan::SegmentPlan;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use subspace_core_primitives::BlockNumber;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::rpc::FarmerAppInfo;
use subspace_core_primitives::segments::SegmentIndex;

/// Blocks that are asked for at the start, spread over everything that will be needed.
const PROBES: usize = 32;
/// Holes that are told; who has more of them has other worries.
const HOLES_TOLD: usize = 4;

/// What is known of the node's chain.
#[derive(Debug)]
pub struct Survey {
    /// Hash of block 0.
    pub genesis_hash: Blake3Hash,
    /// Headers of segments, checked.
    pub headers: HeaderChain,
    /// The node is still syncing.
    pub syncing: bool,
    /// Best block.
    pub best: BlockNumber,
}

impl Survey {
    /// Looks at the node for the first time.
    ///
    /// # Errors
    /// When it contradicts itself or does not answer.
    pub async fn begin(node: &Node, info: &FarmerAppInfo) -> Result<Self, ExportError> {
        let genesis_hash = info.genesis_hash;
        let block = node.block_hashes(&[0]).await?;
        match block.first() {
            Some(Some(hash)) if hash.0 == *genesis_hash => {}
            Some(Some(hash)) => {
                return Err(ExportError::Unsuitable(format!(
                    "it says that its chain begins with {genesis_hash}, but its block 0 is {hash}"
                )));
            }
            _ => return Err(ExportError::Unsuitable("it has no block 0".to_string())),
        }
        let mut survey = Self {
            genesis_hash,
            headers: HeaderChain::default(),
            syncing: false,
            best: 0,
        };
        survey.take(node, info).await?;
        Ok(survey)
    }

    /// Looks again.
    ///
    /// # Errors
    /// When the node does not answer, or is another one by now.
    pub async fn update(&mut self, node: &Node) -> Result<(), ExportError> {
        let info = node.farmer_app_info().await?;
        if info.genesis_hash != self.genesis_hash {
            return Err(ExportError::Unsuitable(format!(
                "it changed to another chain, which begins with {}",
                info.genesis_hash
            )));
        }
        self.take(node, &info).await
    }

    async fn take(&mut self, node: &Node, info: &FarmerAppInfo) -> Result<(), ExportError> {
        self.syncing = info.syncing;
        self.headers.extend(node, info.protocol_info.history_size).await?;
        let best = node.best_header().await?;
        self.best = best.map_or(0, |header| header.number.0);
        Ok(())
    }

    /// Plans of the segments in this range whose blocks the node may have: headers can be ahead of blocks while it syncs.
    pub fn exportable(
        &self,
        segments: RangeInclusive<u64>,
        except: &BTreeSet<SegmentIndex>,
    ) -> Vec<SegmentPlan> {
        let (first, last) = segments.into_inner();
        (first..=last.min(self.headers.len().saturating_sub(1)))
            .map(SegmentIndex::new)
            .filter(|segment_index| !except.contains(segment_index))
            .filter_map(|segment_index| SegmentPlan::of(&self.headers, segment_index))
            .filter(|plan| *plan.blocks().end() <= self.best)
            .collect()
    }
}

/// Looks for blocks that the plans need and the node does not have, so that this shows in seconds instead of days.
///
/// # Errors
/// [`ExportError::Unsuitable`] naming blocks and segments.
pub async fn probe(node: &Node, plans: &[SegmentPlan]) -> Result<(), ExportError> {
    let (Some(first), Some(last)) = (plans.first(), plans.last()) else {
        return Ok(());
    };
    let step = plans.len().div_ceil(PROBES).max(1);
    let mut numbers: BTreeSet<_> = plans
        .iter()
        .step_by(step)
        .map(|plan| *plan.blocks().start())
        .collect();
    // Of a pruned chain genesis is left, so the block behind it tells.
    numbers.insert(first.blocks().start().saturating_add(1).min(*last.blocks().end()));
    numbers.insert(*last.blocks().end());
    let mut found = Vec::new();
    for number in numbers {
        found.push((number, has(node, number).await?));
    }
    let holes = holes(node, &found).await?;
    if holes.is_empty() {
        return Ok(());
    }
    let mut text: Vec<_> = holes
        .iter()
        .take(HOLES_TOLD)
        .map(|hole| format!("{} to {}", hole.start(), hole.end()))
        .collect();
    if holes.len() > HOLES_TOLD {
        text.push("others".to_string());
    }
    let touched = |plan: &&SegmentPlan| {
        let blocks = plan.blocks();
        holes
            .iter()
            .any(|hole| hole.start() <= blocks.end() && blocks.start() <= hole.end())
    };
    let segments: Vec<_> = plans
        .iter()
        .filter(touched)
        .map(SegmentPlan::segment_index)
        .collect();
    let (from, to) = match (segments.first(), segments.last()) {
        (Some(from), Some(to)) => (*from, *to),
        _ => (first.segment_index(), last.segment_index()),
    };
    Err(ExportError::Unsuitable(format!(
        "it does not have blocks {}, which segments {from} to {to} need; it must run with --sync full and --blocks-pruning archive from \
         genesis on (--blocks-pruning archive-canonical does as well); segments beyond can be exported with --from-segment and --to-segment",
        text.join(", ")
    )))
}

async fn has(node: &Node, number: BlockNumber) -> Result<bool, ExportError> {
    match node.block_hashes(&[number]).await?.first() {
        Some(Some(hash)) => Ok(node.blocks(&[*hash]).await?.iter().any(Option::is_some)),
        _ => Ok(false),
    }
}

/// Runs of blocks that are not there, among blocks that were asked for in ascending order; edges are found by bisection.
async fn holes(
    node: &Node,
    found: &[(BlockNumber, bool)],
) -> Result<Vec<RangeInclusive<BlockNumber>>, ExportError> {
    let mut holes = Vec::new();
    let mut begin = match found.first() {
        Some((number, false)) => Some(*number),
        _ => None,
    };
    for pair in found.windows(2) {
        let [(left, left_there), (right, right_there)] = *pair else {
            continue;
        };
        if left_there == right_there {
            continue;
        }
        let (mut low, mut high) = (left, right);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if has(node, middle).await? == left_there {
                low = middle;
            } else {
                high = middle;
            }
        }
        match begin.take() {
            None => begin = Some(high),
            Some(begin) => holes.push(begin..=low),
        }
    }
    if let (Some(begin), Some((last, _))) = (begin, found.last()) {
        holes.push(begin..=*last);
    }
    Ok(holes)
}
