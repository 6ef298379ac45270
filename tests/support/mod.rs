//! Harness of the process tests (`tests/*.rs`): real processes of the binary, a real nats-server, each with directory and log of
//! its own, all gone when the test ends.
//!
//! [`process`] starts, freezes, kills and restarts one process; [`cluster`] holds everything of one test and waits for conditions with a
//! bound; [`chain`] is the development chain and its rewards; [`roles`] starts one process of every role and looks at plot jobs from
//! outside; [`caches`] starts sharded caches and runs utilities on them; [`faults`] makes disks fail; [`gate`] holds a transfer half way; [`turn`] makes heavy tests wait for each other.
//!
//! ```ignore
//! let _turn = Turn::wait().await;
//! let cluster = TestCluster::start(DevChain::default()).await;
//! let roles = Roles::start(&cluster, &RolesPlan { sectors: 2, gate: false, encoding_threads: None });
//! roles.controller.kill();
//! roles.controller.restart();
//! cluster.wait_until("what is waited for", Duration::from_secs(60), async || Some(())).await;
//! ```

// Each test binary includes the whole harness and uses a part of it.
#![allow(dead_code, unused_imports)]

pub(crate) mod caches;
pub(crate) mod chain;
pub(crate) mod cluster;
pub(crate) mod faults;
pub(crate) mod gate;
pub(crate) mod oracle;
pub(crate) mod process;
pub(crate) mod roles;
pub(crate) mod turn;

pub(crate) use chain::DevChain;
pub(crate) use cluster::{DEFAULT_CLUSTER, TestCluster, free_port};
pub(crate) use faults::Faults;
pub(crate) use gate::Gate;
pub(crate) use process::{BINARY, Process};
pub(crate) use roles::{Roles, RolesPlan};
pub(crate) use turn::Turn;
