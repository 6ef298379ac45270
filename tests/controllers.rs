//! Three controllers in front of two nodes of one chain, of which one leads and one follows: whatever is killed, farming goes on with
//! what is left, and no farm ever gives solutions of one slot to two nodes.

use crate::support::roles::{PLOTTED_WITHIN, plot_client};
use crate::support::{DEFAULT_CLUSTER, DevChain, Process, TestCluster, Turn};
use autonomys_cluster::journal::{JournalRecord, SolutionOutcome};
use autonomys_cluster::members::{ControllerStatus, MembersView, RoleStatus};
use autonomys_cluster::messages::SlotAnnouncement;
use autonomys_cluster::{ClusterName, InstanceId, Role, Subjects, identity};
use autonomys_dev_node::DevNodeClient;
use autonomys_dev_node::follow::FollowStage;
use autonomys_dev_node::rpc::development::{NodeStatus, ReceivedSolution};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Length of a slot. Proofs are made by the plot-client itself and have four slots of time.
const SLOT: Duration = Duration::from_millis(400);
/// What losing a controller may cost: the leader's lease.
const LEASE: Duration = Duration::from_secs(5);
/// As many slots as a lease holds.
const LEASE_SLOTS: u64 = (LEASE.as_millis() / SLOT.as_millis()) as u64;
/// A controller that is back serves; a node that is back is followed.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// Slots with solutions that have to come after something was killed.
const SLOTS: usize = 4;
/// Slots that a controller may need to notice that its node is back: it looks every second.
const NOTICED_WITHIN: u64 = 6;
/// A signature that had to wait for a proof would take far longer than this on average.
const SIGNED_WITHIN: Duration = Duration::from_secs(1);

/// One of the two nodes, with what it was given before and after restarts.
struct Node {
    process: Process,
    url: String,
    client: Option<DevNodeClient>,
    received: Vec<ReceivedSolution>,
}

impl Node {
    fn new(process: Process, url: String) -> Self {
        Self {
            process,
            url,
            client: None,
            received: Vec::new(),
        }
    }

    async fn client(&mut self) -> Option<&DevNodeClient> {
        if self.client.is_none() {
            self.client = DevNodeClient::connect(&self.url).await.ok();
        }
        self.client.as_ref()
    }

    /// How the node is, `None` when it does not answer.
    async fn status(&mut self) -> Option<NodeStatus> {
        let status = self.client().await?.status().await.ok();
        if status.is_none() {
            self.client = None;
        }
        status
    }

    /// Reads what was submitted since the last time.
    async fn collect(&mut self) {
        let Some(client) = self.client().await else { return };
        if let Ok(all) = client.received_solutions(0).await {
            for solution in all {
                if !self.received.contains(&solution) {
                    self.received.push(solution);
                }
            }
        }
    }

    fn kill(&mut self) {
        self.process.kill();
        self.client = None;
    }

    fn slots_after(&self, slot: u64) -> BTreeSet<u64> {
        let slots = self.received.iter().filter(|solution| solution.taken);
        slots
            .map(|solution| solution.slot)
            .filter(|solved| *solved > slot)
            .collect()
    }
}

struct Nodes {
    leading: Node,
    following: Node,
}

impl Nodes {
    /// Waits until solutions of [`SLOTS`] slots above `after` were taken by either node, and returns these slots.
    async fn wait_for_solutions(
        &mut self,
        cluster: &TestCluster,
        what: &str,
        after: u64,
        within: Duration,
    ) -> BTreeSet<u64> {
        cluster
            .wait_until(what, within, async || {
                self.leading.collect().await;
                self.following.collect().await;
                let mut slots = self.leading.slots_after(after);
                slots.extend(self.following.slots_after(after));
                (slots.len() >= SLOTS).then_some(slots)
            })
            .await
    }

    /// The newest slot of the leading node.
    async fn slot(&mut self, cluster: &TestCluster) -> u64 {
        cluster
            .wait_until("the leading node answers", BACK_WITHIN, async || {
                Some(self.leading.status().await?.slot)
            })
            .await
    }

