//! The JSON line at the end of `dev --json`.

use super::layout::{Layout, NATS, NODE};
use super::processes::Process;
use super::watch::State;
use crate::args::reward_address::to_ss58;
use anyhow::Result;
use autonomys_farm::info::FarmInfo;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a development cluster achieved.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Blocks that rewarded the cluster.
    pub(super) rewards: u64,
    /// Their numbers.
    rewarded_blocks: Vec<u32>,
    /// Account of the rewards.
    reward_address: String,
    /// Public key of the farm; none when the cluster was stopped before the farm was made.
    public_key: Option<String>,
    /// Process ids by role.
    processes: BTreeMap<&'static str, Vec<u32>>,
    segments: u64,
    cached_pieces: u64,
    sectors: u64,
    audited_slots: u64,
    solutions: u64,
    /// Since the roles were started.
    seconds: f64,
    base_path: String,
}

impl Summary {
    pub(super) fn new(
        layout: &Layout,
        processes: &[Process],
        state: &State,
        elapsed: Duration,
    ) -> Result<Self> {
        let info = FarmInfo::load(&layout.farm())?;
        let mut ids = BTreeMap::<_, Vec<_>>::new();
        for process in processes {
            ids.entry(process.name()).or_default().push(process.id());
        }
        debug_assert!(ids.contains_key(NATS) && ids.contains_key(NODE));
        Ok(Self {
            rewards: state.rewards,
            rewarded_blocks: state.rewarded_blocks.clone(),
            reward_address: to_ss58(&Layout::reward_account()),
            public_key: info.map(|info| info.public_key.to_string()),
            processes: ids,
            segments: state.segments,
            cached_pieces: state.cached_pieces,
            sectors: state.sectors,
            audited_slots: state.audited_slots,
            solutions: state.solutions,
            seconds: elapsed.as_secs_f64(),
            base_path: layout.base().display().to_string(),
        })
    }
}
