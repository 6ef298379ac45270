//! Joining, changing, leaving, dying, and being somebody else.

use super::{on_each_server, soon};
use autonomys_cluster::members::{Member, MembersView, Membership, PlotServerStatus, RoleStatus};
use autonomys_cluster::test_util::NatsServer;
use autonomys_cluster::{Cluster, Role};
use std::time::{Duration, Instant};

async fn join(cluster: &Cluster) -> Membership {
    Membership::join(cluster, Member::new(cluster.instance(), "host-1", "1.0.0"))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_change_and_go() {
    on_each_server("members_come_change_and_go", async |mut server| {
        let old = server.connect("default", Role::PlotServer).await;
        let new = server.connect("default", Role::PlotClient).await;
        let other = server.connect("other", Role::PlotClient).await;
        let early = join(&old).await;
        let late = join(&new).await;
        let foreign = join(&other).await;

        // The newcomer learns of the others by asking, well before their next announcement would tell.
        let mut view = late.view();
        soon(
            "early",
            view.wait_until(|members| members.is_live(old.instance())),
        )
        .await
        .unwrap();
        let mut view_of_early = early.view();
        soon(
            "late",
            view_of_early.wait_until(|members| members.is_live(new.instance())),
        )
        .await
        .unwrap();
        assert_eq!(view.current().role(Role::PlotServer).count(), 1);
        assert!(!view.current().is_live(other.instance()), "another cluster");

        let key = view.current().get(old.instance()).unwrap().session_key;
        early.update(|member| {
            member.status = RoleStatus::PlotServer(PlotServerStatus {
                slots: 4,
                ..Default::default()
            });
            member.data_plane_addresses = vec!["10.0.0.1:9966".to_owned()];
            member.run = 0;
        });
        let changed = soon(
            "change",
            view.wait_until(|members| {
                members
                    .get(old.instance())
                    .is_some_and(|member| !member.data_plane_addresses.is_empty())
            }),
        )
        .await
        .unwrap();
        let member = changed.get(old.instance()).unwrap();
        assert!(matches!(
            member.status,
            RoleStatus::PlotServer(PlotServerStatus { slots: 4, .. })
        ));
        assert!(
            member.run != 0 && member.session_key == key,
            "the run is the same"
        );

        let observed = server.connect("default", Role::Controller).await;
        let mut observer = MembersView::observe(&observed).await.unwrap();
        soon("both", observer.wait_until(|members| members.members.len() == 2))
            .await
            .unwrap();

        // A restart of the server is nobody's death.
        server.restart().await;
        let mut state = new.connection_state();
        soon(
            "return",
            state.wait_for(|state| *state == autonomys_cluster::ConnectionState::Connected),
        )
        .await
        .unwrap();

        let left = Instant::now();
        early.leave().await;
        soon(
            "goodbye",
            view.wait_until(|members| !members.is_live(old.instance())),
        )
        .await
        .unwrap();
        assert!(
            left.elapsed() < Duration::from_secs(7),
            "by goodbye, not by silence"
        );
        assert!(view.current().is_live(new.instance()));
        drop(foreign);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_death_and_two_of_one_id_are_told() {
    let server = NatsServer::start().await;
    let watcher = server.connect("default", Role::Controller).await;
    let doomed = server.connect("default", Role::ShardedCache).await;
    let watching = join(&watcher).await;
    let dying = join(&doomed).await;
    let mut view = watching.view();
    soon(
        "alive",
        view.wait_until(|members| members.is_live(doomed.instance())),
    )
    .await
    .unwrap();

    // A second process with the same identity.
    let mut conflict = dying.conflict();
    assert!(!*conflict.borrow());
    let copy = join(&doomed).await;
    soon("conflict", conflict.wait_for(|conflict| *conflict))
        .await
        .unwrap();
    drop(copy);

    let died = Instant::now();
    drop(dying);
    soon(
        "death",
        view.wait_until(|members| !members.is_live(doomed.instance())),
    )
    .await
    .unwrap();
    assert!(
        died.elapsed() >= Duration::from_secs(5),
        "only after several missed announcements"
    );
    assert!(view.current().is_live(watcher.instance()));
}
