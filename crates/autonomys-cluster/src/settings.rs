//! What all processes of a cluster agree on: the chain it farms, how caches store items, and the cache epoch.

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
    // Three small records.
    max_bytes: 1024 * 1024,
    max_age: Duration::ZERO,
};

const GENESIS: &str = "genesis";
const CHAIN: &str = "chain";
const ITEM_TYPE: &str = "cache_item_type";
const EPOCH: &str = "cache_epoch";

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
enum Setting {
    #[codec(index = 0)]
    Genesis(Blake3Hash),
    #[codec(index = 1)]
    ItemType(String),
    #[codec(index = 2)]
    Epoch {
        epoch: u64,
        /// Random, so that two who raise the epoch at the same time do not take each other's write for their own.
        nonce: u64,
    },
    #[codec(index = 3)]
    Chain(ChainSettings),
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
        "the caches of this cluster hold {cluster} items, this process was told to use {wanted}; leave the option out or start the caches anew"
    )]
    ItemTypeMismatch {
        /// What the cluster uses.
        cluster: String,
        /// What was asked for.
        wanted: String,
    },
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
    /// `wanted` is the name of an item type with its parameters, as the cache spells it. Pass `default: true` when
    /// nobody asked for it in particular: then what was decided before is fine.
    ///
    /// # Errors
    /// [`SettingsError::ItemTypeMismatch`] when another one was decided and this one was asked for.
    pub async fn agree_item_type(&self, wanted: &str, default: bool) -> Result<String, SettingsError> {
        match self
            .bucket
            .create(ITEM_TYPE, &Setting::ItemType(wanted.to_owned()))
            .await?
        {
            Created::New(_) => Ok(wanted.to_owned()),
            Created::Existing(Entry {
                value: Setting::ItemType(cluster),
                ..
            }) if default || cluster == wanted => Ok(cluster),
            Created::Existing(Entry {
                value: Setting::ItemType(cluster),
                ..
            }) => Err(SettingsError::ItemTypeMismatch {
                cluster,
                wanted: wanted.to_owned(),
            }),
            Created::Existing(_) => Err(SettingsError::Foreign(ITEM_TYPE)),
        }
    }

    /// How caches store items, once it is decided.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub async fn item_type(&self) -> Result<Option<String>, SettingsError> {
        match self.bucket.get(ITEM_TYPE).await?.map(|entry| entry.value) {
            None => Ok(None),
            Some(Setting::ItemType(item_type)) => Ok(Some(item_type)),
            Some(_) => Err(SettingsError::Foreign(ITEM_TYPE)),
        }
    }

    /// The cache epoch; 0 until it is raised for the first time.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub async fn cache_epoch(&self) -> Result<u64, SettingsError> {
        Ok(self.epoch_entry().await?.0)
    }

    async fn epoch_entry(&self) -> Result<(u64, u64), SettingsError> {
        match self.bucket.get(EPOCH).await? {
            None => Ok((0, 0)),
            Some(Entry {
                value: Setting::Epoch { epoch, .. },
                revision,
                ..
            }) => Ok((epoch, revision)),
            Some(_) => Err(SettingsError::Foreign(EPOCH)),
        }
    }

    /// Begins a new cache epoch and returns its number. Two who raise it at the same time begin one epoch each.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub async fn raise_cache_epoch(&self) -> Result<u64, SettingsError> {
        loop {
            let (epoch, revision) = self.epoch_entry().await?;
            let raised = epoch.saturating_add(1);
            let setting = Setting::Epoch {
                epoch: raised,
                nonce: rand::random(),
            };
            if self.bucket.update(EPOCH, &setting, revision).await?.is_some() {
                return Ok(raised);
            }
        }
    }

    /// The cache epoch as it is raised; ends when the receiver is dropped.
    pub fn watch_cache_epoch(&self) -> watch::Receiver<u64> {
        let (sender, receiver) = watch::channel(0);
        let mut events = self.bucket.watch(vec![EPOCH.to_owned()]);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    () = sender.closed() => return,
                    event = events.next_event() => event,
                };
                match event {
                    Some(WatchEvent::Put(Entry {
                        value: Setting::Epoch { epoch, .. },
                        ..
                    })) => {
                        sender.send_if_modified(|current| std::mem::replace(current, epoch) != epoch);
                    }
                    Some(_) => {}
                    None => return,
                }
            }
        });
        receiver
    }
}
