//! What operators' commands ask of a cache: its inventory, and to fetch items anew.

use anyhow::Result;
use autonomys_cluster::messages::{CacheInventory, CacheItem, CacheRepair, InventoryReply, RepairReply};
use autonomys_cluster::{Cluster, Refusal, ServeLimits, Service};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// One page after the other is asked for; a page is cheap but for the first.
const INVENTORIES: ServeLimits = ServeLimits {
    concurrency: 1,
    backlog: 16,
};
/// A repair holds up to 64 pieces in memory.
const REPAIRS: ServeLimits = ServeLimits {
    concurrency: 1,
    backlog: 16,
};
/// A repair is cut off before its asker gives up.
const REPAIR_WITHIN: Duration = Duration::from_secs(100);

/// What a cache can say and do about its items.
pub(super) trait Contents: Send + Sync + 'static {
    /// Cache epoch, and the number that keys carry on the data plane.
    fn epoch(&self) -> (u64, u64);

    /// The first `limit` items after `after` in ascending order, and whether there are more. May block.
    fn page(&self, after: Option<CacheItem>, limit: usize) -> (Vec<CacheItem>, bool);

    /// Fetches these items anew and returns those that are good now.
    fn repair(self: Arc<Self>, items: Vec<CacheItem>) -> BoxFuture<'static, Result<Vec<CacheItem>>>;
}

/// Serves both requests until the services are dropped.
pub(super) async fn serve<C: Contents>(cluster: &Cluster, contents: Arc<C>) -> Result<(Service, Service)> {
    let inventory = {
        let contents = Arc::clone(&contents);
        cluster
            .serve(INVENTORIES, move |request: CacheInventory| {
                page(Arc::clone(&contents), request)
            })
            .await?
    };
    let repair = cluster
        .serve(REPAIRS, move |request: CacheRepair| {
            repair(Arc::clone(&contents), request)
        })
        .await?;
    Ok((inventory, repair))
}

async fn page<C: Contents>(contents: Arc<C>, request: CacheInventory) -> Result<InventoryReply, Refusal> {
    let limit = request.limit.clamp(1, CacheInventory::MAX_ITEMS) as usize;
    let look = move || {
        let (epoch, layout) = contents.epoch();
        let (items, more) = contents.page(request.after, limit);
        InventoryReply {
            epoch,
            layout,
            items,
            more,
        }
    };
    tokio::task::spawn_blocking(look)
        .await
        .map_err(|error| Refusal::Failed(error.to_string()))
}

async fn repair<C: Contents>(contents: Arc<C>, request: CacheRepair) -> Result<RepairReply, Refusal> {
    if request.items.len() > CacheRepair::MAX_ITEMS {
        return Err(Refusal::Invalid(format!(
            "{} items are too many for one request, which takes {}",
            request.items.len(),
            CacheRepair::MAX_ITEMS
        )));
    }
    match tokio::time::timeout(REPAIR_WITHIN, contents.repair(request.items)).await {
        Ok(Ok(repaired)) => Ok(RepairReply { repaired }),
        Ok(Err(error)) => Err(Refusal::Failed(format!("{error:#}"))),
        Err(_) => Err(Refusal::Failed(format!(
            "the items could not be had within {REPAIR_WITHIN:?}"
        ))),
    }
}
