//! What there is code for with every instruction set: the steps of a join, hashing proofs, verifying them.
//!
//! # Records
//!
//! Between tables, entries are records of 32-bit words. They start with the 14-bit remainder of `y` and the metadata as one
//! bit string, most significant bit first; the last word of tables 4 to 6 is the link to the parents.
//!
//! | table | words | content |
//! |---|---|---|
//! | 1 | 1 | remainder, 4 zero bits, the low 14 bits of `x` (the others are the low 6 bits of `y`) |
//! | 2 | 2 | remainder, 40 bits |
//! | 3 | 3 | remainder, 80 bits: the four `x` values, so table 3 needs no links |
//! | 4 | 4 | remainder, 80 bits; link |
//! | 5 | 4 | remainder, 60 bits; link |
//! | 6 | 3 | remainder, 40 bits; link |

use crate::bucket::{
    BUCKET_LIMIT_BITS, BucketTooFull, MAX_RECORD_WORDS, RECORD_WORDS, REMAINDER_SHIFT, SortedBucket,
};
use crate::chains::Chains;
use crate::constants::PARAM_BC;
use crate::entry::entry;
use crate::lanes::Lanes;
use crate::matching::{MATCHES_WORDS, Matches};
use crate::proof_hashes::{self, GroupHashes, GroupProofs};
use crate::verify;
use subspace_core_primitives::pos::{PosProof, PosSeed};

/// Bits of a link below the left bucket: left and right place.
pub(crate) const LINK_PLACES_BITS: u32 = 2 * BUCKET_LIMIT_BITS;

/// Entries made from a list of matches, in the same order.
pub(crate) struct Output {
    /// Bucket of every entry (of table 7: its `y`).
    pub(crate) buckets: [u32; MATCHES_WORDS],
    /// Records, of which only the first words may be used. None are made of table 7.
    pub(crate) records: [[u32; MAX_RECORD_WORDS]; MATCHES_WORDS],
    /// Links, made of table 7 only.
    pub(crate) links: [u32; MATCHES_WORDS],
}

impl Output {
    pub(crate) fn new() -> Self {
        Self {
            buckets: [0; MATCHES_WORDS],
            records: [[0; MAX_RECORD_WORDS]; MATCHES_WORDS],
            links: [0; MATCHES_WORDS],
        }
    }
}

/// An instruction set; holding a value proves that the processor supports it.
pub(crate) trait Kernel: Copy + Send + Sync {
    /// [`SortedBucket::load`].
    fn load<const W: usize>(
        self,
        target: &mut SortedBucket,
        parts: &[Chains],
        bucket: usize,
        limit: usize,
    ) -> Result<(), BucketTooFull>;

    /// Finds the matches of left entries from place `left_place` on. Returns the first place not handled for lack of space.
    fn find_matches(
        self,
        left: &SortedBucket,
        left_place: usize,
        right: &SortedBucket,
        parity: usize,
        matches: &mut Matches,
    ) -> usize;

    /// Makes the entries of table `TABLE` (2 to 7) from matches of `left_bucket` and the bucket after it.
    fn compute<const TABLE: u8>(
        self,
        left: &SortedBucket,
        right: &SortedBucket,
        left_bucket: u32,
        matches: &mut Matches,
        output: &mut Output,
    );

    /// See [`proof_hashes::hash_group`].
    fn hash_group(self, proofs: &GroupProofs, hashes: &mut GroupHashes);

    /// See [`verify::is_proof_valid`].
    fn is_proof_valid(self, seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool;
}

/// Code for any processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

impl Kernel for Portable {
    fn load<const W: usize>(
        self,
        target: &mut SortedBucket,
        parts: &[Chains],
        bucket: usize,
        limit: usize,
    ) -> Result<(), BucketTooFull> {
        target.load::<W>(parts, bucket, limit)
    }

    fn find_matches(
        self,
        left: &SortedBucket,
        left_place: usize,
        right: &SortedBucket,
        parity: usize,
        matches: &mut Matches,
    ) -> usize {
        crate::matching::find_matches_portable(left, left_place, right, parity, matches)
    }

    fn compute<const TABLE: u8>(
        self,
        left: &SortedBucket,
        right: &SortedBucket,
        left_bucket: u32,
        matches: &mut Matches,
        output: &mut Output,
    ) {
        compute::<u32, TABLE>((), left, right, left_bucket, matches, output);
    }

    fn hash_group(self, proofs: &GroupProofs, hashes: &mut GroupHashes) {
        proof_hashes::hash_group::<u32>((), proofs, hashes);
    }

