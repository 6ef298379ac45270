//! What every role stands on: the connection to the cluster, its membership, and the data plane.

use super::draining::Draining;
use super::state_directory::StateDirectory;
use crate::args::nats::NatsArgs;
use anyhow::{Context, Result, ensure};
use autonomys_cluster::members::{Member, MembersView, Membership};
use autonomys_cluster::{Cluster, InstanceId, NatsOptions, Role};
use autonomys_transfer::{Congestion, Handlers, Peer, Pool, PoolOptions, Server, ServerOptions, SessionKey};
use clap::Args;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where a role serves its bulk.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataPlaneArgs {
    /// Port on which other members fetch from this one; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) listen_port: u16,
    /// Address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub(crate) listen_address: IpAddr,
    /// Address that other members reach this one at, when it is not the one that this machine reaches NATS from
    #[arg(long, value_name = "IP")]
    pub(crate) advertise_address: Option<IpAddr>,
    /// How sending adapts to the line: cubic, which suits one site, or whatever the system uses
    #[arg(long, value_enum, default_value_t = DataPlaneCongestion::Cubic)]
    pub(crate) data_plane_congestion: DataPlaneCongestion,
    #[command(flatten)]
    pub(crate) tls: DataPlaneTls,
}

/// Choices of `--data-plane-congestion`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum DataPlaneCongestion {
    Cubic,
    System,
}

impl From<DataPlaneCongestion> for Congestion {
    fn from(choice: DataPlaneCongestion) -> Self {
        match choice {
            DataPlaneCongestion::Cubic => Self::Cubic,
            DataPlaneCongestion::System => Self::System,
        }
    }
}

/// How bulk is protected on its way.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct DataPlaneTls {
    /// Encrypt what members fetch from each other; all members of the cluster need it or none
    #[arg(long)]
    pub(crate) data_plane_tls: bool,
}

/// A started role.
pub(crate) struct RoleContext {
    pub(crate) cluster: Cluster,
    membership: Membership,
    /// Connections to other members' data planes.
    pub(crate) pool: Pool,
    session_key: SessionKey,
    own_session_key: autonomys_cluster::SessionKey,
    server: Option<Server>,
    draining: Draining,
    /// Ours until everything else has ended.
    _state: Option<StateDirectory>,
    /// Ends the data plane; cancelled after everything else has ended.
    data_plane: CancellationToken,
}

impl RoleContext {
    /// Connects to the cluster and joins it; `None` when told to stop before NATS was reached. The instance id is kept in `state_directory`; without one (`--tmp`) it is new each time.
    pub(crate) async fn start(
        nats: &NatsArgs,
        role: Role,
        state_directory: Option<&Path>,
        tls: DataPlaneTls,
        cancel: CancellationToken,
    ) -> Result<Option<Self>> {
        let state = match state_directory {
            Some(directory) => {
                let directory = directory.to_path_buf();
                Some(tokio::task::spawn_blocking(move || StateDirectory::open(&directory, role)).await??)
            }
            None => None,
        };
        let instance = state
            .as_ref()
            .map_or_else(|| InstanceId::generate(role), StateDirectory::instance);
        Self::start_as(nats, instance, state, tls, cancel).await
    }

    /// As [`Self::start`] under a given identity; `state` is held until the role has ended.
    pub(super) async fn start_as(
        nats: &NatsArgs,
        instance: InstanceId,
        state: Option<StateDirectory>,
        tls: DataPlaneTls,
        cancel: CancellationToken,
    ) -> Result<Option<Self>> {
        let mut options = NatsOptions::new(nats.servers.clone(), nats.cluster()?.clone(), instance);
        options.start_timeout = Some(Duration::from_secs(nats.timeout_secs));
        let cluster = tokio::select! {
            cluster = Cluster::connect(options) => cluster?,
            () = cancel.cancelled() => return Ok(None),
        };
        let host = hostname::get().map_or_else(
            |_| "unknown".to_string(),
            |host| host.to_string_lossy().into_owned(),
        );
        let mut member = Member::new(instance, host, env!("CARGO_PKG_VERSION"));
        member.data_plane_tls = tls.data_plane_tls;
        let own_session_key = member.session_key;
        let session_key = SessionKey::from(*own_session_key.expose());
        let membership = Membership::join(&cluster, member).await?;
        let draining = Draining::serve(&cluster, membership.own_record()).await?;
        tokio::spawn(stop_on_conflict(membership.conflict(), instance, cancel.clone()));
        tokio::spawn(name_those_that_differ(membership.view(), tls, cancel.clone()));
        let data_plane = CancellationToken::new();
        let pool = PoolOptions {
            tls: tls.data_plane_tls,
            ..PoolOptions::default()
        };
        tracing::info!(%instance, cluster = %cluster.name(), "joined");
        Ok(Some(Self {
            pool: Pool::new(pool, data_plane.clone()),
            cluster,
            membership,
            session_key,
            own_session_key,
            server: None,
            draining,
            _state: state,
            data_plane,
        }))
    }

