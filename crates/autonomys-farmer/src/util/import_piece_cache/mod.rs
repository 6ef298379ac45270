//! `util import-piece-cache`: gives the caches of a cluster the pieces that official farmers have kept in `piece_cache.bin`.
//!
//! The files are read and never changed. Each piece is checked against the chain, coded as the cluster stores pieces, and given to the
//! owners of its items by the shard map; what they have already is not sent. [`report`] tells what became of everything.

mod report;

use super::chain_rules::ChainRules;
use super::progress::Progress;
use super::{observe, until_stopped};
use crate::args::kzg::KzgArgs;
use crate::args::nats::NatsArgs;
use crate::roles::context::peer;
use crate::roles::placement::Placement;
use crate::roles::store_items::{cache_item, key_of};
use crate::util::observer::Observer;
use anyhow::{Context, Result, anyhow, bail, ensure};
use autonomys_cache::coding::ItemCoding;
use autonomys_cache::{CacheKey, ImportedSlot, OfficialPieceCache};
use autonomys_cluster::Role;
use autonomys_cluster::messages::CacheItem;
use autonomys_transfer::{Item, Peer};
use clap::Args;
use futures::{StreamExt, stream};
use report::Report;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use tokio::time::Instant;

/// The official farmer's name for the file in a farm's directory.
const FILE_NAME: &str = "piece_cache.bin";
/// Slots read, checked and given together: enough for one batched check to pay, 64 MiB.
const SLOTS_AT_ONCE: u64 = 64;
/// Items under way to caches at once.
const PUTS_AT_ONCE: usize = 8;
/// A cache writes an item within milliseconds; one that does not within this hangs.
const PUT_WITHIN: Duration = Duration::from_secs(60);
/// A shard map that exists is read within milliseconds; the first one is made within seconds of the first cache's start.
const MAP_WITHIN: Duration = Duration::from_secs(10);

/// One file; a directory stands for the file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ImportPath(PathBuf);

impl FromStr for ImportPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("path=") {
            Some("") => Err("the directory after path= is empty; name one, as in path=/mnt/nvme0"),
            Some(path) => Ok(Self(PathBuf::from(path))),
            None => Err("it must begin with path=, as in path=/mnt/nvme0"),
        }
    }
}

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// Directory of an official farm, or its piece_cache.bin; it is read and not changed
    #[arg(value_name = "path=DIR", required = true)]
    paths: Vec<ImportPath>,
    /// One JSON line instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kzg: KzgArgs,
}