    fn is_proof_valid(self, seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
        verify::is_proof_valid::<u32, u32>((), (), seed, challenge_index, proof)
    }
}

/// Implements [`Kernel`] for an instruction set of x86-64.
#[cfg(target_arch = "x86_64")]
macro_rules! x86_kernel {
    ($token:ident, $lanes:ident, $load:ident, $find_matches:ident, $features:literal) => {
        impl Kernel for crate::lanes::$token {
            fn load<const W: usize>(
                self,
                target: &mut SortedBucket,
                parts: &[Chains],
                bucket: usize,
                limit: usize,
            ) -> Result<(), BucketTooFull> {
                #[target_feature(enable = $features)]
                fn with_features<const W: usize>(
                    target: &mut SortedBucket,
                    parts: &[Chains],
                    bucket: usize,
                    limit: usize,
                ) -> Result<(), BucketTooFull> {
                    target.$load::<W>(parts, bucket, limit)
                }
                // SAFETY: `self` proves the instruction set.
                unsafe { with_features::<W>(target, parts, bucket, limit) }
            }

            fn find_matches(
                self,
                left: &SortedBucket,
                left_place: usize,
                right: &SortedBucket,
                parity: usize,
                matches: &mut Matches,
            ) -> usize {
                crate::matching::$find_matches(self, left, left_place, right, parity, matches)
            }

            fn compute<const TABLE: u8>(
                self,
                left: &SortedBucket,
                right: &SortedBucket,
                left_bucket: u32,
                matches: &mut Matches,
                output: &mut Output,
            ) {
                #[target_feature(enable = $features)]
                fn with_features<const TABLE: u8>(
                    token: crate::lanes::$token,
                    left: &SortedBucket,
                    right: &SortedBucket,
                    left_bucket: u32,
                    matches: &mut Matches,
                    output: &mut Output,
                ) {
                    compute::<crate::lanes::$lanes, TABLE>(token, left, right, left_bucket, matches, output);
                }
                // SAFETY: `self` proves the instruction set.
                unsafe { with_features::<TABLE>(self, left, right, left_bucket, matches, output) }
            }

            fn hash_group(self, proofs: &GroupProofs, hashes: &mut GroupHashes) {
                #[target_feature(enable = $features)]
                fn with_features(
                    token: crate::lanes::$token,
                    proofs: &GroupProofs,
                    hashes: &mut GroupHashes,
                ) {
                    proof_hashes::hash_group::<crate::lanes::$lanes>(token, proofs, hashes);
                }
                // SAFETY: `self` proves the instruction set.
                unsafe { with_features(self, proofs, hashes) }
            }

            fn is_proof_valid(self, seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
                #[target_feature(enable = $features)]
                fn with_features(
                    token: crate::lanes::$token,
                    seed: &PosSeed,
                    challenge_index: u32,
                    proof: &PosProof,
                ) -> bool {
                    // Most levels have few pairs, for which half a vector costs less than a whole one.
                    verify::is_proof_valid::<crate::lanes::$lanes, crate::lanes::Avx2Lanes>(
                        token,
                        token.into(),
                        seed,
                        challenge_index,
                        proof,
                    )
                }
                // SAFETY: `self` proves the instruction set.
                unsafe { with_features(self, seed, challenge_index, proof) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
x86_kernel!(
    Avx2,
    Avx2Lanes,
    load,
    find_matches_avx2,
    "avx2,bmi1,bmi2,lzcnt,popcnt"
);
#[cfg(target_arch = "x86_64")]
x86_kernel!(
    Avx512,
    Avx512Lanes,
    load_avx512,
    find_matches_avx512,
    "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt"
);

/// What the entries of `TABLE` are made from of the records of the table before, at the places in these bits of pairs.
#[inline(always)]
fn parents<V: Lanes, const TABLE: u8>(
    token: V::Token,
    pairs: &[u32],
    shift: u32,
    records: &[u32; RECORD_WORDS],
) -> [V; MAX_RECORD_WORDS] {
    match TABLE {
        2 => V::gather_records::<1, 1>(token, pairs, shift, records),
        3 => V::gather_records::<2, 2>(token, pairs, shift, records),
        4 => V::gather_records::<3, 3>(token, pairs, shift, records),
        // Not the link.
        7 => V::gather_records::<3, 2>(token, pairs, shift, records),
        _ => V::gather_records::<4, 3>(token, pairs, shift, records),
    }
}

/// Words of a record of `table`.
const fn record_words(table: u8) -> u32 {
    match table {
        1 => 1,
        2 => 2,
        3 | 6 => 3,
        _ => 4,
    }
}

#[inline(always)]
fn compute<V: Lanes, const TABLE: u8>(
    token: V::Token,
    left: &SortedBucket,
    right: &SortedBucket,
    left_bucket: u32,
    matches: &mut Matches,
    output: &mut Output,
) {
    let splat = |word| V::splat(token, word);
    let left_bucket_start = splat(left_bucket * PARAM_BC);
    let right_bucket_start = splat((left_bucket + 1) * PARAM_BC);
    let link_bucket = splat(left_bucket << LINK_PLACES_BITS);

    for (index, pair) in matches.padded(V::COUNT).chunks_exact(V::COUNT).enumerate() {
        let link = link_bucket.or(V::load(token, pair));
        let [l0, l1, l2, _] = parents::<V, TABLE>(token, pair, BUCKET_LIMIT_BITS, &left.records);
        let [r0, r1, r2, _] = parents::<V, TABLE>(token, pair, 0, &right.records);
        let left_y = left_bucket_start.add(l0.shr(REMAINDER_SHIFT));

        let (hash, [second, third, fourth]) = if TABLE == 2 {
            let right_y = right_bucket_start.add(r0.shr(REMAINDER_SHIFT));
            let x = |y: V, record: V| y.and(splat(63)).shl(14).or(record.and(splat((1 << 14) - 1)));
            let (left_x, right_x) = (x(left_y, l0), x(right_y, r0));
            entry::<V, TABLE>(token, left_y, [left_x; 3], [right_x; 3])
        } else if record_words(TABLE - 1) > 2 && TABLE != 7 {
            entry::<V, TABLE>(token, left_y, [l0, l1, l2], [r0, r1, r2])
        } else {
            entry::<V, TABLE>(token, left_y, [l0, l1, l1], [r0, r1, r1])
        };

        let child_y = hash.shr(6);
        let at = index * V::COUNT;
        if TABLE == 7 {
            child_y.store(&mut output.buckets[at..]);
            link.store(&mut output.links[at..]);
            continue;
        }
        let (bucket, remainder) = child_y.bucket_and_remainder();
        bucket.store(&mut output.buckets[at..]);
        let first = remainder.shl(REMAINDER_SHIFT).or(second);
        let fourth = if TABLE == 6 { link } else { fourth };
        V::store_records([first, third, fourth, link], &mut output.records[at..]);
    }
}
