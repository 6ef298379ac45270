//! Whether a cache that has listed an item, and does not give it now, has passed it on in between, as caches do when others join or
//! leave: then nothing is wrong with it.

use super::inventory::{Holder, cache_key};
use crate::roles::placement::Placement;
use crate::util::observer::Observer;
use anyhow::{Result, ensure};
use autonomys_cache::CacheKey;
use autonomys_cluster::members::{MembersSnapshot, RoleStatus};
use autonomys_cluster::messages::CacheItem;
use autonomys_cluster::{InstanceId, Role};

/// Whether nothing is wrong with an item that its cache listed and did not give.
///
/// # Errors
/// When the cluster has changed its item type meanwhile: then all items are others.
pub(super) async fn was_passed_on(observer: &Observer, holder: &Holder, item: CacheItem) -> Result<bool> {
    // Full-piece caches pass nothing on.
    if holder.instance.role() != Role::ShardedCache {
        return Ok(false);
    }
    let settings = observer.settings.cache_settings().await?;
    ensure!(
        settings.is_none_or(|settings| settings.layout == holder.layout),
        "the caches went over to another item type while they were verified; run the command again when `util cache-status` says that \
         they are ready"
    );
    if holder.lists(&observer.cluster, item).await? {
        return Ok(false);
    }
    let key = cache_key(item)?;
    let placement = observer.fetcher.placement().borrow().clone();
    // A damaged item is dropped as well, and fetched again: only one that is still the cache's should be there.
    let is_owner = placement.is_none_or(|placement| owns(&placement, holder.instance, &key));
    Ok(!is_owner || is_full(&observer.members.current(), holder.instance))
}

/// Whether a cache owns an item by a map that counts.
fn owns(placement: &Placement, instance: InstanceId, key: &CacheKey) -> bool {
    let id = instance.to_string();
    let mut owners = placement.maps.iter().flat_map(|map| map.owners(key.piece_index));
    placement.coding().kind() == key.kind && owners.any(|(part, owner)| part == key.shard && owner.id == id)
}

/// Whether a cache has no room for more: then old items leave for new ones.
fn is_full(members: &MembersSnapshot, instance: InstanceId) -> bool {
    members.get(instance).is_some_and(|member| match &member.status {
        // One slot stays free for replacements.
        RoleStatus::ShardedCache(status) => status.wanted_items + 1 >= member.capacity,
        _ => false,
    })
}
