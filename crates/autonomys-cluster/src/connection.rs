//! A connection to NATS: what is checked at start, how it comes back, and how its state is seen.

use crate::ids::{ClusterName, InstanceId};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use rand::Rng;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, info, warn};

/// Oldest server whose key-value store answers our client.
pub const OLDEST_SERVER: (u64, u64) = (2, 10);
/// Smallest `max_payload` that works: a proof request takes about 1.06 MiB, the rest is room to grow.
pub const MIN_MAX_PAYLOAD: usize = 2 * 1024 * 1024;
/// One server gets this long to answer, so that a black hole among several servers costs seconds, not minutes.
const SERVER_TIMEOUT: Duration = Duration::from_secs(5);
/// First and longest pause between attempts; the pause doubles between them, with half of it left to chance so that
/// a restarted server is not met by everybody at once.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A dead peer is noticed after about two of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Messages waiting in one subscription before the newest is dropped. Readers never wait for their work, so a queue
/// this long means a stopped process; at 64 KiB a message it stays below 256 MiB.
const SUBSCRIPTION_CAPACITY: usize = 4096;
/// JetStream calls answer in milliseconds; a server that elects a leader takes a few seconds.
const JETSTREAM_TIMEOUT: Duration = Duration::from_secs(5);

/// Where NATS is and who connects.
#[derive(Clone)]
pub struct NatsOptions {
    /// Addresses such as `nats://192.168.1.1:4222` or `tls://user:password@host:4222`; may repeat.
    pub servers: Vec<String>,
    /// The cluster whose name prefixes everything.
    pub cluster: ClusterName,
    /// Who we are.
    pub instance: InstanceId,
    /// How long a start may wait for a server; `None` waits for ever.
    pub start_timeout: Option<Duration>,
    /// Token for servers with `authorization { token }`. A user and password go into an address, `%`-escaped where they
    /// hold special characters; the first address that has them counts for all.
    pub token: Option<String>,
    /// PEM file with the authority that signed the servers' certificates.
    pub ca_certificate: Option<PathBuf>,
    /// PEM files of our own certificate and its key, for servers that ask for one.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Copies of every JetStream object, 1 to 5; `None` takes 3 on a cluster of three or more servers, else 1.
    pub replicas: Option<usize>,
}

impl NatsOptions {
    /// Waits this long for a server at start: supervisors start everything at once, and a server recovers its store.
    pub const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(60);

    /// Options with defaults for everything else.
    pub fn new(servers: Vec<String>, cluster: ClusterName, instance: InstanceId) -> Self {
        Self {
            servers,
            cluster,
            instance,
            start_timeout: Some(Self::DEFAULT_START_TIMEOUT),
            token: None,
            ca_certificate: None,
            client_certificate: None,
            replicas: None,
        }
    }
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses may carry passwords.
        f.debug_struct("NatsOptions")
            .field(
                "servers",
                &self
                    .servers
                    .iter()
                    .map(|server| redacted(server))
                    .collect::<Vec<_>>(),
            )
            .field("cluster", &self.cluster)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// Why a start cannot work.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum ConnectError {
    /// No address at all.
    #[error("no NATS server was given; pass at least one --nats-server nats://HOST:4222")]
    NoServer,
    /// Not an address.
    #[error("{address:?} is not the address of a NATS server ({reason}); write nats://HOST:PORT")]
    Address {
        /// What was given, without credentials.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// Nobody answered in time.
    #[error("no NATS server of {servers} answered within {}: {reason}; check the addresses and that nats-server runs", seconds(*waited))]
    Unreachable {
        /// Everybody who was tried.
        servers: String,
        /// For how long.
        waited: Duration,
        /// The last failure.
        reason: String,
    },
    /// Wrong or missing credentials.
    #[error(
        "a NATS server of {servers} refused our credentials; put the user and password of its nats-server.conf into the address (nats://USER:PASSWORD@HOST:4222)"
    )]
    Credentials {
        /// Everybody who was tried.
        servers: String,
    },
    /// Too old.
    #[error("nats-server {version} at {server} is too old; version {}.{} or later is needed", OLDEST_SERVER.0, OLDEST_SERVER.1)]
    TooOld {
        /// The server.
        server: String,
        /// Its version.
        version: String,
    },
    /// JetStream is off.
    #[error(
        "JetStream is not enabled on the nats-server at {server}; start it with --jetstream or put `jetstream {{ store_dir: /var/nats-data }}` into nats-server.conf"
    )]
    JetStreamDisabled {
        /// The server.
        server: String,
    },
    /// JetStream is on but did not become usable.
    #[error("JetStream at {server} was not ready within {}: {reason}; a cluster of NATS servers needs a majority of them running", seconds(*waited))]
    JetStreamNotReady {
        /// The server.
        server: String,
        /// For how long it was tried.
        waited: Duration,
        /// The last failure.
        reason: String,
    },
    /// Messages are limited too tightly.
    #[error(
        "the nats-server at {server} takes messages of at most {current} bytes and {needed} are needed; put `max_payload: 3MB` into nats-server.conf and restart it"
    )]
    MaxPayload {
        /// The server.
        server: String,
        /// Its limit in bytes.
        current: usize,
        /// Ours.
        needed: usize,
    },
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// Whether NATS can be reached at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// Messages flow.
    Connected,
    /// The client is looking for a server, for ever.
    Disconnected,
}

