//! Who is in the cluster: every instance announces itself, everybody keeps a view of all.
//!
//! An instance broadcasts its [`Member`] record every [`ANNOUNCE_INTERVAL`] and whenever it changes, and a goodbye when
//! it leaves. On start it asks; everybody answers by announcing after a moment of chance, so that a large cluster does
//! not answer at once. Who is silent for [`DEAD_AFTER`] is dropped from the view. While this process itself has no
//! connection nobody is dropped, because then silence says nothing.
//!
//! A member of another protocol version is shown by name and is not among the members that may be talked to.

mod record;
mod status;
mod view;

pub use record::{IncompatibleMember, Member, MemberKey, PROTOCOL_VERSION};
pub use status::{
    CacheStatus, ControllerStatus, FullPieceStatus, PlotClientStatus, PlotServerStatus, ProofServerStatus,
    RoleStatus, SegmentRange, StageStatus,
};
pub use view::{MembersSnapshot, MembersView};

use crate::cluster::Cluster;
use crate::codec::{self, Message};
use crate::connection::ConnectionState;
use crate::ids::InstanceId;
use crate::messages::Broadcast;
use crate::messaging::TransportError;
use async_nats::Subscriber;
use futures::StreamExt;
use parity_scale_codec::{Decode, Encode};
use rand::Rng;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use view::Tracker;

/// Four announcements fit into [`DEAD_AFTER`], so that one or two lost ones hurt nobody.
pub const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
/// Silence after which an instance counts as dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(8);
/// Longest wait before answering a newcomer's question.
const ANSWER_JITTER: Duration = Duration::from_millis(200);
/// Changes that come close together travel together, or a busy status would flood the cluster.
const CHANGE_DELAY: Duration = Duration::from_millis(100);
/// How often silence is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// The goodbye is worth this much of a shutdown; without it the others notice after [`DEAD_AFTER`].
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// "Who is there?"
#[derive(Debug, Clone, Copy, Encode, Decode)]
struct Query;

impl Message for Query {
    const NAME: &'static str = "members-query";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 16;
}

impl Broadcast for Query {}

/// "I leave."
#[derive(Debug, Clone, Copy, Encode, Decode)]
struct Goodbye {
    id: InstanceId,
    /// The run that ends; a new run of the same instance is not meant.
    run: u64,
}

impl Message for Goodbye {
    const NAME: &'static str = "members-goodbye";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 256;
}

impl Broadcast for Goodbye {}

/// Subject of announcements; the record has an envelope of its own, see [`record`].
const ANNOUNCE: &str = "members";

/// Announces this instance and follows the others until [`Self::leave`], or silently until it is dropped.
#[derive(Debug)]
pub struct Membership {
    cluster: Cluster,
    own: watch::Sender<Member>,
    view: MembersView,
    conflict: watch::Receiver<bool>,
    stop: CancellationToken,
    task: JoinHandle<Option<()>>,
}

impl Membership {
    /// Joins as `member`, whose id has to be that of the cluster handle.
    ///
    /// # Errors
    /// [`TransportError`] when the client is closed.
    pub async fn join(cluster: &Cluster, member: Member) -> Result<Self, TransportError> {
        let (own, own_changes) = watch::channel(member.clone());
        let (observer, view, conflict) = Observer::start(cluster, Some(own_changes)).await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(stop.clone().run_until_cancelled_owned(observer.run()));
        Ok(Self {
            cluster: cluster.clone(),
            own,
            view,
            conflict,
            stop,
            task,
        })
    }

    /// Everybody, this instance included.
    pub fn view(&self) -> MembersView {
        self.view.clone()
    }

    /// Turns `true` when another process announces itself under this instance's id: the operator copied an identity.
    pub fn conflict(&self) -> watch::Receiver<bool> {
        self.conflict.clone()
    }

    /// Changes this instance's record; what changed is announced at once.
    pub fn update(&self, change: impl FnOnce(&mut Member)) {
        self.own_record().update(change);
    }

    /// This instance's record, for others who change it.
    pub fn own_record(&self) -> OwnRecord {
        OwnRecord(self.own.clone())
    }

