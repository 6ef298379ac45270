//! The unbounded tables against the known digests of one seed.

use super::*;
use crate::verify::tests::is_plainly_valid;

/// Seed of the published proofs.
pub(crate) const SEED: &str = "23023404333717545b0a6f0c0dde9710e4d3fe2d5cc6cc0a090a0b818bab0f17";

/// Entries, digest of all `y` and digest of all links of tables 1 to 7 of [`SEED`].
pub(crate) const TABLES: [(usize, &str, &str); 7] = [
    (
        1_048_576,
        "7916312b1ce622bc0e40334393b0c26b9cfbd00aca7764ded5cb9b873a9967fd",
        "",
    ),
    (
        1_046_669,
        "fb46b3701951939d782abbfb1fcd6b54cf896a59b95086a5ad5f6b31482267b4",
        "7dc3634256c948edfedd2e8224fd2168fbbffcf74a5b2974860ad21befd6ac79",
    ),
    (
        1_046_116,
        "ca59f928ec7155fcc5f95e68ff05857c53d17918f974638d9f645aa03af0ba22",
        "e9bcd702e9e069434b84dfa5a6fb60a2343c1f3cc56e8d0649f24970070de46a",
    ),
    (
        1_044_021,
        "cc9ccd66715c7e6c304b579261cca573173c7aef4efefae5322da38efa21f758",
        "c51348eb37141ba0a0caebaf1b36e0bdf7f880adfe9a7191c47ff227e6be4364",
    ),
    (
        1_039_293,
        "ada00f43b6a548531c2ada91c44b032bf09459261a77484167a1b0b22d01eb94",
        "328739c5e1d18d71769470a9e57cda06d005551548a69d113ff9ea5543bf1ca5",
    ),
    (
        1_031_172,
        "42ea0074f2348326537c87e8f9acf3d55a975c387f4f4ff5e9029ec3aca51a73",
        "ce4f8cbc2e2d10da80a1a7fcddb78c8d5277f52e8538a65c8df26ce00ef4f0fc",
    ),
    (
        1_013_733,
        "e89d97dcf815b4c84ca78aa72c79beee83ef5536af5fd71b9416e3247f45e5ae",
        "9c697cfb0405f1cc1baa74ff39497a75d319f7808c137c6ea8d18fd850a8cb76",
    ),
];

/// Challenge indexes of [`SEED`] with a proof and the hash of that proof: an index over 65 535, one whose two smallest
/// candidates have equal `y`, one with three equal remainders on the way, an ordinary one.
const PROOF_HASHES: [(u32, &str); 4] = [
    (
        600_426_542,
        "987a4d8a161fa08d505b2cc9decfd17f0ab837d12873b3477a350b463371d44c",
    ),
    (
        1011,
        "51818440809597a1442c280fd71309d0c9b60efabac8078ed3d3cb2dc90f0e71",
    ),
    (
        650,
        "008c84ffc3d99e5590e6c80a764fa5a293f99e83eee8950ed027d57d9a77fcd5",
    ),
    (
        3,
        "00d60c255b8512e95106c6e76152e438d46d781dc71a1841f8c200d1e7f20d94",
    ),
];

/// BLAKE3 of the values as u32 LE.
pub(crate) fn digest(values: impl IntoIterator<Item = u32>) -> String {
    let bytes: Vec<u8> = values.into_iter().flat_map(u32::to_le_bytes).collect();
    blake3::hash(&bytes).to_hex().to_string()
}

#[test]
fn tables_and_proofs_of_the_published_seed() {
    let mut bytes = [0; 32];
    hex::decode_to_slice(SEED, &mut bytes).unwrap();
    let seed = PosSeed::from(bytes);
    let mut seen = 0;
    let table = UnboundedTable::create_observed(&seed, |number, entries| {
        let (count, ys, links) = TABLES[usize::from(number) - 1];
        assert_eq!(entries.ys.len(), count, "table {number}");
        assert_eq!(digest(entries.ys.iter().copied()), ys, "table {number}");
        if number > 1 {
            let flat = entries.links.iter().flat_map(|&(left, right)| [left, right]);
            assert_eq!(digest(flat), links, "table {number}");
        }
        seen += 1;
    });
    assert_eq!(seen, 7);
    for (index, hash) in PROOF_HASHES {
        let proof = table.find_proof(index).unwrap();
        assert_eq!(hex::encode(*proof.hash()), hash, "index {index}");
        assert!(is_plainly_valid(&seed, index, &proof));
        assert!(!is_plainly_valid(&seed, index + 1, &proof));
    }
    for index in [0, 1, 2, 1_232_460_437] {
        assert_eq!(table.find_proof(index), None);
    }
}
