//! The equivocation guard: one solution, one controller.

use super::on_each_server;
use autonomys_cluster::journal::{JournalError, SolutionJournal, SolutionKey, SolutionOutcome};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_solution_goes_to_one_controller() {
    on_each_server("a_solution_goes_to_one_controller", async |mut server| {
        let farm = SolutionJournal::open(&server.connect("default", Role::PlotClient).await)
            .await
            .unwrap();
        let (one, two) = (controller(), controller());

        let permit = farm.record(&key(1), one).await.unwrap();
        assert_eq!(permit.controller(), one);
        for again in [one, two] {
            let error = farm.record(&key(1), again).await.unwrap_err();
            assert_eq!(
                error,
                JournalError::AlreadySent {
                    controller: one,
                    outcome: SolutionOutcome::Pending
                }
            );
        }
        farm.record(&key(2), two).await.unwrap();

        // A crash of everything changes nothing.
        server.restart().await;
        let reborn = SolutionJournal::open(&server.connect("default", Role::PlotClient).await)
            .await
            .unwrap();
        let error = reborn.record(&key(1), two).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the solution is not sent again: it was given to {one}")),
            "{error}"
        );

        for (slot, outcome) in [
            (10, SolutionOutcome::Accepted),
            (11, SolutionOutcome::from(NodeReply::refused(9001, "stale"))),
            (12, SolutionOutcome::Unknown),
        ] {
            farm.record(&key(slot), one)
                .await
                .unwrap()
                .settle(outcome.clone())
                .await
                .unwrap();
            assert_eq!(farm.get(&key(slot)).await.unwrap().unwrap().outcome, outcome);
            let error = farm.record(&key(slot), two).await.unwrap_err();
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
        farm.record(&key(20), one)
            .await
            .unwrap()
            .settle(missed)
            .await
            .unwrap();
        let key20 = key(20);
        let (first, second) = tokio::join!(farm.record(&key20, two), reborn.record(&key20, controller()));
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        let key21 = key(21);
        let (first, second) = tokio::join!(farm.record(&key21, one), reborn.record(&key21, one));
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
    let error = farm.record(&key(1), controller()).await.unwrap_err();
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
