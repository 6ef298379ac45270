//! `kill -9` in the middle of plotting, on either side: in the end every sector is on the disk once, whole, and nothing is left over.
//!
//! A [`Gate`] between plot-server and plot-client and a frozen NATS hold the moments that would otherwise pass in milliseconds.

use crate::support::roles::{
    JobsFromOutside, PLOTTED_WITHIN, data_plane_port, first_job, open_farm, ticks_of_threads, verify_farm,
};
use crate::support::{DevChain, Gate, Process, Roles, RolesPlan, TestCluster, Turn};
use autonomys_cluster::plot_jobs::JobState;
use autonomys_farm::info::FarmInfo;
use autonomys_farm::metadata_file::MetadataFile;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::sector::sector_size;
use subspace_proof_of_space::ProofOfSpaceKind;

/// Large enough that encoding and transfer take a while.
const PIECES_IN_SECTOR: u16 = 20;
/// Sectors of the farm.
const SECTORS: u16 = 3;
/// Ticks of a hundredth of a second that the encoder has certainly worked: several records, of the twenty.
const ENCODING_TICKS: u64 = 10;
/// Pause between two looks at something that passes quickly.
const SHORT_POLL: Duration = Duration::from_millis(1);

/// A cluster that plots and hardly farms, with everything behind a gate.
struct Plotting {
    cluster: TestCluster,
    roles: Roles,
    jobs: JobsFromOutside,
    public_key: PublicKey,
    /// Starts of the plot-server so far.
    plot_server_runs: usize,
}

impl Plotting {
    async fn start() -> Self {
        let chain = DevChain {
            pieces_in_sector: PIECES_IN_SECTOR,
            // So that hardly a slot is won: this is about plotting.
            plotted_pieces: 1_000_000,
            slot_duration_ms: 1000,
            ..DevChain::default()
        };
        let cluster = TestCluster::start(chain).await;
        let plan = RolesPlan {
            sectors: SECTORS,
            gate: true,
            encoding_threads: Some(1),
        };
        let roles = Roles::start(&cluster, &plan);
        let jobs = JobsFromOutside::open(&cluster).await;
        let farm = cluster.path("farm");
        let public_key = cluster
            .wait_until("the farm is made", PLOTTED_WITHIN, async || {
                FarmInfo::load(&farm).unwrap().map(|info| info.public_key)
            })
            .await;
        Self {
            cluster,
            roles,
            jobs,
            public_key,
            plot_server_runs: 1,
        }
    }

    /// The gate in front of the plot-server that runs now, closed.
    async fn gate(&self) -> Gate {
        let port = self
            .cluster
            .wait_until("the plot-server serves", PLOTTED_WITHIN, async || {
                data_plane_port(&self.roles.plot_server, self.plot_server_runs - 1)
            })
            .await;
        Gate::in_front_of(port).await
    }

    fn restart_plot_server(&mut self) {
        self.roles.plot_server.restart();
        self.plot_server_runs += 1;
    }

    /// State of each sector's job that there is.
    async fn states(&self) -> BTreeMap<SectorIndex, JobState> {
        let mut states = BTreeMap::new();
        for sector in 0..SECTORS {
            if let Some(record) = self.jobs.record(&first_job(self.public_key, sector)).await {
                states.insert(sector, record.state);
            }
        }
        states
    }

    /// Waits until a job is in this state; gives its sector.
    async fn sector_that_is(&self, name: &str) -> SectorIndex {
        self.cluster
            .wait_until(&format!("a job is {name}"), PLOTTED_WITHIN, async || {
                let states = self.states().await;
                states
                    .into_iter()
                    .find_map(|(sector, state)| (state.name() == name).then_some(sector))
            })
            .await
    }

    /// File of a sector in the spool, and whether its description is there too.
    fn spooled(&self, sector: SectorIndex) -> Option<(PathBuf, bool)> {
        let name = format!("{}-{sector}-1", hex::encode(*self.public_key));
        let directory = self.cluster.path("plot-server/sectors");
        let bytes = fs::read_dir(&directory).ok()?.flatten().find_map(|entry| {
            let file = entry.file_name().into_string().unwrap();
            (file.starts_with(&format!("{name}.")) && file.ends_with(".sector")).then(|| entry.path())
        })?;
        Some((bytes, directory.join(format!("{name}.done")).exists()))
    }

    fn spool_files(&self) -> usize {
        fs::read_dir(self.cluster.path("plot-server/sectors")).map_or(0, Iterator::count)
    }

