//! Where the cluster's NATS servers are, and which cluster on them is meant.

use anyhow::{Result, ensure};
use autonomys_cluster::{ClusterName, IdError};
use clap::Args;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::str::FromStr;
use thiserror::Error;

/// Largest share: beyond it the smallest ones would get nothing that anybody notices.
const MAX_SHARE: u32 = 1000;

/// NATS options; `--nats-server` and `--nats-servers` mean the same.
#[derive(Debug, Clone, Args)]
pub(crate) struct NatsArgs {
    /// NATS server, as in nats://192.168.1.1:4222; repeat it for every server of the NATS cluster
    #[arg(
        long = "nats-server",
        alias = "nats-servers",
        value_name = "URL",
        required = true,
        value_delimiter = ',',
        env = "AUTONOMYS_NATS_SERVERS",
        // They may hold passwords, and help goes to logs and screens.
        hide_env_values = true
    )]
    pub(crate) servers: Vec<String>,
    /// Name of the cluster; several clusters may share one NATS. A plot-server serves several when this is repeated, each by its share
    #[arg(long = "cluster", value_name = "NAME[:SHARE]", default_value = "default")]
    clusters: Vec<ClusterShare>,
    /// Seconds that a start waits for a NATS server before it gives up and says so; whoever supervises the process tries again
    #[arg(
        long = "nats-timeout-secs",
        value_name = "N",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(crate) timeout_secs: u64,
}

impl NatsArgs {
    /// The one cluster that is meant.
    ///
    /// # Errors
    /// When several are given, or a share of one.
    pub(crate) fn cluster(&self) -> Result<&ClusterName> {
        const ADVICE: &str =
            "only a plot-server serves several clusters by their shares; give --cluster NAME once";
        let [ClusterShare { name, share }] = &self.clusters[..] else {
            anyhow::bail!("{ADVICE}, and start another process for the other cluster");
        };
        ensure!(share.is_none(), "{ADVICE}, without :SHARE");
        Ok(name)
    }

    /// All clusters that are meant, each once.
    ///
    /// # Errors
    /// When one is given twice.
    pub(crate) fn clusters(&self) -> Result<Vec<ClusterShare>> {
        let mut names = BTreeSet::new();
        for ClusterShare { name, .. } in &self.clusters {
            ensure!(
                names.insert(name),
                "the cluster {name} is given twice; give it once, with its share"
            );
        }
        Ok(self.clusters.clone())
    }

    /// The same servers, with one of the clusters.
    pub(crate) fn of_cluster(&self, cluster: &ClusterShare) -> Self {
        Self {
            clusters: vec![ClusterShare {
                name: cluster.name.clone(),
                share: None,
            }],
            ..self.clone()
        }
    }
}

/// A cluster, and its share of a plot-server that serves several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterShare {
    pub(crate) name: ClusterName,
    share: Option<NonZeroU32>,
}

impl ClusterShare {
    pub(crate) fn share_or_one(&self) -> NonZeroU32 {
        self.share.unwrap_or(NonZeroU32::MIN)
    }
}

/// A text that is no [`ClusterShare`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ClusterShareError {
    #[error(transparent)]
    Name(#[from] IdError),
    #[error("the share {0:?} is not a number from 1 to {MAX_SHARE}; write it as in --cluster farm-1:2")]
    Share(String),
}

impl FromStr for ClusterShare {
    type Err = ClusterShareError;

    fn from_str(text: &str) -> Result<Self, ClusterShareError> {
        let (name, share) = match text.split_once(':') {
            None => (text, None),
            Some((name, share)) => {
                let number = share.parse::<NonZeroU32>().ok();
                let number = number.filter(|number| number.get() <= MAX_SHARE);
                (
                    name,
                    Some(number.ok_or_else(|| ClusterShareError::Share(share.to_string()))?),
                )
            }
        };
        Ok(Self {
            name: name.parse()?,
            share,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(clusters: &[&str]) -> NatsArgs {
        NatsArgs {
            servers: vec!["nats://a".to_string()],
            clusters: clusters.iter().map(|text| text.parse().unwrap()).collect(),
            timeout_secs: 1,
        }
    }

    #[test]
    fn shares_are_numbers() {
        let shares = |text: &str| {
            text.parse::<ClusterShare>()
                .map(|cluster| cluster.share_or_one().get())
        };
        assert_eq!((shares("a"), shares("a:1000")), (Ok(1), Ok(1000)));
        for wrong in ["a:0", "a:", "a:x", "a:1001", "a:-1"] {
            let error = shares(wrong).unwrap_err().to_string();
            assert!(error.contains("not a number from 1 to 1000"), "{wrong}: {error}");
        }
        assert!(
            shares("a_b:2")
                .unwrap_err()
                .to_string()
                .contains("cannot be used")
        );
    }

    #[test]
    fn one_cluster_or_several() {
        assert_eq!(given(&["farm-2"]).cluster().unwrap().as_str(), "farm-2");
        for (clusters, words) in [(&["a", "b"][..], "another process"), (&["a:2"], "without :SHARE")] {
            let error = given(clusters).cluster().unwrap_err().to_string();
            assert!(
                error.contains("only a plot-server") && error.contains(words),
                "{error}"
            );
        }
        let several = given(&["a:2", "b"]);
        let clusters = several.clusters().unwrap();
        assert_eq!(clusters.len(), 2);
        assert_eq!(several.of_cluster(&clusters[0]).cluster().unwrap().as_str(), "a");
        let error = given(&["a:2", "a"]).clusters().unwrap_err();
        assert!(error.to_string().contains("a is given twice"), "{error}");
    }
}
