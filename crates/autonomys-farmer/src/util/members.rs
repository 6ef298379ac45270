//! `util members`: everybody in a cluster, and what each does.

use super::{observe, until_stopped};
use crate::args::nats::NatsArgs;
use anyhow::Result;
use autonomys_cluster::members::{MembersSnapshot, PlotServerStatus, RoleStatus, StageStatus};
use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::process::ExitCode;

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// One JSON line instead of a list
    #[arg(long)]
    json: bool,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
struct Shown {
    cluster: String,
    members: Vec<ShownMember>,
    /// Instances of other protocol versions, which nobody here talks to.
    incompatible: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ShownMember {
    instance: String,
    role: &'static str,
    host: String,
    version: String,
    /// Unix time in milliseconds, by the clock of its machine.
    started_at: u64,
    addresses: Vec<String>,
    draining: bool,
    /// What it does, in a phrase.
    doing: String,
    /// Why a plot-server takes no job at the moment.
    #[serde(skip_serializing_if = "String::is_empty")]
    holds_back: String,
    /// Attempts of a plot-server that made no progress and were begun again.
    restarts: u64,
    /// Sectors on their way through a plot-server.
    stages: Vec<ShownStage>,
}

#[derive(Debug, Serialize)]
struct ShownStage {
    stage: String,
    sector: String,
    done: u64,
    total: u64,
    waits_for: String,
    idle_ms: u64,
    restarts: u32,
}

/// Runs the command.
pub(crate) fn run(args: &MembersArgs) -> Result<ExitCode> {
    let shown = observe(&args.nats, "members", async |observer, end| {
        let cluster = observer.cluster.name().to_string();
        let snapshot = observer.members.current();
        until_stopped(end, std::future::ready(Ok(show(cluster, &snapshot)))).await
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&shown)?);
    } else {
        print!("{shown}");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(cluster: String, snapshot: &MembersSnapshot) -> Shown {
    let members = snapshot.members.values().map(|member| {
        let plotting = match &member.status {
            RoleStatus::PlotServer(status) => status.clone(),
            _ => PlotServerStatus::default(),
        };
        ShownMember {
            instance: member.id.to_string(),
            role: member.role().as_str(),
            host: member.host.clone(),
            version: member.version.clone(),
            started_at: member.started_at,
            addresses: member.data_plane_addresses.clone(),
            draining: member.draining,
            doing: doing(&member.status),
            holds_back: plotting.holds_back,
            restarts: plotting.restarts,
            stages: plotting.stages.into_iter().map(ShownStage::from).collect(),
        }
    });
    Shown {
        cluster,
        members: members.collect(),
        incompatible: snapshot.incompatible.values().map(ToString::to_string).collect(),
    }
}

/// A role's work in a phrase.
fn doing(status: &RoleStatus) -> String {
    match status {
        RoleStatus::Controller(status) => format!(
            "{} of {} nodes answer, slot {}, {} segments{}{}",
            status.healthy_nodes,
            status.nodes,
            status.last_slot,
            status.segments,
            if status.syncing {
                ", the node is catching up"
            } else {
                ""
            },
            if status.leader { ", leads" } else { "" }
        ),
        RoleStatus::ShardedCache(status) => format!(
            "{} of {} items, {}",
            status.items,
            status.wanted_items,
            if status.ready { "ready" } else { "filling" }
        ),
        RoleStatus::FullPieceShardedCache(status) => format!(
            "{} segments, {}",
            status.segments.iter().map(|range| range.count).sum::<u64>(),
            if status.ready { "ready" } else { "filling" }
        ),
        RoleStatus::ProofServer(status) => format!(
            "{} of {} at work, {} proofs made",
            status.busy, status.slots, status.proofs
        ),
        RoleStatus::PlotServer(status) => format!(
            "{} of {} sectors in work, {} ({}) wait for their farms, {} made",
            status.busy,
            status.slots,
            status.spooled,
            ByteSize(status.spooled_bytes),
            status.sectors
        ),
        RoleStatus::PlotClient(status) => format!(
            "{} farms{}, {} of {} sectors, {} plot jobs{}, {} slots audited, {} solutions",
            status.farms,
            Some(status.failed_farms)
                .filter(|failed| *failed > 0)
                .map_or_else(String::new, |failed| format!(" ({failed} set aside)")),
            status.sectors,
            status.target_sectors,
            status.jobs,
            Some(status.parked_jobs)
                .filter(|parked| *parked > 0)
                .map_or_else(String::new, |parked| format!(" ({parked} parked)")),
            status.audited_slots,
            status.solutions
        ),
    }
}

impl From<StageStatus> for ShownStage {
    fn from(status: StageStatus) -> Self {
        Self {
            stage: status.stage,
            sector: status.sector,
            done: status.done,
            total: status.total,
            waits_for: status.waits_for,
            idle_ms: status.idle_ms,
            restarts: status.restarts,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster {}", self.cluster)?;
        for member in &self.members {
            writeln!(
                f,
                "{} on {}: {}{}",
                member.instance,
                member.host,
                if member.draining { "draining, " } else { "" },
                member.doing
            )?;
            if !member.holds_back.is_empty() {
                writeln!(f, "    takes no job: {}", member.holds_back)?;
            }
            for stage in &member.stages {
                write!(
                    f,
                    "    {} {}: {} of {}",
                    stage.stage, stage.sector, stage.done, stage.total
                )?;
                if !stage.waits_for.is_empty() {
                    write!(f, ", waits for {}", stage.waits_for)?;
                }
                if stage.restarts > 0 {
                    write!(f, ", begun again {} times", stage.restarts)?;
                }
                writeln!(f)?;
            }
        }
        for other in &self.incompatible {
            writeln!(f, "{other}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::members::Member;
    use autonomys_cluster::{InstanceId, Role};
    use std::sync::Arc;

    #[test]
    fn shows_every_role_and_what_holds_a_plot_server_up() {
        let mut snapshot = MembersSnapshot::default();
        for role in Role::ALL {
            let mut member = Member::new(InstanceId::generate(role), "rack-1", "1.2");
            member.draining = role == Role::PlotServer;
            if let RoleStatus::PlotServer(status) = &mut member.status {
                status.holds_back = "the disk is full".to_string();
                status.stages.push(StageStatus {
                    stage: "fetch".to_string(),
                    sector: "abcd 3".to_string(),
                    done: 4,
                    total: 1000,
                    waits_for: "996 pieces".to_string(),
                    restarts: 2,
                    ..StageStatus::default()
                });
            }
            snapshot.members.insert(member.id, Arc::new(member));
        }
        let shown = show("default".to_string(), &snapshot);
        let text = shown.to_string();
        for role in Role::ALL {
            assert!(text.contains(&format!("{role}.")), "{text}");
        }
        for words in [
            "on rack-1: draining, 0 of 0 sectors in work",
            "takes no job: the disk is full",
            "fetch abcd 3: 4 of 1000, waits for 996 pieces, begun again 2 times",
        ] {
            assert!(text.contains(words), "{words:?} in {text}");
        }
        let json = serde_json::to_value(&shown).unwrap();
        let members = json["members"].as_array().unwrap();
        let draining: Vec<_> = members
            .iter()
            .filter(|member| member["draining"] == true)
            .collect();
        assert_eq!(draining.len(), 1);
        assert_eq!(draining[0]["stages"][0]["waits_for"], "996 pieces");
    }
}
