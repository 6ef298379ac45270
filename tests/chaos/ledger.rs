//! Which sectors were ever finished, and whether any was made again afterwards.

use super::field::{SectorKey, spool_files, spooled_key};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Pause between two looks at the spools; a sector stays there for as long as it takes to fetch it, and that is longer.
const POLL: Duration = Duration::from_millis(4);

/// Follows the spools on a thread of its own, whatever the test waits for.
pub(crate) struct Ledger {
    finished: Arc<Mutex<BTreeMap<SectorKey, SystemTime>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    pub(crate) fn follow(spools: &[PathBuf]) -> Self {
        let finished = Arc::<Mutex<BTreeMap<SectorKey, SystemTime>>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (spools, seen, stopped) = (spools.to_vec(), Arc::clone(&finished), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for path in spools.iter().flat_map(|spool| spool_files(spool)) {
                    note(&path, &seen);
                }
                std::thread::sleep(POLL);
            }
        });
        Self {
            finished,
            stop,
            thread: Some(thread),
        }
    }

    /// When each sector was first finished.
    pub(crate) fn finished(&self) -> BTreeMap<SectorKey, SystemTime> {
        self.finished.lock().unwrap().clone()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn note(path: &Path, finished: &Mutex<BTreeMap<SectorKey, SystemTime>>) {
    if path.extension().is_none_or(|extension| extension != "done") {
        return;
    }
    // Gone again if it cannot be asked.
    let (Some(key), Ok(Ok(written))) = (spooled_key(path), fs::metadata(path).map(|file| file.modified()))
    else {
        return;
    };
    let mut finished = finished.lock().unwrap();
    let first = finished.entry(key).or_insert(written);
    *first = (*first).min(written);
}

/// A sector that a plot-server tells to have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) key: SectorKey,
    /// When its job was begun.
    pub(crate) begun: SystemTime,
    /// When it was finished.
    pub(crate) finished: SystemTime,
}

/// What the log of a plot-server tells, over all of its runs.
pub(crate) fn made(log: &str) -> Vec<Made> {
    let told = log.lines().filter(|line| line.contains("sector finished"));
    told.map(|line| made_by(line).unwrap_or_else(|| panic!("which sector, and when? {line}")))
        .collect()
}

fn made_by(line: &str) -> Option<Made> {
    let field = |name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        rest.split_whitespace().next()
    };
    let key: [u8; 32] = hex::decode(field("public_key")?).ok()?.try_into().ok()?;
    let total = Duration::from_millis(field("total_ms")?.parse().ok()?);
    let finished = time_of(line)?;
    Some(Made {
        key: (key.into(), field("sector")?.parse().ok()?),
        begun: finished - total,
        finished,
    })
}

/// Sectors that were begun after they had been finished once, as the spools show or the plot-servers tell.
pub(crate) fn made_again(seen: &BTreeMap<SectorKey, SystemTime>, made: &[Made]) -> Vec<SectorKey> {
    let again = |again: &&Made| {
        let told = made
            .iter()
            .filter(|other| other.key == again.key)
            .map(|other| other.finished);
        let first = told.chain(seen.get(&again.key).copied()).min();
        first.is_some_and(|first| again.begun > first)
    };
    made.iter().filter(again).map(|made| made.key).collect()
}

/// Time at the beginning of a log line, as in `2026-11-28T13:31:36.123456Z`.
fn time_of(line: &str) -> Option<SystemTime> {
    let text = line.split_whitespace().next()?.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let numbers = |text: &str, separator: char| -> Option<Vec<f64>> {
        text.split(separator).map(|part| part.parse().ok()).collect()
    };
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([year, month, day], [hours, minutes, seconds]) = (&date[..], &time[..]) else {
        return None;
    };
    // Days since 1970 of the Gregorian calendar, with years that begin in March.
    let early = *month <= 2.0;
    let year = if early { year - 1.0 } else { *year };
    let month = if early { month + 9.0 } else { month - 3.0 };
    let leap_days = (year / 4.0).floor() - (year / 100.0).floor() + (year / 400.0).floor();
    let days = 365.0 * year + leap_days + ((153.0 * month + 2.0) / 5.0).floor() + day - 1.0 - 719_468.0;
    let seconds = Duration::from_secs_f64(days * 86_400.0 + hours * 3600.0 + minutes * 60.0)
        + Duration::from_secs_f64(*seconds);
    Some(UNIX_EPOCH + seconds)
}

#[test]
fn times_of_log_lines_are_read() {
    let seconds = |line| {
        let time = time_of(line).unwrap().duration_since(UNIX_EPOCH).unwrap();
        time.as_micros()
    };
    assert_eq!(seconds("1970-01-01T00:00:00.000001Z  INFO x"), 1);
    assert_eq!(
        seconds("2024-02-29T23:59:59.500000Z  INFO x"),
        1_709_251_199_500_000
    );
    assert_eq!(
        seconds("2026-11-28T13:31:36.123456Z  INFO x"),
        1_795_872_696_123_456
    );
    assert_eq!(time_of("no time"), None);
}

#[test]
fn a_sector_that_is_begun_after_it_was_finished_is_found() {
    let line = |second: u64, total_ms: u64| {
        let key = "07".repeat(32);
        format!(
            "1970-01-01T00:00:{second:02}.000000Z  INFO sector finished public_key={key} sector=3 history_size=1 total_ms={total_ms}\n"
        )
    };
    let key: SectorKey = ([7; 32].into(), 3);
    let finished = BTreeMap::from([(key, UNIX_EPOCH + Duration::from_secs(20))]);
    // Begun before, by a plot-server that did not know; then one that was begun too late.
    let log = format!("something else\n{}{}", line(25, 6000), line(30, 9000));
    let made = made(&log);
    assert_eq!(made.len(), 2);
    assert!(made_again(&finished, &made[..1]).is_empty());
    assert_eq!(made_again(&finished, &made), [key]);
    // And without having been seen in a spool.
    let log = format!("{}{}{}", line(10, 6000), line(12, 3000), line(30, 9000));
    assert_eq!(made_again(&BTreeMap::new(), &self::made(&log)), [key]);
}
