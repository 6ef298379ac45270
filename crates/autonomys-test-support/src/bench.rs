//! What the benches of all crates share, so that their figures can stand in one table.
//!
//! A name without suffix is one operation on one thread. With the suffix [`TWO_THREADS`] it is the time **for each operation**
//! while two threads work: either both at one operation, or, where an operation uses one thread, each at its own.
//! `scripts/bench-protocol` runs all of them and makes the table of `docs/performance.md`.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// End of the names of benches on two threads.
pub const TWO_THREADS: &str = "_2_threads";

/// Settings of all benches unless the command line says otherwise: eleven samples within two seconds where the operation is
/// short enough, one operation a sample otherwise.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(11)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

/// A group whose samples all have the same number of operations: their smallest and largest are then comparable.
pub fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    group
}

/// A pool of that many threads.
pub fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads can be started")
}

/// Measures an operation that spreads over the threads of a pool: `name` with one thread, `name_2_threads` with two.
pub fn on_pools<R>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    operation: impl Fn(&ThreadPool) -> R,
) {
    for (threads, suffix) in [(1, ""), (2, TWO_THREADS)] {
        group.bench_function(format!("{name}{suffix}"), |bencher| {
            let pool = pool(threads);
            bencher.iter(|| operation(&pool));
        });
    }
}

/// Measures an operation that uses one thread: `name` alone, `name_2_threads` while two threads each repeat it. Every thread
/// has its own state (scratch space, position in a list of inputs), made once before the clock starts.
pub fn at_once<S: Send, R>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    state: impl Fn() -> S,
    operation: impl Fn(&mut S) -> R + Sync,
) {
    group.bench_function(name, |bencher| {
        let mut state = state();
        bencher.iter(|| operation(&mut state));
    });
    group.bench_function(format!("{name}{TWO_THREADS}"), |bencher| {
        let mut states = [state(), state()];
        bencher.iter_custom(|operations| repeat_on_two_threads(operations, &mut states, &operation));
    });
}

/// Wall time of `operations` on each of two threads, for one operation.
fn repeat_on_two_threads<S: Send, R>(
    operations: u64,
    [one, other]: &mut [S; 2],
    operation: &(impl Fn(&mut S) -> R + Sync),
) -> Duration {
    let start_line = Barrier::new(2);
    let repeat = |state: &mut S| {
        start_line.wait();
        let start = Instant::now();
        for _ in 0..operations {
            black_box(operation(state));
        }
        (start, Instant::now())
    };
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| repeat(other));
        (repeat(one), other.join().expect("the operation does not panic"))
    });
    (one.1.max(other.1) - one.0.min(other.0)) / 2
}

/// A directory with inputs that take long to make, kept in the target directory from run to run. `make` fills it the first
/// time, under another name: a directory that is there is complete.
pub fn kept_inputs(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| crate::repository_root().join("target"), PathBuf::from);
    kept_inputs_in(&target.join("bench-inputs"), name, make)
}

fn kept_inputs_in(parent: &Path, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let directory = parent.join(name);
    if !directory.exists() {
        let unfinished = parent.join(format!("{name}.unfinished-{}", std::process::id()));
        fs::create_dir_all(&unfinished).expect("the target directory is writable");
        make(&unfinished);
        // Somebody else may have been faster; theirs is as good.
        if fs::rename(&unfinished, &directory).is_err() {
            let _ = fs::remove_dir_all(&unfinished);
        }
    }
    assert!(directory.exists(), "{} could not be made", directory.display());
    directory
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn inputs_are_made_once_and_never_half() {
        let parent = tempfile::tempdir().expect("temporary directory");
        let make = |directory: &Path| fs::write(directory.join("file"), "1").expect("writable");
        let failed =
            std::panic::catch_unwind(|| kept_inputs_in(parent.path(), "inputs", |_| panic!("no space")));
        assert!(failed.is_err());
        let made = kept_inputs_in(parent.path(), "inputs", make);
        let again = kept_inputs_in(parent.path(), "inputs", |_| unreachable!("they are there"));
        assert_eq!(made, again);
        assert_eq!(fs::read(again.join("file")).expect("there"), b"1");
    }

    #[test]
    fn two_threads_share_the_time() {
        let calls = AtomicU64::new(0);
        let nap = Duration::from_millis(20);
        let operation = |_: &mut ()| {
            calls.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(nap);
        };
        let time = repeat_on_two_threads(3, &mut [(), ()], &operation);
        assert_eq!(calls.into_inner(), 6);
        assert!(time >= nap * 3 / 2, "{time:?}");
    }
}
