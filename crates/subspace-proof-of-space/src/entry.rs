//! The function that makes an entry of table 2 to 7 from a matching pair, for several pairs at once.

use crate::bucket::REMAINDER_SHIFT;
use crate::compression::hash_block;
use crate::lanes::Lanes;

/// Mask of the metadata bits in the first word of a record.
const FIRST_WORD_METADATA: u32 = (1 << REMAINDER_SHIFT) - 1;

/// Makes the entries of `TABLE` from left entries `left_y`, `left` and right entries `right`.
///
/// Metadata are the words of records (see [`crate::kernel`]), of which the upper 14 bits of the first word do not matter; for table 2
/// only the first word is used and is `x`. Returned are a word whose upper 26 bits are `y`, and the metadata as words of a record whose
/// first word lacks the remainder; words beyond the metadata mean nothing.
#[inline(always)]
pub(crate) fn entry<V: Lanes, const TABLE: u8>(
    token: V::Token,
    left_y: V,
    [l0, l1, l2]: [V; 3],
    [r0, r1, r2]: [V; 3],
) -> (V, [V; 3]) {
    let splat = |word| V::splat(token, word);
    let first_metadata = splat(FIRST_WORD_METADATA);
    // Every input but that of table 2 starts with y and six bits of the left metadata.
    let start = left_y.shl(6).or(l0.shr(REMAINDER_SHIFT - 6).and(splat(63)));
    // What of the right metadata is in the first word of its record.
    let r0_metadata = r0.and(first_metadata);

    match TABLE {
        2 => {
            let start = left_y.shl(6).or(l0.shr(14));
            let input = [start, l0.shl(18).or(r0.shr(2)), r0.shl(30)];
            let [word, ..] = hash_block(token, input, 9);
            let second = l0.shl(30).or(r0.shl(10));
            (word, [l0.shr(2), second, second])
        }
        3 | 7 => {
            let input = [
                start,
                l0.shl(20).or(l1.shr(12)),
                l1.shl(20).or(r0_metadata.shl(12)).or(r1.shr(20)),
                r1.shl(12),
            ];
            let [word, ..] = hash_block(token, input, 14);
            (
                word,
                [
                    l0.and(first_metadata),
                    l1.or(r0_metadata.shr(8)),
                    r0.shl(24).or(r1.shr(8)),
                ],
            )
        }
        4 | 5 => {
            let input = [
                start,
                l0.shl(20).or(l1.shr(12)),
                l1.shl(20).or(l2.shr(12)),
                l2.shl(20).or(r0_metadata.shl(4)).or(r1.shr(28)),
                r1.shl(4).or(r2.shr(28)),
                r2.shl(4),
            ];
            let [b0, b1, b2, b3] = hash_block(token, input, 24);
            let third = if TABLE == 4 {
                b2.shl(12).or(b3.shr(22).shl(2))
            } else {
                b2.shl(12).and(splat(0xffc0_0000))
            };
            (
                b0,
                [hash_metadata(token, b0, b1), b1.shl(12).or(b2.shr(20)), third],
            )
        }
        _ => {
            let input = [
                start,
                l0.shl(20).or(l1.shr(12)),
                l1.shl(20).or(l2.shr(12)).or(r0_metadata.shr(8)),
                r0.shl(24).or(r1.shr(8)),
                r1.shl(24).or(r2.shr(8)),
            ];
            let [b0, b1, b2, _] = hash_block(token, input, 19);
            let second = b1.shl(12).or(b2.shr(20)).and(splat(0xffff_fc00));
            (b0, [hash_metadata(token, b0, b1), second, second])
        }
    }
}

/// The 18 bits of a hash that follow the 26 of `y`.
#[inline(always)]
fn hash_metadata<V: Lanes>(token: V::Token, first: V, second: V) -> V {
    first.and(V::splat(token, 63)).shl(12).or(second.shr(20))
}
