//! Disks that fail: full at every stage of a sector's way, with I/O errors, mounted read-only. The error names the disk, the other farms
//! go on, and everything is as it should be once the fault is gone, without a restart of anything.

use crate::support::caches::utility;
use crate::support::roles::{PLOTTED_WITHIN, REWARD_ACCOUNT, verify_farm};
use crate::support::{DevChain, Faults, Process, TestCluster, Turn};
use autonomys_cluster::Role;
use autonomys_cluster::members::{MembersView, PlotClientStatus, RoleStatus};
use autonomys_farm::metadata_file::MetadataFile;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;
use subspace_farmer_components::sector::sector_size;
use subspace_proof_of_space::ProofOfSpaceKind;

const PIECES_IN_SECTOR: u16 = 2;
/// Sectors of each farm.
const SECTORS: u16 = 2;
const FARMS: [&str; 3] = ["sound", "full", "broken"];
/// A farm that is set aside is tried again within this: pauses of 2, 4, 8 and 16 s, and what a loaded machine adds.
const BACK_WITHIN: Duration = Duration::from_secs(90);

/// A cluster with one plot-server and one plot-client of three farms, both with faults.
struct Disks {
    cluster: TestCluster,
    members: MembersView,
    plot_server: Process,
    plot_client: Process,
    spool_faults: Faults,
    farm_faults: Faults,
    /// Keeps the members' view alive.
    _connection: autonomys_cluster::Cluster,
}

impl Disks {
    fn farm(&self, name: &str) -> PathBuf {
        self.cluster.path(name)
    }

    fn file(&self, name: &str, file: &str) -> String {
        self.farm(name).join(file).display().to_string()
    }

    /// Sectors that the farm's own files have.
    fn committed(&self, name: &str) -> u16 {
        let directory = self.farm(name);
        if !directory.join("single_disk_farm.json").exists() {
            return 0;
        }
        let metadata = MetadataFile::open(&directory, SECTORS, false).unwrap();
        let plotted = metadata.header().unwrap().plotted_sector_count;
        (0..plotted)
            .filter(|sector| metadata.record(*sector).unwrap().is_some())
            .count() as u16
    }

    async fn plotted(&self, name: &str) {
        self.cluster
            .wait_until(&format!("{name} is plotted"), PLOTTED_WITHIN, async || {
                (self.committed(name) == SECTORS).then_some(())
            })
            .await;
    }

    /// What the plot-client says about itself, with reasons of farms set aside.
    fn status(&self) -> Option<(PlotClientStatus, Vec<(String, String)>)> {
        let snapshot = self.members.current();
        let member = snapshot.role(Role::PlotClient).next()?;
        match &member.status {
            RoleStatus::PlotClient(status) => Some((status.clone(), member.facts.clone())),
            _ => None,
        }
    }

    /// Waits until exactly this farm is set aside, for a reason with these words.
    async fn set_aside(&self, name: &str, words: &[&str]) {
        let directory = self.farm(name).display().to_string();
        let what = format!("{name} is set aside because of {words:?}");
        self.cluster
            .wait_until(&what, BACK_WITHIN, async || {
                let (status, facts) = self.status()?;
                let told = facts.iter().any(|(name, reason)| {
                    name.contains(&directory) && words.iter().all(|word| reason.contains(word))
                });
                (status.failed_farms == 1 && status.farms == 2 && told).then_some(())
            })
            .await;
    }

    async fn logged(&self, process: &Process, words: &[&str]) {
        let what = format!("{} tells {words:?}", process.name());
        self.cluster
            .wait_until(&what, PLOTTED_WITHIN, async || {
                let output = process.output();
                let told = output
                    .lines()
                    .any(|line| words.iter().all(|word| line.contains(word)));
                told.then_some(())
            })
            .await;
    }
}

