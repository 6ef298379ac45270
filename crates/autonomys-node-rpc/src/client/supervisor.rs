//! The task that keeps a connection open and feeds its notifications to the consumers.

use super::link::{Lane, Link};
use super::{AnnouncedSlot, ConnectionState, Inner, health};
use crate::Backoff;
use crate::{NodeRpcError, limits, names};
use jsonrpsee::core::client::Subscription;
use jsonrpsee::core::params::ArrayParams;
use std::sync::Arc;
use std::time::Instant;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::rpc::{FarmerAppInfo, RewardSigningInfo, SlotInfo};

/// Connects, serves the connection until it breaks, and connects again.
pub(super) async fn run(inner: Arc<Inner>) {
    let cancel = inner.cancel.clone();
    let failure = tokio::select! {
        () = cancel.cancelled() => None,
        error = reconnect_for_ever(&inner) => Some(error),
    };
    inner.link.send_replace(None);
    inner.state.send_replace(match failure {
        None => ConnectionState::Stopped,
        Some(error) => {
            tracing::error!(%error, "the node client gives up");
            ConnectionState::Failed(Arc::new(error))
        }
    });
    inner.cancel.cancel();
}

/// Returns the error that reconnecting cannot cure.
async fn reconnect_for_ever(inner: &Inner) -> NodeRpcError {
    let mut backoff = Backoff::default();
    let mut connection = 0;
    loop {
        connection += 1;
        let error = match connect_any(inner, connection).await {
            Ok(link) => {
                let started = Instant::now();
                let link = Arc::new(link);
                let error = serve(inner, &link).await;
                inner.link.send_replace(None);
                if started.elapsed() >= limits::BACKOFF_RESET_AFTER {
                    backoff.reset();
                }
                error
            }
            Err(error) => error,
        };
        if error.is_fatal() && inner.urls.len() == 1 {
            return error;
        }
        // There is one to go to at once.
        if let NodeRpcError::GaveWay { .. } = error {
            tracing::warn!(%error, "changing to another node");
            continue;
        }
        let pause = backoff.next_pause();
        // Attempts come every second for as long as it takes; the log need not say so every time.
        if backoff.attempts().is_power_of_two() {
            tracing::warn!(%error, attempts = backoff.attempts(), "no connection to a node, trying again and again");
        } else {
            tracing::debug!(%error, ?pause, "no connection to a node, trying again after a pause");
        }
        let last_error = Some(Arc::new(error));
        inner.state.send_replace(ConnectionState::Connecting {
            attempts: backoff.attempts(),
            last_error,
        });
        tokio::time::sleep(pause).await;
    }
}

/// The first node that is connected and not syncing, else the first that is connected. Those that were unwell at the last look come last:
/// one that hangs would keep the others waiting.
async fn connect_any(inner: &Inner, connection: u64) -> Result<Link, NodeRpcError> {
    let mut syncing = None;
    let mut errors = Vec::new();
    let order = health::order(&inner.health.borrow());
    for url in &order {
        match connect(inner, url, connection).await {
            Ok((link, info)) if !info.syncing => return Ok(link),
            Ok((link, _)) => syncing = syncing.or(Some(link)),
            Err(error) => {
                if inner.urls.len() > 1 {
                    tracing::debug!(%error, "a node cannot be used, trying the next");
                }
                errors.push(error);
            }
        }
    }
    match syncing {
        Some(link) => Ok(link),
        // Curable errors first: only when no node is left to hope for is the error fatal.
        None => Err(errors
            .into_iter()
            .reduce(|a, b| if a.is_fatal() { b } else { a })
            .unwrap_or(NodeRpcError::InvalidUrl {
                url: String::new(),
                reason: "no address was given".to_string(),
            })),
    }
}

async fn connect(inner: &Inner, url: &str, connection: u64) -> Result<(Link, FarmerAppInfo), NodeRpcError> {
    let (link, info) = Link::open(url, connection).await?;
    check_genesis(inner, url, info.genesis_hash)?;
    Ok((link, info))
}

