//! The look for damage that nobody has met: a cache reads everything that it holds, over and over in the background, drops or mends
//! what is not as it was stored, and tells how far it is.
//!
//! It reads past the page cache at a stated rate, one item at a time, and gives way to readers: while somebody reads it looks at one
//! item in some seconds only, so that a cache that is never idle is looked through all the same.

use super::context::RoleContext;
use super::pace::Pace;
use bytesize::ByteSize;
use clap::Args;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Readers count as gone when nothing was read for this long.
const QUIET: Duration = Duration::from_millis(500);
/// The longest that readers hold up one item.
const MOST_HELD_UP: Duration = Duration::from_secs(5);
/// How often the other members are told how far it is.
const TELL_INTERVAL: Duration = Duration::from_secs(10);
/// Pause when there is nothing to look at: an empty cache, or one that is laid out anew.
const EMPTY_PAUSE: Duration = Duration::from_secs(5);
/// Name of the fact among those of the member.
pub(crate) const FACT: &str = "scrub";

/// Options of the look for damage.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ScrubArgs {
    /// Bytes a second that the cache reads of its own items to find damage, while nobody else reads; 0 for never
    #[arg(long, value_name = "SIZE", default_value = "20MB")]
    scrub_rate_limit: ByteSize,
    /// Seconds from the beginning of one look through everything to that of the next
    #[arg(long, value_name = "SECONDS", default_value_t = 7 * 24 * 3600, value_parser = clap::value_parser!(u64).range(1..))]
    scrub_interval_secs: u64,
}

/// One item that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looked<K> {
    pub(super) key: K,
    pub(super) bytes: u64,
    pub(super) good: bool,
}

/// A store that can be looked through. Methods may block.
pub(super) trait Scrubbed: Send + Sync + 'static {
    /// Name of an item.
    type Key: Copy + Send + 'static;

    /// Reads the first item behind `after` from the medium; damage is dropped, or noted for repair. `None`: nothing is behind.
    fn look_after(&self, after: Option<Self::Key>) -> Option<Looked<Self::Key>>;

    /// How many items there are.
    fn items(&self) -> u64;

    /// Somewhere in the middle, another place each time.
    fn somewhere(&self) -> Option<Self::Key>;

    /// Items that others have read so far.
    fn reads(&self) -> u64;
}

/// The loop and what it stands on.
pub(super) struct Scrub<S> {
    store: Arc<S>,
    rate: u64,
    interval: Duration,
}

/// What is known of those who read.
#[derive(Debug, Clone, Copy)]
struct Readers {
    /// Items that they had read when it was last looked.
    reads: u64,
    /// When it was last seen that they had read more.
    last_seen: Instant,
}

/// What a look through everything has found so far.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    items: u64,
    looked: u64,
    damaged: u64,
}

impl<S: Scrubbed> Scrub<S> {
    pub(super) fn new(store: Arc<S>, args: ScrubArgs) -> Self {
        Self {
            store,
            rate: args.scrub_rate_limit.as_u64(),
            interval: Duration::from_secs(args.scrub_interval_secs),
        }
    }

    /// Looks for ever, and tells the other members.
    pub(super) async fn run(self, context: &RoleContext) {
        self.look_for_ever(|text| context.update(|member| member.set_fact(FACT, text)))
            .await;
    }

    async fn look_for_ever(self, tell: impl Fn(String)) {
        if self.rate == 0 {
            tell("off".to_owned());
            return std::future::pending().await;
        }
        // From somewhere, or what is last would never be met by a cache that restarts often.
        let mut after = self.blocking(|store| store.somewhere()).await;
        let mut damaged = 0;
        loop {
            let began = Instant::now();
            let round = self.look_through(&mut after, damaged, &tell).await;
            damaged = round.damaged;
            if round.looked == 0 {
                tokio::time::sleep(EMPTY_PAUSE).await;
                continue;
            }
            tracing::info!(
                items = round.looked,
                damaged_since_start = damaged,
                took = ?began.elapsed(),
                "everything that is stored was read and compared"
            );
            let hours = self.interval.as_secs() / 3600;
            tell(format!(
                "all {} items read and compared, {damaged} damaged since the start; every {hours} h",
                round.looked
            ));
            tokio::time::sleep_until(began + self.interval).await;
        }
    }

