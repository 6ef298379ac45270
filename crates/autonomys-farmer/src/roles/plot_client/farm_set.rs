//! The farms of this process: those in service, and those set aside because of their disks.
//!
//! One disk never hurts the others. A farm is set aside when a write to it fails for another reason than a full disk, or when most of
//! its sectors cannot be read for some audits in a row; one unreadable sector is only named ([`FarmSet::audited`]), and on a full
//! disk nothing is plotted while audits go on. Setting aside closes every file of the farm, so that its file system can be
//! unmounted, checked and mounted again. The farm is opened again with growing pauses until that succeeds; whoever
//! looks at [`FarmSet::open`] next farms on with it. [`super::farms`] makes the set at the start.

mod place;

use crate::roles::state_directory::StateDirectory;
use autonomys_cluster::Role;
use autonomys_farm::identity::Identity;
use autonomys_farm::{Farm, FarmError, FarmOptions};
use parking_lot::Mutex;
use place::Place;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::auditing::AuditError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often it is looked for farms whose pause is over.
const RETRY_TICK: Duration = Duration::from_millis(500);
/// Sectors that cannot be read and are named in one line of the log.
const MAX_NAMED: usize = 8;

/// All farms that the operator named.
pub(in crate::roles) struct FarmSet {
    places: Vec<Place>,
    /// The farm directory that holds the identity of this process and the lock on it; closed with its farm.
    home: Mutex<Option<Home>>,
    /// Counts farms that came or went.
    changes: watch::Sender<u64>,
}

/// A farm directory with the identity of the process.
pub(super) struct Home {
    pub(super) directory: PathBuf,
    /// `None` while the farm is set aside.
    pub(super) state: Option<StateDirectory>,
}

/// A farm that is set aside, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FarmAside {
    pub(super) directory: PathBuf,
    pub(super) reason: String,
    pub(super) since: Instant,
    /// Owner of the farm, when it was ever known.
    pub(super) public_key: Option<PublicKey>,
}

impl FarmSet {
    /// Every farm's options with the farm, or why it cannot be opened.
    pub(super) fn new(farms: Vec<(FarmOptions, Result<Arc<Farm>, String>)>, home: Option<Home>) -> Self {
        let set = Self {
            places: Vec::new(),
            home: Mutex::new(home),
            changes: watch::Sender::new(0),
        };
        let mut places = Vec::with_capacity(farms.len());
        for (options, farm) in farms {
            let place = match farm {
                Ok(farm) => Place::in_service(options, farm),
                Err(reason) => {
                    set.leave_home(&options);
                    Place::aside(options, reason)
                }
            };
            places.push(place);
        }
        Self { places, ..set }
    }

    /// Farms in service now, in the order in which they were named. Ask again for every round of work: farms come and go.
    pub(super) fn open(&self) -> Vec<Arc<Farm>> {
        self.places.iter().filter_map(Place::farm).collect()
    }

    /// The farm in service that has this key.
    pub(super) fn find(&self, public_key: &PublicKey) -> Option<Arc<Farm>> {
        self.open()
            .into_iter()
            .find(|farm| farm.public_key() == *public_key)
    }

    /// The key pair of a farm, also of one that was set aside: its last solution still wants to be signed.
    pub(super) fn identity(&self, public_key: &PublicKey) -> Option<Arc<Identity>> {
        self.places
            .iter()
            .filter_map(Place::identity)
            .find(|identity| identity.public_key() == *public_key)
    }

    /// Keys of all farms that were ever in service.
    pub(super) fn public_keys(&self) -> Vec<PublicKey> {
        self.places.iter().filter_map(Place::public_key).collect()
    }

    /// Farms that are set aside.
    pub(super) fn set_aside(&self) -> Vec<FarmAside> {
        self.places.iter().filter_map(Place::as_aside).collect()
    }

    /// Tells whenever a farm came or went.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A file operation on the farm failed, while working on `sector_index` if on a sector. The farm is set aside unless the
    /// disk is merely full or the error is not the disk's.
    pub(super) fn failed(&self, farm: &Arc<Farm>, sector_index: Option<SectorIndex>, error: &FarmError) {
        let directory = farm.directory().display();
        if error.is_full_disk() {
            tracing::error!(
                %directory, sector = sector_index,
                "the disk of a farm is full: no sector can be written until space is freed; what is plotted is farmed on: {error}"
            );
            return;
        }
        if !error.is_the_disks() {
            return;
        }
        let reason = match sector_index {
            Some(sector) => format!("{error}, at sector {sector}"),
            None => error.to_string(),
        };
        self.put_aside(farm, &reason);
    }

