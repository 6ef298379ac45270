//! `util sharded-cache-benchmark`: fetches sectors' worth of pieces the way a plot-server does, and says how fast that is.
//!
//! [`latencies`] keeps times, [`baseline`] is the plain TCP copy that it is compared with, [`report`] is what comes out.

mod baseline;
mod latencies;
mod report;

use super::chain_rules::ChainRules;
use super::progress::Progress;
use crate::args::kzg::KzgArgs;
use crate::args::nats::NatsArgs;
use crate::roles::pieces::Tier;
use crate::util::observer::Observer;
use anyhow::{Context, Result, bail, ensure};
use autonomys_cache::coding::ItemCoding;
use autonomys_cluster::Role;
use autonomys_cluster::messages::FarmerAppInfoRequest;
use autonomys_cluster::settings::SettingsError;
use baseline::{is_local, tcp_copy};
use clap::Args;
use futures::{Stream, StreamExt, stream};
use latencies::Latencies;
use report::{Baseline, Epoch, Report, rate};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use subspace_core_primitives::hashes::blake3_hash;
use subspace_core_primitives::pieces::{PIECE_SIZE, Piece, PieceIndex};
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::sectors::{SectorId, SectorIndex};
use subspace_farmer_components::plotting::sector_piece_indexes;
use tokio_util::sync::CancellationToken;