    async fn wait_for_stage(&mut self, cluster: &TestCluster, stage: FollowStage) {
        let what = format!("the follower is {stage:?}");
        cluster
            .wait_until(&what, BACK_WITHIN, async || {
                let following = self.following.status().await?.following?;
                (following.state == stage).then_some(())
            })
            .await;
    }
}

/// One controller, with the identity that it will have.
struct Controller {
    process: Process,
    id: InstanceId,
}

fn start_controller(cluster: &TestCluster, name: &str, nodes: &[&str]) -> Controller {
    let directory = cluster.path(name);
    std::fs::create_dir_all(&directory).unwrap();
    let id = identity::load_or_create(&directory, Role::Controller).unwrap();
    let mut role = cluster
        .named_role(name, "controller")
        .args(["--base-path"])
        .arg(directory);
    for &node in nodes {
        role = role.args(["--node-rpc-url", node]);
    }
    Controller {
        process: role.start(),
        id,
    }
}

/// Number of the run as which a controller is known, `None` when it is not.
fn run_of(members: &MembersView, id: InstanceId) -> Option<u64> {
    members.current().get(id).map(|member| member.run)
}

fn status_of(members: &MembersView, id: InstanceId) -> Option<ControllerStatus> {
    match &members.current().get(id)?.status {
        RoleStatus::Controller(status) => Some(status.clone()),
        _ => None,
    }
}

async fn wait_for_status(
    cluster: &TestCluster,
    members: &MembersView,
    what: &str,
    controller: &Controller,
    condition: impl Fn(&ControllerStatus) -> bool,
) {
    cluster
        .wait_until(what, BACK_WITHIN, async || {
            status_of(members, controller.id).filter(&condition)
        })
        .await;
}

/// Every solution in the journal: farm and slot, controller, outcome.
async fn journal(cluster: &TestCluster) -> Vec<(String, u64, InstanceId, SolutionOutcome)> {
    let client = async_nats::connect(cluster.nats.url()).await.unwrap();
    let subjects = Subjects::new(DEFAULT_CLUSTER.parse::<ClusterName>().unwrap());
    let bucket = subjects.object("solutions");
    let store = async_nats::jetstream::new(client)
        .get_key_value(bucket.as_str())
        .await
        .unwrap();
    let keys: Vec<String> = store.keys().await.unwrap().try_collect().await.unwrap();
    let mut records = Vec::new();
    for key in keys {
        let record: JournalRecord =
            autonomys_cluster::decode(&store.get(&key).await.unwrap().unwrap()).unwrap();
        let mut parts = key.split('.');
        let farm = parts.next().unwrap().to_string();
        let slot = parts.next().unwrap().parse().unwrap();
        records.push((farm, slot, record.controller.instance(), record.outcome));
    }
    records
}

