//! Memory for large tables that are read at random places.

/// A vector of `length` copies of `value`, on huge pages where the operating system has them: with 4 KiB pages most reads of a
/// large table miss the translation buffers as well as the caches.
pub(super) fn filled_vec<T: Copy>(value: T, length: usize) -> Vec<T> {
    let mut vec = Vec::with_capacity(length);
    advise(vec.as_mut_ptr(), length);
    vec.resize(length, value);
    vec
}

#[cfg(target_os = "linux")]
fn advise<T>(start: *mut T, length: usize) {
    /// Huge pages of x86-64, and the smallest ones of other processors that matter.
    const HUGE_PAGE: usize = 2 << 20;

    let bytes = length * size_of::<T>();
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
fn advise<T>(_start: *mut T, _length: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_any_size_are_filled() {
        for length in [0, 1, 1000, (5 << 20) + 3] {
            let vec = filled_vec(7_u16, length);
            assert!(vec.len() == length && vec.iter().all(|value| *value == 7));
        }
    }
}
