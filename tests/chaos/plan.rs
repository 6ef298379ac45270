//! Who is killed when: a list that follows from the seed alone.

use std::fmt;
use std::time::Duration;

/// Instances of each kind that runs more than once.
pub(crate) const TWINS: usize = 2;
/// A killed process stays away for at most this long; longer absences have tests of their own.
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);

/// Kinds of processes that are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    PlotServer,
    PlotClient,
    Cache,
    Controller,
    Nats,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::PlotServer,
        Self::PlotClient,
        Self::Cache,
        Self::Controller,
        Self::Nats,
    ];

    const fn instances(self) -> usize {
        match self {
            Self::PlotServer | Self::PlotClient | Self::Cache => TWINS,
            Self::Controller | Self::Nats => 1,
        }
    }
}

/// A process: its kind, and which one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Victim {
    pub(crate) kind: Kind,
    pub(crate) instance: usize,
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Kind::PlotServer => "plot-server",
            Kind::PlotClient => "plot-client",
            Kind::Cache => "sharded-cache",
            Kind::Controller => "controller",
            Kind::Nats => "nats-server",
        };
        match self.kind.instances() {
            1 => f.write_str(name),
            _ => write!(f, "{name}-{}", self.instance + 1),
        }
    }
}

/// What a sector goes through. A kill waits until a sector that concerns the victim is there; for processes that have nothing to do with
/// single sectors any sector will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// A plot-server has taken the job.
    Taken,
    /// Its encoder works.
    Encoding,
    /// The sector is finished and in the spool.
    Spooled,
    /// Bytes of it arrive in the plot file.
    Pulling,
    /// Its metadata has just been written, and the others have yet to hear of it.
    Committed,
}

impl Stage {
    pub(crate) const ALL: [Self; 5] = [
        Self::Taken,
        Self::Encoding,
        Self::Spooled,
        Self::Pulling,
        Self::Committed,
    ];
}

/// Some `kill -9` at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Burst {
    pub(crate) stage: Stage,
    /// Work that a stage which lasts goes on for before the kill, from 0 to 1 of what is usual.
    pub(crate) depth: f64,
    /// Each with the time that he stays away; the sector that is at the stage concerns the first.
    pub(crate) victims: Vec<(Victim, Duration)>,
}

/// The kills of a seed. Every kind meets every stage before a pair comes again.
pub(crate) fn bursts(seed: u64, kills: usize) -> Vec<Burst> {
    let mut draw = Draw(seed);
    let mut bursts: Vec<Burst> = Vec::new();
    let mut planned = 0;
    while planned < kills {
        let mut round = draw.round();
        draw.shuffle(&mut round);
        for mut burst in round {
            burst.victims.truncate(kills - planned);
            planned += burst.victims.len();
            if !burst.victims.is_empty() {
                bursts.push(burst);
            }
        }
    }
    bursts
}

/// Random numbers that are the same for a seed in every release (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end`, exclusive; the ends here are far too small for the bias to matter.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Every kind once at every stage: a plot-server and a plot-client for themselves, each with some of the others.
    fn round(&mut self) -> Vec<Burst> {
        let mut round = Vec::new();
        for stage in Stage::ALL {
            let mut others = vec![Kind::Cache, Kind::Controller, Kind::Nats];
            self.shuffle(&mut others);
            let of_client = others.split_off(1 + self.below(2) as usize);
            for (first, others) in [(Kind::PlotServer, others), (Kind::PlotClient, of_client)] {
                let kinds = std::iter::once(first).chain(others);
                round.push(Burst {
                    stage,
                    depth: self.below(1000) as f64 / 1000.0,
                    victims: kinds.map(|kind| self.victim(kind)).collect(),
                });
            }
        }
        round
    }

    fn victim(&mut self, kind: Kind) -> (Victim, Duration) {
        let victim = Victim {
            kind,
            instance: self.below(kind.instances() as u64) as usize,
        };
        (
            victim,
            Duration::from_millis(self.below(LONGEST_PAUSE.as_millis() as u64)),
        )
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[test]
fn a_seed_says_everything() {
    let first = bursts(1, 60);
    assert_eq!(first, bursts(1, 60));
    let short = bursts(1, 25);
    assert_eq!(
        first[..short.len()],
        short[..],
        "a longer run begins as a shorter one"
    );
    assert_ne!(first, bursts(2, 60));
}

#[test]
fn every_kind_meets_every_stage() {
    for seed in 0..10 {
        for kills in [0, 1, 59, 60] {
            let victims = bursts(seed, kills)
                .iter()
                .map(|burst| burst.victims.len())
                .sum::<usize>();
            assert_eq!(victims, kills);
        }
        let bursts = bursts(seed, 60);
        let kills: Vec<(Stage, Victim, Duration)> = bursts
            .iter()
            .flat_map(|burst| {
                burst
                    .victims
                    .iter()
                    .map(|(victim, pause)| (burst.stage, *victim, *pause))
            })
            .collect();
        for kind in Kind::ALL {
            for stage in Stage::ALL {
                let of_pair = kills.iter().filter(|kill| kill.0 == stage && kill.1.kind == kind);
                assert!(of_pair.count() >= 2, "seed {seed}: {kind:?} at {stage:?}");
            }
            for instance in 0..kind.instances() {
                let victim = Victim { kind, instance };
                assert!(kills.iter().any(|kill| kill.1 == victim), "seed {seed}: {victim}");
            }
        }
        assert!(kills.iter().all(|kill| kill.2 < LONGEST_PAUSE));
        assert!(bursts.iter().all(|burst| burst.victims.len() <= 3));
    }
}