/// One connection to NATS with its JetStream context. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    state: watch::Receiver<ConnectionState>,
    /// Ends what runs beside the connection, which would otherwise keep it open.
    _watcher: Arc<DropGuard>,
}

impl Connection {
    /// State changes.
    pub(crate) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    /// Connects under `name` and checks the server.
    ///
    /// # Errors
    /// [`ConnectError`] when the configuration cannot work, or nobody answered in time.
    pub(crate) async fn open(options: &NatsOptions, name: &str) -> Result<Self, ConnectError> {
        let servers = addresses(&options.servers)?;
        let deadline = options.start_timeout.map(|timeout| Instant::now() + timeout);
        let (state_sender, state) = watch::channel(ConnectionState::Connected);
        let state_sender = Arc::new(state_sender);
        let mut attempt = 0;
        let client = loop {
            attempt += 1;
            // Boxed, because the client's future is large and everybody would carry it.
            let connecting =
                Box::pin(connect_options(options, name, &servers, &state_sender).connect(&servers[..]));
            let failure = match within(deadline, connecting).await {
                Some(Ok(client)) => break client,
                Some(Err(error)) => match error.kind() {
                    ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                        return Err(ConnectError::Credentials {
                            servers: list(&servers),
                        });
                    }
                    _ => error.to_string(),
                },
                None => "no answer".to_owned(),
            };
            debug!(attempt, failure, "no NATS server answers yet");
            if attempt == 1 {
                info!(
                    servers = list(&servers),
                    reason = failure,
                    "waiting for a NATS server"
                );
            }
            if !pause(deadline, backoff(attempt)).await {
                let waited = options.start_timeout.unwrap_or_default();
                return Err(ConnectError::Unreachable {
                    servers: list(&servers),
                    waited,
                    reason: failure,
                });
            }
        };
        check_server(&client)?;
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(JETSTREAM_TIMEOUT)
            .ack_timeout(JETSTREAM_TIMEOUT)
            .build(client.clone());
        check_jetstream(&client, &jetstream, deadline, options.start_timeout).await?;
        let watcher = CancellationToken::new();
        tokio::spawn(
            watcher
                .clone()
                .run_until_cancelled_owned(check_again(client.clone(), state.clone())),
        );
        Ok(Self {
            client,
            jetstream,
            state,
            _watcher: Arc::new(watcher.drop_guard()),
        })
    }
}

/// Parses the addresses; every server once.
fn addresses(servers: &[String]) -> Result<Vec<ServerAddr>, ConnectError> {
    let mut addresses: Vec<ServerAddr> = Vec::new();
    for server in servers.iter().map(|server| server.trim()) {
        let address = server
            .parse::<ServerAddr>()
            .map_err(|error| ConnectError::Address {
                address: redacted(server),
                reason: error.to_string(),
            })?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        Err(ConnectError::NoServer)
    } else {
        Ok(addresses)
    }
}

/// The address without user and password.
fn redacted(server: &str) -> String {
    match (server.split_once("://"), server.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        _ => server.to_owned(),
    }
}

fn list(servers: &[ServerAddr]) -> String {
    let names: Vec<_> = servers
        .iter()
        .map(|server| format!("{}:{}", server.host(), server.port()))
        .collect();
    names.join(", ")
}

