//! Memory of the lists of a table: on huge pages where the system has them, and asked for before it is needed.

/// That many zeros. With 4 KiB pages most accesses to lists as large as these miss the translation buffers as well as the caches.
pub(crate) fn zeroed_words(length: usize) -> Vec<u32> {
    let mut words = Vec::with_capacity(length);
    advise(words.as_mut_ptr(), length);
    words.resize(length, 0);
    words
}

#[cfg(target_os = "linux")]
fn advise(start: *mut u32, length: usize) {
    /// Huge pages of x86-64, and the smallest ones of other processors that matter.
    const HUGE_PAGE: usize = 2 << 20;

    let bytes = length * size_of::<u32>();
    let start = start.cast::<u8>();
    let skipped = start.align_offset(HUGE_PAGE);
    let covered = bytes.saturating_sub(skipped) / HUGE_PAGE * HUGE_PAGE;
    if covered == 0 {
        return;
    }
    // SAFETY: the range lies in one allocation and starts at a page; the advice changes neither contents nor access. Failure
    // (a system without huge pages) leaves everything as it was.
    unsafe {
        libc::madvise(start.add(skipped).cast(), covered, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: *mut u32, _length: usize) {}

/// Asks for the cache line of `words[index]`, if there is such a word.
#[inline(always)]
pub(crate) fn prefetch(words: &[u32], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let place = words.as_ptr().wrapping_add(index);
        // SAFETY: every x86-64 processor has the instruction, and it never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (words, index);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_any_size_are_zero_and_any_place_can_be_asked_for() {
        for length in [0, 1, 1000, (2 << 20) + 3] {
            let words = zeroed_words(length);
            assert!(words.len() == length && words.iter().all(|&word| word == 0));
            for index in [0, length, usize::MAX] {
                prefetch(&words, index);
            }
        }
    }
}
