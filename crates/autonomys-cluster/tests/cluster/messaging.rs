//! Broadcasts, requests and services over real servers.

use super::{on_each_server, soon};
use autonomys_cluster::messages::{
    ArchivedSegmentAnnouncement, DrainReply, NodeReply, ProofReply, ProofRequest, SetDraining,
    SlotAnnouncement, SubmitSolution,
};
use autonomys_cluster::test_util::NatsServer;
use autonomys_cluster::{Cluster, ControllerId, InstanceId, Refusal, RequestError, Role, ServeLimits};
use futures::StreamExt;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::rpc::{SlotInfo, SolutionResponse};
use subspace_core_primitives::solutions::Solution;
use tokio::sync::Semaphore;

const ONE: ServeLimits = ServeLimits {
    concurrency: 1,
    backlog: 0,
};

fn slot(cluster: &Cluster, slot_number: u64) -> SlotAnnouncement {
    SlotAnnouncement {
        controller: ControllerId::try_from(cluster.instance()).unwrap(),
        slot_info: SlotInfo {
            slot_number,
            global_challenge: [1; 32].into(),
            solution_range: 2,
            voting_solution_range: 3,
        },
    }
}

fn solution() -> SubmitSolution {
    let key = PublicKey::from([3; 32]);
    SubmitSolution {
        response: SolutionResponse {
            slot_number: 4,
            solution: Solution::genesis_solution(key, key),
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_reach_everybody_of_the_cluster_and_nobody_else() {
    on_each_server("broadcasts_reach_everybody", async |server| {
        let controller = server.connect("one", Role::Controller).await;
        let farms = [
            server.connect("one", Role::PlotClient).await,
            server.connect("one", Role::PlotClient).await,
        ];
        let stranger = server.connect("two", Role::PlotClient).await;
        let mut slots = Vec::new();
        for farm in &farms {
            slots.push(farm.subscribe::<SlotAnnouncement>().await.unwrap());
            farm.flush().await.unwrap();
        }
        let mut foreign = stranger.subscribe::<SlotAnnouncement>().await.unwrap();
        let mut headers = farms[0].subscribe::<ArchivedSegmentAnnouncement>().await.unwrap();
        stranger.flush().await.unwrap();
        farms[0].flush().await.unwrap();

        controller.broadcast(&slot(&controller, 7)).await.unwrap();
        for slots in &mut slots {
            assert_eq!(soon("slot", slots.next()).await.unwrap(), slot(&controller, 7));
        }
        // Everything that was sent has been delivered by now.
        let barrier = server.connect("two", Role::Controller).await;
        barrier.broadcast(&slot(&barrier, 8)).await.unwrap();
        assert_eq!(soon("own slot", foreign.next()).await.unwrap(), slot(&barrier, 8));
        assert!(futures::poll!(headers.next()).is_pending());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_knows_whether_it_was_received() {
    on_each_server("a_request_knows_whether_it_was_received", async |server| {
        let controller = server.connect("default", Role::Controller).await;
        let farm = server.connect("default", Role::PlotClient).await;

        let nobody = farm
            .request(InstanceId::generate(Role::Controller), &solution())
            .await
            .unwrap_err();
        assert!(matches!(nobody, RequestError::NoResponders { .. }), "{nobody}");
        assert!(
            nobody
                .to_string()
                .starts_with("nobody in the cluster serves submit-solution of controller."),
            "{nobody}"
        );

        let service = controller
            .serve(ONE, async |request: SubmitSolution| {
                match request.response.slot_number {
                    4 => Ok(NodeReply::refused(9001, "too late")),
                    _ => Err(Refusal::Invalid("no such slot".to_owned())),
                }
            })
            .await
            .unwrap();
        controller.flush().await.unwrap();
        let reply = farm.request(controller.instance(), &solution()).await.unwrap();
        assert_eq!(
            reply,
            NodeReply::Refused {
                code: 9001,
                message: "too late".to_owned()
            }
        );
        let mut other = solution();
        other.response.slot_number = 5;
        let refused = farm.request(controller.instance(), &other).await.unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("was refused: the request is invalid: no such slot"),
            "{refused}"
        );

        service.drain().await;
        let gone = farm
            .request(controller.instance(), &solution())
            .await
            .unwrap_err();
        assert!(matches!(gone, RequestError::NoResponders { .. }), "{gone}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proofs_are_shared_out_and_overload_is_told_at_once() {
    on_each_server("proofs_are_shared_out", async |server| {
        let farm = server.connect("default", Role::PlotClient).await;
        let provers = [
            server.connect("default", Role::ProofServer).await,
            server.connect("default", Role::ProofServer).await,
        ];
        let gate = Arc::new(Semaphore::new(0));
        let started = Arc::new(Semaphore::new(0));
        let mut services = Vec::new();
        for prover in &provers {
            let server = prover.instance();
            let (gate, started) = (Arc::clone(&gate), Arc::clone(&started));
            let handler = move |request: ProofRequest| {
                let (gate, started) = (Arc::clone(&gate), Arc::clone(&started));
                async move {
                    started.add_permits(1);
                    gate.acquire().await.unwrap().forget();
                    Ok(ProofReply {
                        server,
                        payload: request.payload[..3].to_vec(),
                    })
                }
            };
            services.push(prover.serve_queue(ONE, handler).await.unwrap());
            prover.flush().await.unwrap();
        }
        // As large as real ones.
        let request = ProofRequest {
            within_ms: 3000,
            payload: vec![5; 1_100_000],
        };
        let mut waiting = Vec::new();
        // NATS picks a member by chance, so it may take a few tries until both are busy.
        soon("both busy", async {
            while waiting.len() < 2 {
                let asking = tokio::spawn({
                    let (farm, request) = (farm.clone(), request.clone());
                    async move { farm.queue_request(&request).await }
                });
                tokio::select! {
                    permit = started.acquire() => {
                        permit.unwrap().forget();
                        waiting.push(asking);
                    }
                    () = async { while !asking.is_finished() { tokio::task::yield_now().await } } => {}
                }
            }
        })
        .await;
        let refused = farm.queue_request(&request).await.unwrap_err();
        assert!(
            matches!(
                refused,
                RequestError::Refused {
                    refusal: Refusal::Overloaded,
                    ..
                }
            ),
            "both are busy: {refused}"
        );

        gate.add_permits(2);
        let mut servers = HashSet::new();
        for asking in waiting {
            let reply = soon("proof", asking).await.unwrap().unwrap();
            assert_eq!(reply.payload, [5; 3]);
            servers.insert(reply.server);
        }
        assert_eq!(servers, provers.iter().map(Cluster::instance).collect());
        let late = farm
            .queue_request_within(&request, Duration::from_millis(100))
            .await
            .unwrap_err();
        assert_eq!(late.to_string(), "proof was not answered within 100 ms");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_answers_what_it_has() {
    let server = NatsServer::start().await;
    let prover = server.connect("default", Role::ProofServer).await;
    let farm = server.connect("default", Role::PlotClient).await;
    let server_id = prover.instance();
    let gate = Arc::new(Semaphore::new(0));
    let started = Arc::new(Semaphore::new(0));
    let handler = {
        let (gate, started) = (Arc::clone(&gate), Arc::clone(&started));
        move |_: ProofRequest| {
            let (gate, started) = (Arc::clone(&gate), Arc::clone(&started));
            async move {
                started.add_permits(1);
                gate.acquire().await.unwrap().forget();
                Ok(ProofReply {
                    server: server_id,
                    payload: vec![1],
                })
            }
        }
    };
    let service = prover.serve_queue(ONE, handler).await.unwrap();
    prover.flush().await.unwrap();
    let empty = ProofRequest {
        within_ms: 0,
        payload: Vec::new(),
    };
    let asking = tokio::spawn({
        let (farm, empty) = (farm.clone(), empty.clone());
        async move { farm.queue_request(&empty).await }
    });
    soon("start", started.acquire()).await.unwrap().forget();
    let draining = tokio::spawn(service.drain());
    assert!(!draining.is_finished());
    gate.add_permits(1);
    assert_eq!(soon("answer", asking).await.unwrap().unwrap().payload, [1]);
    soon("drained", draining).await.unwrap();
    let refused = farm.queue_request(&empty).await.unwrap_err();
    assert!(matches!(refused, RequestError::NoResponders { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_and_subscriptions_outlive_the_server() {
    on_each_server(
        "services_and_subscriptions_outlive_the_server",
        async |mut server| {
            let controller = server.connect("default", Role::Controller).await;
            let farm = server.connect("default", Role::PlotClient).await;
            let _service = controller
                .serve(ONE, async |request: SetDraining| {
                    Ok(DrainReply {
                        draining: request.draining,
                        held: 0,
                    })
                })
                .await
                .unwrap();
            let mut slots = farm.subscribe::<SlotAnnouncement>().await.unwrap();
            farm.flush().await.unwrap();
            server.restart().await;
            super::eventually("service", async || {
                farm.request(controller.instance(), &SetDraining { draining: true })
                    .await
                    .is_ok()
            })
            .await;
            controller.broadcast(&slot(&controller, 9)).await.unwrap();
            assert_eq!(soon("slot", slots.next()).await.unwrap(), slot(&controller, 9));
        },
    )
    .await;
}
