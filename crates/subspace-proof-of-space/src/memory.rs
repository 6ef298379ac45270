//! Memory of the lists of a table: on huge pages where the system has them, and asked for before it is needed.

/// That many zeros. With 4 KiB pages most accesses to lists as large as these miss the translation buffers as well as the caches.
pub(crate) fn zeroed_words(length: usize) -> Vec<u32> {
    let mut words = Vec::with_capacity(length);
    advise(words.as_mut_ptr(), length);
    words.resize(length, 0);
    words
}

/// Gives the memory behind `words` back to the system, where that is possible. They stay usable, but what they held is gone: they
/// hold anything from then on.
pub(crate) fn give_back(words: &mut [u32]) {
    #[cfg(target_os = "linux")]
    if let Some((start, bytes)) = huge_pages(words.as_mut_ptr(), words.len()) {
        // SAFETY: the range lies in the exclusively borrowed slice and consists of whole pages of the allocator's private
        // memory; it reads as zeros afterwards, which are valid words. Failure leaves everything as it was.
        unsafe {
            libc::madvise(start.cast(), bytes, libc::MADV_DONTNEED);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = words;
}

#[cfg(target_os = "linux")]
fn advise(start: *mut u32, length: usize) {
    if let Some((start, bytes)) = huge_pages(start, length) {
        // SAFETY: the range lies in one allocation and starts at a page; the advice changes neither contents nor access. Failure
        // (a system without huge pages) leaves everything as it was.
        unsafe {
            libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: *mut u32, _length: usize) {}

/// Start and bytes of the whole huge pages among those words.
#[cfg(target_os = "linux")]
fn huge_pages(start: *mut u32, length: usize) -> Option<(*mut u8, usize)> {
    /// Huge pages of x86-64, and the smallest ones of other processors that matter.
    const HUGE_PAGE: usize = 2 << 20;

    let bytes = length * size_of::<u32>();
    let start = start.cast::<u8>();
    let skipped = start.align_offset(HUGE_PAGE);
    let covered = bytes.saturating_sub(skipped) / HUGE_PAGE * HUGE_PAGE;
    (covered > 0).then(|| (start.wrapping_add(skipped), covered))
}

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

    #[test]
    fn what_was_given_back_can_be_used_again_and_its_neighbours_are_untouched() {
        let mut words = zeroed_words((6 << 20) + 3);
        words.fill(7);
        let (before, rest) = words.split_at_mut(1 << 20);
        let (given, after) = rest.split_at_mut(4 << 20);
        give_back(given);
        assert!(before.iter().chain(after.iter()).all(|&word| word == 7));
        #[cfg(target_os = "linux")]
        assert!(given.contains(&0));
        given.fill(9);
        assert!(given.iter().all(|&word| word == 9));
    }
}
