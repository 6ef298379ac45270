//! Which cluster's job is next when one plot-server serves several.
//!
//! Each cluster has a clock that runs by the work done for it, divided by its share; the one whose clock is furthest behind is asked
//! first. Who has no work is passed over, so nothing stands still for the sake of shares, and does not save up what it did not use:
//! when it comes back its clock is set to that of the work last begun.

use std::num::NonZeroU32;

/// Clocks tick in work times this, so that shares divide finely.
const SCALE: u64 = 1 << 20;

/// The clocks, in the order in which clusters were added.
#[derive(Debug, Default)]
pub(super) struct Shares {
    clusters: Vec<Clock>,
    /// Clock of the work last begun.
    now: u64,
}

#[derive(Debug)]
struct Clock {
    share: NonZeroU32,
    at: u64,
    /// It had no work when it was asked last.
    idle: bool,
}

impl Shares {
    /// One more cluster.
    pub(super) fn add(&mut self, share: NonZeroU32) {
        self.clusters.push(Clock {
            share,
            at: self.now,
            idle: true,
        });
    }

    /// The clusters in the order in which they are to be asked.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.clusters.len()).collect();
        order.sort_by_key(|&number| self.clusters[number].due(self.now));
        order
    }

    /// The cluster has no work at the moment.
    pub(super) fn is_idle(&mut self, number: usize) {
        self.clusters[number].idle = true;
    }

    /// So much work of the cluster begins.
    pub(super) fn begins(&mut self, number: usize, work: u32) {
        let now = self.now;
        let clock = &mut self.clusters[number];
        clock.at = clock.due(now);
        clock.idle = false;
        self.now = clock.at;
        clock.at = clock
            .at
            .saturating_add(u64::from(work) * SCALE / u64::from(clock.share.get()));
    }
}

impl Clock {
    fn due(&self, now: u64) -> u64 {
        if self.idle { self.at.max(now) } else { self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(shares: &[u32]) -> Shares {
        let mut all = Shares::default();
        for &share in shares {
            all.add(NonZeroU32::new(share).expect("not zero"));
        }
        all
    }

    /// Hands out `count` jobs of `work(cluster)` to clusters of which `busy` have work; gives what each got.
    fn run(all: &mut Shares, count: usize, busy: &[bool], work: impl Fn(usize) -> u32) -> Vec<u32> {
        let mut got = vec![0; busy.len()];
        for _ in 0..count {
            for number in all.order() {
                if busy[number] {
                    all.begins(number, work(number));
                    got[number] += work(number);
                    break;
                }
                all.is_idle(number);
            }
        }
        got
    }

    #[test]
    fn busy_clusters_get_their_shares() {
        assert_eq!(
            run(&mut shares(&[2, 1]), 300, &[true, true], |_| 1000),
            [200_000, 100_000]
        );
        assert_eq!(run(&mut shares(&[1, 1, 4]), 60, &[true; 3], |_| 8), [80, 80, 320]);
        // By work, not by jobs: the second cluster has sectors of half the size.
        let got = run(&mut shares(&[1, 1]), 300, &[true, true], |number| {
            [1000, 500][number]
        });
        assert_eq!(got, [100_000, 100_000]);
    }

    #[test]
    fn who_is_alone_gets_all() {
        assert_eq!(run(&mut shares(&[1, 99]), 50, &[true, false], |_| 10), [500, 0]);
    }

    #[test]
    fn nothing_is_saved_up_while_idle() {
        let mut all = shares(&[1, 1]);
        run(&mut all, 100, &[true, false], |_| 10);
        // Back with work: half from now on, not everything until it has caught up.
        let got = run(&mut all, 100, &[true, true], |_| 10);
        assert_eq!(got, [500, 500]);
        let mut late = shares(&[1]);
        run(&mut late, 100, &[true], |_| 10);
        late.add(NonZeroU32::MIN);
        assert_eq!(run(&mut late, 100, &[true, true], |_| 10), [500, 500]);
    }
}
