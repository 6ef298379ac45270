//! What all processes of a cluster agree on: the chain it farms, how its caches store items and in which epoch.

use crate::cluster::Cluster;
use crate::codec::Message;
use crate::store::{Bucket, BucketConfig, Created, Entry, StoreError, WatchEvent};
use parity_scale_codec::{Decode, Encode};
use std::time::Duration;
use subspace_core_primitives::hashes::Blake3Hash;
use thiserror::Error;
use tokio::sync::watch;

const BUCKET: BucketConfig = BucketConfig {
    name: "settings",
    description: "Chain, cache item type and cache epoch of the cluster",
    // A few small records.
    max_bytes: 1024 * 1024,
    max_age: Duration::ZERO,
};

const GENESIS: &str = "genesis";
const CHAIN: &str = "chain";
const CACHE: &str = "cache";

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
enum Setting {
    #[codec(index = 0)]
    Genesis(Blake3Hash),
    // 1 and 2 were item type and epoch in records of their own, in releases that did not use them.
    #[codec(index = 3)]
    Chain(ChainSettings),
    #[codec(index = 4)]
    Cache {
        settings: CacheSettings,
        /// Random, so that two who begin an epoch at the same time do not take each other's write for their own.
        nonce: u64,
    },
}

/// How the caches of a cluster store items. One record, so that item type and epoch change together.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CacheSettings {
    /// Item type with its parameters, as the cache spells it: `piece`, `split-piece:4`, `split-parity-piece:4+2`.
    pub item_type: String,
    /// Cache epoch, raised by every re-initialisation; 0 at first.
    pub epoch: u64,
    /// First epoch of those, up to the present one, that all have this item type. Items of these epochs are the same
    /// bytes, so the data plane's keys carry this number and stay valid when an epoch merely has everything checked anew.
    pub layout: u64,
}

/// What sort of chain the cluster farms, as its first controller learned it from its node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ChainSettings {
    /// A development chain, for which development KZG parameters are right.
    pub development: bool,
    /// Name of the proof of space in use.
    pub proof_of_space: String,
    /// Runs on the insecure development KZG parameters.
    pub insecure_kzg: bool,
}

impl Message for Setting {
    const NAME: &'static str = "cluster setting";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 1024;
}

/// Why a setting does not fit.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// JetStream.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another chain.
    #[error(
        "this cluster farms the chain with genesis {cluster}, the node is on the chain with genesis {node}; point the controller at a node of the same chain or give this chain a cluster of its own with --cluster NAME"
    )]
    GenesisMismatch {
        /// Genesis of the cluster's first controller.
        cluster: Blake3Hash,
        /// Genesis offered now.
        node: Blake3Hash,
    },
    /// Another sort of chain.
    #[error(
        "this cluster farms a chain with {cluster:?}, the node says {node:?}; point the controller at a node of the same chain"
    )]
    ChainMismatch {
        /// What the cluster's first controller learned.
        cluster: ChainSettings,
        /// What is offered now.
        node: ChainSettings,
    },
    /// Another item type.
    #[error(
        "the caches of this cluster store items as {cluster}, this process was told {wanted}; leave --cache-item-type out, or change all caches with `autonomys-farmer util reinitialization-cache --cache-item-type {wanted}`"
    )]
    ItemTypeMismatch {
        /// What the cluster uses.
        cluster: String,
        /// What was asked for.
        wanted: String,
    },
    /// No cache has ever run here.
    #[error("no cache has decided yet how items are stored; start a sharded-cache, or name an item type")]
    NoCacheYet,
    /// Somebody wrote something else under the key.
    #[error("the setting {0} does not hold what its name says; remove it with `nats kv del`")]
    Foreign(&'static str),
}

/// The cluster's settings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Settings {
    bucket: Bucket<Setting>,
}

impl Settings {
    /// Longest name of an item type in bytes.
    pub const MAX_ITEM_TYPE: usize = 64;