    /// Lines of a log with this text about this sector.
    fn told(process: &Process, text: &str, sector: SectorIndex) -> usize {
        let about = format!("sector={sector} ");
        process
            .output()
            .lines()
            .filter(|line| line.contains(text) && line.contains(&about))
            .count()
    }

    /// Waits until the farm has everything and nothing is left over, then looks at every sector.
    async fn finish(&self) {
        let Self {
            cluster,
            roles,
            jobs,
            public_key,
            ..
        } = self;
        let farm = cluster.path("farm");
        cluster
            .wait_until("every sector is on the disk", PLOTTED_WITHIN, async || {
                (0..SECTORS).all(|sector| self.is_committed(sector)).then_some(())
            })
            .await;
        cluster
            .wait_until("records, queue and spool are empty", PLOTTED_WITHIN, async || {
                let records = jobs.records().await?;
                let queued = jobs.queued().await?;
                (records.is_empty() && queued == 0 && self.spool_files() == 0).then_some(())
            })
            .await;
        for sector in 0..SECTORS {
            assert!(jobs.record(&first_job(*public_key, sector)).await.is_none());
            // A process that is killed right behind the commit has not told of it.
            let plotted = Self::told(&roles.plot_client, "sector plotted", sector);
            assert!(plotted <= 1, "sector {sector} was plotted {plotted} times");
        }
        roles.plot_client.stop(PLOTTED_WITHIN).await;
        verify_farm(cluster, &farm, SECTORS, ProofOfSpaceKind::FastTest).await;
    }

    /// Whether the farm's own files have the sector.
    fn is_committed(&self, sector: SectorIndex) -> bool {
        let metadata = MetadataFile::open(&self.cluster.path("farm"), SECTORS, false).unwrap();
        sector < metadata.header().unwrap().plotted_sector_count && metadata.record(sector).unwrap().is_some()
    }

    /// Bytes of the sectors that the farm's own files do not have.
    fn missing_bytes(&self) -> u64 {
        let missing = (0..SECTORS).filter(|sector| !self.is_committed(*sector)).count();
        missing as u64 * sector_size(PIECES_IN_SECTOR) as u64
    }

    /// Whether bytes of the sector have arrived in the plot file, which begins as zeros.
    fn has_bytes(&self, sector: SectorIndex) -> bool {
        let plot = File::open(self.cluster.path("farm/plot.bin")).unwrap();
        let mut bytes = [0; 4096];
        let place = u64::from(sector) * sector_size(PIECES_IN_SECTOR) as u64;
        plot.read_exact_at(&mut bytes, place).unwrap();
        bytes != [0; 4096]
    }

    /// Lets so many bytes of sectors pass, and waits until they have and a sector's first bytes are in the plot file.
    async fn arriving_sector(&self, gate: &Gate, bytes: u64) -> SectorIndex {
        let passed = gate.passed();
        gate.allow(bytes);
        self.cluster
            .wait_until("bytes arrive in the plot file", PLOTTED_WITHIN, async || {
                if gate.passed() < passed + bytes {
                    return None;
                }
                (0..SECTORS).find(|sector| !self.is_committed(*sector) && self.has_bytes(*sector))
            })
            .await
    }

