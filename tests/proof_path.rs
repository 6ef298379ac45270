//! From a win to the node: every solution is in the journal with all its stages, and no slot is lost when the proof-server hangs, dies or
//! has too much to do.

use crate::support::caches::utility;
use crate::support::roles::{PLOTTED_WITHIN, REWARD_WITHIN, erasure_coding, plot_client};
use crate::support::{DevChain, Process, TestCluster, Turn};
use autonomys_cluster::messages::ProofRequest as ProofMessage;
use autonomys_cluster::{Cluster, Refusal, RequestError, Role};
use parity_scale_codec::Encode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{Piece, RecordCommitment, RecordWitness};
use subspace_core_primitives::segments::HistorySize;
use subspace_farmer_components::auditing::{AuditChallenge, audit_sector};
use subspace_farmer_components::plotting::{SectorToEncode, encode_sector};
use subspace_farmer_components::proving::{ProofRequest, provable_candidates, read_proof_input};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_farmer_components::sector::{CHUNK_SIZE, LoadedSector, NUM_CHUNKS};
use subspace_proof_of_space::{FastTestProofOfSpace, ProofOfSpaceKind};

/// A slot of a second gives a solution four.
const SLOT_MS: u64 = 1000;
/// Time enough for a request.
const ENOUGH_MS: u32 = 10_000;
/// Solutions that are looked at after each event.
const SOLUTIONS: usize = 2;

#[tokio::test]
async fn no_win_is_lost_with_the_proof_server() {
    let _turn = Turn::wait().await;
    let chain = DevChain {
        slot_duration_ms: SLOT_MS,
        ..DevChain::default()
    };
    let cluster = TestCluster::start(chain).await;
    cluster.controller().start();
    let proof_server = cluster.role("proof-server").start();
    let (observer, members) = cluster.observe().await;
    let ready = |snapshot: &autonomys_cluster::members::MembersSnapshot| {
        snapshot.role(Role::ProofServer).count() == 1
    };
    cluster
        .wait_for_members(&members, "the proof-server is there", PLOTTED_WITHIN, ready)
        .await;
    refuses_by_name(&cluster, &observer, &proof_server).await;

    cluster
        .role("plot-server")
        .arg(cluster.path("plot-server"))
        .start();
    plot_client(&cluster, "plot-client", &cluster.path("farm"), 2);
    let solutions = accepted(&cluster, "solutions by the proof-server", 0, |by| {
        by.starts_with("proof-server.")
    })
    .await;
    for solution in &solutions {
        let stages = [
            "audited_ms",
            "read_ms",
            "proved_ms",
            "submitted_ms",
            "answered_ms",
        ];
        let times = stages.map(|stage| {
            solution[stage]
                .as_u64()
                .unwrap_or_else(|| panic!("{stage}: {solution}"))
        });
        assert!(times.is_sorted(), "{solution}");
        assert!(times[4] < 4 * SLOT_MS, "{solution}");
        assert!(
            solution["controller"]
                .as_str()
                .unwrap()
                .starts_with("controller."),
            "{solution}"
        );
    }

    // Requests reach it and are never answered, as in the middle of a proof.
    let before = newest(&solutions);
    proof_server.freeze();
    let solutions = accepted(&cluster, "solutions while the proof-server hangs", before, |by| {
        by == "plot-client"
    })
    .await;
    proof_server.kill();
    let before = newest(&solutions);
    let solutions = accepted(&cluster, "solutions after its death", before, |by| {
        by == "plot-client"
    })
    .await;
    let before = newest(&solutions);
    proof_server.restart();
    accepted(&cluster, "solutions by the proof-server again", before, |by| {
        by.starts_with("proof-server.")
    })
    .await;

    let journal = journal(&cluster).await;
    let lost: Vec<_> = journal
        .iter()
        .filter(|entry| entry["outcome"] == "missed")
        // Two sectors may win one slot, of which the node takes what it has use for.
        .filter(|entry| entry["reason"] != "dropped: the node had closed the slot")
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    let shown = utility(&format!("solutions --nats-server {}", cluster.nats.url())).await;
    assert_eq!(shown.code, Some(0), "{}", shown.text);
    assert!(
        shown.text.contains("accepted") && shown.text.contains("plot-client"),
        "{}",
        shown.text
    );
}

/// Everything in the journal, oldest first.
async fn journal(cluster: &TestCluster) -> Vec<Value> {
    let ended = utility(&format!(
        "solutions --json --last 100000 --nats-server {}",
        cluster.nats.url()
    ))
    .await;
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    ended.json["entries"].as_array().unwrap().clone()
}