    /// Opens them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(cluster: &Cluster) -> Result<Self, StoreError> {
        Ok(Self {
            bucket: Bucket::open(cluster, &BUCKET).await?,
        })
    }

    /// Binds the cluster to a chain: the first controller decides, the others have to be on the same one.
    ///
    /// # Errors
    /// [`SettingsError::GenesisMismatch`] when the cluster farms another chain.
    pub async fn bind_genesis(&self, node: Blake3Hash) -> Result<(), SettingsError> {
        match self.bucket.create(GENESIS, &Setting::Genesis(node)).await? {
            Created::New(_) => Ok(()),
            Created::Existing(Entry {
                value: Setting::Genesis(cluster),
                ..
            }) if cluster == node => Ok(()),
            Created::Existing(Entry {
                value: Setting::Genesis(cluster),
                ..
            }) => Err(SettingsError::GenesisMismatch { cluster, node }),
            Created::Existing(_) => Err(SettingsError::Foreign(GENESIS)),
        }
    }

    /// The chain's genesis hash, once a controller has bound the cluster to it.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub async fn genesis(&self) -> Result<Option<Blake3Hash>, SettingsError> {
        match self.bucket.get(GENESIS).await?.map(|entry| entry.value) {
            None => Ok(None),
            Some(Setting::Genesis(hash)) => Ok(Some(hash)),
            Some(_) => Err(SettingsError::Foreign(GENESIS)),
        }
    }

    /// Records what sort of chain it is; the first controller decides, the others have to agree.
    ///
    /// # Errors
    /// [`SettingsError::ChainMismatch`] when they do not.
    pub async fn bind_chain(&self, node: ChainSettings) -> Result<(), SettingsError> {
        match self.bucket.create(CHAIN, &Setting::Chain(node.clone())).await? {
            Created::New(_) => Ok(()),
            Created::Existing(Entry {
                value: Setting::Chain(cluster),
                ..
            }) if cluster == node => Ok(()),
            Created::Existing(Entry {
                value: Setting::Chain(cluster),
                ..
            }) => Err(SettingsError::ChainMismatch { cluster, node }),
            Created::Existing(_) => Err(SettingsError::Foreign(CHAIN)),
        }
    }

    /// What sort of chain it is, once a controller has recorded it.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub async fn chain(&self) -> Result<Option<ChainSettings>, SettingsError> {
        match self.bucket.get(CHAIN).await?.map(|entry| entry.value) {
            None => Ok(None),
            Some(Setting::Chain(chain)) => Ok(Some(chain)),
            Some(_) => Err(SettingsError::Foreign(CHAIN)),
        }
    }

    /// Decides how caches store items, unless it was decided before; returns what holds.
    ///
    /// `asked` is what the operator asked for, if he did; then nothing else may have been decided. Without it `default` is
    /// decided when nothing was.
    ///
    /// # Errors
    /// [`SettingsError::ItemTypeMismatch`] when another one was decided than the one asked for.
    pub async fn agree_on_cache(
        &self,
        asked: Option<&str>,
        default: &str,
    ) -> Result<CacheSettings, SettingsError> {
        let first = CacheSettings {
            item_type: asked.unwrap_or(default).to_owned(),
            epoch: 0,
            layout: 0,
        };
        let held = self.restore_cache(first).await?;
        match asked {
            Some(wanted) if held.item_type != wanted => Err(SettingsError::ItemTypeMismatch {
                cluster: held.item_type,
                wanted: wanted.to_owned(),
            }),
            _ => Ok(held),
        }
    }

    /// Puts back what held before the server lost it; returns what holds now.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub async fn restore_cache(&self, settings: CacheSettings) -> Result<CacheSettings, SettingsError> {
        let setting = Setting::Cache {
            settings: settings.clone(),
            nonce: rand::random(),
        };
        match self.bucket.create(CACHE, &setting).await? {
            Created::New(_) => Ok(settings),
            Created::Existing(Entry {
                value: Setting::Cache { settings, .. },
                ..
            }) => Ok(settings),
            Created::Existing(_) => Err(SettingsError::Foreign(CACHE)),
        }
    }

    /// How caches store items, once it is decided.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub async fn cache_settings(&self) -> Result<Option<CacheSettings>, SettingsError> {
        Ok(self.cache_entry().await?.map(|(settings, _)| settings))
    }

    async fn cache_entry(&self) -> Result<Option<(CacheSettings, u64)>, SettingsError> {
        match self.bucket.get(CACHE).await? {
            None => Ok(None),
            Some(Entry {
                value: Setting::Cache { settings, .. },
                revision,
                ..
            }) => Ok(Some((settings, revision))),
            Some(_) => Err(SettingsError::Foreign(CACHE)),
        }
    }

    /// Begins a new cache epoch, with another item type if one is given, and returns what holds from now on. Two who do so
    /// at the same time begin one epoch each.
    ///
    /// # Errors
    /// [`SettingsError::NoCacheYet`] when nothing was decided and no item type is given.
    pub async fn start_epoch(&self, item_type: Option<&str>) -> Result<CacheSettings, SettingsError> {
        loop {
            let before = self.cache_entry().await?;
            let next = match (&before, item_type) {
                (None, None) => return Err(SettingsError::NoCacheYet),
                (None, Some(item_type)) => CacheSettings {
                    item_type: item_type.to_owned(),
                    epoch: 0,
                    layout: 0,
                },
                (Some((before, _)), item_type) => {
                    let item_type = item_type.unwrap_or(&before.item_type);
                    let epoch = before.epoch.saturating_add(1);
                    CacheSettings {
                        layout: if item_type == before.item_type {
                            before.layout
                        } else {
                            epoch
                        },
                        item_type: item_type.to_owned(),
                        epoch,
                    }
                }
            };
            let setting = Setting::Cache {
                settings: next.clone(),
                nonce: rand::random(),
            };
            let revision = before.map_or(0, |(_, revision)| revision);
            if self.bucket.update(CACHE, &setting, revision).await?.is_some() {
                return Ok(next);
            }
        }
    }

    /// How caches store items, as it changes; `None` until it is decided, and while the server has lost it. Ends when the
    /// receiver is dropped.
    pub fn watch_cache(&self) -> watch::Receiver<Option<CacheSettings>> {
        let (sender, receiver) = watch::channel(None);
        let mut events = self.bucket.watch(vec![CACHE.to_owned()]);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    () = sender.closed() => return,
                    event = events.next_event() => event,
                };
                let held = match event {
                    Some(WatchEvent::Put(Entry {
                        value: Setting::Cache { settings, .. },
                        ..
                    })) => Some(settings),
                    Some(WatchEvent::Removed(_)) => None,
                    Some(_) => continue,
                    None => return,
                };
                sender.send_if_modified(|current| std::mem::replace(current, held.clone()) != held);
            }
        });
        receiver
    }
}
