//! Everything is killed with `kill -9`, over and over, while two farms are plotted; in the end every sector is on the disk, byte for byte
//! what it has to be, none was made a second time after it had been finished, and nothing is left over.
//!
//! [`plan`] makes the list of kills from a seed, [`field`] sees from outside how far sectors are, [`storm`] kills at the stages the list
//! names, [`ledger`] remembers which sectors were finished. `AUTONOMYS_CHAOS_KILLS` and `AUTONOMYS_CHAOS_SEED` make it longer and
//! different: see `scripts/chaos`.

mod field;
mod ledger;
mod plan;
mod storm;

use crate::support::oracle::Oracle;
use crate::support::roles::{JobsFromOutside, PLOTTED_WITHIN, open_farm, plot_client};
use crate::support::{DevChain, Process, TestCluster, Turn, caches, free_port};
use autonomys_cluster::{Role, identity};
use field::{FarmFiles, Field};
use ledger::Ledger;
use plan::{Kind, Stage, TWINS};
use std::fmt::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};
use storm::{Storm, Tally, Victims};
use subspace_core_primitives::sectors::SectorIndex;

const SEED_VARIABLE: &str = "AUTONOMYS_CHAOS_SEED";
const KILLS_VARIABLE: &str = "AUTONOMYS_CHAOS_KILLS";
/// Every kind of process meets every stage at least twice.
const KILLS: usize = 60;
const SEED: u64 = 0x5eed;
/// Fewest sectors of both farms together. A longer run has two more for every three kills: with one for three, two idle processors had
/// plotted everything after 312 of 500 kills.
const SECTORS: usize = 20;
/// Encoding takes a second or two and pulling a few hundredths of one.
const PIECES_IN_SECTOR: u16 = 24;
/// After the last kill: leases run out and what is missing is plotted, each sector in some seconds on a loaded machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
const PLOTTED_WITHIN_EACH: Duration = Duration::from_secs(5);

/// A number from the environment.
fn number<T: FromStr<Err: std::fmt::Display>>(variable: &str, default: T) -> T {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|error| panic!("{variable}={text}: {error}"))
    })
}

fn start_plot_server(cluster: &TestCluster, instance: usize) -> Process {
    let name = format!("plot-server-{}", instance + 1);
    let mut server = cluster
        .named_role(&name, "plot-server")
        .args(["--record-encoding-concurrency", "1"])
        // As operators have it: the same port after every start.
        .args(["--listen-port", &free_port().to_string()]);
    if instance == 0 {
        server = server.args(["--priority-cache"]);
    }
    server.arg(cluster.path(&name)).start()
}

/// Both of a kind, by what makes each.
fn twins<T>(make: impl FnMut(usize) -> T) -> [T; TWINS] {
    [0, 1].map(make)
}

fn farm_directory(cluster: &TestCluster, instance: usize) -> PathBuf {
    cluster.path(&format!("farm-{}", instance + 1))
}

/// Starts everything that is killed; each farm gets so many sectors.
fn start_victims(cluster: &TestCluster, sectors: u16) -> Victims {
    let controller = cluster
        .role("controller")
        .args(["--base-path"])
        .arg(cluster.path("controller"))
        .args(["--node-rpc-url", &cluster.node_url()])
        .start();
    let caches = twins(|instance| caches::start_cache(cluster, &format!("cache-{}", instance + 1)));
    // Before the processes, which take what is there.
    let server_ids = twins(|instance| {
        let directory = cluster.path(&format!("plot-server-{}", instance + 1));
        identity::load_or_create(&directory, Role::PlotServer).unwrap()
    });
    let plot_servers = twins(|instance| start_plot_server(cluster, instance));
    let plot_clients = twins(|instance| {
        let name = format!("plot-client-{}", instance + 1);
        plot_client(cluster, &name, &farm_directory(cluster, instance), sectors)
    });
    Victims {
        plot_servers,
        plot_clients,
        caches,
        controller,
        server_ids,
    }
}

