//! The equivocation guard: one solution, one controller.

use super::on_each_server;
use autonomys_cluster::journal::{
    JournalError, MissReason, MissedWin, ProvedBy, SolutionCourse, SolutionJournal, SolutionKey,
    SolutionOutcome,
};
use autonomys_cluster::messages::NodeReply;
use autonomys_cluster::{ControllerId, InstanceId, Role};

fn controller() -> ControllerId {
    InstanceId::generate(Role::Controller).try_into().unwrap()
}

fn key(slot: u64) -> SolutionKey {
    SolutionKey {
        public_key: [1; 32].into(),
        slot,
        sector_index: 2,
        piece_offset: 3.into(),
    }
}

fn course() -> SolutionCourse {
    SolutionCourse {
        announced_at: 1_700_000_000_000,
        audited_ms: 20,
        read_ms: 120,
        proved_ms: 420,
        submitted_ms: 421,
        proved_by: ProvedBy::ProofServer(InstanceId::generate(Role::ProofServer)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_solution_goes_to_one_controller() {
    on_each_server("a_solution_goes_to_one_controller", async |mut server| {
        let farm = SolutionJournal::open(&server.connect("default", Role::PlotClient).await)
            .await
            .unwrap();
        let (one, two) = (controller(), controller());

        let permit = farm.record(&key(1), one, course()).await.unwrap();
        assert_eq!(permit.controller(), one);
        for again in [one, two] {
            let error = farm.record(&key(1), again, course()).await.unwrap_err();
            assert_eq!(
                error,
                JournalError::AlreadySent {
                    controller: one,
                    outcome: SolutionOutcome::Pending
                }
            );
        }
        farm.record(&key(2), two, course()).await.unwrap();

        // A crash of everything changes nothing.
        server.restart().await;
        let reborn = SolutionJournal::open(&server.connect("default", Role::PlotClient).await)
            .await
            .unwrap();
        let error = reborn
            .record(&key(1), two, course())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("the solution is not sent again: it was given to {one}")),
            "{error}"
        );

        for (slot, outcome) in [
            (10, SolutionOutcome::Accepted),
            (11, SolutionOutcome::from(NodeReply::refused(9001, "stale"))),
            (12, SolutionOutcome::Unknown),
        ] {
            farm.record(&key(slot), one, course())
                .await
                .unwrap()
                .settle(outcome.clone(), 500)
                .await
                .unwrap();
            let record = farm.get(&key(slot)).await.unwrap().unwrap();
            let answered = (outcome != SolutionOutcome::Unknown).then_some(500);
            assert_eq!((record.outcome, record.answered_ms), (outcome.clone(), answered));
            let error = farm.record(&key(slot), two, course()).await.unwrap_err();
            assert_eq!(
                error,
                JournalError::AlreadySent {
                    controller: one,
                    outcome
                }
            );
        }

        // Certainly not received: another one may have it, but only one other.
        let missed = SolutionOutcome::from(NodeReply::NodeUnreachable);
        farm.record(&key(20), one, course())
            .await
            .unwrap()
            .settle(missed, 500)
            .await
            .unwrap();
        let key20 = key(20);
        let (first, second) = tokio::join!(
            farm.record(&key20, two, course()),
            reborn.record(&key20, controller(), course())
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        let key21 = key(21);
        let (first, second) = tokio::join!(
            farm.record(&key21, one, course()),
            reborn.record(&key21, one, course())
        );
        assert!(
            first.is_ok() != second.is_ok(),
            "twice to the same one is twice as well: {first:?} {second:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_recorded_is_not_sent() {
    let mut server = autonomys_cluster::test_util::NatsServer::start().await;
    let farm = SolutionJournal::open(&server.connect("default", Role::PlotClient).await)
        .await
        .unwrap();
    server.kill().await;
    let asked = std::time::Instant::now();
    let error = farm.record(&key(1), controller(), course()).await.unwrap_err();
    assert!(matches!(error, JournalError::Store(_)), "{error}");
    assert!(
        asked.elapsed() < std::time::Duration::from_secs(4),
        "before the slot is over"
    );
    assert!(
        error
            .to_string()
            .starts_with("the solution is not sent because it could not be recorded first"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_tells_what_was_won_and_what_was_missed() {
    on_each_server(
        "the_journal_tells_what_was_won_and_what_was_missed",
        async |server| {
            let journal = SolutionJournal::open(&server.connect("default", Role::PlotClient).await)
                .await
                .unwrap();
            let (controller, course) = (controller(), course());
            let permit = journal.record(&key(7), controller, course).await.unwrap();
            permit.settle(SolutionOutcome::Accepted, 450).await.unwrap();
            journal.record(&key(8), controller, course).await.unwrap();
            let mut solutions = journal.solutions().await.unwrap();
            solutions.sort_by_key(|(key, _)| key.slot);
            let [(won, accepted), (_, pending)] = &solutions[..] else {
                panic!("{solutions:?}");
            };
            assert_eq!(
                (won, accepted.course, accepted.answered_ms),
                (&key(7), course, Some(450))
            );
            assert_eq!(pending.outcome, SolutionOutcome::Pending);
            assert_eq!(pending.answered_ms, None);

            let missed = |winner, reason| MissedWin {
                public_key: [1; 32].into(),
                slot: 9,
                winner,
                count: 3,
                announced_at: 5,
                after_ms: 2000,
                reason,
            };
            // The farm was not audited, a win was lost, and the first word about it stays.
            let skipped = missed(None, MissReason::EarlierAuditRuns);
            let late = missed(Some((4, 5.into())), MissReason::ProofTooLate);
            for recorded in [
                &skipped,
                &late,
                &missed(Some((4, 5.into())), MissReason::NoTimeLeft),
            ] {
                journal.record_missed(recorded).await.unwrap();
            }
            let mut found = journal.missed().await.unwrap();
            found.sort_by_key(|missed| missed.winner);
            assert_eq!(found, [skipped, late]);
        },
    )
    .await;
}
