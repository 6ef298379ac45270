//! The last stage of a job: its finished sector waits for the farm.
//!
//! Every sector of the spool is compared with its record again and again: that offers those found after a start, finds acknowledgements
//! that got lost, and deletes what nobody wants any more. A sector of which nothing is fetched for [`LIMIT`] is named in the log with
//! who should fetch it, and offered anew, so that a plot-client that has overlooked it sees it again.

use super::cluster::Served;
use super::spool::SpooledSector;
use autonomys_cluster::InstanceId;
use autonomys_cluster::members::{MembersSnapshot, StageStatus};
use autonomys_cluster::plot_jobs::{PlotJobs, SpoolVerdict};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The spool is compared with the records this often.
const ROUND_INTERVAL: Duration = Duration::from_secs(10);
/// A sector of which nothing was fetched for this long is offered anew; a plot-client that failed rests a minute at most.
const LIMIT: Duration = Duration::from_secs(300);

/// How far a farm has come with a sector.
#[derive(Debug)]
pub(super) struct Delivery {
    length: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// End of the furthest range that was read.
    reached: u64,
    since: Instant,
    client: Option<InstanceId>,
    restarts: u32,
}

impl Delivery {
    pub(super) fn new(length: u64) -> Self {
        Self {
            length,
            state: Mutex::new(State {
                reached: 0,
                since: Instant::now(),
                client: None,
                restarts: 0,
            }),
        }
    }

    /// A range that ends here was read.
    pub(super) fn reached(&self, end: u64) {
        let mut state = self.state.lock();
        state.reached = state.reached.max(end);
        state.since = Instant::now();
    }

    /// Whose sector it is, as the record says.
    fn belongs_to(&self, client: InstanceId) {
        self.state.lock().client = Some(client);
    }

    /// Whether it is to be offered anew, because nothing happened for the limit; the time begins again then.
    fn is_stuck(&self) -> bool {
        let mut state = self.state.lock();
        let stuck = state.since.elapsed() >= LIMIT;
        if stuck {
            state.restarts += 1;
            state.since = Instant::now();
        }
        stuck
    }

    /// For the member record and the log.
    pub(super) fn status(&self, sector: String, members: &MembersSnapshot) -> StageStatus {
        let state = self.state.lock();
        let waits_for = match state.client {
            None => "its record".to_string(),
            Some(client) => match members.get(client) {
                Some(member) => format!("{client} on {} to fetch it", member.host),
                None => format!("{client}, which is not in the cluster"),
            },
        };
        StageStatus {
            stage: "deliver".to_string(),
            sector,
            done: state.reached,
            total: self.length,
            waits_for,
            idle_ms: u64::try_from(state.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            restarts: state.restarts,
        }
    }
}

/// Looks after the spooled sectors of one cluster until the process is told to stop.
pub(super) async fn run(jobs: PlotJobs, served: Arc<Served>) {
    loop {
        for sector in served.spool.sectors() {
            if served.machine.cancel.is_cancelled() {
                return;
            }
            look_after(&jobs, &served, sector).await;
        }
        tokio::select! {
            () = served.machine.cancel.cancelled() => return,
            () = tokio::time::sleep(ROUND_INTERVAL) => {}
        }
    }
}

async fn look_after(jobs: &PlotJobs, served: &Served, sector: SpooledSector) {
    let members = served.members.current();
    let stuck = sector.delivery.is_stuck();
    if stuck {
        served.restarts.fetch_add(1, Ordering::Relaxed);
        let status = sector.delivery.status(sector.key().to_string(), &members);
        tracing::warn!(
            sector = %sector.key(),
            delivered = status.done,
            of = status.total,
            "stage deliver made no progress for {LIMIT:?}, waiting for {}; offered anew",
            status.waits_for
        );
    }
    let ready = served.ready(&sector);
    match jobs.offer_spooled(&sector.job_id(), ready, &members, stuck).await {
        Ok(SpoolVerdict::Offered { client }) => sector.delivery.belongs_to(client),
        // Finished a moment ago and about to be offered by the job itself.
        Ok(SpoolVerdict::Superseded { holder }) if holder == served.instance => {}
        Ok(verdict) => {
            tracing::info!(sector = %sector.key(), ?verdict, "a spooled sector is not wanted any more");
            let spool = Arc::clone(&served.spool);
            let discard = move || spool.discard(&sector);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(discard).await {
                tracing::warn!("{error:#}");
            }
        }
        Err(error) => tracing::warn!(%error, "the spool cannot be compared with the jobs at the moment"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::Role;
    use autonomys_cluster::members::Member;

    #[tokio::test(start_paused = true)]
    async fn a_sector_that_nobody_fetches_is_noticed() {
        let delivery = Delivery::new(100);
        tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
        delivery.reached(40);
        tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
        assert!(!delivery.is_stuck(), "some of it was fetched");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(delivery.is_stuck());
        assert!(!delivery.is_stuck(), "the time begins again");

        let client = Member::new(InstanceId::generate(Role::PlotClient), "disks-1", "1");
        let mut members = MembersSnapshot::default();
        let status = |members: &MembersSnapshot| delivery.status("ab 1".to_string(), members);
        assert_eq!(status(&members).waits_for, "its record");
        delivery.belongs_to(client.id);
        assert_eq!(
            status(&members).waits_for,
            format!("{}, which is not in the cluster", client.id)
        );
        members.members.insert(client.id, Arc::new(client.clone()));
        let status = status(&members);
        assert_eq!(status.waits_for, format!("{} on disks-1 to fetch it", client.id));
        assert_eq!((status.done, status.total, status.restarts), (40, 100, 1));
    }
}
