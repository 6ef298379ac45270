//! Parameters of the proof of space and the arithmetic on `y` that follows from them.

/// Bits of an `x` value; there are `2^K` of them.
pub(crate) const K: u32 = 20;
/// Extra low bits of every `y`.
const PARAM_EXT: u32 = 6;
/// Bits of every `y`.
pub(crate) const Y_BITS: u32 = K + PARAM_EXT;
/// Number of right remainders one left remainder matches.
pub(crate) const PARAM_M: u32 = 1 << PARAM_EXT;
/// Rows of a bucket.
pub(crate) const PARAM_B: u32 = 119;
/// Columns of a bucket.
pub(crate) const PARAM_C: u32 = 127;
/// Width of a bucket in `y`.
pub(crate) const PARAM_BC: u32 = PARAM_B * PARAM_C;
/// Number of buckets; the last one is partial.
pub(crate) const NUM_BUCKETS: usize = (1_usize << Y_BITS).div_ceil(PARAM_BC as usize);
/// Number of `x` values, the entries of table 1.
pub(crate) const NUM_X: u32 = 1 << K;
/// Bytes of a proof: 64 `x` values.
pub(crate) const PROOF_BYTES: usize = 64 * K as usize / 8;
/// Number of s-buckets, the challenge indexes of the protocol.
pub(crate) const NUM_S_BUCKETS: usize = 1 << 16;

/// Bits of metadata an entry of `table` (1 to 7) carries, in multiples of [`K`].
pub(crate) const fn metadata_multiple(table: u8) -> u32 {
    match table {
        1 => 1,
        2 | 6 => 2,
        3 | 4 => 4,
        5 => 3,
        _ => 0,
    }
}

/// The 20-bit prefix of `y` in table 7 that a challenge index asks for.
pub(crate) const fn challenge_prefix(challenge_index: u32) -> u32 {
    challenge_index.swap_bytes() >> (32 - K)
}

/// `(2m + parity)^2 mod C` for every `m`: how many columns right of the left entry its match in row `m` below is.
pub(crate) const COLUMN_SHIFTS: [[u8; PARAM_M as usize]; 2] = {
    let mut shifts = [[0; PARAM_M as usize]; 2];
    let mut parity = 0;
    while parity < 2 {
        let mut m = 0;
        while m < PARAM_M {
            let root = 2 * m + parity;
            shifts[parity as usize][m as usize] = (root * root % PARAM_C) as u8;
            m += 1;
        }
        parity += 1;
    }
    shifts
};

/// Whether a left entry with `left_y` matches a right entry with `right_y`, by their remainders alone.
///
/// Tables additionally pair neighbouring buckets only; verification does not ask for that. The plain form that the fast ones are
/// compared with.
#[cfg(test)]
pub(crate) fn remainders_match(left_y: u32, right_y: u32) -> bool {
    let parity = (left_y / PARAM_BC) & 1;
    let (left, right) = (left_y % PARAM_BC, right_y % PARAM_BC);
    let m = (right / PARAM_C + PARAM_B - left / PARAM_C) % PARAM_B;
    let shift = (right % PARAM_C + PARAM_C - left % PARAM_C) % PARAM_C;
    m < PARAM_M && shift == u32::from(COLUMN_SHIFTS[parity as usize][m as usize])
}

/// The right remainder that `left_remainder` matches for `m`.
pub(crate) fn target(parity: u32, left_remainder: u32, m: u32) -> u32 {
    let row = (left_remainder / PARAM_C + m) % PARAM_B;
    let column = (left_remainder % PARAM_C + u32::from(COLUMN_SHIFTS[parity as usize][m as usize])) % PARAM_C;
    row * PARAM_C + column
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn sorted_targets_have_the_known_digest() {
        let mut hasher = blake3::Hasher::new();
        for parity in 0..2 {
            for remainder in 0..PARAM_BC {
                let targets: BTreeSet<_> = (0..PARAM_M).map(|m| target(parity, remainder, m)).collect();
                assert_eq!(targets.len(), PARAM_M as usize);
                let bytes: Vec<u8> = targets
                    .iter()
                    .flat_map(|&target| (target as u16).to_le_bytes())
                    .collect();
                hasher.update(&bytes);
            }
        }
        assert_eq!(
            hasher.finalize().to_hex().as_str(),
            "d911c218215158782258a97dd18081d4a8e731fb9c6e863b4d3a405cb2b4dc56"
        );
    }

    #[test]
    fn matching_is_membership_in_the_targets() {
        for (left_y, step) in [
            (0, 1),
            (15_112, 1),
            (15_113, 1),
            (31_000, 3),
            (4_439 * PARAM_BC + 77, 5),
        ] {
            let parity = (left_y / PARAM_BC) & 1;
            let targets: BTreeSet<_> = (0..PARAM_M)
                .map(|m| target(parity, left_y % PARAM_BC, m))
                .collect();
            for right in (0..PARAM_BC).step_by(step) {
                for bucket in [0, 7, 4_000] {
                    assert_eq!(
                        remainders_match(left_y, bucket * PARAM_BC + right),
                        targets.contains(&right),
                        "{left_y} {right}"
                    );
                }
            }
        }
    }

    #[test]
    fn challenge_index_bytes_are_reversed() {
        assert_eq!(NUM_BUCKETS, 4441);
        assert_eq!(challenge_prefix(0x0000_1234), 0x34120);
        assert_eq!(challenge_prefix(0x0f00_0001), 0x01000);
        assert_eq!(challenge_prefix(u32::MAX), 0xf_ffff);
        for s_bucket in 0..65_536_u32 {
            assert_eq!(
                challenge_prefix(s_bucket),
                u32::from((s_bucket as u16).swap_bytes()) << 4
            );
        }
    }
}