/// Compares with the genesis hash that we work on; the first one seen is adopted.
fn check_genesis(inner: &Inner, url: &str, found: Blake3Hash) -> Result<(), NodeRpcError> {
    let mut expected = found;
    inner.genesis_hash.send_if_modified(|known| match known {
        Some(known) => {
            expected = *known;
            false
        }
        None => {
            *known = Some(found);
            true
        }
    });
    if expected == found {
        return Ok(());
    }
    Err(NodeRpcError::GenesisChanged {
        url: url.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

/// Pumps notifications until the connection has to be replaced; returns why.
async fn serve(inner: &Inner, link: &Arc<Link>) -> NodeRpcError {
    let lost = |reason: String| NodeRpcError::ConnectionLost {
        method: names::SLOT_INFO.subscribe,
        reason,
    };
    let mut slots: Option<Subscription<SlotInfo>> = None;
    let mut rewards: Option<Subscription<RewardSigningInfo>> = None;
    let mut unsafe_allowed = true;
    if inner.farming {
        match link.subscribe(Lane::Slots, names::SLOT_INFO).await {
            Ok(subscription) => slots = Some(subscription),
            Err(error) => return error,
        }
        match link.subscribe(Lane::Slots, names::REWARD_SIGNING).await {
            Ok(subscription) => rewards = Some(subscription),
            Err(NodeRpcError::Refused { message, .. }) => {
                unsafe_allowed = false;
                tracing::error!(
                    url = link.url,
                    %message,
                    "the node refuses reward signing, so nothing can be farmed with it: start it with --rpc-methods unsafe"
                );
            }
            Err(error) => return error,
        }
    }
    tracing::info!(
        url = link.url,
        connection = link.connection,
        "connected to a node"
    );
    let (url, connection) = (link.url.clone(), link.connection);
    inner.state.send_replace(ConnectionState::Connected {
        url,
        connection,
        unsafe_allowed,
    });
    // Last: whoever waits for a connection then sees its state.
    inner.link.send_replace(Some(Arc::clone(link)));

    let mut last_slot = tokio::time::Instant::now();
    let mut resubscribed = false;
    let mut health = inner.health.subscribe();
    loop {
        tokio::select! {
            slot = next(&mut slots) => match slot {
                Some(Ok(slot_info)) => {
                    last_slot = tokio::time::Instant::now();
                    resubscribed = false;
                    link.remember_slot(slot_info.slot_number);
                    let received_at = Instant::now();
                    // Nobody listening is fine.
                    let _ = inner.slots.send(AnnouncedSlot { slot_info, received_at, connection });
                }
                Some(Err(error)) => tracing::warn!(%error, "a slot notification cannot be decoded"),
                None => match resubscribe_slots(link).await {
                    Ok(subscription) => slots = Some(subscription),
                    Err(error) => return error,
                },
            },
            reward = next(&mut rewards) => match reward {
                Some(Ok(info)) => {
                    let _ = inner.reward_signing.send(info);
                }
                Some(Err(error)) => tracing::warn!(%error, "a reward-signing notification cannot be decoded"),
                None => match link.subscribe(Lane::Slots, names::REWARD_SIGNING).await {
                    Ok(subscription) => rewards = Some(subscription),
                    Err(error) => return error,
                },
            },
            Ok(()) = health.changed() => {
                if let Some(error) = health::should_give_way(&health.borrow_and_update(), &link.url) {
                    return error;
                }
            }
            error = link.slots.on_disconnect() => return lost(error.to_string()),
            error = link.bulk.on_disconnect() => return lost(error.to_string()),
            () = tokio::time::sleep_until(last_slot + inner.silent_slots_after), if slots.is_some() => {
                last_slot = tokio::time::Instant::now();
                match probe(inner, link).await {
                    Err(error) => return error,
                    Ok(info) if info.syncing => {}
                    Ok(_) if resubscribed => {
                        return lost(format!("no slot for twice {:?}", inner.silent_slots_after));
                    }
                    Ok(_) => {
                        tracing::warn!(url = link.url, "no slots from a node that is not syncing, subscribing again");
                        resubscribed = true;
                        match resubscribe_slots(link).await {
                            Ok(subscription) => slots = Some(subscription),
                            Err(error) => return error,
                        }
                    }
                }
            }
        }
    }
}

async fn resubscribe_slots(link: &Link) -> Result<Subscription<SlotInfo>, NodeRpcError> {
    link.subscribe(Lane::Slots, names::SLOT_INFO).await
}

/// Next item of a subscription, never when there is none.
async fn next<T: serde::de::DeserializeOwned>(
    subscription: &mut Option<Subscription<T>>,
) -> Option<Result<T, serde_json::Error>> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// Asks the node for its state; also notices when another chain answers under the same address.
async fn probe(inner: &Inner, link: &Link) -> Result<FarmerAppInfo, NodeRpcError> {
    let info: FarmerAppInfo = link
        .call(
            Lane::Slots,
            names::GET_FARMER_APP_INFO,
            ArrayParams::new(),
            limits::REQUEST_TIMEOUT,
        )
        .await?;
    check_genesis(inner, &link.url, info.genesis_hash)?;
    Ok(info)
}
