//! Which KZG parameters a process uses, and the rule that development parameters never serve a real chain.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use subspace_kzg::reference_string::{ReferenceString, ReferenceStringKind};
use subspace_kzg::{Kzg, RebuildReason, TablesOrigin};

/// Name of the imported mainnet parameters in the data directory.
const FILE_NAME: &str = "eth-public-parameters.bin";

/// Options of every process that commits or verifies.
#[derive(Debug, Clone, Default, Args)]
pub struct KzgArgs {
    /// KZG parameters to use instead of those that `util kzg-params import` has stored
    #[arg(long, value_name = "FILE")]
    pub kzg_params: Option<PathBuf>,
}

/// Where `util kzg-params import` stores the parameters.
pub fn stored_parameters() -> Result<PathBuf> {
    let data =
        dirs::data_dir().context("no data directory is known for this user; set HOME or XDG_DATA_HOME")?;
    Ok(data.join("autonomys-farmer/kzg").join(FILE_NAME))
}

/// Where processes of this user keep the fixed-base tables of their parameters, 48 MiB for each set: the cache directory, because
/// they can always be computed again.
fn tables_directory() -> Option<PathBuf> {
    dirs::cache_dir().map(|cache| cache.join("autonomys-farmer").join("kzg"))
}

/// Gives `kzg` its fixed-base tables: those that an earlier process has kept, else computed and kept for the next one. Blocks for a
/// tenth of a second or for some seconds. Do not call it from a task of `pool`.
pub fn precompute(kzg: &Kzg, pool: &rayon::ThreadPool) {
    let Some(directory) = tables_directory() else {
        kzg.precompute(pool);
        return;
    };
    let TablesOrigin::Built { reason, stored } = kzg.precompute_cached(&directory, pool) else {
        return;
    };
    if !matches!(reason, RebuildReason::Missing) {
        tracing::info!(directory = %directory.display(), %reason, "computed the tables of the KZG parameters again");
    }
    if let Err(error) = stored {
        tracing::warn!(%error, "the next start has to compute the tables of the KZG parameters again");
    }
}

impl KzgArgs {
    /// KZG with the parameters that the chain runs on, from the file that was named, else generated or as imported. Takes about half
    /// a second of computation.
    pub fn load(&self, required: ReferenceStringKind, pool: &rayon::ThreadPool) -> Result<Kzg> {
        let parameters = match (self.named(pool)?, required) {
            (Some(parameters), _) => parameters,
            (None, ReferenceStringKind::InsecureDevelopment) => ReferenceString::insecure_development(pool),
            (None, ReferenceStringKind::Mainnet) => {
                let path = stored_parameters()?;
                if !path.exists() {
                    bail!(
                        "this chain needs the mainnet KZG parameters, and none are stored; import them once with \
                         `autonomys-farmer util kzg-params import --from FILE`"
                    );
                }
                read(&path, pool)?
            }
        };
        match (parameters.kind(), required) {
            (ReferenceStringKind::InsecureDevelopment, ReferenceStringKind::Mainnet) => bail!(
                "the file given with --kzg-params holds the INSECURE development parameters, which prove nothing on this chain; \
                 import the mainnet parameters with `autonomys-farmer util kzg-params import`"
            ),
            (ReferenceStringKind::Mainnet, ReferenceStringKind::InsecureDevelopment) => bail!(
                "this development chain runs on development KZG parameters, not on those of the file given with --kzg-params; \
                 leave that option out"
            ),
            (ReferenceStringKind::InsecureDevelopment, _) => {
                tracing::warn!(
                    "using INSECURE development KZG parameters: right for a development chain only"
                );
            }
            (ReferenceStringKind::Mainnet, _) => {}
        }
        Ok(Kzg::new(parameters))
    }

    /// Parameters of the file that was named, of either kind; `None` when none was.
    pub fn named(&self, pool: &rayon::ThreadPool) -> Result<Option<ReferenceString>> {
        self.kzg_params
            .as_deref()
            .map(|path| read(path, pool))
            .transpose()
    }
}

fn read(path: &Path, pool: &rayon::ThreadPool) -> Result<ReferenceString> {
    let blob =
        std::fs::read(path).with_context(|| format!("cannot read the KZG parameters {}", path.display()))?;
    ReferenceString::mainnet_from_bytes_parallel(&blob, pool).or_else(|mainnet| {
        ReferenceString::insecure_development_from_bytes(&blob, pool)
            .map_err(|_| anyhow::Error::from(mainnet).context(format!("{} cannot be used", path.display())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            .build()
            .expect("threads")
    }

    #[test]
    fn development_parameters_are_refused_for_a_live_chain() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("development.bin");
        let pool = pool();
        std::fs::write(&path, ReferenceString::insecure_development(&pool).to_bytes()).expect("written");
        let args = KzgArgs {
            kzg_params: Some(path),
        };
        args.load(ReferenceStringKind::InsecureDevelopment, &pool)
            .expect("a development chain takes them");
        let error = args
            .load(ReferenceStringKind::Mainnet, &pool)
            .map(drop)
            .expect_err("a live chain does not")
            .to_string();
        assert!(error.contains("INSECURE"), "{error}");
    }

    #[test]
    fn unreadable_and_foreign_files_are_named() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("parameters.bin");
        let args = KzgArgs {
            kzg_params: Some(path.clone()),
        };
        let pool = pool();
        for chain in [
            ReferenceStringKind::Mainnet,
            ReferenceStringKind::InsecureDevelopment,
        ] {
            let _ = std::fs::remove_file(&path);
            let error = format!("{:#}", args.load(chain, &pool).map(drop).expect_err("missing"));
            assert!(
                error.contains("cannot read") && error.contains("parameters.bin"),
                "{error}"
            );
            std::fs::write(&path, b"something else").expect("written");
            let error = format!("{:#}", args.load(chain, &pool).map(drop).expect_err("foreign"));
            assert!(error.contains("parameters.bin cannot be used"), "{error}");
        }
    }
}
