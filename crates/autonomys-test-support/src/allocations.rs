//! Counts allocations, so that a test can say how many a call makes.
//!
//! A test binary installs the allocator and asks for the numbers:
//!
//! ```
//! use autonomys_test_support::allocations::{CountingAllocator, count};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! let (sum, allocations) = count(|| (0..10).sum::<u32>());
//! assert_eq!((sum, allocations.calls), (45, 0));
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Constant and without destructor: reading it never allocates, not even while a thread starts or ends.
    static COUNTS: Cell<Allocations> = const { Cell::new(Allocations { calls: 0, bytes: 0 }) };
}

/// What the calling thread asked of the allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allocations {
    /// Calls that gave memory: new blocks and blocks that were moved or resized. Giving memory back is not counted.
    pub calls: u64,
    /// Bytes of those blocks together.
    pub bytes: u64,
}

/// The allocator of the system, with a count for every thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

fn add(size: usize) {
    // A thread that is ending may have no counts any more; nobody can ask for them either.
    let _ = COUNTS.try_with(|counts| {
        let Allocations { calls, bytes } = counts.get();
        counts.set(Allocations {
            calls: calls + 1,
            bytes: bytes + size as u64,
        });
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a plain thread-local value only and neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs something and says what it allocated on the calling thread; work that it hands to other threads is not seen.
///
/// # Panics
/// When [`CountingAllocator`] is not the allocator of this program: every count would be zero.
pub fn count<R>(operation: impl FnOnce() -> R) -> (R, Allocations) {
    let before = COUNTS.get();
    drop(std::hint::black_box(Box::new(0_u8)));
    assert_ne!(
        COUNTS.get(),
        before,
        "the counting allocator is not installed: add `#[global_allocator] static ALLOCATOR: CountingAllocator = CountingAllocator;`"
    );
    let before = COUNTS.get();
    let result = operation();
    let after = COUNTS.get();
    let allocations = Allocations {
        calls: after.calls - before.calls,
        bytes: after.bytes - before.bytes,
    };
    (result, allocations)
}
