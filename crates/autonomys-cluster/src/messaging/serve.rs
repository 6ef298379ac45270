//! Answering requests with bounded concurrency.

use super::{Refusal, TransportError, encode_reply};
use crate::cluster::Cluster;
use crate::codec;
use crate::messages::{DirectRequest, QueueRequest, Request};
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// How much a service takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Handlers that run at once; at least 1.
    pub concurrency: usize,
    /// Requests that may wait for a handler; more are refused as overloaded at once.
    pub backlog: usize,
}

/// A running service. Dropping it stops it at once; [`Self::drain`] lets it finish what it has.
#[derive(Debug)]
pub struct Service {
    drain: CancellationToken,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Service {
    /// Takes no new requests, answers those already received, then returns.
    pub async fn drain(mut self) {
        self.drain.cancel();
        if let Err(error) = (&mut self.task).await {
            warn!(%error, "a service ended badly");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Cluster {
    /// Serves requests addressed to this instance.
    ///
    /// # Errors
    /// [`TransportError`] when the client is closed.
    pub async fn serve<R, H, F>(&self, limits: ServeLimits, handler: H) -> Result<Service, TransportError>
    where
        R: DirectRequest,
        H: Fn(R) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R::Response, Refusal>> + Send + 'static,
    {
        let subscriber = self
            .raw_subscribe(self.subjects().instance(self.instance(), R::NAME), None)
            .await?;
        Ok(self.start(subscriber, limits, handler))
    }

    /// Serves requests to the queue group, sharing them with every other instance that serves it.
    ///
    /// # Errors
    /// [`TransportError`] when the client is closed.
    pub async fn serve_queue<R, H, F>(
        &self,
        limits: ServeLimits,
        handler: H,
    ) -> Result<Service, TransportError>
    where
        R: QueueRequest,
        H: Fn(R) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R::Response, Refusal>> + Send + 'static,
    {
        let subscriber = self
            .raw_subscribe(self.subjects().queue(R::NAME), Some(R::NAME))
            .await?;
        Ok(self.start(subscriber, limits, handler))
    }

    fn start<R, H, F>(&self, subscriber: Subscriber, limits: ServeLimits, handler: H) -> Service
    where
        R: Request,
        H: Fn(R) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R::Response, Refusal>> + Send + 'static,
    {
        let drain = CancellationToken::new();
        let stop = CancellationToken::new();
        let worker = Worker {
            client: self.client().clone(),
            handler: Arc::new(handler),
            accepted: Arc::new(Semaphore::new(limits.concurrency.max(1) + limits.backlog)),
            running: Arc::new(Semaphore::new(limits.concurrency.max(1))),
            stop: stop.clone(),
        };
        let task = tokio::spawn(worker.run::<R, F>(subscriber, drain.clone()));
        Service { drain, stop, task }
    }
}

struct Worker<H> {
    client: Client,
    handler: Arc<H>,
    accepted: Arc<Semaphore>,
    running: Arc<Semaphore>,
    stop: CancellationToken,
}

impl<H> Worker<H> {
    async fn run<R, F>(self, mut subscriber: Subscriber, drain: CancellationToken)
    where
        R: Request,
        H: Fn(R) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R::Response, Refusal>> + Send + 'static,
    {
        let handlers = TaskTracker::new();
        let mut draining = false;
        loop {
            let message = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = drain.cancelled(), if !draining => {
                    draining = true;
                    // What the server has already sent still arrives; then the stream ends.
                    if subscriber.drain().await.is_err() {
                        break;
                    }
                    continue;
                }
                message = subscriber.next() => message,
            };
            let Some(message) = message else { break };
            let Some(reply_to) = message.reply else {
                debug!(request = R::NAME, "a request without a reply subject was ignored");
                continue;
            };
            // This loop never waits for handlers, so that nothing piles up in the subscription.
            let Ok(accepted) = Arc::clone(&self.accepted).try_acquire_owned() else {
                reply::<R>(&self.client, reply_to, Err(Refusal::Overloaded)).await;
                continue;
            };
            let request = match codec::decode::<R>(&message.payload) {
                Ok(request) => request,
                Err(error) => {
                    warn!(%error, "a request was refused");
                    reply::<R>(&self.client, reply_to, Err(error.into())).await;
                    continue;
                }
            };
            drop(message.payload);
            let (client, handler, running) = (
                self.client.clone(),
                Arc::clone(&self.handler),
                Arc::clone(&self.running),
            );
            let work = async move {
                let _accepted = accepted;
                // The semaphore is never closed.
                let _running = running.acquire().await;
                let result = handler(request).await;
                reply::<R>(&client, reply_to, result).await;
            };
            handlers.spawn(self.stop.clone().run_until_cancelled_owned(work));
        }
        handlers.close();
        handlers.wait().await;
    }
}

async fn reply<R: Request>(client: &Client, to: async_nats::Subject, result: Result<R::Response, Refusal>) {
    if let Err(error) = client.publish(to, encode_reply(result)).await {
        debug!(request = R::NAME, %error, "an answer could not be sent");
    }
}
