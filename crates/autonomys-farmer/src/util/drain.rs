//! `util drain` and `util resume`: members that take no new work, and that take it again.

use super::{observe, until_stopped};
use crate::args::nats::NatsArgs;
use crate::roles::draining::meaning;
use crate::util::observer::Observer;
use anyhow::{Result, bail, ensure};
use autonomys_cluster::members::{Member, MembersSnapshot};
use autonomys_cluster::messages::SetDraining;
use autonomys_cluster::{InstanceId, RequestError, Role};
use clap::Args;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often members are asked how much they still hold.
const WAIT_POLL: Duration = Duration::from_secs(1);

/// Which members are meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Selection {
    /// One member, as `util members` shows it
    #[arg(value_name = "MEMBER", conflicts_with_all = ["role", "host"])]
    member: Option<InstanceId>,
    /// All members of a role, together with --host those on that machine
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
    /// All members on a machine
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
}

/// Options of `util drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    selection: Selection,
    /// Wait until nothing is held any more, so that the members can be stopped
    #[arg(long)]
    wait: bool,
}

/// Options of `util resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    selection: Selection,
}

/// Runs `util drain`.
pub(crate) fn drain(args: &DrainArgs) -> Result<ExitCode> {
    observe(&args.nats, "drain", async |observer, end| {
        let chosen = choose(&args.selection, &observer.members.current())?;
        let work = tell_all(observer, &chosen, true, args.wait);
        Box::pin(until_stopped(end, work)).await
    })
}

/// Runs `util resume`.
pub(crate) fn resume(args: &ResumeArgs) -> Result<ExitCode> {
    observe(&args.nats, "resume", async |observer, end: &CancellationToken| {
        let chosen = choose(&args.selection, &observer.members.current())?;
        let work = tell_all(observer, &chosen, false, false);
        Box::pin(until_stopped(end, work)).await
    })
}

/// The members that are meant and to which it means something; the others are named.
fn choose(selection: &Selection, members: &MembersSnapshot) -> Result<Vec<Arc<Member>>> {
    if let Some(id) = selection.member {
        let Some(member) = members.get(id) else {
            bail!("{id} is not in the cluster; util members shows who is");
        };
        if let Err(reason) = meaning(id.role()) {
            bail!("{id} cannot be drained: {reason}");
        }
        return Ok(vec![Arc::clone(member)]);
    }
    if let Some(Err(reason)) = selection.role.map(meaning) {
        bail!("members of this role cannot be drained: {reason}");
    }
    let meant: Vec<_> = members
        .members
        .values()
        .filter(|member| selection.role.is_none_or(|role| member.role() == role))
        .filter(|member| selection.host.as_ref().is_none_or(|host| member.host == *host))
        .collect();
    ensure!(
        !meant.is_empty(),
        "no such member is in the cluster; util members shows who is"
    );
    let (chosen, others): (Vec<_>, Vec<_>) = meant
        .into_iter()
        .partition(|member| meaning(member.role()).is_ok());
    for member in &others {
        if let Err(reason) = meaning(member.role()) {
            println!("{} is left alone: {reason}", member.id);
        }
    }
    ensure!(!chosen.is_empty(), "none of these members can be drained");
    Ok(chosen.into_iter().cloned().collect())
}

/// Tells each, and with `wait` asks again until none holds anything.
async fn tell_all(
    observer: &Observer,
    chosen: &[Arc<Member>],
    draining: bool,
    wait: bool,
) -> Result<ExitCode> {
    let mut failed = 0;
    let mut left = Vec::new();
    for member in chosen {
        match observer
            .cluster
            .request(member.id, &SetDraining { draining })
            .await
        {
            Ok(reply) if draining => {
                println!("{} on {}: draining, holds {}", member.id, member.host, reply.held);
                if reply.held > 0 {
                    left.push(member);
                }
            }
            Ok(_) => println!("{} on {}: takes work", member.id, member.host),
            Err(error) => {
                println!("{} on {}: {error}", member.id, member.host);
                failed += 1;
            }
        }
    }
    while wait && !left.is_empty() {
        tokio::time::sleep(WAIT_POLL).await;
        let mut still = Vec::new();
        for member in left {
            match observer
                .cluster
                .request(member.id, &SetDraining { draining })
                .await
            {
                Ok(reply) if reply.held == 0 => println!("{}: holds nothing", member.id),
                // It was stopped meanwhile, which is what this was for.
                Err(RequestError::NoResponders { .. }) => println!("{}: is gone", member.id),
                // NATS may be away for a moment.
                Ok(_) | Err(_) => still.push(member),
            }
        }
        left = still;
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(roles: &[(Role, &str)]) -> MembersSnapshot {
        let mut snapshot = MembersSnapshot::default();
        for (role, host) in roles {
            let member = Member::new(InstanceId::generate(*role), *host, "1");
            snapshot.members.insert(member.id, Arc::new(member));
        }
        snapshot
    }

    fn selection(role: Option<Role>, host: Option<&str>) -> Selection {
        Selection {
            member: None,
            role,
            host: host.map(str::to_string),
        }
    }

    #[test]
    fn members_are_chosen_by_role_and_machine() {
        let members = cluster(&[
            (Role::PlotServer, "gpu-1"),
            (Role::PlotServer, "gpu-2"),
            (Role::ProofServer, "gpu-1"),
            (Role::ShardedCache, "gpu-1"),
        ]);
        let count = |role, host| choose(&selection(role, host), &members).map(|chosen| chosen.len());
        assert_eq!(count(Some(Role::PlotServer), None).unwrap(), 2);
        assert_eq!(count(Some(Role::PlotServer), Some("gpu-2")).unwrap(), 1);
        assert_eq!(count(None, Some("gpu-1")).unwrap(), 2, "the cache is left alone");
        let error = count(None, Some("gpu-3")).unwrap_err().to_string();
        assert!(error.contains("util members"), "{error}");
        let error = count(Some(Role::Controller), None).unwrap_err().to_string();
        assert!(error.contains("cannot be drained: a controller"), "{error}");

        let one = |id| Selection {
            member: Some(id),
            role: None,
            host: None,
        };
        let cache = members.role(Role::ShardedCache).next().unwrap().id;
        let error = choose(&one(cache), &members).unwrap_err().to_string();
        assert!(error.contains("cannot be drained: a cache"), "{error}");
        let gone = InstanceId::generate(Role::PlotServer);
        assert!(
            choose(&one(gone), &members)
                .unwrap_err()
                .to_string()
                .contains("not in the cluster")
        );
    }
}
