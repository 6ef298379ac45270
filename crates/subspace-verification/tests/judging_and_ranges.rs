//! What becomes of the solutions of a slot, and the ranges they are judged by.

use subspace_verification::{SlotJudge, SolutionError, SolutionRanges, Verdict, voting_solution_range};

#[test]
fn first_solution_in_the_range_makes_the_block() {
    let mut judge = SlotJudge::new(200, false);
    assert_eq!(judge.judge(Ok(101)), Verdict::Vote);
    assert_eq!(
        judge.judge(Err(SolutionError::InvalidPiece)),
        Verdict::Invalid(SolutionError::InvalidPiece)
    );
    assert_eq!(judge.judge(Ok(100)), Verdict::Block);
    assert_eq!(judge.judge(Ok(0)), Verdict::SurplusBlock);
    assert_eq!(judge.judge(Ok(u64::MAX)), Verdict::Vote);

    let mut judge = SlotJudge::new(200, true);
    assert_eq!(judge.judge(Ok(101)), Verdict::VoteOnGenesis);
    assert_eq!(judge.judge(Ok(99)), Verdict::Block);
}

#[test]
fn ranges_follow_the_eras() {
    let initial = 1_000_000;
    let mut ranges = SolutionRanges::with_constants(initial, 10, (1, 6), 9);
    for block in 1..=10 {
        ranges.on_block(block, u64::from(block) * 12);
    }
    assert_eq!(ranges.solution_range(), initial, "adjustment is not enabled");
    assert_eq!(ranges.voting_solution_range(), initial);

    ranges.enable_adjustment(None);
    assert_eq!(ranges.voting_solution_range(), initial * 10);
    // Twice as many slots as intended: the range doubles from the block after the end of the era on.
    for block in 11..=20 {
        assert_eq!(ranges.solution_range(), initial);
        ranges.on_block(block, u64::from(block) * 12);
    }
    assert_eq!(ranges.solution_range(), initial * 2);
    // A hundredth of the slots: a quarter is the limit.
    for block in 21..=30 {
        assert_eq!(ranges.solution_range(), initial * 2);
        ranges.on_block(block, 240 + u64::from(block - 20) / 10);
    }
    assert_eq!(ranges.solution_range(), initial / 2);
    ranges.enable_adjustment(Some(77));
    for block in 31..=40 {
        ranges.on_block(block, u64::from(block) * 12);
    }
    assert_eq!(ranges.solution_range(), 77, "an override replaces one adjustment");
    assert_eq!(voting_solution_range(u64::MAX, 9, true), u64::MAX);
}