/// Kills the plot-clients a last time and compares every sector with one made in this process.
async fn verify(cluster: &TestCluster, victims: &Victims, sectors: u16) {
    let mut oracle = Oracle::new(cluster.node().clone()).await.unwrap();
    for (instance, client) in victims.plot_clients.iter().enumerate() {
        // Perhaps it was started a moment ago: too early to be asked to leave.
        client.kill();
        let directory = farm_directory(cluster, instance);
        let farm = open_farm(&directory, sectors);
        assert_eq!(farm.missing_sectors(), Vec::<SectorIndex>::new());
        assert_eq!(farm.plotted_sectors().len(), usize::from(sectors));
        for sector in 0..sectors {
            assert!(farm.sector_is_intact(sector).unwrap(), "sector {sector}");
            if let Err(error) = oracle.check(&directory, sector).await {
                panic!("{error:#}");
            }
        }
    }
}

fn summary(tally: &Tally) -> String {
    let mut text = String::new();
    for (kind, count) in &tally.kills {
        write!(text, "{kind:?} {count}, ").unwrap();
    }
    for (stage, count) in &tally.met {
        write!(text, "{count} at {stage:?}, ").unwrap();
    }
    write!(
        text,
        "{} without anything to plot, {} times a finished sector waited at a kill",
        tally.idle, tally.spooled_at_kill
    )
    .unwrap();
    text
}

#[tokio::test]
async fn every_sector_survives() {
    let _turn = Turn::wait().await;
    let started = Instant::now();
    let (seed, count) = (number(SEED_VARIABLE, SEED), number(KILLS_VARIABLE, KILLS));
    let each = u16::try_from((SECTORS + count.saturating_sub(KILLS) * 2 / 3).div_ceil(TWINS)).unwrap();
    eprintln!("{SEED_VARIABLE}={seed} {KILLS_VARIABLE}={count}: {each} sectors for each of {TWINS} farms");
    let bursts = plan::bursts(seed, count);

    let chain = DevChain {
        pieces_in_sector: PIECES_IN_SECTOR,
        // So that hardly a slot is won: this is about plotting, and the history must not grow.
        plotted_pieces: 1_000_000_000,
        slot_duration_ms: 1000,
        ..DevChain::default()
    };
    let mut cluster = TestCluster::start(chain).await;
    let victims = start_victims(&cluster, each);
    let jobs = JobsFromOutside::open(&cluster).await;
    let spools = twins(|instance| cluster.path(&format!("plot-server-{}/sectors", instance + 1)));
    let ledger = Ledger::follow(&spools);
    let farms = cluster
        .wait_until("both farms are made", PLOTTED_WITHIN, async || {
            let farm = |instance| FarmFiles::open(&farm_directory(&cluster, instance), each);
            Some([farm(0)?, farm(1)?])
        })
        .await;
    let mut field = Field { farms, spools };

    let mut storm = Storm {
        cluster: &mut cluster,
        victims: &victims,
        field: &mut field,
        jobs: &jobs,
    };
    let tally = storm.rage(&bursts).await;
    let raged = started.elapsed();

    let settled_within = SETTLED_WITHIN + PLOTTED_WITHIN_EACH * u32::from(each) * TWINS as u32;
    cluster
        .wait_until("every sector is on the disk", settled_within, async || {
            field.is_complete().then_some(())
        })
        .await;
    cluster
        .wait_until(
            "records, queue and spools are empty",
            SETTLED_WITHIN,
            async || {
                let records = jobs.records().await?;
                let queued = jobs.queued().await?;
                (records.is_empty() && queued == 0 && field.spools_are_empty()).then_some(())
            },
        )
        .await;
    let settled = started.elapsed();
    verify(&cluster, &victims, each).await;

    let made: Vec<_> = victims
        .plot_servers
        .iter()
        .flat_map(|server| ledger::made(&server.output()))
        .collect();
    let again = ledger::made_again(&ledger.finished(), &made);
    eprintln!(
        "chaos: seed {seed}, {count} kills: {}; {} sectors on the disk, all as the protocol crate makes them; {} made again after they had \
         been finished; {:.0} s of kills, {:.0} s until all was plotted, {:.0} s in all",
        summary(&tally),
        each * TWINS as u16,
        again.len(),
        raged.as_secs_f64(),
        settled.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    assert!(
        again.is_empty(),
        "made again after they had been finished: {again:?}"
    );
    assert_eq!(tally.kills.values().sum::<usize>(), count);
    if count >= KILLS {
        for stage in Stage::ALL {
            assert!(tally.met.contains_key(&stage), "no kill met the stage {stage:?}");
        }
        for kind in Kind::ALL {
            assert!(tally.kills.contains_key(&kind), "no {kind:?} was killed");
        }
    }
}