/// Who is asked, as by a plot-server with --priority-cache whose caches are full.
const TIERS: &[Tier] = &[Tier::Owners, Tier::FullPieceCaches, Tier::Controllers];
/// A shard map that exists is read within milliseconds; the first one is made within seconds of the first cache's start.
const MAP_WITHIN: Duration = Duration::from_secs(10);
/// Epochs that are reported one by one.
const MAX_EPOCHS_SHOWN: usize = 100;
/// Pieces checked together with `--verify`: 64 MiB.
const CHECKED_AT_ONCE: usize = 64;
/// Steps between two looks at the progress bar.
const PROGRESS_STEP: u64 = 16;

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct BenchmarkArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// Sectors whose pieces are fetched in an epoch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    sectors: u16,
    /// How often all of them are fetched
    #[arg(long, value_name = "E", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    epoch: u32,
    /// Item type that the caches are expected to have: piece, split-piece or split-parity-piece [default: theirs]
    #[arg(long, value_name = "T")]
    cache_item_type: Option<String>,
    /// Pieces in a sector
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    pieces_in_sector: u16,
    /// Sectors fetched side by side, as by so many plot-servers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Also measure a plain TCP copy of as many bytes over the same path
    #[arg(long)]
    baseline: bool,
    /// Also check every piece against what the chain has committed to, which takes time of its own
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    kzg: KzgArgs,
    /// One JSON line instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &BenchmarkArgs) -> Result<ExitCode> {
    let report = super::observe(&args.nats, "sharded-cache-benchmark", async |observer, end| {
        benchmark(observer, args, end).await
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    if let Some(wrong @ 1..) = report.wrong {
        bail!(
            "{wrong} of {} pieces are not what the chain has; `util verify-piece --repair` finds and repairs them",
            report.pieces
        );
    }
    ensure!(
        report.not_found == 0,
        "{} of {} pieces are nowhere in the cluster; `util cache-status` shows what the caches hold",
        report.not_found,
        report.pieces + report.not_found
    );
    Ok(ExitCode::SUCCESS)
}

/// Measures until the last epoch, or until it is told to stop: then it reports what there is.
async fn benchmark(observer: &Observer, args: &BenchmarkArgs, end: &CancellationToken) -> Result<Report> {
    let caches: Vec<_> = observer
        .members
        .current()
        .role(Role::ShardedCache)
        .cloned()
        .collect();
    ensure!(
        !caches.is_empty(),
        "no sharded-cache runs in this cluster, so there is nothing to measure; start one"
    );
    let settings = observer
        .settings
        .cache_settings()
        .await?
        .ok_or(SettingsError::NoCacheYet)?;
    check_item_type(&settings.item_type, args.cache_item_type.as_deref())?;
    ensure!(
        observer.fetcher.ready(MAP_WITHIN).await,
        "no controller has shared the pieces out among the caches yet; start one, or wait until it leads"
    );
    let info = observer
        .cluster
        .queue_request(&FarmerAppInfoRequest)
        .await
        .context("no controller says how large the history is; start one")?
        .info
        .protocol_info;
    let sectors = choose(args, &info);
    let planned: u64 = sectors.iter().map(|pieces| pieces.len() as u64).sum::<u64>() * u64::from(args.epoch);
    let mut yardstick = args.baseline.then(|| {
        let addresses = caches
            .iter()
            .flat_map(|cache| &cache.data_plane_addresses)
            .filter_map(|address| Some(address.parse::<std::net::SocketAddr>().ok()?.ip()));
        Yardstick::new(
            addresses.collect(),
            planned * PIECE_SIZE as u64 / (u64::from(args.epoch) + 1),
        )
    });

    let rules = match args.verify {
        true => Some(ChainRules::load(observer, &args.kzg).await?),
        false => None,
    };

    if let Some(yardstick) = &mut yardstick {
        yardstick.measure().await?;
    }
    let mut run = Run {
        rules,
        ..Run::default()
    };
    let mut epochs = Vec::new();
    let mut progress = Progress::start("pieces", planned);
    for _ in 0..args.epoch {
        let epoch = run
            .epoch(observer, &sectors, args.concurrency, &mut progress, end)
            .await?;
        if epochs.len() < MAX_EPOCHS_SHOWN {
            epochs.push(epoch);
        }
        if end.is_cancelled() {
            break;
        }
        if let Some(yardstick) = &mut yardstick {
            yardstick.measure().await?;
        }
    }
    progress.finish();
    run.check_rest().await?;

    let seconds = run.seconds;
    let bytes_per_second = rate(run.bytes, seconds);
    let baseline = yardstick.map(Yardstick::result);
    let fraction_of_tcp = baseline
        .as_ref()
        .and_then(|baseline| Some(bytes_per_second / baseline.bytes_per_second?));
    Ok(Report {
        cluster: observer.cluster.name().as_str().to_string(),
        cache_item_type: settings.item_type,
        history_size: info.history_size.get(),
        epochs,
        sectors_per_epoch: args.sectors,
        pieces_in_sector: args.pieces_in_sector,
        pieces: run.pieces,
        bytes: run.bytes,
        seconds,
        bytes_per_second,
        items_per_second: rate(run.pieces, seconds),
        item_ms: run.items.percentiles(),
        sector_ms: run.sectors.percentiles(),
        misses: run.misses,
        not_found: run.not_found,
        wrong: args.verify.then_some(run.wrong),
        bytes_per_instance: run.bytes_per_instance,
        baseline,
        fraction_of_tcp,
    })
}

/// A bare name stands for the kind with whatever numbers the cluster uses.
fn check_item_type(cluster: &str, asked: Option<&str>) -> Result<()> {
    let Some(asked) = asked else { return Ok(()) };
    let wanted: ItemCoding = asked.parse()?;
    let held: ItemCoding = cluster.parse()?;
    let bare = !asked.contains([':', '*']);
    if wanted == held || (bare && wanted.kind() == held.kind()) {
        return Ok(());
    }
    bail!(
        "the caches of this cluster store items as {cluster}, not as {asked}; leave --cache-item-type out, or change all caches with \
         `autonomys-farmer util reinitialization-cache --cache-item-type {asked}`"
    )
}

/// The pieces of each sector of a farm that nobody has, each piece once; the same ones in every run over the same history.
fn choose(args: &BenchmarkArgs, info: &FarmerProtocolInfo) -> Vec<Vec<PieceIndex>> {
    let public_key_hash = blake3_hash(b"autonomys-farmer util sharded-cache-benchmark");
    let info = FarmerProtocolInfo {
        max_pieces_in_sector: args.pieces_in_sector,
        ..*info
    };
    (0..args.sectors)
        .map(|sector| {
            let sector_id = SectorId::new(&public_key_hash, SectorIndex::from(sector), info.history_size);
            let pieces = sector_piece_indexes(&sector_id, info.history_size, args.pieces_in_sector, &info);
            pieces.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
        })
        .collect()
}

/// What is counted while fetching.
#[derive(Default)]
struct Run {
    /// With `--verify`.
    rules: Option<ChainRules>,
    unchecked: Vec<(PieceIndex, Piece)>,
    wrong: u64,
    seconds: f64,
    pieces: u64,
    bytes: u64,
    misses: u64,
    not_found: u64,
    items: Latencies,
    sectors: Latencies,
    bytes_per_instance: BTreeMap<String, u64>,
}

impl Run {
    async fn epoch(
        &mut self,
        observer: &Observer,
        sectors: &[Vec<PieceIndex>],
        concurrency: u16,
        progress: &mut Progress,
        end: &CancellationToken,
    ) -> Result<Epoch> {
        let (pieces, bytes) = (self.pieces, self.bytes);
        let started = Instant::now();
        // One event a piece, and one a finished sector.
        let events = stream::iter(sectors).map(|wanted| {
            let began = Instant::now();
            observer
                .fetcher
                .fetch_stream(wanted.clone(), TIERS)
                .map(Event::Piece)
                .chain(stream::once(async move { Event::Sector(began.elapsed()) }))
                .boxed()
        });
        let mut events = events.flatten_unordered(usize::from(concurrency));
        let mut steps = 0;
        while let Some(event) = next(&mut events, end).await {
            let fetched = match event {
                Event::Piece(fetched) => fetched,
                Event::Sector(took) => {
                    self.sectors.record(took);
                    continue;
                }
            };
            match fetched.piece {
                Some(piece) => {
                    self.pieces += 1;
                    self.bytes += piece.as_ref().len() as u64;
                    self.items.record(fetched.took);
                    let hit = fetched.tier == Some(Tier::Owners) && from_sharded_caches(&fetched.from);
                    self.misses += u64::from(!hit);
                    if self.rules.is_some() {
                        self.unchecked.push((fetched.index, piece));
                    }
                    if self.unchecked.len() == CHECKED_AT_ONCE {
                        self.check_rest().await?;
                    }
                }
                None => {
                    self.misses += 1;
                    self.not_found += 1;
                }
            }
            for (instance, bytes) in fetched.from {
                *self.bytes_per_instance.entry(instance).or_default() += bytes;
            }
            steps += 1;
            if steps == PROGRESS_STEP {
                progress.add(std::mem::take(&mut steps));
            }
        }
        progress.add(steps);
        let epoch = Epoch::new(self.pieces - pieces, self.bytes - bytes, started.elapsed());
        self.seconds += epoch.seconds;
        Ok(epoch)
    }

    /// Checks what has not been checked yet, with `--verify`.
    async fn check_rest(&mut self) -> Result<()> {
        if let Some(rules) = &self.rules {
            let (wrong, _) = rules.wrong_of(std::mem::take(&mut self.unchecked)).await?;
            self.wrong += wrong.len() as u64;
        }
        Ok(())
    }
}

/// A full-piece cache may have outrun the owners of a whole piece; then they have not given it.
fn from_sharded_caches(givers: &[(String, u64)]) -> bool {
    givers
        .iter()
        .any(|(member, _)| member.starts_with(Role::ShardedCache.as_str()))
}

/// The next event, or none any more once told to stop.
async fn next<T>(events: &mut (impl Stream<Item = T> + Unpin), end: &CancellationToken) -> Option<T> {
    tokio::select! {
        event = events.next() => event,
        () = end.cancelled() => None,
    }
}

enum Event {
    Piece(crate::roles::pieces::FetchedPiece),
    Sector(Duration),
}

/// The baseline: copies before, between and after the epochs, so that whatever else the machine does meets both alike.
struct Yardstick {
    /// An address of the caches that is one of this machine; else there is nobody to send.
    address: Option<IpAddr>,
    /// Of one copy.
    bytes: u64,
    copies: u64,
    took: Duration,
}

impl Yardstick {
    fn new(addresses: Vec<IpAddr>, bytes: u64) -> Self {
        let all_local = !addresses.is_empty() && addresses.iter().all(|address| is_local(*address));
        Self {
            address: addresses.first().copied().filter(|_| all_local),
            bytes,
            copies: 0,
            took: Duration::ZERO,
        }
    }

    /// One copy, when there is a way to measure.
    async fn measure(&mut self) -> Result<()> {
        let Some(address) = self.address else {
            return Ok(());
        };
        let bytes = self.bytes;
        let copy = tokio::task::spawn_blocking(move || tcp_copy(address, bytes));
        self.took += copy.await.context("the baseline crashed")??;
        self.copies += 1;
        Ok(())
    }

    fn result(self) -> Baseline {
        let bytes = self.copies * self.bytes;
        Baseline {
            path: self.address.map_or_else(
                || "not all caches run on this machine, and none of them sends plain bytes; run the benchmark on a machine with all of them, or measure the line with iperf3".to_string(),
                |address| format!("{address}, one connection"),
            ),
            bytes,
            bytes_per_second: (self.copies > 0).then(|| rate(bytes, self.took.as_secs_f64())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use subspace_core_primitives::segments::HistorySize;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: BenchmarkArgs,
    }

    #[test]
    fn another_item_type_is_refused_with_the_remedy() {
        let cluster = "split-parity-piece:8+4";
        for fine in [None, Some("split-parity-piece"), Some("split-parity-piece:8+4")] {
            check_item_type(cluster, fine).unwrap();
        }
        for wrong in ["piece", "split-piece", "split-parity-piece:4+2"] {
            let error = check_item_type(cluster, Some(wrong)).unwrap_err().to_string();
            assert!(
                error.contains(cluster) && error.contains(&format!("--cache-item-type {wrong}`")),
                "{error}"
            );
        }
        assert!(check_item_type(cluster, Some("pieces")).is_err());
    }

    #[test]
    fn sectors_are_chosen_as_plot_servers_choose_them() {
        let line = "x --nats-server nats://a:4222 --sectors 3 --pieces-in-sector 50";
        let args = Command::try_parse_from(line.split(' ')).unwrap().args;
        let segments = |count| HistorySize::from_segments(count).unwrap();
        let info = FarmerProtocolInfo {
            history_size: segments(8),
            max_pieces_in_sector: 1000,
            recent_segments: segments(5),
            recent_history_fraction: (segments(1), segments(10)),
            min_sector_lifetime: segments(4),
        };
        let sectors = choose(&args, &info);
        assert_eq!(sectors, choose(&args, &info), "every run fetches the same");
        assert_eq!(sectors.len(), 3);
        for sector in &sectors {
            assert!(
                (40..=50).contains(&sector.len()),
                "few of 2048 pieces come twice: {}",
                sector.len()
            );
            assert!(sector.is_sorted() && sector.iter().all(|piece| u64::from(*piece) < 8 * 256));
        }
        assert_ne!(sectors[0], sectors[1]);
    }

    #[tokio::test]
    async fn all_copies_count_and_remote_caches_are_said_to_be_remote() {
        let mut local = Yardstick::new(vec![IpAddr::from([127, 0, 0, 1])], 2_000_000);
        local.measure().await.unwrap();
        local.measure().await.unwrap();
        assert!(local.took > Duration::ZERO);
        local.took = Duration::from_secs(2);
        let baseline = local.result();
        assert_eq!(
            (baseline.bytes, baseline.bytes_per_second),
            (4_000_000, Some(2_000_000.0))
        );
        let addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1])];
        let mut remote = Yardstick::new(addresses, 2_000_000);
        remote.measure().await.unwrap();
        let baseline = remote.result();
        assert_eq!((baseline.bytes, baseline.bytes_per_second), (0, None));
        assert!(baseline.path.contains("iperf3"), "{}", baseline.path);
    }
}
