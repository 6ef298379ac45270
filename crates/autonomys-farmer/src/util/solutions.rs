//! `util solutions`: what the journal says about the solutions of the last day, and about the wins that became none.

use super::observer::look;
use super::{on_runtime, until_stopped};
use crate::args::nats::NatsArgs;
use anyhow::Result;
use autonomys_cluster::journal::{
    JournalRecord, MissedWin, ProvedBy, SolutionJournal, SolutionKey, SolutionOutcome,
};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::process::ExitCode;

/// Characters of a farm's key and of a member's id that are shown; enough to tell them apart.
const SHORT: usize = 8;

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct SolutionsArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// Show the newest N
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// One JSON line instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Journal {
    cluster: String,
    /// Oldest first.
    entries: Vec<JournalEntry>,
}

/// A solution, or a win that became none.
#[derive(Debug, Serialize)]
struct JournalEntry {
    slot: u64,
    /// Unix time in milliseconds.
    announced_at: u64,
    farm: String,
    sector: Option<u16>,
    piece: Option<u16>,
    outcome: &'static str,
    /// In words, where there is more to say.
    reason: Option<String>,
    /// How many wins (or slots, without a sector) this stands for.
    count: u32,
    controller: Option<String>,
    /// Instance of the proof-server, or `plot-client`.
    proved_by: Option<String>,
    /// Milliseconds since the announcement, as all that follow.
    audited_ms: Option<u32>,
    read_ms: Option<u32>,
    proved_ms: Option<u32>,
    submitted_ms: Option<u32>,
    answered_ms: Option<u32>,
    /// When it was missed.
    missed_ms: Option<u32>,
}

