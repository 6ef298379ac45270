//! Kills one after the other, each when the stage it waits for is there.

use super::field::{Field, SectorKey};
use super::plan::{Burst, Kind, Stage, TWINS, Victim};
use crate::support::roles::{JobsFromOutside, ticks_of_threads};
use crate::support::{Process, TestCluster};
use autonomys_cluster::InstanceId;
use autonomys_cluster::plot_jobs::JobState;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A stage comes within this while there are sectors to plot: leases run out, connections are made again.
const STAGE_WITHIN: Duration = Duration::from_secs(120);
/// Stages pass within milliseconds.
const CLOSE_LOOK: Duration = Duration::from_millis(2);
/// Looks at what lasts, at threads and at NATS, which cost something.
const LOOK: Duration = Duration::from_millis(20);
/// Hundredths of a second that an encoder works for before a kill of full depth.
const MOST_TICKS: f64 = 60.0;
/// A kill of full depth lets a finished sector lie in its spool for this long; longer ones would be on the disk.
const LONGEST_IN_SPOOL: Duration = Duration::from_millis(30);
/// A line of progress every so many moments.
const TELL_EVERY: usize = 4;

/// The processes that are killed.
pub(crate) struct Victims {
    pub(crate) plot_servers: [Process; TWINS],
    pub(crate) plot_clients: [Process; TWINS],
    pub(crate) caches: [Process; TWINS],
    pub(crate) controller: Process,
    /// Who the plot-servers are in the records.
    pub(crate) server_ids: [InstanceId; TWINS],
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: BTreeMap<Kind, usize>,
    /// Kills that met the stage, as far as it could still be seen after the kill.
    pub(crate) met: BTreeMap<Stage, usize>,
    /// Kills after the last sector was on the disk.
    pub(crate) idle: usize,
    /// Sectors that were finished and not on the disk at a kill, over all kills.
    pub(crate) spooled_at_kill: usize,
}

pub(crate) struct Storm<'a> {
    pub(crate) cluster: &'a mut TestCluster,
    pub(crate) victims: &'a Victims,
    pub(crate) field: &'a mut Field,
    pub(crate) jobs: &'a JobsFromOutside,
}

