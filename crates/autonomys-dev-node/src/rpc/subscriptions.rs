//! Forwarding of notifications to subscribers.

use jsonrpsee::PendingSubscriptionSink;
use jsonrpsee::SubscriptionSink;
use serde::Serialize;
use tokio::sync::broadcast;

/// Sends one item; false when the subscriber is gone.
pub(super) async fn send(sink: &SubscriptionSink, item: &impl Serialize) -> bool {
    match serde_json::value::to_raw_value(item) {
        Ok(json) => sink.send(json).await.is_ok(),
        Err(error) => {
            tracing::error!(%error, "a notification cannot be encoded");
            true
        }
    }
}

/// Accepts a subscription and forwards `first` and then a channel until the subscriber leaves. A subscriber that reads too
/// slowly misses items.
pub(super) fn forward<T: Serialize + Clone + Send + Sync + 'static>(
    pending: PendingSubscriptionSink,
    first: Option<T>,
    mut items: broadcast::Receiver<T>,
) {
    tokio::spawn(async move {
        let Ok(sink) = pending.accept().await else { return };
        if let Some(first) = first
            && !send(&sink, &first).await
        {
            return;
        }
        loop {
            tokio::select! {
                () = sink.closed() => return,
                item = items.recv() => match item {
                    Ok(item) => {
                        if !send(&sink, &item).await {
                            return;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "a subscriber reads too slowly and missed notifications");
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            }
        }
    });
}

/// Accepts a subscription that never has anything to say and holds it until the subscriber leaves.
pub(super) fn hold(pending: PendingSubscriptionSink) {
    tokio::spawn(async move {
        if let Ok(sink) = pending.accept().await {
            sink.closed().await;
        }
    });
}
