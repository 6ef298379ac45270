//! Calls that are never answered, as long as their connection lives; replies and batches that are refused.

use crate::faults::{FaultControl, FaultKind};
use autonomys_node_rpc::wire;
use jsonrpsee::MethodResponse;
use jsonrpsee::core::middleware::{Batch, Notification, RpcServiceT};
use jsonrpsee::types::{ErrorObjectOwned, Id, Request};
use std::sync::Arc;
use tokio::sync::watch;

/// Middleware that withholds calls.
#[derive(Clone)]
pub(super) struct Withhold<S> {
    pub(super) service: S,
    pub(super) faults: Arc<FaultControl>,
    pub(super) socket_generation: watch::Receiver<u64>,
}

fn refusal(id: Id<'_>, code: i32, message: &str) -> MethodResponse {
    let error = ErrorObjectOwned::owned(code, message, None::<()>);
    MethodResponse::error(id, error)
}

impl<S> Withhold<S> {
    fn reply_limit(&self) -> Option<usize> {
        self.faults.find(|kind| match kind {
            FaultKind::ReplyLimit(bytes) => Some(*bytes),
            _ => None,
        })
    }
}

impl<S> RpcServiceT for Withhold<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let withheld = self.faults.find(|kind| match kind {
            FaultKind::Unanswered(method) => (method == request.method_name()).then_some(()),
            _ => None,
        });
        let reply_limit = self.reply_limit();
        let id = request.id().into_owned();
        let service = self.service.clone();
        let mut socket_generation = self.socket_generation.clone();
        socket_generation.mark_unchanged();
        async move {
            if withheld.is_some() {
                // Ends with the connection, so that closing it does not wait for this call.
                let _ = socket_generation.changed().await;
            }
            let response = service.call(request).await;
            match reply_limit {
                // Of subscriptions the library needs the original.
                Some(limit) if response.is_method_call() && response.as_json().get().len() > limit => {
                    refusal(id, wire::RESPONSE_TOO_LARGE, "Response is too big")
                }
                _ => response,
            }
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let refused = self.faults.acts(&FaultKind::NoBatches);
        let reply_limit = self.reply_limit();
        let service = self.service.clone();
        async move {
            if refused {
                return refusal(
                    Id::Null,
                    wire::BATCHES_DISABLED,
                    "Batched requests are not supported",
                );
            }
            let response = service.batch(batch).await;
            match reply_limit {
                Some(limit) if response.as_json().get().len() > limit => refusal(
                    Id::Null,
                    wire::BATCH_RESPONSE_TOO_LARGE,
                    "The batch response was too large",
                ),
                _ => response,
            }
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.service.notification(notification)
    }
}