impl Storm<'_> {
    /// Does all of it.
    pub(crate) async fn rage(&mut self, bursts: &[Burst]) -> Tally {
        let mut tally = Tally::default();
        let started = Instant::now();
        for (number, burst) in (1_usize..).zip(bursts) {
            let there = self.wait_for(burst).await;
            for (victim, _) in &burst.victims {
                self.kill(*victim).await;
                *tally.kills.entry(victim.kind).or_default() += 1;
            }
            tally.spooled_at_kill += self.waiting_sectors().len();
            match there {
                None => tally.idle += burst.victims.len(),
                Some(sectors) if self.still_there(burst.stage, &sectors) => {
                    *tally.met.entry(burst.stage).or_default() += burst.victims.len();
                }
                Some(_) => {}
            }
            self.restart_all(&burst.victims).await;
            if number.is_multiple_of(TELL_EVERY) || number == bursts.len() {
                eprintln!(
                    "{:5.0} s: {} kills, {} sectors on the disk; kills that met their stage: {:?}; without anything to plot: {}",
                    started.elapsed().as_secs_f64(),
                    tally.kills.values().sum::<usize>(),
                    self.field.committed().len(),
                    tally.met,
                    tally.idle
                );
            }
        }
        tally
    }

    /// Starts each again when its time has come.
    async fn restart_all(&mut self, victims: &[(Victim, Duration)]) {
        let mut victims = victims.to_vec();
        victims.sort_by_key(|(_, pause)| *pause);
        let killed = Instant::now();
        for (victim, pause) in victims {
            tokio::time::sleep(pause.saturating_sub(killed.elapsed())).await;
            self.restart(victim).await;
        }
    }

    /// Finished sectors that are not on the farm's disk.
    fn waiting_sectors(&mut self) -> BTreeSet<SectorKey> {
        let committed = self.field.committed();
        let spooled = (0..TWINS).flat_map(|server| self.field.spooled(server));
        spooled.filter(|key| !committed.contains(key)).collect()
    }

    /// Whether the sectors are as far as the stage says, and no further: a kill takes a moment as well.
    fn still_there(&mut self, stage: Stage, sectors: &BTreeSet<SectorKey>) -> bool {
        let committed = self.field.committed();
        let waiting = self.waiting_sectors();
        sectors.iter().any(|key| match stage {
            Stage::Taken | Stage::Encoding => !waiting.contains(key) && !committed.contains(key),
            Stage::Spooled => waiting.contains(key),
            Stage::Pulling => !committed.contains(key),
            Stage::Committed => committed.contains(key),
        })
    }

    /// Waits until sectors that concern the first victim are at the stage, and gives them; `None` once there is nothing more to plot.
    async fn wait_for(&mut self, burst: &Burst) -> Option<BTreeSet<SectorKey>> {
        let first = burst.victims[0].0;
        let what = format!("{:?} for a kill of {first}", burst.stage);
        let deadline = Instant::now() + STAGE_WITHIN;
        let mut armed = Armed::new(self);
        loop {
            if let Some(there) = armed.look(self, burst, first).await {
                return Some(there);
            }
            if self.field.is_complete() {
                return None;
            }
            self.cluster.check_processes(&what);
            assert!(Instant::now() < deadline, "not after {STAGE_WITHIN:?}: {what}");
            let pause = match burst.stage {
                Stage::Taken | Stage::Encoding => LOOK,
                Stage::Spooled | Stage::Pulling | Stage::Committed => CLOSE_LOOK,
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn process(&self, victim: Victim) -> Option<&Process> {
        match victim.kind {
            Kind::PlotServer => Some(&self.victims.plot_servers[victim.instance]),
            Kind::PlotClient => Some(&self.victims.plot_clients[victim.instance]),
            Kind::Cache => Some(&self.victims.caches[victim.instance]),
            Kind::Controller => Some(&self.victims.controller),
            Kind::Nats => None,
        }
    }

    async fn kill(&mut self, victim: Victim) {
        match self.process(victim) {
            Some(process) => process.kill(),
            None => self.cluster.nats.kill().await,
        }
    }

    async fn restart(&mut self, victim: Victim) {
        match self.process(victim) {
            Some(process) => process.restart(),
            None => self.cluster.nats.restart().await,
        }
    }

    /// Sectors that are taken, by the plot-servers.
    async fn taken(&self) -> [BTreeSet<SectorKey>; TWINS] {
        let mut taken: [BTreeSet<SectorKey>; TWINS] = Default::default();
        for record in self.jobs.records().await.unwrap_or_default() {
            if let JobState::Taken { server, .. } = record.state
                && let Some(instance) = self.victims.server_ids.iter().position(|id| *id == server)
            {
                taken[instance].insert((record.job.id.public_key, record.job.id.sector_index));
            }
        }
        taken
    }

    fn encoding_ticks(&self) -> [u64; TWINS] {
        let ticks = |server: &Process| ticks_of_threads(server, "encode");
        [0, 1].map(|instance| ticks(&self.victims.plot_servers[instance]))
    }
}

/// How everything was when the kill was next, to see what changes.
struct Armed {
    ticks: [u64; TWINS],
    committed: BTreeSet<SectorKey>,
    samples: BTreeMap<SectorKey, Vec<u8>>,
    /// What has been in each spool since.
    spooled: [BTreeSet<SectorKey>; TWINS],
    /// Since when there has been something in the spools that the kill is about.
    spooled_since: Option<Instant>,
}

impl Armed {
    fn new(storm: &mut Storm<'_>) -> Self {
        Self {
            ticks: storm.encoding_ticks(),
            committed: storm.field.committed(),
            samples: storm.field.samples(),
            spooled: Default::default(),
            spooled_since: None,
        }
    }

    /// Sectors that the kill has waited for.
    async fn look(
        &mut self,
        storm: &mut Storm<'_>,
        burst: &Burst,
        first: Victim,
    ) -> Option<BTreeSet<SectorKey>> {
        for (server, spooled) in self.spooled.iter_mut().enumerate() {
            spooled.extend(storm.field.spooled(server));
        }
        let found = match burst.stage {
            Stage::Taken => storm.taken().await,
            Stage::Encoding => self.encoding(storm, burst.depth).await,
            Stage::Spooled => waiting_by_server(storm),
            Stage::Pulling => self.pulling(storm),
            Stage::Committed => self.newly_committed(storm),
        };
        let instance = first.instance;
        let mut found = match first.kind {
            Kind::PlotServer => found[instance].clone(),
            _ => &found[0] | &found[1],
        };
        if first.kind == Kind::PlotClient {
            let farm = storm.field.farms[instance].public_key;
            found.retain(|(key, _)| *key == farm);
        }
        if found.is_empty() {
            self.spooled_since = None;
            return None;
        }
        if burst.stage == Stage::Spooled {
            let since = *self.spooled_since.get_or_insert_with(Instant::now);
            return (since.elapsed() >= LONGEST_IN_SPOOL.mul_f64(burst.depth)).then_some(found);
        }
        Some(found)
    }

    /// Sectors of the plot-servers whose encoders have worked long enough.
    async fn encoding(&mut self, storm: &Storm<'_>, depth: f64) -> [BTreeSet<SectorKey>; TWINS] {
        let now = storm.encoding_ticks();
        let mut worked = [false; TWINS];
        for ((before, now), worked) in self.ticks.iter_mut().zip(now).zip(&mut worked) {
            // A process that was started anew begins at nothing.
            *before = (*before).min(now);
            *worked = (now - *before) as f64 > MOST_TICKS * depth;
        }
        if worked == [false; TWINS] {
            return Default::default();
        }
        let mut taken = storm.taken().await;
        for (taken, worked) in taken.iter_mut().zip(worked) {
            if !worked {
                taken.clear();
            }
        }
        taken
    }

    /// Sectors whose bytes in the plot file have changed.
    fn pulling(&self, storm: &mut Storm<'_>) -> [BTreeSet<SectorKey>; TWINS] {
        let changed = storm.field.samples().into_iter().filter(|(key, bytes)| {
            let before = self.samples.get(key);
            before.is_some_and(|before| before != bytes)
        });
        self.by_server(&changed.map(|(key, _)| key).collect())
    }

    fn newly_committed(&self, storm: &mut Storm<'_>) -> [BTreeSet<SectorKey>; TWINS] {
        let committed = storm.field.committed();
        self.by_server(&(&committed - &self.committed))
    }

    /// These sectors by the server that had them.
    fn by_server(&self, sectors: &BTreeSet<SectorKey>) -> [BTreeSet<SectorKey>; TWINS] {
        [0, 1].map(|server| &self.spooled[server] & sectors)
    }
}

/// Finished sectors that are not on the disk, by the plot-server that has them.
fn waiting_by_server(storm: &mut Storm<'_>) -> [BTreeSet<SectorKey>; TWINS] {
    let waiting = storm.waiting_sectors();
    [0, 1].map(|server| {
        let spooled = storm.field.spooled(server);
        spooled.into_iter().filter(|key| waiting.contains(key)).collect()
    })
}