#[tokio::test]
async fn whatever_is_killed_farming_goes_on_with_what_is_left() {
    let _turn = Turn::wait().await;
    let chain = DevChain {
        slot_duration_ms: SLOT.as_millis().try_into().unwrap(),
        // Two sectors of four pieces: nearly every slot has winners.
        plotted_pieces: 1,
        ..DevChain::default()
    };
    let cluster = TestCluster::start(chain).await;
    let (process, url) = cluster.start_follower(&["--follow-delay-ms", "50"]);
    let mut nodes = Nodes {
        leading: Node::new(cluster.node_process().clone(), cluster.node_url()),
        following: Node::new(process, url.clone()),
    };
    // Otherwise the controller that is to use it would take the other one, and stay there.
    nodes.wait_for_stage(&cluster, FollowStage::Following).await;
    let leader_url = cluster.node_url();
    let controllers = [
        start_controller(&cluster, "controller-a", &[&leader_url]),
        start_controller(&cluster, "controller-b", &[&leader_url]),
        start_controller(&cluster, "controller-c", &[&url, &leader_url]),
    ];
    let [a, b, c] = &controllers;
    let _plot_server = cluster
        .role("plot-server")
        .arg(cluster.path("plot-server"))
        .start();
    let _farm = plot_client(&cluster, "plot-client", &cluster.path("farm"), 2);
    let (connection, members) = cluster.observe().await;
    nodes
        .wait_for_solutions(&cluster, "solutions are submitted", 0, PLOTTED_WITHIN)
        .await;
    wait_for_status(&cluster, &members, "C has two nodes", c, |status| {
        (status.nodes, status.healthy_nodes, status.syncing) == (2, 2, false)
    })
    .await;

    let mut announcements = connection.subscribe::<SlotAnnouncement>().await.unwrap();
    // Each controller in turn, and in between both that have the leading node: then blocks are won by way of the follower.
    for killed in [vec![a], vec![b], vec![c], vec![a, b]] {
        let names: Vec<_> = killed
            .iter()
            .map(|controller| controller.process.name())
            .collect();
        let slot = nodes.slot(&cluster).await;
        let best = nodes.leading.status().await.unwrap().best_number;
        let started = Instant::now();
        for controller in &killed {
            controller.process.kill();
        }
        // A busy machine may prove late; what controllers owe is that slots go on being announced.
        let first = first_announced(&mut announcements, slot, &killed).await;
        assert!(
            first <= slot + LEASE_SLOTS,
            "without {names:?} slots are announced from {first} on, {slot} was the last before"
        );
        let what = format!("slots are farmed without {names:?}");
        let solved = nodes.wait_for_solutions(&cluster, &what, slot, BACK_WITHIN).await;
        println!(
            "{what}: slots {solved:?} of {slot}.. within {:?}",
            started.elapsed()
        );
        if killed.len() == 2 {
            // What was on its way when they were killed may have arrived: two slots at most.
            assert!(nodes.following.slots_after(slot).len() >= SLOTS - 2);
            assert_eq!(nodes.leading.slots_after(slot + 2), BTreeSet::new());
            cluster
                .wait_until("a block is won by way of the follower", BACK_WITHIN, async || {
                    let status = nodes.leading.status().await?;
                    (status.best_number > best + 1).then_some(())
                })
                .await;
        }
        cluster
            .wait_until("another controller leads", BACK_WITHIN, async || {
                controllers
                    .iter()
                    .filter(|controller| !killed.iter().any(|killed| killed.id == controller.id))
                    .any(|controller| status_of(&members, controller.id).is_some_and(|status| status.leader))
                    .then_some(())
            })
            .await;
        for controller in killed {
            let before = run_of(&members, controller.id);
            controller.process.restart();
            let what = format!("{} is back", controller.process.name());
            wait_for_status(&cluster, &members, &what, controller, |status| {
                run_of(&members, controller.id) != before && status.last_slot > slot
            })
            .await;
        }
    }

    // The follower: nothing is lost, and the controller that used it goes to the other node.
    nodes.following.collect().await;
    let slot = nodes.slot(&cluster).await;
    nodes.following.kill();
    let what = "slots are farmed without the follower";
    let solved = nodes.wait_for_solutions(&cluster, what, slot, BACK_WITHIN).await;
    println!("{what}: slots {solved:?} of {slot}..");
    wait_for_status(&cluster, &members, "C has one node", c, |status| {
        (status.nodes, status.healthy_nodes) == (2, 1) && status.last_slot > slot + 1
    })
    .await;
    nodes.following.process.restart();
    nodes.wait_for_stage(&cluster, FollowStage::Following).await;

    // The leading node: nothing goes on without it, everything with it, and nobody else has to be restarted.
    nodes.leading.collect().await;
    nodes.leading.kill();
    nodes.wait_for_stage(&cluster, FollowStage::LeaderGone).await;
    wait_for_status(&cluster, &members, "A has no node", a, |status| {
        status.healthy_nodes == 0
    })
    .await;
    let mut announcements = connection.subscribe::<SlotAnnouncement>().await.unwrap();
    nodes.leading.process.restart();
    let slot = nodes.slot(&cluster).await;
    let first = tokio::time::timeout(BACK_WITHIN, announcements.next())
        .await
        .unwrap()
        .unwrap();
    let first = first.slot_info.slot_number;
    println!("the leading node is back at slot {slot}, slots are announced from {first} on");
    assert!(
        first <= slot + NOTICED_WITHIN,
        "back at {slot}, announced from {first} on"
    );
    nodes
        .wait_for_solutions(&cluster, "slots are farmed again", slot, BACK_WITHIN)
        .await;
    nodes.wait_for_stage(&cluster, FollowStage::Following).await;
    for controller in &controllers {
        wait_for_status(&cluster, &members, "all have a node", controller, |status| {
            status.healthy_nodes > 0 && !status.syncing
        })
        .await;
    }

    nodes.leading.collect().await;
    nodes.following.collect().await;
    check_signing(&cluster, &mut nodes).await;
    check_equivocation(&nodes, &journal(&cluster).await, &[a.id, b.id, c.id]);
}