/// Runs the command.
pub(crate) fn run(args: &SolutionsArgs) -> Result<ExitCode> {
    let journal = on_runtime(async |end| Box::pin(until_stopped(end, read(args))).await)?;
    if args.json {
        println!("{}", serde_json::to_string(&journal)?);
    } else {
        print!("{journal}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(args: &SolutionsArgs) -> Result<Journal> {
    let cluster = look(&args.nats, "solutions").await?;
    let journal = SolutionJournal::open(&cluster).await?;
    let solutions = journal.solutions().await?;
    let missed = journal.missed().await?;
    let mut entries: Vec<_> = solutions
        .into_iter()
        .map(|(key, record)| solution(&key, record))
        .chain(missed.into_iter().map(missed_win))
        .collect();
    entries.sort_by(|one, other| {
        let order = |entry: &JournalEntry| (entry.announced_at, entry.slot, entry.sector, entry.piece);
        order(one).cmp(&order(other))
    });
    let entries = entries.split_off(entries.len().saturating_sub(args.last));
    Ok(Journal {
        cluster: cluster.name().as_str().to_string(),
        entries,
    })
}

fn solution(key: &SolutionKey, record: JournalRecord) -> JournalEntry {
    let (outcome, reason) = match record.outcome {
        SolutionOutcome::Pending => ("pending", None),
        SolutionOutcome::Accepted => ("accepted", None),
        SolutionOutcome::Refused { code, message } => ("refused", Some(format!("{message} ({code})"))),
        SolutionOutcome::NotReceived => ("not received", None),
        SolutionOutcome::Unknown => (
            "unknown",
            Some("no answer; it may have reached the node".to_string()),
        ),
    };
    let course = record.course;
    JournalEntry {
        slot: key.slot,
        announced_at: course.announced_at,
        farm: hex::encode(key.public_key),
        sector: Some(key.sector_index),
        piece: Some(key.piece_offset.get()),
        outcome,
        reason,
        count: 1,
        controller: Some(record.controller.to_string()),
        proved_by: Some(match course.proved_by {
            ProvedBy::PlotClient => "plot-client".to_string(),
            ProvedBy::ProofServer(server) => server.to_string(),
        }),
        audited_ms: Some(course.audited_ms),
        read_ms: Some(course.read_ms),
        proved_ms: Some(course.proved_ms),
        submitted_ms: Some(course.submitted_ms),
        answered_ms: record.answered_ms,
        missed_ms: None,
    }
}

fn missed_win(missed: MissedWin) -> JournalEntry {
    JournalEntry {
        slot: missed.slot,
        announced_at: missed.announced_at,
        farm: hex::encode(missed.public_key),
        sector: missed.winner.map(|(sector, _)| sector),
        piece: missed.winner.map(|(_, piece)| piece.get()),
        outcome: "missed",
        reason: Some(missed.reason.to_string()),
        count: missed.count,
        controller: None,
        proved_by: None,
        audited_ms: None,
        read_ms: None,
        proved_ms: None,
        submitted_ms: None,
        answered_ms: None,
        missed_ms: Some(missed.after_ms),
    }
}

/// The beginning of a farm's key, the end of an instance's id: a ULID begins with the time.
fn short(id: &str) -> &str {
    match id.rsplit_once('.') {
        Some((_, ulid)) => ulid.get(ulid.len().saturating_sub(SHORT)..).unwrap_or(ulid),
        None => id,
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            return writeln!(
                f,
                "cluster {}: no solution and no missed win in the last day",
                self.cluster
            );
        }
        writeln!(
            f,
            "{:>10}  {:SHORT$}  {:>6}  {:>5}  {:SHORT$}  {:11}  {:>7}  {:>6}  {:>6}  {:>6}  {:>8}  outcome",
            "slot",
            "farm",
            "sector",
            "piece",
            "control.",
            "proved by",
            "audited",
            "read",
            "proved",
            "sent",
            "answered"
        )?;
        for entry in &self.entries {
            write!(f, "{entry}")?;
        }
        writeln!(
            f,
            "times are milliseconds since the slot was announced; ids are cut"
        )
    }
}

impl fmt::Display for JournalEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number =
            |number: Option<u32>| number.map_or_else(|| "-".to_string(), |number| number.to_string());
        write!(
            f,
            "{:>10}  {:SHORT$}  {:>6}  {:>5}  {:SHORT$}  {:11}  {:>7}  {:>6}  {:>6}  {:>6}  {:>8}  {}",
            self.slot,
            self.farm.get(..SHORT).unwrap_or(&self.farm),
            number(self.sector.map(u32::from)),
            number(self.piece.map(u32::from)),
            self.controller.as_deref().map_or("-", short),
            self.proved_by.as_deref().map_or("-", short),
            number(self.audited_ms),
            number(self.read_ms),
            number(self.proved_ms),
            number(self.submitted_ms),
            number(self.answered_ms),
            self.outcome
        )?;
        if let Some(missed) = self.missed_ms {
            write!(f, " after {missed} ms")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        match (self.count, self.sector) {
            (1, _) => writeln!(f),
            (slots, None) => writeln!(f, " ({slots} slots)"),
            (wins, Some(_)) => writeln!(f, " ({wins} wins)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::journal::MissReason;

    #[test]
    fn missed_wins_are_shown_with_their_reason() {
        let missed = |winner, count, reason| MissedWin {
            public_key: [0xab; 32].into(),
            slot: 12,
            winner,
            count,
            announced_at: 1,
            after_ms: 2000,
            reason,
        };
        let journal = Journal {
            cluster: "default".to_string(),
            entries: vec![
                missed_win(missed(None, 7, MissReason::EarlierAuditRuns)),
                missed_win(missed(Some((3, 4.into())), 1, MissReason::ProofTooLate)),
            ],
        };
        let shown = journal.to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert!(
            lines[1].starts_with("        12  abababab       -      -  "),
            "{shown}"
        );
        assert!(
            lines[1].ends_with("(7 slots)") && lines[1].contains("earlier slot was not over"),
            "{shown}"
        );
        assert!(
            lines[2].ends_with("missed after 2000 ms: proof too late"),
            "{shown}"
        );
        let json = serde_json::to_value(&journal).expect("plain");
        assert_eq!(json["entries"][1]["sector"], 3);
        assert_eq!(json["entries"][1]["audited_ms"], serde_json::Value::Null);
    }
}
