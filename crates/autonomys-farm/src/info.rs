//! `single_disk_farm.json`: what a farm says about itself.

use crate::error::{FarmError, IoContext};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::hashes::Blake3Hash;
use ulid::Ulid;

/// Name of the file in the farm directory.
pub const FILE_NAME: &str = "single_disk_farm.json";
/// A description is a few hundred bytes; anything much larger is not one.
const MAX_FILE_SIZE: u64 = 64 * 1024;

/// The versioned description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Versioned {
    V0(FarmInfo),
}

/// Description of a farm, in the official farmer's form and field order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FarmInfo {
    /// Random name of the farm.
    pub id: Ulid,
    /// Hash of block 0 of its chain.
    pub genesis_hash: Blake3Hash,
    /// Owner of the plots.
    pub public_key: PublicKey,
    /// Pieces a sector.
    pub pieces_in_sector: u16,
    /// Bytes given to the farm.
    pub allocated_space: u64,
}

impl FarmInfo {
    /// The text of the file.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Versioned::V0(self.clone())).expect("plain fields always serialise")
    }

    /// Parses the text of the file at `path`.
    pub fn from_json(text: &str, path: &Path) -> Result<Self, FarmError> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| FarmError::Damaged {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
        if let Some(version) = value.as_object().and_then(|fields| fields.keys().next())
            && version != "v0"
        {
            return Err(FarmError::UnknownVersion {
                path: path.to_path_buf(),
                version: version.clone(),
            });
        }
        let Versioned::V0(info) = serde_json::from_value(value).map_err(|error| FarmError::Damaged {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
        Ok(info)
    }

    /// Reads the description of the farm in `directory`; `None` when it has none yet.
    pub fn load(directory: &Path) -> Result<Option<Self>, FarmError> {
        let path = directory.join(FILE_NAME);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("read", &path),
        };
        if size == 0 {
            // The lock file of a farm whose making was interrupted.
            return Ok(None);
        }
        if size > MAX_FILE_SIZE {
            return Err(FarmError::Damaged {
                path,
                reason: format!("it has {size} bytes"),
            });
        }
        let text = fs::read_to_string(&path).at("read", &path)?;
        Self::from_json(&text, &path).map(Some)
    }

    /// Replaces the description so that a crash leaves the old or the new one. The lock on the old file does not carry over
    /// to the new one: lock again.
    pub fn store(&self, directory: &Path) -> Result<(), FarmError> {
        let path = directory.join(FILE_NAME);
        let temporary = directory.join("single_disk_farm.json.new");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(self.to_json().as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(directory)?.sync_all()
        };
        write().at("write", &path)
    }
}
