//! Calls that are never answered, as long as their connection lives.

use crate::faults::{FaultControl, FaultKind};
use jsonrpsee::MethodResponse;
use jsonrpsee::core::middleware::{Batch, Notification, RpcServiceT};
use jsonrpsee::types::Request;
use std::sync::Arc;
use tokio::sync::watch;

/// Middleware that withholds calls.
#[derive(Clone)]
pub(super) struct Withhold<S> {
    pub(super) service: S,
    pub(super) faults: Arc<FaultControl>,
    pub(super) socket_generation: watch::Receiver<u64>,
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
        let service = self.service.clone();
        let mut socket_generation = self.socket_generation.clone();
        socket_generation.mark_unchanged();
        async move {
            if withheld.is_some() {
                // Ends with the connection, so that closing it does not wait for this call.
                let _ = socket_generation.changed().await;
            }
            service.call(request).await
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.service.batch(batch)
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.service.notification(notification)
    }
}
