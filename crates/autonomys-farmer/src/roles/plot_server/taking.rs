//! Takes jobs: one whenever the first stage is free and the spool has room, from whichever cluster's turn it is.

use super::cluster::Served;
use super::job::Job;
use super::machine::{Machine, Places};
use super::shares::Shares;
use super::spool::space::{NoRoom, Reservation};
use autonomys_cluster::plot_jobs::TakenJob;
use std::sync::Arc;
use std::time::Duration;
use subspace_farmer_components::sector::sector_size;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long one question for a job lasts; shared out when several clusters are asked in turn.
const TAKE_WAIT: Duration = Duration::from_secs(2);
/// A question that was asked when the process was told to stop is waited for: a job that came as its answer would else be held until
/// its lease ends.
const LAST_TAKE_WAIT: Duration = Duration::from_secs(3);
/// Pause after NATS refused, and while all clusters drain.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Takes jobs until the process is told to stop, then waits until those in hand are handed back.
pub(super) async fn run(machine: Arc<Machine>, mut newcomers: mpsc::Receiver<Arc<Served>>) {
    let mut clusters = Clusters::default();
    let mut running = JoinSet::new();
    loop {
        let fetch_place = tokio::select! {
            () = machine.cancel.cancelled() => break,
            place = Places::take(&machine.places.fetch) => place,
        };
        while let Some(ended) = running.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a plot job crashed; it is handed out again after its lease");
            }
        }
        // On the heap: it carries the questions to all clusters.
        let next_job = Box::pin(clusters.next_job(&machine, &mut newcomers));
        let Some((taken, served)) = next_job.await else {
            break;
        };
        let reservation = match reserve(&machine, &taken) {
            Ok(reservation) => reservation,
            Err(reason) => {
                if matches!(reason, NoRoom::Never { .. }) {
                    machine.break_off(&reason.to_string());
                }
                hand_back(taken).await;
                continue;
            }
        };
        running.spawn(async move {
            let track = served.begins(&taken.job().id);
            let job = Job::new(
                taken,
                Arc::clone(&served),
                Arc::clone(&track),
                fetch_place,
                reservation,
            );
            // In a task of its own, so that a crash is counted as an end too. Large: it carries a whole sector's stages.
            let ended = tokio::spawn(Box::pin(job.run())).await;
            served.ends(&track);
            if let Err(error) = ended {
                tracing::error!(%error, "a plot job crashed; it is handed out again after its lease");
            }
        });
    }
    // Jobs see the same token: they hand themselves back, so that another server may have them at once.
    while running.join_next().await.is_some() {}
}

fn reserve(machine: &Machine, taken: &TakenJob) -> Result<Reservation, NoRoom> {
    let pieces = taken.job().pieces_in_sector;
    machine.space.reserve(sector_size(pieces) as u64)
}

/// The clusters that are served, as they become ready.
#[derive(Default)]
struct Clusters {
    served: Vec<Arc<Served>>,
    shares: Shares,
}

impl Clusters {
    fn add(&mut self, newcomer: Arc<Served>) {
        self.shares.add(newcomer.share);
        self.served.push(newcomer);
    }

    /// The next job and whose it is; `None` when the process is told to stop.
    async fn next_job(
        &mut self,
        machine: &Arc<Machine>,
        newcomers: &mut mpsc::Receiver<Arc<Served>>,
    ) -> Option<(TakenJob, Arc<Served>)> {
        loop {
            while let Ok(newcomer) = newcomers.try_recv() {
                self.add(newcomer);
            }
            if self.served.is_empty() {
                tokio::select! {
                    () = machine.cancel.cancelled() => return None,
                    newcomer = newcomers.recv() => self.add(newcomer?),
                }
            }
            tokio::select! {
                () = machine.cancel.cancelled() => return None,
                () = machine.wait_for_room() => {}
            }
            let order: Vec<usize> = self
                .shares
                .order()
                .into_iter()
                .filter(|&number| !*self.served[number].draining.borrow())
                .collect();
            if order.is_empty() {
                machine.set_holds_back("draining".to_string());
                self.pause(machine).await?;
                continue;
            }
            let wait = TAKE_WAIT / u32::try_from(order.len()).unwrap_or(u32::MAX);
            for number in order {
                if machine.cancel.is_cancelled() {
                    return None;
                }
                let served = Arc::clone(&self.served[number]);
                served.asks(true);
                let answer = Box::pin(take(machine, &served, wait)).await;
                served.asks(false);
                let draining = *served.draining.borrow();
                match answer? {
                    // Asked for before it was to take nothing more.
                    Ok(Some(taken)) if draining => hand_back(taken).await,
                    Ok(Some(taken)) => {
                        self.shares
                            .begins(number, u32::from(taken.job().pieces_in_sector));
                        return Some((taken, served));
                    }
                    Ok(None) => self.shares.is_idle(number),
                    Err(error) => {
                        tracing::warn!(cluster = served.name, %error, "no job can be taken at the moment");
                        self.shares.is_idle(number);
                        self.pause(machine).await?;
                    }
                }
            }
        }
    }

    async fn pause(&self, machine: &Machine) -> Option<()> {
        tokio::select! {
            () = machine.cancel.cancelled() => None,
            () = tokio::time::sleep(RETRY_PAUSE) => Some(()),
        }
    }
}

/// Asks one cluster for a job; `None` when the process is told to stop and no job comes any more.
async fn take(
    machine: &Machine,
    served: &Served,
    wait: Duration,
) -> Option<Result<Option<TakenJob>, autonomys_cluster::store::StoreError>> {
    // Large: it claims records.
    let mut question = Box::pin(served.jobs.take(wait));
    tokio::select! {
        answer = &mut question => return Some(answer),
        () = machine.cancel.cancelled() => {}
    }
    if let Ok(Ok(Some(taken))) = tokio::time::timeout(LAST_TAKE_WAIT, question).await {
        hand_back(taken).await;
    }
    None
}

async fn hand_back(taken: TakenJob) {
    if let Err(error) = taken.release().await {
        tracing::warn!(%error, "a job could not be handed back");
    }
}