fn connect_options(
    options: &NatsOptions,
    name: &str,
    servers: &[ServerAddr],
    state: &Arc<watch::Sender<ConnectionState>>,
) -> ConnectOptions {
    let state = Arc::clone(state);
    let rounds = servers.len();
    let mut connect = ConnectOptions::new()
        .name(name)
        .max_reconnects(None)
        .connection_timeout(SERVER_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        // The first round over all servers is immediate, later ones back off.
        .reconnect_delay_callback(move |attempt| backoff(attempt.saturating_sub(1) / rounds))
        .event_callback(move |event| {
            note(event, &state);
            std::future::ready(())
        });
    if let Some(token) = &options.token {
        connect = connect.token(token.clone());
    } else if let Some(address) = servers.iter().find(|address| address.has_user_pass()) {
        // The client itself does not look at the credentials in an address.
        let user = percent_decoded(address.username().unwrap_or_default());
        connect = match address.password() {
            Some(password) => connect.user_and_password(user, percent_decoded(password)),
            None => connect.token(user),
        };
    }
    if let Some(path) = &options.ca_certificate {
        connect = connect.add_root_certificates(path.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &options.client_certificate {
        connect = connect
            .add_client_certificate(certificate.clone(), key.clone())
            .require_tls(true);
    }
    connect
}

/// Reverses the escapes that an address needs for characters such as `@` and `/` in a password.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let mut decoded = [0];
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) if hex::decode_to_slice([*high, *low], &mut decoded).is_ok() => {
                bytes.push(decoded[0]);
                tail
            }
            _ => {
                bytes.push(first);
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn backoff(round: usize) -> Duration {
    if round == 0 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(round - 1).unwrap_or(u32::MAX).min(16);
    let longest = (BACKOFF.0 * 2u32.pow(doublings)).min(BACKOFF.1);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}

fn note(event: Event, state: &watch::Sender<ConnectionState>) {
    match event {
        Event::Connected => {
            if state.send_replace(ConnectionState::Connected) == ConnectionState::Disconnected {
                info!("connected to NATS again");
            }
        }
        Event::Disconnected => {
            state.send_replace(ConnectionState::Disconnected);
            warn!("the connection to NATS is lost, looking for a server");
        }
        Event::SlowConsumer(subscription) => {
            warn!(
                subscription,
                "messages were dropped because this process did not keep up"
            );
        }
        Event::LameDuckMode => info!("the NATS server is about to stop, moving to another one"),
        Event::ServerError(error) => warn!(%error, "the NATS server reports an error"),
        Event::ClientError(error) => debug!(%error, "NATS client"),
        Event::Draining | Event::Closed => debug!("the connection to NATS is closing"),
    }
}

fn server_name(client: &Client) -> String {
    let info = client.server_info();
    // A server that listens everywhere announces 0.0.0.0, which tells the operator nothing.
    if info.server_name.is_empty() || info.server_name == info.server_id {
        format!("{}:{}", info.host, info.port)
    } else {
        format!("{}:{} ({})", info.host, info.port, info.server_name)
    }
}

fn check_server(client: &Client) -> Result<(), ConnectError> {
    let info = client.server_info();
    let server = server_name(client);
    if version(&info.version).is_none_or(|version| version < OLDEST_SERVER) {
        return Err(ConnectError::TooOld {
            server,
            version: info.version,
        });
    }
    if info.max_payload < MIN_MAX_PAYLOAD {
        return Err(ConnectError::MaxPayload {
            server,
            current: info.max_payload,
            needed: MIN_MAX_PAYLOAD,
        });
    }
    Ok(())
}

fn version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

async fn check_jetstream(
    client: &Client,
    jetstream: &jetstream::Context,
    deadline: Option<Instant>,
    waited: Option<Duration>,
) -> Result<(), ConnectError> {
    use async_nats::jetstream::context::AccountErrorKind;

    let server = server_name(client);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let reason = match jetstream.query_account().await {
            Ok(_) => return Ok(()),
            Err(error) => match error.kind() {
                AccountErrorKind::JetStream(cause)
                    if [
                        ErrorCode::JETSTREAM_NOT_ENABLED,
                        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT,
                    ]
                    .contains(&cause.error_code()) =>
                {
                    return Err(ConnectError::JetStreamDisabled { server });
                }
                // A server with JetStream says so in its greeting; then silence means "not yet".
                AccountErrorKind::JetStreamUnavailable if !client.server_info().jetstream => {
                    return Err(ConnectError::JetStreamDisabled { server });
                }
                _ => error.to_string(),
            },
        };
        debug!(attempt, reason, "JetStream is not ready yet");
        if !pause(deadline, backoff(attempt)).await {
            let waited = waited.unwrap_or_default();
            return Err(ConnectError::JetStreamNotReady {
                server,
                waited,
                reason,
            });
        }
    }
}

/// A reconnect may reach a server with another configuration; say so instead of failing later without a word.
async fn check_again(client: Client, mut state: watch::Receiver<ConnectionState>) {
    while state.changed().await.is_ok() {
        if *state.borrow_and_update() == ConnectionState::Connected
            && let Err(problem) = check_server(&client)
        {
            error!("{problem}");
        }
    }
}

async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// Sleeps; `false` when the deadline comes first.
async fn pause(deadline: Option<Instant>, duration: Duration) -> bool {
    within(deadline, tokio::time::sleep(duration)).await.is_some()
}

#[cfg(test)]
mod tests;
