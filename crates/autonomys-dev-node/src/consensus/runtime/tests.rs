use super::*;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::solutions::Solution;

fn claim(slot: SlotNumber) -> PreDigest {
    let mut solution = Solution::genesis_solution(PublicKey([1; 32]), PublicKey([2; 32]));
    solution.chunk.0[31] = slot as u8;
    PreDigest {
        slot,
        solution,
        proof_of_time: PotOutput([slot as u8; 16]),
        future_proof_of_time: PotOutput([9; 16]),
    }
}

fn state(parameters: ChainParameters) -> RuntimeState {
    parameters.check().unwrap();
    RuntimeState::genesis(Arc::new(parameters)).unwrap()
}

fn ranges(state: &RuntimeState) -> (SolutionRange, SolutionRange) {
    (state.solution_range(), state.voting_solution_range())
}

fn segment(index: u64) -> (SegmentIndex, SegmentCommitment) {
    (SegmentIndex::new(index), SegmentCommitment([index as u8 + 1; 48]))
}

#[test]
fn ranges_adjust_in_the_block_after_the_era() {
    let mut state = state(ChainParameters {
        era_duration: 4,
        adjustment_start: Some(2),
        initial_solution_range: 1_000_000,
        ..ChainParameters::default()
    });
    let logs = state.execute(&claim(1), &[segment(0)]);
    assert_eq!(ranges(&state), (1_000_000, 1_000_000));
    assert_eq!(
        logs,
        [
            ConsensusLog::SolutionRange(1_000_000),
            ConsensusLog::PotSlotIterations(256),
            ConsensusLog::SegmentCommitment((SegmentIndex::ZERO, SegmentCommitment([1; 48]))),
        ]
    );
    let logs = state.execute(&claim(10), &[]);
    assert_eq!(logs[2..], [ConsensusLog::EnableSolutionRangeAdjustment(None)]);
    assert_eq!(ranges(&state), (1_000_000, 10_000_000));
    assert_eq!(state.parent_voting_range(), 1_000_000);
    state.execute(&claim(20), &[]);
    // 21 slots for 4 blocks where 24 are due: the range shrinks.
    let logs = state.execute(&claim(21), &[]);
    let expected = 1_000_000 * 21 / 4 / 6;
    assert_eq!(logs[0], ConsensusLog::SolutionRange(1_000_000));
    assert_eq!(logs[2..], [ConsensusLog::NextSolutionRange(expected)]);
    assert_eq!(ranges(&state), (expected, expected * 10));
    assert_eq!(state.parent_voting_range(), 10_000_000);
    let logs = state.execute(&claim(22), &[]);
    assert_eq!(logs[0], ConsensusLog::SolutionRange(expected));
    assert_eq!(state.parent_voting_range(), expected * 10);
    for slot in [23, 24, 25] {
        state.execute(&claim(slot), &[]);
    }
    // The second era began at slot 21 and took four slots: the change is clamped to a quarter.
    assert_eq!(state.solution_range(), expected / 4);
}

#[test]
fn without_adjustment_ranges_stay_equal() {
    let mut state = state(ChainParameters {
        era_duration: 2,
        ..ChainParameters::default()
    });
    let range = state.solution_range();
    state.execute(&claim(5), &[]);
    let logs = state.execute(&claim(50), &[]);
    assert_eq!(logs.last(), Some(&ConsensusLog::NextSolutionRange(range)));
    assert_eq!(ranges(&state), (range, range));
}

#[test]
fn entropy_comes_from_two_intervals_back() {
    let mut state = state(ChainParameters {
        entropy_injection_interval: 3,
        ..ChainParameters::default()
    });
    let mut changes = Vec::new();
    for number in 1..=18_u64 {
        // Ten slots a block: the target is one and a half blocks later.
        let logs = state.execute(&claim(number * 10), &[]);
        let change = logs.iter().find_map(|log| match log {
            ConsensusLog::PotParametersChange(change) => Some(*change),
            _ => None,
        });
        assert_eq!(change, state.pot_change);
        if let Some(change) = change {
            changes.push((number, change.slot));
            let source = number / 3 * 3 - 6;
            let expected = claim(source * 10)
                .proof_of_time
                .derive_entropy(&claim(source * 10).solution.chunk);
            assert_eq!(change.entropy, expected, "block {number}");
        }
    }
    // First announced at block 9 (source 3), in every block up to the first behind the target slot.
    assert_eq!(
        changes,
        [
            (9, 105),
            (10, 105),
            (11, 105),
            (12, 135),
            (13, 135),
            (14, 135),
            (15, 165),
            (16, 165),
            (17, 165),
            (18, 195)
        ]
    );
}

#[test]
fn announcements_stop_behind_the_target_slot() {
    let mut state = state(ChainParameters {
        entropy_injection_interval: 5,
        ..ChainParameters::default()
    });
    let mut announced = Vec::new();
    for number in 1..=19_u64 {
        state.execute(&claim(number * 10), &[]);
        if state.pot_change.is_some() {
            announced.push(number);
        }
    }
    // Target slot 165: block 17 is the first behind it, 18 and 19 are silent.
    assert_eq!(announced, [15, 16, 17]);
}

#[test]
fn replay_notices_other_logs() {
    let mut original = state(ChainParameters::default());
    let mut copy = original.clone();
    let pre_digest = claim(7);
    let logs = original.execute(&pre_digest, &[segment(0)]);
    let mut digest = BlockDigest {
        pre_digest,
        logs,
        seal: None,
    };
    copy.clone().replay(&digest).unwrap();
    digest.logs.swap(0, 1);
    assert!(copy.clone().replay(&digest).unwrap_err().contains("logs"));
    digest.pre_digest.slot = 0;
    assert!(copy.replay(&digest).unwrap_err().contains("slot"));
    assert_eq!(original.history_size(), HistorySize::ONE);
    assert_eq!(original.next_segment_index(), SegmentIndex::ONE);
}