    /// An audit of the farm has ended: names sectors that cannot be read when they change, and sets the farm aside when most of
    /// its sectors cannot be read for several audits in a row.
    pub(super) fn audited(&self, farm: &Arc<Farm>, sectors: usize, unreadable: &[AuditError]) {
        let Some(place) = self.place_of(farm) else { return };
        let indexes: Vec<SectorIndex> = unreadable.iter().map(|error| error.sector_index).collect();
        let Some(seen) = place.audited(farm, sectors, indexes) else {
            return;
        };
        let directory = farm.directory().display();
        if seen.changed {
            match unreadable.first() {
                Some(first) => {
                    let named: Vec<String> = unreadable
                        .iter()
                        .take(MAX_NAMED)
                        .map(|error| error.sector_index.to_string())
                        .collect();
                    let more = unreadable.len().saturating_sub(MAX_NAMED);
                    let more = if more > 0 {
                        format!(" and {more} more")
                    } else {
                        String::new()
                    };
                    tracing::error!(
                        %directory, sectors = %named.join(", ") + &more,
                        "sectors cannot be audited, the others are farmed on; `util scrub --repair` has them plotted again: {first}"
                    );
                }
                None => tracing::info!(%directory, "all sectors can be audited again"),
            }
        }
        if let (true, Some(first)) = (seen.most_for_too_long, unreadable.first()) {
            let reason = format!(
                "{} of {sectors} sectors cannot be read: {first}",
                unreadable.len()
            );
            self.put_aside(farm, &reason);
        }
    }

    fn place_of(&self, farm: &Arc<Farm>) -> Option<&Place> {
        let is_it = |place: &&Place| place.farm().is_some_and(|serving| Arc::ptr_eq(&serving, farm));
        self.places.iter().find(is_it)
    }

    /// Takes the farm out of service, once, whoever noticed first.
    fn put_aside(&self, farm: &Arc<Farm>, reason: &str) {
        let Some(place) = self.place_of(farm) else { return };
        let Some(pause) = place.put_aside(farm, reason) else {
            return;
        };
        self.leave_home(&place.options);
        let others = self.open().len();
        tracing::error!(
            directory = %farm.directory().display(), others,
            "farm set aside, the others farm on; check its disk, it is tried again in {pause:?}: {reason}"
        );
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Lets go of the identity's directory, if it is this farm's: nothing may keep its file system in use.
    fn leave_home(&self, options: &FarmOptions) {
        if let Some(home) = self.home.lock().as_mut()
            && home.directory == options.directory
        {
            home.state = None;
        }
    }

    /// Takes the identity's directory again, if it is this farm's.
    fn return_home(&self, options: &FarmOptions) -> anyhow::Result<()> {
        let mut home = self.home.lock();
        if let Some(home) = home.as_mut()
            && home.directory == options.directory
            && home.state.is_none()
        {
            home.state = Some(StateDirectory::open(&home.directory, Role::PlotClient)?);
        }
        Ok(())
    }

    /// Tries farms that are set aside again, each after its pause, until told to stop.
    pub(super) async fn retry(self: Arc<Self>, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut attempts = JoinSet::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(RETRY_TICK) => {}
                Some(ended) = attempts.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "opening a farm again crashed; it stays aside until the next start");
                    }
                    continue;
                }
            }
            for (number, place) in self.places.iter().enumerate() {
                if place.begin_attempt(Instant::now()) {
                    let set = Arc::clone(&self);
                    // One that hangs with its disk keeps only itself from being tried again.
                    attempts.spawn_blocking(move || set.attempt(number));
                }
            }
        }
        attempts.detach_all();
        Ok(())
    }

    fn attempt(&self, number: usize) {
        let place = &self.places[number];
        let opened = self.reopen(place);
        match opened {
            Ok(farm) => {
                let (sectors, plotted) = (farm.target_sector_count(), farm.plotted_sectors().len());
                let directory = farm.directory().to_path_buf();
                let away = place.back_in_service(farm);
                tracing::info!(
                    directory = %directory.display(), sectors, plotted, away_seconds = away.as_secs(),
                    "farm back in service: its disk works again"
                );
                self.changes.send_modify(|changes| *changes += 1);
            }
            Err(reason) => {
                self.leave_home(&place.options);
                let (pause, is_news) = place.still_aside(&reason);
                if is_news {
                    tracing::warn!(
                        directory = %place.options.directory.display(),
                        "a farm that is set aside cannot be opened again, next attempt in {pause:?}: {reason}"
                    );
                    self.changes.send_modify(|changes| *changes += 1);
                }
            }
        }
    }

    fn reopen(&self, place: &Place) -> Result<Arc<Farm>, String> {
        if place.is_still_held() {
            return Err("reads or writes of before have not returned from its disk yet".to_string());
        }
        self.return_home(&place.options)
            .map_err(|error| format!("{error:#}"))?;
        let farm = match place.public_key() {
            Some(public_key) => Farm::reopen(&place.options, public_key),
            None => {
                // One that was never seen: what a start refuses, this does too.
                let check = Farm::check(&place.options).map_err(|error| error.to_string())?;
                let mut others = self.places.iter();
                let twin =
                    others.find(|other| check.public_key.is_some() && other.public_key() == check.public_key);
                if let Some(twin) = twin {
                    return Err(same_identity(&twin.options, &place.options));
                }
                Farm::open(&place.options)
            }
        };
        farm.map(Arc::new).map_err(|error| error.to_string())
    }
}

/// What is wrong with two farms of one key.
pub(super) fn same_identity(one: &FarmOptions, other: &FarmOptions) -> String {
    format!(
        "the farms {} and {} have the same identity.bin, so they would win and sign for each other; give one of them an identity \
         of its own",
        one.directory.display(),
        other.directory.display()
    )
}

#[cfg(test)]
mod tests;
