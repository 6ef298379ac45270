//! Draining: an instance takes no new work and finishes what it holds, so that it can be stopped without anybody noticing.
//!
//! Asked for by `util drain` and taken back by `util resume`; a restarted process takes work again. Stopping does not need it: SIGTERM
//! hands back what is held. It is for maintenance that is to cost nothing, not even the time of work begun.

use anyhow::Result;
use autonomys_cluster::members::OwnRecord;
use autonomys_cluster::messages::{DrainReply, SetDraining};
use autonomys_cluster::{Cluster, Refusal, Role, ServeLimits, Service};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;

/// An answer is at hand; a few operators may ask at once.
const REQUESTS: ServeLimits = ServeLimits {
    concurrency: 1,
    backlog: 16,
};

/// What draining is for a role; an error says why it is nothing.
pub(crate) fn meaning(role: Role) -> Result<&'static str, &'static str> {
    match role {
        Role::PlotServer => Ok("takes no new jobs; sectors in work are finished and delivered"),
        Role::ProofServer => Ok("takes no new requests; the proof in work is finished"),
        Role::PlotClient => {
            Ok("queues no new plot jobs; those that are queued are finished, and farming goes on")
        }
        Role::Controller => Err("a controller holds no work: stop it, and another one takes over"),
        Role::ShardedCache | Role::FullPieceShardedCache => Err(
            "a cache holds no work: stop it, and the others answer for it and rebuild its share when it stays away",
        ),
    }
}

/// The wish to drain, and what is still held. Ends the service when dropped.
#[derive(Debug)]
pub(super) struct Draining {
    wanted: watch::Receiver<bool>,
    held: Arc<AtomicU32>,
    _service: Service,
}

impl Draining {
    /// Listens for the wish; the member record says what it is.
    pub(super) async fn serve(cluster: &Cluster, record: OwnRecord) -> Result<Self> {
        let role = cluster.instance().role();
        let (wish, wanted) = watch::channel(false);
        let held = Arc::new(AtomicU32::new(0));
        let holding = Arc::clone(&held);
        let service = cluster.serve(REQUESTS, move |SetDraining { draining }| {
            let reply = match meaning(role) {
                Ok(_) => {
                    if wish.send_replace(draining) != draining {
                        tracing::info!(draining, "told by an operator");
                    }
                    record.update(|member| member.draining = draining);
                    Ok(DrainReply {
                        draining,
                        held: holding.load(Ordering::Relaxed),
                    })
                }
                Err(reason) => Err(Refusal::Invalid(reason.to_string())),
            };
            async { reply }
        });
        Ok(Self {
            wanted,
            held,
            _service: service.await?,
        })
    }

    pub(super) fn wanted(&self) -> watch::Receiver<bool> {
        self.wanted.clone()
    }

    pub(super) fn set_held(&self, held: u32) {
        self.held.store(held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_says_what_draining_is() {
        for role in Role::ALL {
            let (Ok(sentence) | Err(sentence)) = meaning(role);
            assert!(
                sentence.contains(';') || sentence.contains(':'),
                "{role}: {sentence}"
            );
        }
    }
}
