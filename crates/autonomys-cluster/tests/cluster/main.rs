//! The cluster library against real servers: the current nats-server and the oldest supported one.
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]
#![allow(clippy::large_futures, reason = "a test's future lives once")]

mod connect;
mod headers;
mod journal;
mod leader;
mod members;
mod messaging;
mod plot_jobs;
mod plot_jobs_crash;
mod settings;
mod store;

use autonomys_cluster::test_util::{NatsConfig, NatsServer, installed_binary};
use std::future::Future;
use std::time::Duration;

/// The oldest server that operators run, installed by `scripts/install-tools`.
const OLDEST: &str = "2.10.25";
/// Nothing here takes longer than this, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Runs the test against both servers, at the same time.
async fn on_each_server(name: &str, test: impl AsyncFn(NatsServer)) {
    let current = async { test(NatsServer::start().await).await };
    let oldest = async {
        match installed_binary(OLDEST) {
            Some(binary) => {
                let config = NatsConfig {
                    binary: Some(binary),
                    ..NatsConfig::default()
                };
                test(NatsServer::start_with(config).await).await;
            }
            None => println!("SKIPPED {name} on nats-server {OLDEST}: run scripts/install-tools"),
        }
    };
    tokio::join!(current, oldest);
}

/// Waits for something that has to happen.
async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Tries until it is so.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