/// The first slot after `slot` that a controller announces that was not killed.
async fn first_announced(
    announcements: &mut (impl futures::Stream<Item = SlotAnnouncement> + Unpin),
    slot: u64,
    killed: &[&Controller],
) -> u64 {
    let first = async {
        loop {
            let announcement = announcements.next().await.unwrap();
            let number = announcement.slot_info.slot_number;
            let id = announcement.controller.instance();
            if number > slot && !killed.iter().any(|controller| controller.id == id) {
                return number;
            }
        }
    };
    tokio::time::timeout(BACK_WITHIN, first)
        .await
        .expect("slots are announced")
}

/// Signatures do not wait for proofs, which the plot-client makes at the same time.
async fn check_signing(cluster: &TestCluster, nodes: &mut Nodes) {
    let signing = cluster
        .wait_until("blocks are signed", BACK_WITHIN, async || {
            let signing = nodes.leading.status().await?.signing;
            (signing.signed >= 2).then_some(signing)
        })
        .await;
    println!("signing at the leading node: {signing:?}");
    let mean = Duration::from_micros(signing.total_us / signing.signed);
    assert!(mean < SIGNED_WITHIN, "signatures took {mean:?} on average");
}

/// For each farm and slot one node, by what the nodes say they were given, and by what the journal says was sent.
fn check_equivocation(
    nodes: &Nodes,
    journal: &[(String, u64, InstanceId, SolutionOutcome)],
    known: &[InstanceId],
) {
    let mut given: BTreeMap<(String, u64), BTreeSet<&str>> = BTreeMap::new();
    for node in [&nodes.leading, &nodes.following] {
        for solution in &node.received {
            let farm = solution.public_key.to_string();
            given.entry((farm, solution.slot)).or_default().insert(&node.url);
        }
    }
    assert!(given.len() > SLOTS * 5, "{given:?}");
    for (slot, nodes) in &given {
        assert_eq!(nodes.len(), 1, "{slot:?} went to {nodes:?}");
    }
    let mut sent: BTreeMap<(&str, u64), BTreeSet<InstanceId>> = BTreeMap::new();
    for (farm, slot, controller, outcome) in journal {
        if *outcome != SolutionOutcome::NotReceived {
            sent.entry((farm, *slot)).or_default().insert(*controller);
        }
    }
    for (slot, controllers) in &sent {
        assert!(controllers.iter().all(|id| known.contains(id)));
        assert_eq!(controllers.len(), 1, "{slot:?} was sent to {controllers:?}");
    }
    // Whatever a node was given was recorded before.
    for (farm, slot) in given.keys() {
        assert!(
            sent.contains_key(&(farm.as_str(), *slot)),
            "slot {slot} is not in the journal"
        );
    }
}