    /// Once through everything, from `after` around to it.
    async fn look_through(&self, after: &mut Option<S::Key>, damaged: u64, tell: &impl Fn(String)) -> Round {
        let mut pace = Pace::new(self.rate);
        let mut round = Round {
            items: self.blocking(|store| store.items()).await,
            damaged,
            ..Round::default()
        };
        let mut told: Option<Instant> = None;
        let mut readers = Readers {
            reads: self.store.reads(),
            // Nobody has looked so far.
            last_seen: Instant::now(),
        };
        let mut wrapped = false;
        while round.looked < round.items {
            pace.wait().await;
            self.give_way(&mut readers).await;
            let (started, behind) = (Instant::now(), *after);
            let looked = self.blocking(move |store| store.look_after(behind)).await;
            let Some(Looked { key, bytes, good }) = looked else {
                if std::mem::replace(&mut wrapped, true) {
                    // Fewer than there were at the beginning.
                    break;
                }
                *after = None;
                continue;
            };
            *after = Some(key);
            pace.copied(bytes, started);
            round.looked += 1;
            round.damaged += u64::from(!good);
            if told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
                told = Some(Instant::now());
                tell(format!(
                    "{} of {} items read and compared, {} damaged since the start",
                    round.looked, round.items, round.damaged
                ));
            }
        }
        round
    }

    /// Waits until nothing was read for a while, within a bound.
    async fn give_way(&self, readers: &mut Readers) {
        let until = Instant::now() + MOST_HELD_UP;
        loop {
            let (now, reads) = (Instant::now(), self.store.reads());
            if reads != readers.reads {
                *readers = Readers {
                    reads,
                    last_seen: now,
                };
            }
            let quiet = now - readers.last_seen;
            if quiet >= QUIET || now >= until {
                return;
            }
            tokio::time::sleep(QUIET - quiet).await;
        }
    }

    async fn blocking<T: Default + Send + 'static>(&self, work: impl FnOnce(&S) -> T + Send + 'static) -> T {
        let store = Arc::clone(&self.store);
        // A panic has been reported by its thread; there is nothing to look at then.
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::collections::BTreeMap;

    const ITEM: u64 = 1000;

    /// Items that are good or not, and what was looked at when.
    #[derive(Default)]
    struct Fake {
        items: Mutex<BTreeMap<u64, bool>>,
        looks: Mutex<Vec<(u64, Instant)>>,
        reads: Mutex<u64>,
        start: Option<u64>,
    }

    impl Scrubbed for Fake {
        type Key = u64;

        fn look_after(&self, after: Option<u64>) -> Option<Looked<u64>> {
            let mut items = self.items.lock();
            let first = after.map_or(0, |after| after + 1);
            let (&key, &good) = items.range(first..).next()?;
            self.looks.lock().push((key, Instant::now()));
            if !good {
                items.remove(&key);
            }
            Some(Looked {
                key,
                bytes: ITEM,
                good,
            })
        }

        fn items(&self) -> u64 {
            self.items.lock().len() as u64
        }

        fn somewhere(&self) -> Option<u64> {
            self.start
        }

        fn reads(&self) -> u64 {
            *self.reads.lock()
        }
    }

    fn fake(items: u64, bad: &[u64], start: Option<u64>) -> Arc<Fake> {
        Arc::new(Fake {
            items: Mutex::new((0..items).map(|key| (key, !bad.contains(&key))).collect()),
            start,
            ..Fake::default()
        })
    }

    fn scrub(store: &Arc<Fake>, rate: u64) -> Scrub<Fake> {
        Scrub {
            store: Arc::clone(store),
            rate,
            interval: Duration::from_secs(3600),
        }
    }

    /// Runs for so long and gives the last that was told.
    async fn run_for(scrub: Scrub<Fake>, time: Duration) -> String {
        let told = Mutex::new(String::new());
        let run = scrub.look_for_ever(|text| *told.lock() = text);
        assert!(tokio::time::timeout(time, run).await.is_err(), "it never ends");
        told.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn everything_is_met_once_in_an_interval_at_the_rate_and_damage_is_told() {
        let store = fake(50, &[3, 40], Some(20));
        // Ten items a second.
        let told = run_for(scrub(&store, 10 * ITEM), Duration::from_secs(100)).await;
        assert_eq!(
            told,
            "all 50 items read and compared, 2 damaged since the start; every 1 h"
        );
        let looks = store.looks.lock().clone();
        let order: Vec<_> = looks.iter().map(|(key, _)| *key).collect();
        assert_eq!(order, (21..50).chain(0..21).collect::<Vec<_>>());
        let took = looks[49].1 - looks[0].1;
        assert!(
            took >= Duration::from_millis(4900) && took < Duration::from_secs(6),
            "{took:?}"
        );

        // The next round begins when the interval is over, with what is left.
        store.looks.lock().clear();
        let told = run_for(scrub(&store, 1000 * ITEM), Duration::from_secs(3700)).await;
        assert_eq!(store.looks.lock().len(), 2 * 48);
        assert!(
            told.starts_with("all 48 items read and compared, 0 damaged"),
            "{told}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn readers_hold_it_up_and_do_not_stop_it() {
        let store = fake(1000, &[], None);
        let busy = Arc::clone(&store);
        let reader = tokio::spawn(async move {
            loop {
                *busy.reads.lock() += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        run_for(scrub(&store, 1000 * ITEM), Duration::from_secs(100)).await;
        let looked = store.looks.lock().len();
        assert!((15..=25).contains(&looked), "{looked} items in 100 s of reading");
        reader.abort();
        run_for(scrub(&store, 1000 * ITEM), Duration::from_secs(10)).await;
        assert_eq!(store.looks.lock().len(), looked + 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_off_and_an_empty_cache_is_looked_at_later() {
        let store = fake(10, &[], None);
        assert_eq!(run_for(scrub(&store, 0), Duration::from_secs(100)).await, "off");
        assert!(store.looks.lock().is_empty());
        let store = fake(0, &[], None);
        let filled = Arc::clone(&store);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            filled.items.lock().insert(7, true);
        });
        let told = run_for(scrub(&store, 1000 * ITEM), 2 * EMPTY_PAUSE).await;
        assert!(told.starts_with("all 1 items"), "{told}");
    }
}
