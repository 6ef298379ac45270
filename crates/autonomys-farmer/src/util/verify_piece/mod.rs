//! `util verify-piece`: every item in every cache against the segment commitments of the chain.
//!
//! [`inventory`] asks the caches what they hold and reads it from them, [`judge`] says what of it is right, [`passed_on`] what is only
//! not there any more, [`report`] tells. Caches are looked through piece by piece, all copies of a piece together, so that each piece is
//! checked once and its shards against each other.

mod inventory;
mod judge;
mod passed_on;
mod report;

use super::chain_rules::ChainRules;
use super::progress::Progress;
use super::{observe, until_stopped};
use crate::args::kzg::KzgArgs;
use crate::args::nats::NatsArgs;
use crate::roles::pieces::Tier;
use crate::util::observer::Observer;
use anyhow::{Context, Result, ensure};
use autonomys_cache::coding::ItemCoding;
use autonomys_cluster::messages::CacheRepair;
use bytes::Bytes;
use clap::Args;
use inventory::{Inventory, Listed};
use judge::{Fault, ItemCopy, Judge};
use passed_on::was_passed_on;
use report::Report;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use subspace_core_primitives::pieces::{Piece, PieceIndex};

/// Exit code when anything was bad, whether it could be repaired or not.
const SOMETHING_BAD: u8 = 2;
/// Pieces looked at together: enough for one batched check to pay, and some 200 MB with all their copies.
const PIECES_AT_ONCE: usize = 64;

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct VerifyPieceArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// Have caches drop bad items and fetch them anew
    #[arg(long)]
    repair: bool,
    /// One JSON line instead of a list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kzg: KzgArgs,
}

/// Runs the command.
pub(crate) fn run(args: &VerifyPieceArgs) -> Result<ExitCode> {
    let report = observe(&args.nats, "verify-piece", async |observer, end| {
        Box::pin(until_stopped(end, verify(observer, args))).await
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(SOMETHING_BAD)
    })
}

/// What does not change from batch to batch.
struct Verifier<'a> {
    observer: &'a Observer,
    inventory: Inventory,
    judge: Judge,
    repair: bool,
}

async fn verify(observer: &Observer, args: &VerifyPieceArgs) -> Result<Report> {
    // Full-piece caches alone need no decision; their items are whole pieces.
    let coding = observer
        .settings
        .cache_settings()
        .await?
        .map_or(Ok(ItemCoding::PIECE), |settings| settings.item_type.parse())?;
    let verifier = Verifier {
        observer,
        judge: Judge {
            rules: ChainRules::load(observer, &args.kzg).await?,
            coding,
        },
        inventory: Inventory::collect(observer).await?,
        repair: args.repair,
    };
    verifier.run().await
}