    /// Says goodbye and stops.
    pub async fn leave(self) {
        self.stop.cancel();
        let goodbye = {
            let own = self.own.borrow();
            Goodbye {
                id: own.id,
                run: own.run,
            }
        };
        let farewell = async {
            self.cluster
                .broadcast(&goodbye)
                .await
                .map_err(|error| error.to_string())?;
            self.cluster.flush().await
        };
        match tokio::time::timeout(GOODBYE_TIMEOUT, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(error, "no goodbye"),
            Err(_) => debug!("no goodbye, NATS does not answer"),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

/// The record of this process's own instance. Cheap to clone; changes after the end of the [`Membership`] are heard by nobody.
#[derive(Debug, Clone)]
pub struct OwnRecord(watch::Sender<Member>);

impl OwnRecord {
    /// Changes the record; what changed is announced at once.
    pub fn update(&self, change: impl FnOnce(&mut Member)) {
        self.0.send_if_modified(|member| {
            let before = member.clone();
            change(member);
            // Who we are is fixed for the run.
            member.id = before.id;
            member.run = before.run;
            *member != before
        });
    }
}

impl MembersView {
    /// Follows the members without being one, for commands that look at a cluster. Ends when the last clone is dropped.
    ///
    /// # Errors
    /// [`TransportError`] when the client is closed.
    pub async fn observe(cluster: &Cluster) -> Result<Self, TransportError> {
        let (observer, view, _) = Observer::start(cluster, None).await?;
        tokio::spawn(observer.run());
        Ok(view)
    }
}

struct Observer {
    cluster: Cluster,
    tracker: Tracker,
    own: Option<watch::Receiver<Member>>,
    conflict: watch::Sender<bool>,
    announcements: Subscriber,
    goodbyes: Subscriber,
    queries: Subscriber,
}

impl Observer {
    async fn start(
        cluster: &Cluster,
        own: Option<watch::Receiver<Member>>,
    ) -> Result<(Self, MembersView, watch::Receiver<bool>), TransportError> {
        let subjects = cluster.subjects();
        let announcements = cluster.raw_subscribe(subjects.broadcast(ANNOUNCE), None).await?;
        let goodbyes = cluster
            .raw_subscribe(subjects.broadcast(Goodbye::NAME), None)
            .await?;
        let queries = cluster
            .raw_subscribe(subjects.broadcast(Query::NAME), None)
            .await?;
        let (tracker, view) = Tracker::new();
        let (conflict, conflict_receiver) = watch::channel(false);
        let observer = Self {
            cluster: cluster.clone(),
            tracker,
            own,
            conflict,
            announcements,
            goodbyes,
            queries,
        };
        cluster.broadcast(&Query).await?;
        Ok((observer, view, conflict_receiver))
    }

    async fn run(mut self) {
        let mut connection = self.cluster.connection_state();
        let mut announce = tokio::time::interval(ANNOUNCE_INTERVAL);
        announce.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut own = self.own.clone();
        // An announcement is due sooner than the interval says; it is not put off again.
        let mut soon = false;
        loop {
            tokio::select! {
                () = self.tracker.closed() => return,
                _ = announce.tick() => {
                    soon = false;
                    self.announce().await;
                }
                changed = next_change(&mut own), if !soon => {
                    if !changed {
                        return;
                    }
                    soon = true;
                    announce.reset_after(CHANGE_DELAY);
                }
                _ = sweep.tick() => {
                    let connected = *connection.borrow() == ConnectionState::Connected;
                    self.tracker.sweep(Instant::now(), connected);
                }
                changed = connection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if *connection.borrow_and_update() == ConnectionState::Connected {
                        // Everybody gets the full time again to be heard.
                        self.tracker.forgive(Instant::now());
                        if let Err(error) = self.cluster.broadcast(&Query).await {
                            debug!(%error, "no question");
                        }
                        soon = true;
                        announce.reset_immediately();
                    }
                }
                message = self.announcements.next() => match message {
                    Some(message) => self.heard(&message.payload),
                    None => return,
                },
                message = self.goodbyes.next() => match message {
                    Some(message) => match codec::decode::<Goodbye>(&message.payload) {
                        Ok(goodbye) => self.tracker.goodbye(goodbye.id, goodbye.run),
                        Err(error) => debug!(%error, "a goodbye was ignored"),
                    },
                    None => return,
                },
                message = self.queries.next() => match message {
                    Some(_) if soon => {}
                    Some(_) => {
                        soon = true;
                        announce.reset_after(rand::rng().random_range(Duration::ZERO..ANSWER_JITTER));
                    }
                    None => return,
                },
            }
        }
    }

    async fn announce(&self) {
        let Some(own) = &self.own else { return };
        let encoded = own.borrow().to_bytes();
        let sent = match encoded {
            Ok(payload) => {
                let subject = self.cluster.subjects().broadcast(ANNOUNCE);
                self.cluster
                    .client()
                    .publish(subject, payload)
                    .await
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            warn!(error, "this instance could not be announced");
        }
    }

    fn heard(&mut self, payload: &[u8]) {
        match Member::from_bytes(payload) {
            Ok(record::Announcement::Member(member)) => {
                let own = self.own.as_ref().map(|own| (own.borrow().id, own.borrow().run));
                if own.is_some_and(|(id, run)| id == member.id && run != member.run) {
                    if !self.conflict.send_replace(true) {
                        error!(
                            id = %member.id, host = member.host,
                            "another process runs under this instance's id; give each its own directory"
                        );
                    }
                    return;
                }
                self.tracker.heard(*member, Instant::now());
            }
            Ok(record::Announcement::Incompatible(other)) => {
                self.tracker.heard_incompatible(other, Instant::now())
            }
            Err(error) => debug!(%error, "an announcement was ignored"),
        }
    }
}

/// Waits for a change of the own record; pends for ever without one. `false`: the owner is gone.
async fn next_change(own: &mut Option<watch::Receiver<Member>>) -> bool {
    match own {
        Some(own) => own.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}
