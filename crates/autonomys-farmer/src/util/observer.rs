//! A look at a cluster from outside: a connection that is no member, announces nothing, and is counted by nobody.

use crate::args::nats::NatsArgs;
use crate::roles::chain::Chain;
use crate::roles::context::peer;
use crate::roles::pieces::PieceFetcher;
use anyhow::{Context, Result, bail};
use autonomys_cluster::members::MembersView;
use autonomys_cluster::messages::{CacheInventory, CacheItem};
use autonomys_cluster::settings::Settings;
use autonomys_cluster::{Cluster, InstanceId, NatsOptions, Role};
use autonomys_transfer::{Peer, Pool, PoolOptions};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Members answer a newcomer's question within 0.2 s; the picture counts as whole once nobody new came for this long.
const QUIET: Duration = Duration::from_millis(700);
/// Regular announcements come every 2 s: whoever has not been heard after this is not there.
const MEMBERS_WITHIN: Duration = Duration::from_secs(6);
/// A controller records its chain within a second of its start.
const CHAIN_WITHIN: Duration = Duration::from_secs(5);

/// The connection and what is seen over it.
pub(super) struct Observer {
    pub(super) cluster: Cluster,
    pub(super) members: MembersView,
    pub(super) settings: Settings,
    /// Connections to members' data planes; they end with this value.
    pub(super) pool: Pool,
    /// The read path of the roles.
    pub(super) fetcher: PieceFetcher,
    _close: DropGuard,
}

impl Observer {
    /// Connects and waits until the members have said that they are there. `purpose` shows in the server's connection list.
    ///
    /// # Errors
    /// One sentence when NATS is not reached, or nobody is in the cluster.
    pub(super) async fn connect(nats: &NatsArgs, purpose: &str) -> Result<Self> {
        let cluster = look(nats, purpose).await?;
        let mut members = MembersView::observe(&cluster).await?;
        wait_for_members(&mut members, cluster.name().as_str()).await?;
        let close = CancellationToken::new();
        // All members encrypt their data planes or none does; those that differ say so in their own logs.
        let options = PoolOptions {
            tls: members
                .current()
                .members
                .values()
                .any(|member| member.data_plane_tls && !member.data_plane_addresses.is_empty()),
            ..PoolOptions::default()
        };
        let pool = Pool::new(options, close.clone());
        Ok(Self {
            settings: Settings::open(&cluster).await?,
            fetcher: PieceFetcher::start(&cluster, pool.clone(), members.clone()).await?,
            cluster,
            members,
            pool,
            _close: close.drop_guard(),
        })
    }

    /// The chain that the cluster farms.
    ///
    /// # Errors
    /// When no controller has recorded it.
    pub(super) async fn chain(&self) -> Result<Chain> {
        let never = CancellationToken::new();
        match tokio::time::timeout(CHAIN_WITHIN, Chain::wait(&self.settings, &never)).await {
            Ok(chain) => chain?.context("the wait was cancelled"),
            Err(_) => bail!("no controller has told this cluster which chain it farms; start one first"),
        }
    }

    /// All items that a cache lists, ascending, and the number that the data plane's keys of them carry. 16 bytes an item.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub(super) async fn items_of(&self, id: InstanceId) -> Result<(u64, Vec<CacheItem>)> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let request = CacheInventory {
                after,
                limit: CacheInventory::MAX_ITEMS,
            };
            let page = self.cluster.request(id, &request).await?;
            after = page.items.last().copied();
            items.extend(page.items);
            if !page.more || after.is_none() {
                return Ok((page.layout, items));
            }
        }
    }

    /// How to reach a member's data plane; `None` when it is not there or serves nothing yet.
    pub(super) fn peer(&self, id: InstanceId) -> Option<Peer> {
        peer(self.members.current().get(id)?)
    }
}

/// A connection that is no member, for what is kept in JetStream whether anybody is there or not. `purpose` shows in the server's
/// connection list.
///
/// # Errors
/// One sentence when NATS is not reached.
pub(super) async fn look(nats: &NatsArgs, purpose: &str) -> Result<Cluster> {
    // Not used by who only looks.
    let instance = InstanceId::generate(Role::Controller);
    let mut options = NatsOptions::new(nats.servers.clone(), nats.cluster()?.clone(), instance);
    options.start_timeout = Some(Duration::from_secs(nats.timeout_secs));
    Ok(Cluster::observe(options, purpose).await?)
}

async fn wait_for_members(members: &mut MembersView, cluster: &str) -> Result<()> {
    let deadline = Instant::now() + MEMBERS_WITHIN;
    loop {
        let known = members.current().members.len();
        let until = match known {
            0 => deadline,
            _ => deadline.min(Instant::now() + QUIET),
        };
        let newcomer = members.wait_until(|snapshot| snapshot.members.len() != known);
        match tokio::time::timeout_at(until, newcomer).await {
            Ok(seen) => drop(seen.context("the members are not followed any more")?),
            Err(_) if known > 0 => return Ok(()),
            Err(_) => bail!(
                "nobody is in the cluster {cluster:?}; start its roles, or name another cluster with --cluster"
            ),
        }
    }
}
