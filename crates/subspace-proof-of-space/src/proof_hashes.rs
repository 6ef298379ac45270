//! Hashes of many proofs at once: sixteen are looked up side by side, so that waiting for memory overlaps, and hashed in vectors.

use crate::compression::{PROOF_WORDS, hash_proof};
use crate::kernel::Kernel;
use crate::lanes::Lanes;
use crate::table::{PackedTable, expand, links_of};

/// Proofs handled side by side: as many as the widest vectors have lanes.
pub(crate) const GROUP: usize = 16;

/// Proofs as big-endian words, word by word.
pub(crate) type GroupProofs = [[u32; GROUP]; PROOF_WORDS];
/// Their hashes as words of little-endian bytes, word by word.
pub(crate) type GroupHashes = [[u32; GROUP]; 8];

/// Hashes all proofs of a group.
#[inline(always)]
pub(crate) fn hash_group<V: Lanes>(token: V::Token, proofs: &GroupProofs, hashes: &mut GroupHashes) {
    for at in (0..GROUP).step_by(V::COUNT) {
        let hash = hash_proof(token, |word| V::load(token, &proofs[word][at..]));
        for (target, words) in hashes.iter_mut().zip(hash) {
            words.store(&mut target[at..]);
        }
    }
}

impl PackedTable {
    /// The proofs of a group of entries of table 7, given by their links.
    #[inline(always)]
    fn proofs(&self, links: [u32; GROUP], proofs: &mut GroupProofs) {
        let [links_4, links_5, links_6] = &self.links;
        let ranks_6 = expand::<GROUP, { 2 * GROUP }>(links, links_6, 1);
        let ranks_5 = expand::<{ 2 * GROUP }, { 4 * GROUP }>(links_of(ranks_6, links_6), links_5, 1);
        let ranks_4 = expand::<{ 4 * GROUP }, { 8 * GROUP }>(links_of(ranks_5, links_5), links_4, 1);
        let ranks_3 = expand::<{ 8 * GROUP }, { 16 * GROUP }>(links_of(ranks_4, links_4), &self.leaves, 3);
        for (lane, ranks) in ranks_3.as_chunks::<16>().0.iter().enumerate() {
            let pairs = ranks.as_chunks::<2>().0;
            for (words, pair) in proofs.as_chunks_mut::<5>().0.iter_mut().zip(pairs) {
                // 80 bits each, after the remainder of 14 bits and followed by two zero bits.
                let [[a0, a1, a2], [b0, b1, b2]] = pair.map(|rank| self.leaf(rank as usize));
                words[0][lane] = a0 << 14 | a1 >> 18;
                words[1][lane] = a1 << 14 | a2 >> 18;
                words[2][lane] = (a2 >> 2) << 16 | (b0 >> 2) & 0xffff;
                words[3][lane] = b0 << 30 | b1 >> 2;
                words[4][lane] = b1 << 30 | b2 >> 2;
            }
        }
    }

    /// [`crate::PosTable::for_each_proof_hash`].
    #[inline(always)]
    pub(crate) fn for_each_proof_hash<Kern: Kernel>(
        &self,
        kernel: Kern,
        challenge_indexes: &[u32],
        each: &mut dyn FnMut(usize, &[u8; 32]),
    ) {
        let mut proofs = [[0; GROUP]; PROOF_WORDS];
        let mut hashes = [[0; GROUP]; 8];
        let mut positions = [0; GROUP];
        let mut links = [0; GROUP];
        let mut count = 0;
        let mut flush = |positions: &[usize], links| {
            self.proofs(links, &mut proofs);
            kernel.hash_group(&proofs, &mut hashes);
            for (lane, &position) in positions.iter().enumerate() {
                let mut hash = [0; 32];
                for (bytes, words) in hash.as_chunks_mut().0.iter_mut().zip(&hashes) {
                    *bytes = words[lane].to_le_bytes();
                }
                each(position, &hash);
            }
        };
        for (position, &challenge_index) in challenge_indexes.iter().enumerate() {
            if let Some(link) = self.last.find(challenge_index) {
                positions[count] = position;
                links[count] = link;
                count += 1;
                if count == GROUP {
                    flush(&positions, links);
                    count = 0;
                }
            }
        }
        if count > 0 {
            // Lanes beyond the count hold links of earlier proofs or zero, which is a link like any other.
            flush(&positions[..count], links);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{ChiaProofOfSpace, PosTable, SimdLevel};
    use subspace_core_primitives::pos::PosSeed;

    /// What there is among `indexes`, one proof at a time.
    fn expected(table: &dyn PosTable, indexes: &[u32]) -> Vec<(usize, [u8; 32])> {
        let found = indexes.iter().enumerate();
        found
            .filter_map(|(position, &index)| Some((position, *table.find_proof(index)?.hash())))
            .collect()
    }

    fn found(table: &dyn PosTable, indexes: &[u32]) -> Vec<(usize, [u8; 32])> {
        let mut found = Vec::new();
        table.for_each_proof_hash(indexes, &mut |position, hash| found.push((position, *hash)));
        found
    }

    #[test]
    fn hashes_are_those_of_single_proofs_with_all_instruction_sets() {
        let seed = PosSeed::from([3; 32]);
        let all: Vec<u32> = (0..1 << 16).collect();
        let any: Vec<u32> = (0..5000_u32)
            .map(|index| index.wrapping_mul(0x9e37_79b9))
            .collect();
        for proof_of_space in SimdLevel::ALL
            .into_iter()
            .filter_map(ChiaProofOfSpace::with_simd_level)
        {
            let table = proof_of_space.create_full_table(&seed);
            for indexes in [&all, &any] {
                let expected = expected(&*table, indexes);
                assert!(expected.len() > indexes.len() / 2);
                assert_eq!(found(&*table, indexes), expected, "{proof_of_space:?}");
            }
            for count in 0..40 {
                let indexes = &all[1000..1000 + count];
                assert_eq!(
                    found(&*table, indexes),
                    expected(&*table, indexes),
                    "{proof_of_space:?}"
                );
            }
        }
    }
}
