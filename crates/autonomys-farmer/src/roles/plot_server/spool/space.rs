//! How much finished sectors may take: a limit, and what the disk has left.
//!
//! Counted over all spools of the process. A job in hand reserves its sector's bytes before its first piece is fetched, so what was
//! begun has room by the limit; the disk itself may be filled by others, which shows when the sector is written.

use bytesize::ByteSize;
use nix::sys::statvfs::statvfs;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// Finished sectors that may wait for their farms without `--spool-size`, those in work included: 17 GB at 1000 pieces.
const DEFAULT_SECTORS: usize = 16;

/// Why no further sector has room.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in super::super) enum NoRoom {
    /// Too many wait.
    #[error(
        "{waiting} finished sectors wait for their farms or are in work, and without --spool-size no more than {DEFAULT_SECTORS} may"
    )]
    Sectors {
        /// How many.
        waiting: usize,
    },
    /// They take too much.
    #[error("finished sectors and those in work take {} of the {} of --spool-size", ByteSize(*used), ByteSize(*limit))]
    Limit {
        /// Bytes that they take.
        used: u64,
        /// Bytes that they may take.
        limit: u64,
    },
    /// One sector is larger than all of them may be.
    #[error("a sector of {} does not fit into --spool-size {}; raise it to several sectors", ByteSize(*sector), ByteSize(*limit))]
    Never {
        /// Its bytes.
        sector: u64,
        /// Bytes that all may take.
        limit: u64,
    },
    /// The disk is full.
    #[error("the disk of {} has {} left, and the sectors in work and one more take {}", directory.display(), ByteSize(*free), ByteSize(*needed))]
    Disk {
        /// Whose disk.
        directory: PathBuf,
        /// Bytes that it has left.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
}

/// The count. One a process.
#[derive(Debug)]
pub(in super::super) struct Space {
    directory: PathBuf,
    limit: Option<u64>,
    used: Mutex<Used>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Used {
    spooled: usize,
    spooled_bytes: u64,
    reserved: usize,
    reserved_bytes: u64,
    /// Bytes of the largest sector so far, which the next one is taken to have.
    largest: u64,
}

impl Space {
    /// For spools below `directory`, with `--spool-size`.
    pub(in super::super) fn new(directory: &Path, limit: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            directory: directory.to_path_buf(),
            limit,
            used: Mutex::default(),
            changes: watch::Sender::new(()),
        })
    }

    /// Whether a sector as large as the largest so far has room. Blocks for a moment: it asks the disk.
    pub(in super::super) fn has_room(&self) -> Result<(), NoRoom> {
        let (reserved, largest) = {
            let used = self.used.lock();
            self.fits(&used, used.largest)?;
            (used.reserved_bytes, used.largest)
        };
        // A disk that cannot be asked says what is wrong when it is written.
        let Ok(disk) = statvfs(&self.directory) else {
            return Ok(());
        };
        let free = disk.blocks_available() * disk.fragment_size();
        let needed = reserved.saturating_add(largest);
        if free < needed {
            return Err(NoRoom::Disk {
                directory: self.directory.clone(),
                free,
                needed,
            });
        }
        Ok(())
    }

    fn fits(&self, used: &Used, sector: u64) -> Result<(), NoRoom> {
        match self.limit {
            Some(limit) if sector > limit => Err(NoRoom::Never { sector, limit }),
            Some(limit) => {
                let taken = used.spooled_bytes + used.reserved_bytes;
                if taken.saturating_add(sector) > limit {
                    return Err(NoRoom::Limit { used: taken, limit });
                }
                Ok(())
            }
            None => {
                let waiting = used.spooled + used.reserved;
                if waiting >= DEFAULT_SECTORS {
                    return Err(NoRoom::Sectors { waiting });
                }
                Ok(())
            }
        }
    }

    /// Room for a sector of a job in hand, until the reservation is dropped.
    pub(in super::super) fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reservation, NoRoom> {
        let mut used = self.used.lock();
        self.fits(&used, bytes)?;
        used.largest = used.largest.max(bytes);
        used.reserved += 1;
        used.reserved_bytes += bytes;
        drop(used);
        Ok(Reservation {
            space: Arc::clone(self),
            bytes,
        })
    }

    /// A sector is in a spool.
    pub(super) fn add(&self, bytes: u64) {
        let mut used = self.used.lock();
        used.spooled += 1;
        used.spooled_bytes += bytes;
        used.largest = used.largest.max(bytes);
    }

    /// A sector has left a spool.
    pub(super) fn remove(&self, bytes: u64) {
        {
            let mut used = self.used.lock();
            used.spooled = used.spooled.saturating_sub(1);
            used.spooled_bytes = used.spooled_bytes.saturating_sub(bytes);
        }
        self.changes.send_replace(());
    }

    /// Tells of everything that makes room from now on.
    pub(in super::super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

/// Room that a job in hand has.
#[derive(Debug)]
pub(in super::super) struct Reservation {
    space: Arc<Space>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        {
            let mut used = self.space.used.lock();
            used.reserved -= 1;
            used.reserved_bytes -= self.bytes;
        }
        self.space.changes.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_in_hand_and_finished_sectors_count_together() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let space = Space::new(directory.path(), Some(300));
        space.has_room().expect("nothing is known of sectors yet");
        let first = space.reserve(100).expect("room");
        space.add(100);
        space.has_room().expect("for a third");
        let third = space.reserve(100).expect("room");
        assert_eq!(
            space.has_room(),
            Err(NoRoom::Limit {
                used: 300,
                limit: 300
            })
        );
        assert!(space.reserve(100).is_err());
        let mut changes = space.changes();
        drop(third);
        assert!(changes.has_changed().expect("open"));
        changes.mark_unchanged();
        space.reserve(100).expect("the place is free again");
        drop(first);
        space.remove(100);
        assert!(changes.has_changed().expect("open"));
        assert!(matches!(space.reserve(301), Err(NoRoom::Never { .. })));
        let said = space.reserve(301).expect_err("too large").to_string();
        assert_eq!(
            said,
            "a sector of 301 B does not fit into --spool-size 300 B; raise it to several sectors"
        );
    }

    #[test]
    fn without_a_limit_sectors_are_counted() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let space = Space::new(directory.path(), None);
        for _ in 1..DEFAULT_SECTORS {
            space.add(1);
        }
        let last = space.reserve(1).expect("room");
        assert_eq!(
            space.has_room(),
            Err(NoRoom::Sectors {
                waiting: DEFAULT_SECTORS
            })
        );
        drop(last);
        space.has_room().expect("room");
    }

    #[test]
    fn a_full_disk_holds_back() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let space = Space::new(directory.path(), Some(u64::MAX));
        let _large = space.reserve(1 << 60).expect("by the limit");
        assert!(matches!(space.has_room(), Err(NoRoom::Disk { .. })));
    }
}