/// Waits for some solutions of slots after `after` that the node took and that were proved by whom is wanted.
async fn accepted(
    cluster: &TestCluster,
    what: &str,
    after: u64,
    proved_by: impl Fn(&str) -> bool,
) -> Vec<Value> {
    cluster
        .wait_until(what, REWARD_WITHIN, async || {
            let mut found = journal(cluster).await;
            found.retain(|entry| {
                entry["outcome"] == "accepted"
                    && entry["slot"].as_u64().unwrap() > after
                    && proved_by(entry["proved_by"].as_str().unwrap())
            });
            (found.len() >= SOLUTIONS).then_some(found)
        })
        .await
}

fn newest(solutions: &[Value]) -> u64 {
    solutions.last().unwrap()["slot"].as_u64().unwrap()
}

/// Well-formed requests that take all the work of a proof; only in the end it turns out that the commitment is not the record's.
fn requests() -> [ProofRequest; 4] {
    let mut commitment = [0; 48];
    // The point at infinity, which is the commitment to nothing.
    commitment[0] = 0xc0;
    let record = vec![1; NUM_CHUNKS * CHUNK_SIZE];
    let (commitment, witness) = (RecordCommitment::from(commitment), RecordWitness::default());
    let piece = Piece::from_parts(&record, &commitment, &witness).unwrap();
    let to_encode = SectorToEncode {
        public_key_hash: Blake3Hash::default(),
        sector_index: 0,
        history_size: HistorySize::ONE,
        pieces: vec![piece],
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let encoded = encode_sector(
        to_encode,
        &FastTestProofOfSpace,
        &erasure_coding(),
        &pool,
        NonZeroUsize::MIN,
        &|_| {},
        &AtomicBool::new(false),
    )
    .unwrap();
    let sector = LoadedSector::new(&Blake3Hash::default(), encoded.metadata.0);
    let reader = SectorReader::new(&encoded.sector, &sector, ReadMode::SingleReads, None);
    let contents_map = reader.read_contents_map().unwrap();
    let mut requests = BTreeMap::new();
    for number in 0_u64.. {
        let challenge = AuditChallenge {
            global_challenge: blake3_hash(&number.to_le_bytes()),
            solution_range: u64::MAX,
        };
        let audit = audit_sector(&sector, &encoded.sector, &challenge, &mut Vec::new()).unwrap();
        let candidates = audit.map(|audit| provable_candidates(&audit, &contents_map));
        for candidate in candidates.unwrap_or_default() {
            let input = read_proof_input(&reader, &contents_map, &candidate, ProofOfSpaceKind::FastTest);
            requests.insert(candidate.s_bucket, input.unwrap().request);
        }
        if requests.len() >= 4 {
            break;
        }
    }
    let requests: Vec<_> = requests.into_values().take(4).collect();
    requests.try_into().unwrap()
}

fn message(request: &ProofRequest, within_ms: u32) -> ProofMessage {
    ProofMessage {
        within_ms,
        payload: request.encode(),
    }
}

/// Whatever a proof-server does not do, it says why.
async fn refuses_by_name(cluster: &TestCluster, observer: &Cluster, proof_server: &Process) {
    let refusal = async |message: ProofMessage| match observer.queue_request(&message).await {
        Err(RequestError::Refused { refusal, .. }) => Some(refusal),
        // It has announced itself and does not listen yet.
        Err(RequestError::NoResponders { .. }) => None,
        other => panic!("{other:?}"),
    };
    let requests = requests();
    let first = cluster
        .wait_until("the proof-server listens", PLOTTED_WITHIN, async || {
            refusal(message(&requests[0], 1)).await
        })
        .await;
    assert!(
        matches!(first, Refusal::TooLate { left_ms: 0..=1, .. }),
        "{first}"
    );
    let mut foreign = message(&requests[0], ENOUGH_MS);
    foreign.payload[1] = 0;
    let mut short = message(&requests[0], ENOUGH_MS);
    short.payload.truncate(10);
    for (wrong, reason) in [(foreign, "proof of space"), (short, "1056852 bytes")] {
        match refusal(wrong).await {
            Some(Refusal::Invalid(said)) => assert!(said.contains(reason), "{said}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
    // Three at once, which it finds when it wakes: one is worked on, one waits, one is too many.
    proof_server.freeze();
    let messages = [1, 2, 3].map(|number: usize| message(&requests[number], ENOUGH_MS));
    let mut asked: Vec<_> = messages
        .iter()
        .map(|message| Box::pin(observer.queue_request(message)))
        .collect();
    for asking in &mut asked {
        assert!(
            futures::poll!(asking.as_mut()).is_pending(),
            "sent, and not answered"
        );
    }
    // All of them are at the NATS server before the process goes on.
    observer.flush().await.unwrap();
    proof_server.thaw();
    let mut overloaded = 0;
    for asked in asked {
        match asked.await {
            Err(RequestError::Refused {
                refusal: Refusal::Overloaded,
                ..
            }) => overloaded += 1,
            // The chunks are of no record.
            Err(RequestError::Refused {
                refusal: Refusal::Failed(_),
                ..
            }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(overloaded, 1);
}