fn plot_client(cluster: &TestCluster, name: &str, farms: &[&str], faults: &Faults) -> Process {
    let mut role = cluster.named_role(name, "plot-client").args([
        "--farming-threads",
        "1",
        "--reward-address",
        &hex::encode(REWARD_ACCOUNT),
    ]);
    for farm in farms {
        role = role.path(&cluster.path(farm), &format!(",sectors={SECTORS}"));
    }
    faults.of(role).start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_disk_hurts_no_other_and_comes_back_by_itself() {
    let _turn = Turn::wait().await;
    let chain = DevChain {
        pieces_in_sector: PIECES_IN_SECTOR,
        // So that hardly a slot is won: this is about disks.
        plotted_pieces: 1_000_000,
        ..DevChain::default()
    };
    let cluster = TestCluster::start(chain).await;
    let (connection, members) = cluster.observe().await;
    cluster.controller().start();
    let spool_faults = Faults::new(&cluster.path(""), "spool");
    let farm_faults = Faults::new(&cluster.path(""), "farms");
    let path = |name: &str| cluster.path(name).display().to_string();

    // From the start: no room for finished sectors, none for bytes of the second farm, and the third one's disk is read-only.
    spool_faults.set([format!("write {} ENOSPC", path("plot-server/sectors"))]);
    farm_faults.set([
        format!("write {} ENOSPC", path("full/plot.bin")),
        format!("change {} EROFS", path("broken")),
    ]);
    let plot_server = spool_faults
        .of(cluster
            .role("plot-server")
            .args(["--record-encoding-concurrency", "1"]))
        .arg(cluster.path("plot-server"))
        .start();
    let plot_client = plot_client(&cluster, "plot-client", &FARMS, &farm_faults);
    let disks = Disks {
        members,
        plot_server,
        plot_client,
        spool_faults,
        farm_faults,
        _connection: connection,
        cluster,
    };

    disks
        .set_aside("broken", &["Read-only file system", "broken"])
        .await;
    assert!(!disks.farm("broken").join("plot.bin").exists());
    disks
        .logged(&disks.plot_server, &["plot-server/sectors", "no space is left"])
        .await;
    disks.spool_faults.lift();
    disks.plotted("sound").await;
    disks
        .logged(
            &disks.plot_client,
            &["ERROR", "full", "plot.bin", "No space left", "sector="],
        )
        .await;
    assert_eq!(disks.committed("full"), 0);

    // The third disk takes writes now and loses them; the second has room for bytes, but not for what is said about them.
    disks.farm_faults.set([
        format!("write {} ENOSPC", disks.file("full", "metadata.bin")),
        format!("sync {} EIO", disks.file("broken", "plot.bin")),
    ]);
    disks
        .set_aside(
            "broken",
            &["sync", "broken/plot.bin", "Input/output error", "sector"],
        )
        .await;
    disks
        .logged(
            &disks.plot_client,
            &["ERROR", "full", "metadata.bin", "No space left", "sector="],
        )
        .await;
    assert_eq!((disks.committed("full"), disks.committed("broken")), (0, 0));

    // The first disk cannot be read any more, while the others work.
    disks
        .farm_faults
        .set([format!("read {} EIO", disks.file("sound", "plot.bin"))]);
    let unreadable = ["2 of 2 sectors cannot be read", "Input/output error"];
    disks.plotted("broken").await;
    disks.plotted("full").await;
    disks.set_aside("sound", &unreadable).await;
    let (before, _) = disks.status().unwrap();
    disks
        .cluster
        .wait_until("the others are audited", PLOTTED_WITHIN, async || {
            let (status, _) = disks.status()?;
            (status.audited_slots >= before.audited_slots + 3).then_some(())
        })
        .await;

    disks.farm_faults.lift();
    disks
        .cluster
        .wait_until("every farm is back in service", BACK_WITHIN, async || {
            let (status, facts) = disks.status()?;
            let all = u64::from(SECTORS) * FARMS.len() as u64;
            let is_back = (status.farms, status.failed_farms) == (3, 0)
                && (status.sectors, status.target_sectors) == (all, all)
                && !facts.iter().any(|(name, _)| name.contains("set aside"));
            is_back.then_some(())
        })
        .await;
    scrub_and_repair(&disks).await;
    for name in FARMS {
        verify_farm(
            &disks.cluster,
            &disks.farm(name),
            SECTORS,
            ProofOfSpaceKind::FastTest,
        )
        .await;
    }

    nothing_to_farm(&disks).await;
}

/// Damage is found while the farm is used, marked while it is not, and plotted again; the plot-client has left at the end.
async fn scrub_and_repair(disks: &Disks) {
    let farms: Vec<_> = FARMS
        .iter()
        .map(|name| format!("path={}", disks.farm(name).display()))
        .collect();
    let words = format!("scrub --json {}", farms.join(" "));
    let found = utility(&words).await;
    assert_eq!(found.code, Some(0), "{}", found.text);
    let intact = |farm: usize| found.json["farms"][farm]["intact"].as_u64();
    assert!(
        (0..FARMS.len()).all(|farm| intact(farm) == Some(u64::from(SECTORS))),
        "{}",
        found.text
    );

    // A byte in the middle of the first farm's second sector.
    let plot = File::options()
        .read(true)
        .write(true)
        .open(disks.farm("sound").join("plot.bin"))
        .unwrap();
    let place = sector_size(PIECES_IN_SECTOR) as u64 * 3 / 2;
    let mut byte = [0];
    plot.read_exact_at(&mut byte, place).unwrap();
    plot.write_all_at(&[!byte[0]], place).unwrap();
    let found = utility(&words).await;
    assert_eq!(found.code, Some(2), "{}", found.text);
    let damaged = &found.json["farms"][0]["damaged"];
    assert_eq!(damaged[0]["sector"], 1, "{}", found.text);
    assert_eq!(damaged[0]["marked"], false, "{}", found.text);
    assert!(found.json["farms"][1]["damaged"].as_array().unwrap().is_empty());
    let refused = utility(&format!("scrub --repair {}", farms[0])).await;
    assert_eq!(refused.code, Some(1), "{}", refused.text);
    assert!(
        refused.text.contains("is in use; stop its plot-client"),
        "{}",
        refused.text
    );

    disks.plot_client.stop(PLOTTED_WITHIN).await;
    let repaired = utility(&format!("{words} --repair")).await;
    assert_eq!(repaired.code, Some(2), "{}", repaired.text);
    assert_eq!(
        repaired.json["farms"][0]["damaged"][0]["marked"], true,
        "{}",
        repaired.text
    );
    assert_eq!(disks.committed("sound"), SECTORS - 1);
    disks.plot_client.restart();
    disks.plotted("sound").await;
    disks.plot_client.stop(PLOTTED_WITHIN).await;
    let found = utility(&words).await;
    assert_eq!(found.code, Some(0), "{}", found.text);
}

/// When no farm at all can be opened, the start ends with one sentence.
async fn nothing_to_farm(disks: &Disks) {
    let faults = Faults::new(&disks.cluster.path(""), "nothing");
    faults.set([format!("change {} EROFS", disks.farm("sound").display())]);
    let process = plot_client(&disks.cluster, "nothing-to-farm", &["sound"], &faults);
    let status = process.exit(PLOTTED_WITHIN).await;
    let output = process.output();
    assert_eq!(status.code(), Some(1), "{output}");
    let last = output.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: no farm can be opened"), "{output}");
    assert!(last.contains("Read-only file system"), "{output}");
}
