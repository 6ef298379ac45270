//! The counting allocator sees every way to get memory, on the calling thread only.

use autonomys_test_support::allocations::{Allocations, CountingAllocator, count};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn counted<R>(operation: impl FnOnce() -> R) -> Allocations {
    count(operation).1
}

#[test]
fn every_way_to_get_memory_counts() {
    assert_eq!(counted(|| black_box(1) + 1), Allocations::default());
    let boxed = counted(|| black_box(Box::new([1_u8; 100])));
    assert_eq!(boxed, Allocations { calls: 1, bytes: 100 });
    let zeroed = counted(|| black_box(vec![0_u8; 1000]));
    assert_eq!(
        zeroed,
        Allocations {
            calls: 1,
            bytes: 1000
        }
    );
    let mut grown = vec![1_u8; 10];
    let resized = counted(|| grown.reserve_exact(90));
    assert_eq!(resized, Allocations { calls: 1, bytes: 100 });
    // Blocks are usable, whichever call they came from.
    grown.extend([2; 90]);
    assert_eq!(
        black_box(grown).iter().map(|byte| u32::from(*byte)).sum::<u32>(),
        190
    );
    // Giving memory back is free.
    let kept = vec![1_u8; 10];
    assert_eq!(counted(|| drop(black_box(kept))), Allocations::default());
}

#[test]
fn other_threads_do_not_disturb() {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel();
    let busy = std::thread::spawn(move || {
        let mut blocks = 0_u64;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            black_box(Box::new(blocks));
            blocks += 1;
            if blocks == 1 {
                begin.send(()).expect("the test waits for this");
            }
        }
        blocks
    });
    begun.recv().expect("the other thread runs");
    let quiet = counted(|| (0..1_000_000_u64).fold(0, |sum, number| black_box(sum ^ number)));
    stop.send(()).expect("the other thread waits for this");
    assert!(busy.join().expect("no panic") > 0);
    assert_eq!(quiet, Allocations::default());
}