/// Runs the command.
pub(crate) fn run(args: &ImportArgs) -> Result<ExitCode> {
    let files = args
        .paths
        .iter()
        .map(|path| open(&path.0))
        .collect::<Result<Vec<_>>>()?;
    let report = observe(&args.nats, "import-piece-cache", async |observer, end| {
        Box::pin(until_stopped(end, import(observer, files, &args.kzg))).await
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    if let Some((reason, items)) = report.not_taken.iter().max_by_key(|(_, items)| **items) {
        bail!("caches have not taken some items, {items} of them because: {reason}");
    }
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> Result<Arc<OfficialPieceCache>> {
    let file = if path.is_dir() {
        path.join(FILE_NAME)
    } else {
        path.to_owned()
    };
    // The error tells its cause itself.
    let opened = OfficialPieceCache::open(&file).map_err(|error| {
        anyhow!("{error}; name the directory of an official farm that has a {FILE_NAME}, or the file itself")
    })?;
    Ok(Arc::new(opened))
}

async fn import(observer: &Observer, files: Vec<Arc<OfficialPieceCache>>, kzg: &KzgArgs) -> Result<Report> {
    ensure!(
        observer
            .members
            .current()
            .role(Role::ShardedCache)
            .next()
            .is_some(),
        "no sharded-cache runs in this cluster that could take the pieces; start one"
    );
    ensure!(
        observer.fetcher.ready(MAP_WITHIN).await,
        "no controller has shared the pieces out among the caches yet; start one, or wait until it leads"
    );
    let mut import = Import {
        observer,
        rules: ChainRules::load(observer, kzg).await?,
        held: HashMap::new(),
        report: Report {
            cluster: observer.cluster.name().as_str().to_owned(),
            files: files.len(),
            ..Report::default()
        },
    };
    let slots = files.iter().map(|file| file.slots()).sum();
    let mut progress = Progress::start("slots", slots);
    for file in &files {
        for first in (0..file.slots()).step_by(SLOTS_AT_ONCE as usize) {
            let range = first..file.slots().min(first + SLOTS_AT_ONCE);
            let read = range.end - range.start;
            import.slots(file, range).await?;
            progress.add(read);
        }
    }
    progress.finish();
    Ok(import.report)
}

struct Import<'a> {
    observer: &'a Observer,
    rules: ChainRules,
    /// What each cache held when it was first met, by the id of the cache.
    held: HashMap<String, Vec<CacheItem>>,
    report: Report,
}

/// An item on its way to its owner.
struct Gift {
    owner: String,
    key: CacheKey,
    peer: Peer,
}

impl Import<'_> {
    /// Some slots of a file.
    async fn slots(&mut self, file: &Arc<OfficialPieceCache>, range: Range<u64>) -> Result<()> {
        let mut pieces = Vec::new();
        for slot in read(file, range).await? {
            match slot {
                ImportedSlot::Piece {
                    piece_index, bytes, ..
                } => {
                    self.report.pieces += 1;
                    if self.rules.knows(piece_index.segment_index()) {
                        pieces.push((piece_index, Piece::from_bytes(bytes)?));
                    } else {
                        self.report.unknown += 1;
                    }
                }
                ImportedSlot::Damaged { slot, reason } => {
                    tracing::warn!(slot, reason, "a slot of the piece cache cannot be used");
                    self.report.damaged += 1;
                }
            }
        }
        let placement = self.observer.fetcher.placement().borrow().clone();
        let placement = placement.context("there is no shard map any more")?;
        let mut gifts: HashMap<PieceIndex, Vec<Gift>> = HashMap::new();
        for (index, _) in &pieces {
            let needed = self.needed(&placement, *index).await?;
            if !needed.is_empty() {
                gifts.insert(*index, needed);
            }
        }
        // What everybody has need not be checked either.
        pieces.retain(|(index, _)| gifts.contains_key(index));
        let (wrong, pieces) = self.rules.wrong_of(pieces).await?;
        for (number, (index, piece)) in pieces.into_iter().enumerate() {
            if wrong.binary_search(&number).is_ok() {
                tracing::warn!(piece = %index, "a piece of the piece cache is not the one that the chain has");
                self.report.wrong += 1;
            } else if let Some(gifts) = gifts.remove(&index) {
                self.give(&placement, piece, gifts).await?;
            }
        }
        Ok(())
    }

    /// Items of a piece that their owners do not hold.
    async fn needed(&mut self, placement: &Placement, index: PieceIndex) -> Result<Vec<Gift>> {
        let mut needed = Vec::new();
        for (part, owner) in placement.current().owners(index) {
            let key = placement.coding().key(index, part);
            let members = self.observer.members.current();
            let member = members
                .role(Role::ShardedCache)
                .find(|member| member.id.to_string() == owner.id);
            let Some((member, peer)) = member.and_then(|member| Some((member, peer(member)?))) else {
                self.report
                    .not_taken("their owner is not there at the moment".to_owned());
                continue;
            };
            let held = match self.held.get(&owner.id) {
                Some(held) => held,
                None => {
                    let (_, items) = self.observer.items_of(member.id).await?;
                    self.held.entry(owner.id.clone()).or_insert(items)
                }
            };
            if held.binary_search(&cache_item(key)).is_ok() {
                self.report.already_there += 1;
            } else {
                needed.push(Gift {
                    owner: owner.id.clone(),
                    key,
                    peer,
                });
            }
        }
        Ok(needed)
    }

    /// Gives owners their items of a piece.
    async fn give(&mut self, placement: &Placement, piece: Piece, gifts: Vec<Gift>) -> Result<()> {
        let keys: Vec<_> = gifts.iter().map(|gift| gift.key).collect();
        let coding = placement.coding();
        let items = tokio::task::spawn_blocking(move || items(&coding, &piece, &keys)).await??;
        let layout = placement.layout();
        let pool = &self.observer.pool;
        let given: Vec<_> = stream::iter(gifts.into_iter().zip(items))
            .map(|(gift, item)| async move {
                let key = key_of(gift.key, layout);
                let put = pool.put(&gift.peer, key, item, Instant::now() + PUT_WITHIN);
                put.await.map_err(|error| (gift.owner, error))
            })
            .buffer_unordered(PUTS_AT_ONCE)
            .collect()
            .await;
        for outcome in given {
            match outcome {
                Ok(()) => self.report.stored += 1,
                Err((cache, error)) => {
                    tracing::debug!(cache, %error, "a cache has not taken an item");
                    self.report.not_taken(reason(&error));
                }
            }
        }
        Ok(())
    }
}

/// What some slots hold.
async fn read(file: &Arc<OfficialPieceCache>, range: Range<u64>) -> Result<Vec<ImportedSlot>> {
    let file = Arc::clone(file);
    let read = move || range.filter_map(|slot| file.read(slot)).collect();
    Ok(tokio::task::spawn_blocking(read).await?)
}

/// The items with these keys, all of one piece. Hashes and codes; blocking.
fn items(coding: &ItemCoding, piece: &Piece, keys: &[CacheKey]) -> Result<Vec<Item>> {
    let parts = coding.encode(piece.as_ref())?;
    keys.iter()
        .map(|key| {
            let part = parts
                .get(usize::from(key.shard))
                .context("an item type has fewer parts")?;
            Ok(Item::new(part.clone()))
        })
        .collect()
}

/// Why an item was not taken, the same words for all items with the same trouble.
fn reason(error: &autonomys_transfer::TransferError) -> String {
    let text = error.to_string();
    // A refusal begins with the name of its item.
    match text.rsplit_once(": ") {
        Some((_, reason)) => reason.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_given_as_to_the_roles() {
        assert_eq!(
            "path=/mnt/nvme0,a".parse(),
            Ok(ImportPath(PathBuf::from("/mnt/nvme0,a")))
        );
        for wrong in ["/mnt/nvme0", "path="] {
            let error = wrong.parse::<ImportPath>().unwrap_err();
            assert!(error.contains("path=/mnt/nvme0"), "{error}");
        }
    }

    #[test]
    fn a_directory_stands_for_the_file_in_it_and_a_missing_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = open(directory.path()).unwrap_err().to_string();
        assert!(missing.contains("piece_cache.bin"), "{missing}");
        std::fs::write(directory.path().join(FILE_NAME), vec![0; 2_097_424 + 4096]).unwrap();
        assert_eq!(open(directory.path()).unwrap().slots(), 2);
        assert_eq!(open(&directory.path().join(FILE_NAME)).unwrap().slots(), 2);
    }
}
