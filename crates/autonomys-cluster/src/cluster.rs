//! The handle on a cluster that everything else here starts from.

use crate::connection::{ConnectError, Connection, ConnectionState, NatsOptions};
use crate::ids::{ClusterName, InstanceId};
use crate::subjects::Subjects;
use async_nats::jetstream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Copies of an object on a NATS cluster: survives the loss of one server of three.
const CLUSTERED_REPLICAS: usize = 3;

/// A server answers in milliseconds; one that is away for longer than this is not waited for.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to the cluster, as one instance. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    connection: Connection,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: NatsOptions,
    subjects: Subjects,
}

impl Cluster {
    /// Connects and checks that the server can serve us.
    ///
    /// # Errors
    /// [`ConnectError`], one sentence with the remedy, when no server answers in time or its configuration cannot work.
    pub async fn connect(options: NatsOptions) -> Result<Self, ConnectError> {
        let connection = Connection::open(&options, &options.instance.to_string()).await?;
        let subjects = Subjects::new(options.cluster.clone());
        Ok(Self {
            connection,
            shared: Arc::new(Shared { options, subjects }),
        })
    }

    /// Connects to look at the cluster, as no instance of it: nothing is announced, so nobody plans with it. `purpose` shows
    /// in the server's connection list; the instance of `options` is not used.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn observe(options: NatsOptions, purpose: &str) -> Result<Self, ConnectError> {
        let connection = Connection::open(&options, purpose).await?;
        let subjects = Subjects::new(options.cluster.clone());
        Ok(Self {
            connection,
            shared: Arc::new(Shared { options, subjects }),
        })
    }

    /// The same cluster over a connection of its own, so that bulk on one never delays the other.
    ///
    /// Nothing may be assumed about the order of messages of two connections. `purpose` shows in the server's
    /// connection list.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn dedicated_connection(&self, purpose: &str) -> Result<Self, ConnectError> {
        let name = format!("{} {purpose}", self.instance());
        let connection = Connection::open(&self.shared.options, &name).await?;
        Ok(Self {
            connection,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Name of the cluster.
    pub fn name(&self) -> &ClusterName {
        &self.shared.options.cluster
    }

    /// The instance that this process is.
    pub fn instance(&self) -> InstanceId {
        self.shared.options.instance
    }

    /// Subjects and names of this cluster.
    pub fn subjects(&self) -> &Subjects {
        &self.shared.subjects
    }

    /// State changes of the connection.
    pub fn connection_state(&self) -> watch::Receiver<ConnectionState> {
        self.connection.state()
    }

    /// Largest message the server takes at the moment, in bytes.
    pub fn max_payload(&self) -> usize {
        self.client().max_payload()
    }

    /// `(name, version)` of the server we are connected to at the moment.
    pub fn server(&self) -> (String, String) {
        let info = self.client().server_info();
        (info.server_name, info.version)
    }

    /// Waits until the server has seen everything sent so far, subscriptions included; call it before the process exits.
    ///
    /// # Errors
    /// The client's words when the server does not answer within a few seconds.
    pub async fn flush(&self) -> Result<(), String> {
        // The client's own flush ends at the socket. The server answers a request that nobody serves by itself, and in
        // order after everything before it.
        let request = async_nats::Request::new().timeout(Some(FLUSH_TIMEOUT));
        match self
            .client()
            .send_request(self.subjects().nobody(), request)
            .await
        {
            Err(error) if error.kind() != async_nats::RequestErrorKind::NoResponders => {
                Err(error.to_string())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn client(&self) -> &async_nats::Client {
        &self.connection.client
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.connection.jetstream
    }

    /// Copies to ask for when an object is created.
    pub(crate) fn replicas(&self) -> usize {
        self.shared.options.replicas.unwrap_or_else(|| {
            let info = self.client().server_info();
            // A server announces itself and the others of its cluster.
            if info.cluster.is_some() && info.connect_urls.len() >= CLUSTERED_REPLICAS {
                CLUSTERED_REPLICAS
            } else {
                1
            }
        })
    }
}