    /// Starts serving bulk and tells the others where.
    pub(crate) async fn serve(
        &mut self,
        args: &DataPlaneArgs,
        nats: &NatsArgs,
        handlers: Handlers,
    ) -> Result<SocketAddr> {
        let address = SocketAddr::new(args.listen_address, args.listen_port);
        let options = ServerOptions {
            tls: args.tls.data_plane_tls,
            congestion: args.data_plane_congestion.into(),
            ..ServerOptions::default()
        };
        let server = Server::bind_with(
            address,
            self.session_key,
            handlers,
            options,
            self.data_plane.clone(),
        )
        .await
        .with_context(|| {
            format!(
                "cannot serve other members on {address}; give --listen-port a port that nothing else uses"
            )
        })?;
        let local = server.local_addr();
        let reachable = match args.advertise_address {
            Some(address) => address,
            None if !local.ip().is_unspecified() => local.ip(),
            None => address_towards(&nats.servers)?,
        };
        let advertised = SocketAddr::new(reachable, local.port());
        self.membership
            .update(|member| member.data_plane_addresses = vec![advertised.to_string()]);
        self.server = Some(server);
        tracing::info!(%advertised, "serving other members");
        Ok(advertised)
    }

    /// Who this is.
    pub(crate) fn instance(&self) -> InstanceId {
        self.cluster.instance()
    }

    /// Everybody in the cluster.
    pub(crate) fn members(&self) -> MembersView {
        self.membership.view()
    }

    /// Key of this run's data plane, in the form that records carry.
    pub(crate) fn own_session_key(&self) -> autonomys_cluster::SessionKey {
        self.own_session_key
    }

    /// Changes what this member tells the others.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Member)) {
        self.membership.update(change);
    }

    /// Turns `true` when this instance is to take no new work, and `false` when it may again.
    pub(crate) fn draining(&self) -> watch::Receiver<bool> {
        self.draining.wanted()
    }

    /// Tells how many pieces of work are held: with none a draining instance may be stopped.
    pub(crate) fn set_held(&self, held: u32) {
        self.draining.set_held(held);
    }

    /// Says goodbye and closes the data plane; the last thing a role does.
    ///
    /// # Errors
    /// When the role had to stop because another process runs under its id.
    pub(crate) async fn leave(self) -> Result<()> {
        let conflict = *self.membership.conflict().borrow();
        let instance = self.instance();
        self.membership.leave().await;
        self.data_plane.cancel();
        if let Some(server) = self.server {
            server.shutdown().await;
        }
        tracing::info!("left");
        ensure!(
            !conflict,
            "another process runs as {instance}, with a copy of this one's directory; give each its own directory"
        );
        Ok(())
    }
}

/// Two processes under one id would take each other's work: the one that notices stops.
async fn stop_on_conflict(
    mut conflict: watch::Receiver<bool>,
    instance: InstanceId,
    cancel: CancellationToken,
) {
    let noticed = conflict.wait_for(|conflict| *conflict);
    let found = tokio::select! {
        found = noticed => found.is_ok(),
        () = cancel.cancelled() => false,
    };
    if found {
        tracing::warn!("stopping: another process runs as {instance}");
        cancel.cancel();
    }
}

/// Members of which some encrypt and some do not cannot fetch from each other: the operator is told who they are.
async fn name_those_that_differ(mut members: MembersView, tls: DataPlaneTls, cancel: CancellationToken) {
    let mut named = BTreeSet::new();
    loop {
        let changed = tokio::select! {
            changed = members.changed() => changed,
            () = cancel.cancelled() => None,
        };
        let Some(snapshot) = changed else { return };
        for member in snapshot.members.values() {
            let differs =
                !member.data_plane_addresses.is_empty() && member.data_plane_tls != tls.data_plane_tls;
            if differs && named.insert((member.id, member.run)) {
                tracing::warn!(
                    member = %member.id,
                    host = member.host,
                    "nothing can be fetched from this member: {}",
                    if member.data_plane_tls {
                        "it encrypts, this process does not; start all members with --data-plane-tls or none"
                    } else {
                        "it does not encrypt, this process does; start all members with --data-plane-tls or none"
                    }
                );
            }
        }
    }
}

/// How to reach a member's data plane; `None` when it has none.
pub(crate) fn peer(member: &Arc<Member>) -> Option<Peer> {
    let address = member
        .data_plane_addresses
        .iter()
        .find_map(|address| address.parse().ok())?;
    Some(Peer {
        member: member.id.to_string(),
        address,
        session_key: SessionKey::from(*member.session_key.expose()),
    })
}

/// The local address from which this machine reaches one of the NATS servers: the one that other members can most likely reach too.
fn address_towards(servers: &[String]) -> Result<IpAddr> {
    /// NATS' own port, for servers given without one.
    const NATS_PORT: u16 = 4222;
    let resolved = servers.iter().find_map(|server| {
        let host = server
            .rsplit_once("://")
            .map_or(server.as_str(), |(_, rest)| rest);
        let host = host
            .rsplit_once('@')
            .map_or(host, |(_, rest)| rest)
            .trim_end_matches('/');
        let mut addresses = match host.to_socket_addrs() {
            Ok(addresses) => addresses,
            Err(_) => (host, NATS_PORT).to_socket_addrs().ok()?,
        };
        addresses.next()
    });
    let server = resolved.context("no NATS server's name can be resolved")?;
    let local = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // Connecting a datagram socket sends nothing: it only asks the routing table.
    let socket = UdpSocket::bind(local).and_then(|socket| socket.connect(server).map(|()| socket));
    let address = socket
        .and_then(|socket| socket.local_addr())
        .context("cannot find this machine's own address; give --advertise-address")?;
    Ok(address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_servers_are_reached_from_loopback() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for server in [
            "nats://127.0.0.1:4222",
            "127.0.0.1:9",
            "nats://farm:secret@127.0.0.1",
            "tls://127.0.0.1:4222/",
        ] {
            assert_eq!(
                address_towards(&[server.to_string()]).expect("resolvable"),
                loopback,
                "{server}"
            );
        }
    }
}