impl Verifier<'_> {
    async fn run(self) -> Result<Report> {
        let mut report = Report {
            cluster: self.observer.cluster.name().as_str().to_string(),
            segments: self.judge.rules.segments(),
            items: self.inventory.len(),
            caches: self
                .inventory
                .holders
                .iter()
                .map(|holder| (holder.instance.to_string(), holder.items))
                .collect(),
            ..Report::default()
        };
        ensure!(
            !self.inventory.holders.is_empty(),
            "no cache runs in this cluster, so there is nothing to verify"
        );
        let mut progress = Progress::start("items checked", self.inventory.len());
        for batch in self.inventory.batches(PIECES_AT_ONCE) {
            self.check(batch, &mut report).await?;
            progress.add(batch.len() as u64);
        }
        progress.finish();
        Ok(report)
    }

    /// One batch: read, judged, and what is bad repaired and judged again.
    async fn check(&self, batch: &[Listed], report: &mut Report) -> Result<()> {
        let copies = self.inventory.read(&self.observer.pool, batch).await?;
        let pieces: BTreeSet<_> = copies.iter().map(|copy| copy.key.piece_index).collect();
        report.pieces += pieces.len() as u64;
        let (mut right, copies) = self
            .compute(move |judge| (judge.right_pieces(&copies), copies))
            .await?;
        let unknown: Vec<_> = pieces
            .into_iter()
            .filter(|index| !right.contains_key(index))
            .collect();
        if !unknown.is_empty() {
            let fetched = self
                .observer
                .fetcher
                .fetch(unknown, &[Tier::FullPieceCaches, Tier::Controllers])
                .await;
            right = self.keep_right(fetched.pieces, right).await?;
        }
        let (faults, right, copies) = self.faults(copies, right).await?;
        let mut bad: Vec<(Listed, Fault)> = Vec::new();
        for ((listed, copy), fault) in batch.iter().zip(&copies).zip(faults) {
            let (item, holder) = *listed;
            let Some(fault) = fault else { continue };
            let is_gone = fault == Fault::NotGiven && !copy.damaged;
            let holder = &self.inventory.holders[usize::from(holder)];
            if is_gone && was_passed_on(self.observer, holder, item).await? {
                report.passed_on += 1;
            } else {
                bad.push((*listed, fault));
            }
        }
        drop(copies);
        if bad.is_empty() {
            return Ok(());
        }
        let listed: Vec<Listed> = bad.iter().map(|(listed, _)| *listed).collect();
        let good_now = if self.repair {
            self.repair(&listed, right).await?
        } else {
            vec![false; listed.len()]
        };
        for (((item, holder), fault), repaired) in bad.into_iter().zip(good_now) {
            let cache = self.inventory.holders[usize::from(holder)].instance;
            report.add_bad(cache, &inventory::cache_key(item)?, fault, repaired);
        }
        Ok(())
    }

    /// Whether each of the items is good after its cache was told to fetch it anew.
    async fn repair(&self, listed: &[Listed], right: BTreeMap<PieceIndex, Piece>) -> Result<Vec<bool>> {
        for (number, holder) in (0_u16..).zip(&self.inventory.holders) {
            let items: Vec<_> = listed
                .iter()
                .filter(|(_, of)| *of == number)
                .map(|(item, _)| *item)
                .collect();
            for chunk in items.chunks(CacheRepair::MAX_ITEMS) {
                let request = CacheRepair {
                    items: chunk.to_vec(),
                };
                // What the others hold is repaired all the same; the look below says what came of it.
                if let Err(error) = self.observer.cluster.request(holder.instance, &request).await {
                    tracing::warn!(cache = %holder.instance, %error, "a repair did not succeed");
                }
            }
        }
        let copies = self.inventory.read(&self.observer.pool, listed).await?;
        let (faults, _, _) = self.faults(copies, right).await?;
        Ok(faults.into_iter().map(|fault| fault.is_none()).collect())
    }

    async fn keep_right(
        &self,
        candidates: BTreeMap<PieceIndex, Piece>,
        mut right: BTreeMap<PieceIndex, Piece>,
    ) -> Result<BTreeMap<PieceIndex, Piece>> {
        self.compute(move |judge| {
            let candidates = candidates
                .into_iter()
                .map(|(index, piece)| (index, Bytes::copy_from_slice(piece.as_ref())));
            judge.keep_right(candidates, &mut right);
            right
        })
        .await
    }

    async fn faults(
        &self,
        copies: Vec<ItemCopy>,
        right: BTreeMap<PieceIndex, Piece>,
    ) -> Result<(Vec<Option<Fault>>, BTreeMap<PieceIndex, Piece>, Vec<ItemCopy>)> {
        self.compute(move |judge| (judge.faults(&copies, &right), right, copies))
            .await
    }

    /// Arithmetic on threads of its own.
    async fn compute<T: Send + 'static>(&self, work: impl FnOnce(&Judge) -> T + Send + 'static) -> Result<T> {
        let judge = self.judge.clone();
        tokio::task::spawn_blocking(move || work(&judge))
            .await
            .context("the check crashed")
    }
}
