use super::*;
use crate::chain::genesis::genesis_block;

fn block(number: u32, parent_hash: [u8; 32]) -> SignedBlock {
    let mut block = genesis_block("log");
    block.header.number = number;
    block.header.parent_hash = parent_hash;
    block.extrinsics = vec![vec![12, 1, 2, number as u8], vec![0]];
    block
}

fn open(path: &Path) -> (BlockLog, Vec<u32>) {
    let mut replayed = Vec::new();
    let log = BlockLog::open(path, |log, number| {
        assert_eq!(log.header(number)?.unwrap().number, number);
        replayed.push(number);
        Ok(())
    })
    .unwrap();
    (log, replayed)
}

fn fill(path: &Path, count: u32) -> Vec<SignedBlock> {
    let (mut log, _) = open(path);
    let mut blocks = Vec::new();
    let mut parent = [0; 32];
    for number in 0..count {
        let block = block(number, parent);
        parent = block.header.hash();
        log.append(&block, u64::from(number) * 100).unwrap();
        blocks.push(block);
    }
    blocks
}

#[test]
fn blocks_are_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blocks.log");
    let blocks = fill(&path, 5);
    let (mut log, replayed) = open(&path);
    assert_eq!(replayed, [0, 1, 2, 3, 4]);
    for (number, block) in (0..).zip(&blocks) {
        assert_eq!(log.block(number).unwrap().as_ref(), Some(block));
        assert_eq!(log.encoded(number).unwrap(), Some(block.encode()));
        assert_eq!(log.hash(number), Some(block.header.hash()));
        assert_eq!(log.number(&block.header.hash()), Some(number));
        assert_eq!(log.data_progress(number), Some(u64::from(number) * 100));
    }
    assert_eq!(
        (log.block(5).unwrap(), log.hash(5), log.number(&[9; 32])),
        (None, None, None)
    );
    assert_eq!(log.next_number(), 5);
    log.append(&block(5, [7; 32]), 0).unwrap();
    assert_eq!(log.block(5).unwrap(), Some(block(5, [7; 32])));
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_was_torn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blocks.log");
    fill(&path, 2);
    let two = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    fill(&path, 3);
    let three = std::fs::read(&path).unwrap();
    assert_eq!(three[..two.len()], two);
    for length in two.len()..three.len() {
        std::fs::write(&path, &three[..length]).unwrap();
        let (log, replayed) = open(&path);
        assert_eq!((log.next_number(), replayed.len()), (2, 2), "{length}");
        assert_eq!(std::fs::read(&path).unwrap(), two);
    }
    // Written in full length, but not all of the bytes.
    for position in two.len()..three.len() {
        let mut damaged = three.clone();
        damaged[position] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        assert_eq!(open(&path).0.next_number(), 2, "{position}");
    }
}

#[test]
fn foreign_and_damaged_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blocks.log");
    std::fs::write(&path, b"something else").unwrap();
    assert!(BlockLog::open(&path, |_, _| Ok(())).is_err());
    std::fs::write(&path, b"adn").unwrap();
    assert_eq!(open(&path).0.next_number(), 0);
    fill(&path, 3);
    let mut bytes = std::fs::read(&path).unwrap();
    // In the extrinsics of block 0: found when it is read.
    let position = MAGIC.len() + PREFIX + block(0, [0; 32]).header.encode().len() + 2;
    bytes[position] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (log, _) = open(&path);
    assert!(log.block(0).unwrap_err().to_string().contains("block 0"));
    assert!(log.block(1).is_ok());
    // In the header of block 0: nothing behind it may be cut off.
    bytes[MAGIC.len() + PREFIX] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = BlockLog::open(&path, |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("block 0") && error.contains("header"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}
