//! What an operator should know of a farm's disk at the start, each in one sentence.

use autonomys_farm::{Farm, mounts};
use bytesize::ByteSize;

/// File systems that keep files on another machine.
const NETWORK: [&str; 8] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "ceph",
    "fuse.sshfs",
    "fuse.glusterfs",
];
/// File systems that keep files in memory.
const MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// What was found of a farm's disk.
#[derive(Debug, Clone)]
struct Disk {
    /// Type of the file system, empty when unknown.
    kind: String,
    direct_io: bool,
    /// Bytes of the farm's files that no blocks are reserved for.
    unreserved: u64,
    /// Bytes free.
    free: u64,
    /// Sectors still to be plotted.
    missing: u64,
    /// Bytes of one sector.
    sector_size: u64,
}

/// Tells of the farm, and of everything that is not as it should be.
pub(super) fn tell(farm: &Farm) {
    let directory = farm.directory().display();
    let disk = Disk {
        kind: mounts::mount_of(farm.directory()).map_or_else(String::new, |mount| mount.kind),
        direct_io: farm.is_direct(),
        unreserved: farm.unreserved_bytes(),
        free: farm.free_bytes(),
        missing: farm.missing_sectors().len() as u64,
        sector_size: farm.sector_size(),
    };
    tracing::info!(
        %directory,
        public_key = %farm.public_key(),
        sectors = farm.target_sector_count(),
        plotted = farm.plotted_sectors().len(),
        file_system = %disk.kind,
        direct_io = disk.direct_io,
        "farm open"
    );
    for finding in disk.findings() {
        tracing::warn!(%directory, "{finding}");
    }
}

impl Disk {
    fn findings(&self) -> Vec<String> {
        let kind = self.kind.as_str();
        let mut findings = Vec::new();
        if NETWORK.contains(&kind) {
            findings.push(format!(
                "the farm is on {kind}, a network file system: audits wait for the network; put it on a disk of this machine"
            ));
        }
        if MEMORY.contains(&kind) {
            findings.push(format!(
                "the farm is on {kind}, which is memory: it is gone after a restart of the machine; put it on a disk"
            ));
        }
        if !self.direct_io {
            findings.push(format!(
                "no direct I/O on {}: sectors are written through the page cache, which is slower and pushes out what audits read; \
                 ext4 and xfs have it",
                if kind.is_empty() { "this file system" } else { kind }
            ));
        }
        // A sector's worth may be missing for the file system's own bookkeeping.
        if self.missing > 0 && self.unreserved > self.sector_size {
            let fitting = self.free / self.sector_size;
            let outlook = if fitting < self.missing {
                format!(
                    "only {fitting} of the {} sectors still to be plotted fit now; free space or",
                    self.missing
                )
            } else {
                "all sectors fit now, and may not later; keep that much free or".to_string()
            };
            findings.push(format!(
                "the file system does not reserve space, {} are still to be taken and {} free: {outlook} give fewer sectors",
                ByteSize(self.unreserved),
                ByteSize(self.free)
            ));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Disk {
        Disk {
            kind: "ext4".to_string(),
            direct_io: true,
            unreserved: 0,
            free: 0,
            missing: 10,
            sector_size: 1_000_000_000,
        }
    }

    #[test]
    fn a_sound_disk_is_no_news() {
        assert_eq!(sound().findings(), [""; 0]);
        let plotted = Disk {
            unreserved: 9_000_000_000,
            missing: 0,
            ..sound()
        };
        assert_eq!(plotted.findings(), [""; 0]);
    }

    #[test]
    fn each_finding_is_one_sentence_with_what_to_do() {
        let finding = |disk: Disk| {
            let findings = disk.findings();
            assert_eq!(findings.len(), 1, "{findings:?}");
            findings[0].clone()
        };
        let network = Disk {
            kind: "nfs4".to_string(),
            ..sound()
        };
        assert!(finding(network).contains("disk of this machine"));
        let memory = Disk {
            kind: "tmpfs".to_string(),
            ..sound()
        };
        assert!(finding(memory).contains("is memory"));
        let cached = Disk {
            direct_io: false,
            ..sound()
        };
        assert!(finding(cached).starts_with("no direct I/O on ext4"));
        let sparse = Disk {
            kind: "btrfs".to_string(),
            unreserved: 10_000_000_000,
            free: 3_500_000_000,
            ..sound()
        };
        assert!(finding(sparse.clone()).contains("only 3 of the 10 sectors"));
        let enough = Disk {
            free: 50_000_000_000,
            ..sparse
        };
        assert!(finding(enough).contains("may not later"));
    }
}