    fn signal_nats(&self, signal: Signal) {
        let id = i32::try_from(self.cluster.nats.id().unwrap()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }
}

#[tokio::test]
async fn the_plot_server_is_killed_at_every_stage() {
    let _turn = Turn::wait().await;
    let mut plotting = Plotting::start().await;

    // While it encodes: the record says taken, the encoder's thread works, no sector is in the spool.
    let sector = plotting.sector_that_is("taken").await;
    let plot_server = plotting.roles.plot_server.clone();
    let before = ticks_of_threads(&plot_server, "encode");
    plotting
        .cluster
        .wait_until("the encoder works", PLOTTED_WITHIN, async || {
            (ticks_of_threads(&plot_server, "encode") >= before + ENCODING_TICKS).then_some(())
        })
        .await;
    plot_server.kill();
    assert_eq!(plotting.spool_files(), 0, "too late: a sector is finished");
    assert_eq!(plotting.states().await[&sector].name(), "taken");
    plotting.restart_plot_server();

    // While it writes the sector: killed as soon as the file appears, whether or not that is enough to keep it.
    let appeared = {
        let started = Instant::now();
        loop {
            if let Some(sector) = (0..SECTORS).find(|sector| plotting.spooled(*sector).is_some()) {
                break sector;
            }
            assert!(
                started.elapsed() < PLOTTED_WITHIN,
                "no sector appears in the spool"
            );
            tokio::time::sleep(SHORT_POLL).await;
        }
    };
    plot_server.kill();
    let was_kept = plotting.spooled(appeared).unwrap().1;
    plotting.restart_plot_server();

    // When the sector is finished and nothing of it was fetched: no gate is open, so nobody reaches the plot-server.
    let sector = plotting.sector_that_is("ready").await;
    plot_server.kill();
    let (file, finished) = plotting.spooled(sector).unwrap();
    assert!(finished, "a sector was offered before it was durable");
    let written = fs::metadata(&file).unwrap();
    plotting.restart_plot_server();

    // While it sends the sector, half of which has arrived.
    let gate = plotting.gate().await;
    let arriving = plotting
        .arriving_sector(&gate, sector_size(PIECES_IN_SECTOR) as u64 / 2)
        .await;
    plot_server.kill();
    assert!(!plotting.is_committed(arriving));
    let kept = fs::metadata(&file).unwrap();
    assert_eq!(
        (kept.ino(), kept.mtime_nsec()),
        (written.ino(), written.mtime_nsec()),
        "a finished sector was made again"
    );
    plotting.restart_plot_server();
    drop(gate);
    let gate = plotting.gate().await;
    gate.open();

    let finished = |sector| Plotting::told(&plot_server, "sector finished", sector);
    for sector in 0..SECTORS {
        plotting
            .cluster
            .wait_until("the sector is encoded", PLOTTED_WITHIN, async || {
                (finished(sector) > 0 || plotting.is_committed(sector)).then_some(())
            })
            .await;
        // Only the sector that was killed while it was written may have been finished without being told, or be made again.
        let most = if sector == appeared && !was_kept { 2 } else { 1 };
        assert!(finished(sector) <= most, "sector {sector} was encoded again");
    }
    plotting.finish().await;
}

#[tokio::test]
async fn the_plot_client_is_killed_at_every_stage() {
    let _turn = Turn::wait().await;
    let plotting = Plotting::start().await;
    let client = plotting.roles.plot_client.clone();
    let size = sector_size(PIECES_IN_SECTOR) as u64;
    let gate = plotting.gate().await;

    // While sectors arrive: after their first bytes, then half way.
    for bytes in [size / 8, size / 2] {
        let sector = plotting.arriving_sector(&gate, bytes).await;
        client.kill();
        assert!(!plotting.is_committed(sector));
        assert_eq!(plotting.states().await[&sector].name(), "ready");
        let farm = open_farm(&plotting.cluster.path("farm"), SECTORS);
        assert!(
            farm.missing_sectors().contains(&sector),
            "half a sector counts as plotted"
        );
        drop(farm);
        client.restart();
    }
    // What has come is not fetched again.
    plotting
        .cluster
        .wait_until(
            "a transfer goes on where it was stopped",
            PLOTTED_WITHIN,
            async || {
                let output = client.output();
                output
                    .lines()
                    .any(|line| line.contains("a transfer goes on where it was stopped"))
                    .then_some(())
            },
        )
        .await;

    // When a sector is on the disk and the record does not know yet: NATS does not answer.
    let sector = plotting.arriving_sector(&gate, size / 2).await;
    plotting.signal_nats(Signal::SIGSTOP);
    gate.open();
    plotting
        .cluster
        .wait_until("the sector is on the disk", PLOTTED_WITHIN, async || {
            plotting.is_committed(sector).then_some(())
        })
        .await;
    client.kill();
    plotting.signal_nats(Signal::SIGCONT);
    assert_eq!(plotting.states().await[&sector].name(), "ready");
    let missing = plotting.missing_bytes();
    gate.allow(0);
    let passed = gate.passed();
    client.restart();

    // When the job of another sector is finished and the plot-server does not know: nobody reaches it.
    let sector = plotting.arriving_sector(&gate, size / 2).await;
    plotting.signal_nats(Signal::SIGSTOP);
    gate.open();
    plotting
        .cluster
        .wait_until("another sector is on the disk", PLOTTED_WITHIN, async || {
            plotting.is_committed(sector).then_some(())
        })
        .await;
    let fetched = gate.passed() - passed;
    assert!(
        fetched < missing + size / 2,
        "{fetched} bytes were fetched while {missing} were missing"
    );
    gate.close().await;
    plotting.roles.plot_server.freeze();
    plotting.signal_nats(Signal::SIGCONT);
    plotting
        .cluster
        .wait_until("its job is finished", PLOTTED_WITHIN, async || {
            (!plotting.states().await.contains_key(&sector)).then_some(())
        })
        .await;
    client.kill();
    assert!(plotting.spooled(sector).is_some(), "who told the plot-server?");
    plotting.roles.plot_server.thaw();
    client.restart();
    let gate = plotting.gate().await;
    gate.open();
    plotting.finish().await;
}
