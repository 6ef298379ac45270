//! Every sentence that a start can end with, and the starts that work.

use super::{eventually, on_each_server, soon};
use autonomys_cluster::test_util::{NatsConfig, NatsServer};
use autonomys_cluster::{Cluster, ConnectError, ConnectionState, MIN_MAX_PAYLOAD, NatsOptions, Role};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

fn short(mut options: NatsOptions) -> NatsOptions {
    options.start_timeout = Some(Duration::from_millis(700));
    options
}

/// A port where nobody listens.
async fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("nats://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_server_never_stops_a_start() {
    on_each_server("one_dead_server_never_stops_a_start", async |server| {
        let mut options = server.options("default", Role::Controller);
        let dead = dead_address().await;
        options.servers = vec![dead.clone(), server.url(), dead, server.url()];
        let cluster = soon("start", Cluster::connect(options)).await.unwrap();
        assert_eq!(*cluster.connection_state().borrow(), ConnectionState::Connected);
        assert!(cluster.max_payload() >= MIN_MAX_PAYLOAD);
        assert!(cluster.server().1.starts_with("2."));

        let slots = cluster.dedicated_connection("slots").await.unwrap();
        assert_eq!(slots.instance(), cluster.instance());
        slots.flush().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn nobody_answers() {
    let server = NatsServer::start().await;
    let mut options = short(server.options("default", Role::Controller));
    options.servers = vec![dead_address().await];
    let error = Cluster::connect(options).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    let sentence = error.to_string();
    assert!(
        sentence.starts_with("no NATS server of 127.0.0.1:") && sentence.contains("within 0.7 s"),
        "{sentence}"
    );
}

#[tokio::test]
async fn a_server_that_comes_later_is_waited_for() {
    let mut server = NatsServer::start().await;
    let options = server.options("default", Role::PlotClient);
    server.kill().await;
    let connecting = tokio::spawn(Cluster::connect(options));
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.restart().await;
    soon("late server", connecting).await.unwrap().unwrap();
}

#[tokio::test]
async fn jetstream_off() {
    let server = NatsServer::start_with(NatsConfig {
        jetstream: false,
        ..NatsConfig::default()
    })
    .await;
    let error = Cluster::connect(server.options("default", Role::Controller))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::JetStreamDisabled { .. }), "{error}");
    assert!(error.to_string().contains("start it with --jetstream"), "{error}");
}

#[tokio::test]
async fn jetstream_off_for_the_account() {
    let extra =
        "accounts { A { users: [{ user: farm, password: secret }] }, S { jetstream: enabled } }".to_owned();
    let server = NatsServer::start_with(NatsConfig {
        extra,
        ..NatsConfig::default()
    })
    .await;
    let mut options = server.options("default", Role::Controller);
    options.servers = vec![server.url().replace("nats://", "nats://farm:secret@")];
    let error = Cluster::connect(options).await.unwrap_err();
    assert!(matches!(error, ConnectError::JetStreamDisabled { .. }), "{error}");
}

#[tokio::test]
async fn messages_limited_too_tightly() {
    let max_payload = 1024 * 1024;
    let server = NatsServer::start_with(NatsConfig {
        max_payload,
        ..NatsConfig::default()
    })
    .await;
    let error = Cluster::connect(server.options("default", Role::Controller))
        .await
        .unwrap_err();
    let sentence = error.to_string();
    assert!(
        sentence.contains(
            "at most 1048576 bytes and 2097152 are needed; put `max_payload: 3MB` into nats-server.conf"
        ),
        "{sentence}"
    );
}

#[tokio::test]
async fn credentials() {
    let extra = "authorization { user: farm, password: \"s@cret\" }".to_owned();
    let server = NatsServer::start_with(NatsConfig {
        extra,
        ..NatsConfig::default()
    })
    .await;
    let mut options = server.options("default", Role::Controller);
    let error = Cluster::connect(options.clone()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Credentials { .. }), "{error}");
    options.servers = vec![server.url().replace("nats://", "nats://farm:wrong@")];
    let error = Cluster::connect(options.clone()).await.unwrap_err();
    assert!(!error.to_string().contains("wrong"), "{error}");
    options.servers = vec![
        server.url(),
        server.url().replace("nats://", "nats://farm:s%40cret@"),
    ];
    let cluster = Cluster::connect(options.clone()).await.unwrap();
    cluster.dedicated_connection("slots").await.unwrap();
}

#[tokio::test]
async fn tokens() {
    let extra = "authorization { token: open-sesame }".to_owned();
    let server = NatsServer::start_with(NatsConfig {
        extra,
        ..NatsConfig::default()
    })
    .await;
    let mut options = server.options("default", Role::Controller);
    options.servers = vec![server.url().replace("nats://", "nats://open-sesame@")];
    Cluster::connect(options.clone()).await.unwrap();
    options.servers = vec![server.url()];
    options.token = Some("open-sesame".to_owned());
    Cluster::connect(options).await.unwrap();
}

#[tokio::test]
async fn not_an_address() {
    let server = NatsServer::start().await;
    let mut options = server.options("default", Role::Controller);
    options.servers = vec!["ftp://host".to_owned()];
    let error = Cluster::connect(options.clone()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("\"ftp://host\" is not the address of a NATS server"),
        "{error}"
    );
    options.servers.clear();
    assert_eq!(
        Cluster::connect(options).await.unwrap_err(),
        ConnectError::NoServer
    );
}

/// Greets as a server of 2.9 does and answers pings.
async fn old_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (reader, mut writer) = stream.into_split();
                let info = format!(
                    "INFO {{\"server_id\":\"X\",\"server_name\":\"X\",\"version\":\"2.9.11\",\"proto\":1,\
                     \"host\":\"127.0.0.1\",\"port\":{},\"headers\":true,\"max_payload\":4194304,\
                     \"jetstream\":true}}\r\n",
                    address.port()
                );
                writer.write_all(info.as_bytes()).await.unwrap();
                let mut lines = BufReader::new(reader).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line.starts_with("PING") && writer.write_all(b"PONG\r\n").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn server_too_old() {
    let server = NatsServer::start().await;
    let address = old_server().await;
    let mut options = server.options("default", Role::Controller);
    options.servers = vec![format!("nats://{address}")];
    let error = Cluster::connect(options).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("nats-server 2.9.11 at {address} is too old; version 2.10 or later is needed")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_comes_back() {
    on_each_server("the_connection_comes_back", async |mut server| {
        let cluster = server.connect("default", Role::Controller).await;
        let mut state = cluster.connection_state();
        server.kill().await;
        soon(
            "loss",
            state.wait_for(|state| *state == ConnectionState::Disconnected),
        )
        .await
        .unwrap();
        server.restart().await;
        soon(
            "return",
            state.wait_for(|state| *state == ConnectionState::Connected),
        )
        .await
        .unwrap();
        eventually("flush", async || cluster.flush().await.is_ok()).await;
    })
    .await;
}
