//! When the shard map changes, and to what: a function of what is seen and of how long it has been so.

use autonomys_cluster::members::{MembersSnapshot, RoleStatus};
use autonomys_cluster::settings::CacheSettings;
use autonomys_cluster::shard_map::{ShardMap, ShardMember};
use autonomys_cluster::{InstanceId, Role};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What is wanted has to be the same for this long: caches that start together make one map.
const SETTLE: Duration = Duration::from_secs(3);
/// Caches get this long to lay their stores out for a new epoch before a map is made without the slow ones.
const EPOCH_WITHIN: Duration = Duration::from_secs(300);
/// Earlier maps kept while items move.
pub(super) const MAX_PREVIOUS: usize = 3;
/// A capacity that changes by less than one part in this many moves nothing: the free space of a disk is never the same twice.
const WEIGHT_TOLERANCE: u64 = 20;

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    /// Every owner has its share: earlier maps count no more.
    Retire,
    /// These caches own the shards from now on.
    Publish(Vec<ShardMember>),
}

/// A live cache as its record shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cache {
    pub(super) member: ShardMember,
    pub(super) item_type: String,
    pub(super) epoch: u64,
    /// Newest shard map whose share it has.
    pub(super) done: u64,
}

/// Live sharded caches.
pub(super) fn caches(snapshot: &MembersSnapshot) -> Vec<Cache> {
    snapshot
        .role(Role::ShardedCache)
        .filter_map(|member| match &member.status {
            RoleStatus::ShardedCache(status) => Some(Cache {
                member: ShardMember {
                    instance: member.id,
                    host: member.host.clone(),
                    weight: member.capacity,
                },
                item_type: status.item_type.clone(),
                epoch: status.epoch,
                done: status.shard_map_version,
            }),
            _ => None,
        })
        .collect()
}

/// Remembers since when what was so.
pub(super) struct Planner {
    grace: Duration,
    /// Owners that are not there.
    silent: BTreeMap<InstanceId, Instant>,
    /// What would be published if it stays like this.
    proposal: Option<(Vec<ShardMember>, Instant)>,
    /// A cache is not in this epoch yet.
    late: Option<(u64, Instant)>,
}

impl Planner {
    /// Takes caches out that were silent for `grace`.
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            silent: BTreeMap::new(),
            proposal: None,
            late: None,
        }
    }

    /// The step for what is seen at `now`.
    pub(super) fn step(
        &mut self,
        now: Instant,
        settings: &CacheSettings,
        current: Option<&ShardMap>,
        in_transition: bool,
        caches: &[Cache],
    ) -> Step {
        let by_id: BTreeMap<_, _> = caches
            .iter()
            .map(|cache| (cache.member.instance, cache))
            .collect();
        self.note_silence(now, current, &by_id);
        let epoch_begins = current.is_none_or(|map| map.epoch != settings.epoch);
        if epoch_begins && self.waits_for_late(now, settings, caches) {
            self.proposal = None;
            return Step::Wait;
        }
        let wanted = self.wanted(now, settings, current, &by_id);
        let lost = current.is_some_and(|map| {
            map.members
                .iter()
                .any(|member| self.is_lost(now, member.instance))
        });
        // One transition at a time, unless the present one can never end.
        if let Some(map) = current
            && in_transition
            && !lost
            && !epoch_begins
        {
            let done = |member: &ShardMember| {
                by_id
                    .get(&member.instance)
                    .is_some_and(|cache| cache.epoch == settings.epoch && cache.done >= map.version)
            };
            self.proposal = None;
            return if map.members.iter().all(done) {
                Step::Retire
            } else {
                Step::Wait
            };
        }
        if wanted.is_empty() || (!epoch_begins && current.is_some_and(|map| map.members == wanted)) {
            self.proposal = None;
            return Step::Wait;
        }
        match &self.proposal {
            Some((proposed, since)) if *proposed == wanted => {
                if now.duration_since(*since) >= SETTLE {
                    self.proposal = None;
                    return Step::Publish(wanted);
                }
            }
            _ => self.proposal = Some((wanted, now)),
        }
        Step::Wait
    }

    fn note_silence(
        &mut self,
        now: Instant,
        current: Option<&ShardMap>,
        live: &BTreeMap<InstanceId, &Cache>,
    ) {
        let owners = current.map_or(&[][..], |map| &map.members);
        self.silent
            .retain(|id, _| !live.contains_key(id) && owners.iter().any(|owner| owner.instance == *id));
        for owner in owners.iter().filter(|owner| !live.contains_key(&owner.instance)) {
            self.silent.entry(owner.instance).or_insert(now);
        }
    }

    fn is_lost(&self, now: Instant, id: InstanceId) -> bool {
        self.silent
            .get(&id)
            .is_some_and(|since| now.duration_since(*since) >= self.grace)
    }

    /// Whether some cache still prepares for the epoch, and may.
    fn waits_for_late(&mut self, now: Instant, settings: &CacheSettings, caches: &[Cache]) -> bool {
        if caches.iter().all(|cache| is_up(cache, settings)) {
            self.late = None;
            return false;
        }
        let since = match self.late {
            Some((epoch, since)) if epoch == settings.epoch => since,
            _ => self.late.insert((settings.epoch, now)).1,
        };
        now.duration_since(since) < EPOCH_WITHIN
    }

    /// Who should own shards.
    fn wanted(
        &self,
        now: Instant,
        settings: &CacheSettings,
        current: Option<&ShardMap>,
        live: &BTreeMap<InstanceId, &Cache>,
    ) -> Vec<ShardMember> {
        let mut wanted = BTreeMap::new();
        // Owners stay, also those that just restart; in a new layout their old capacity means nothing.
        for owner in current
            .filter(|map| map.layout == settings.layout)
            .map_or(&[][..], |map| &map.members)
        {
            if !self.is_lost(now, owner.instance) {
                wanted.insert(owner.instance, owner.clone());
            }
        }
        for cache in live.values().filter(|cache| is_up(cache, settings)) {
            let member = &cache.member;
            let same = wanted.get(&member.instance).is_some_and(|owner| {
                owner.host == member.host
                    && owner.weight.abs_diff(member.weight) <= owner.weight / WEIGHT_TOLERANCE
            });
            if !same {
                wanted.insert(member.instance, member.clone());
            }
        }
        wanted.into_values().collect()
    }
}

/// Whether the cache can own items of this epoch.
fn is_up(cache: &Cache, settings: &CacheSettings) -> bool {
    cache.epoch == settings.epoch && cache.item_type == settings.item_type && cache.member.weight > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(300);

    struct Scene {
        now: Instant,
        planner: Planner,
        settings: CacheSettings,
        map: Option<ShardMap>,
        in_transition: bool,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                now: Instant::now(),
                planner: Planner::new(GRACE),
                settings: CacheSettings {
                    item_type: "piece".to_owned(),
                    epoch: 0,
                    layout: 0,
                },
                map: None,
                in_transition: false,
            }
        }

        fn look(&mut self, caches: &[Cache]) -> Step {
            self.now += Duration::from_millis(500);
            let map = self.map.clone();
            self.planner
                .step(self.now, &self.settings, map.as_ref(), self.in_transition, caches)
        }

        /// Looks until something is to be done, for at most `within`.
        fn look_for(&mut self, within: Duration, caches: &[Cache]) -> Step {
            let until = self.now + within;
            while self.now < until {
                let step = self.look(caches);
                if step != Step::Wait {
                    return step;
                }
            }
            Step::Wait
        }

        fn publish(&mut self, step: Step) -> usize {
            let Step::Publish(members) = step else {
                panic!("{step:?}")
            };
            let count = members.len();
            self.in_transition = self.map.is_some();
            self.map = Some(ShardMap {
                version: self.map.as_ref().map_or(0, |map| map.version) + 1,
                epoch: self.settings.epoch,
                layout: self.settings.layout,
                item_type: self.settings.item_type.clone(),
                members,
                table: [0; 32],
                table_len: 0,
            });
            count
        }
    }

    fn cache() -> Cache {
        Cache {
            member: ShardMember {
                instance: InstanceId::generate(Role::ShardedCache),
                host: "h".to_owned(),
                weight: 1000,
            },
            item_type: "piece".to_owned(),
            epoch: 0,
            done: 0,
        }
    }

    #[test]
    fn caches_that_start_together_make_one_map() {
        let mut scene = Scene::new();
        let caches = [cache(), cache(), cache()];
        assert_eq!(scene.look_for(SETTLE, &caches[..1]), Step::Wait);
        assert_eq!(scene.look_for(SETTLE, &caches[..2]), Step::Wait);
        let step = scene.look_for(2 * SETTLE, &caches);
        assert_eq!(scene.publish(step), 3);
        assert_eq!(scene.look_for(2 * GRACE, &caches), Step::Wait, "nothing changes");
        let closed = Cache {
            item_type: String::new(),
            ..cache()
        };
        let caches: Vec<_> = caches.into_iter().chain([closed]).collect();
        assert_eq!(
            scene.look_for(GRACE, &caches),
            Step::Wait,
            "its store is not open"
        );
    }

    #[test]
    fn a_restart_moves_nothing_and_a_loss_does() {
        let mut scene = Scene::new();
        let mut caches = vec![cache(), cache(), cache()];
        let step = scene.look_for(2 * SETTLE, &caches);
        scene.publish(step);
        let almost = GRACE - Duration::from_secs(1);
        assert_eq!(scene.look_for(almost, &caches[..2]), Step::Wait);
        assert_eq!(scene.look(&caches), Step::Wait);
        caches[2].member.weight += 40;
        assert_eq!(scene.look_for(almost, &caches), Step::Wait, "a little more room");
        let step = scene.look_for(2 * GRACE, &caches[..2]);
        assert_eq!(scene.publish(step), 2);
    }

    #[test]
    fn one_transition_at_a_time() {
        let mut scene = Scene::new();
        let mut caches = vec![cache(), cache(), cache(), cache()];
        let step = scene.look_for(2 * SETTLE, &caches[..2]);
        scene.publish(step);
        let step = scene.look_for(2 * SETTLE, &caches[..3]);
        assert_eq!(scene.publish(step), 3);
        assert_eq!(
            scene.look_for(GRACE, &caches),
            Step::Wait,
            "the third still copies"
        );
        for cache in &mut caches[..2] {
            cache.done = 2;
        }
        assert_eq!(scene.look_for(GRACE, &caches), Step::Wait);
        caches[2].done = 2;
        assert_eq!(scene.look(&caches), Step::Retire);
        scene.in_transition = false;
        let step = scene.look_for(2 * SETTLE, &caches);
        assert_eq!(scene.publish(step), 4);
        // The newcomer dies for good while items move: the transition can never end.
        let step = scene.look_for(2 * GRACE, &caches[..3]);
        assert_eq!(scene.publish(step), 3);
    }

    #[test]
    fn an_epoch_waits_for_the_caches() {
        let mut scene = Scene::new();
        let mut caches = vec![cache(), cache()];
        let step = scene.look_for(2 * SETTLE, &caches);
        scene.publish(step);
        scene.settings = CacheSettings {
            item_type: "split-piece:4".to_owned(),
            epoch: 1,
            layout: 1,
        };
        caches[0].epoch = 1;
        caches[0].item_type = "split-piece:4".to_owned();
        caches[0].member.weight = 4000;
        assert_eq!(scene.look_for(EPOCH_WITHIN / 2, &caches), Step::Wait);
        caches[1] = Cache {
            member: ShardMember {
                weight: 3000,
                ..caches[1].member.clone()
            },
            ..caches[0].clone()
        };
        let Step::Publish(members) = scene.look_for(2 * SETTLE, &caches) else {
            panic!("no map")
        };
        let mut weights: Vec<_> = members.iter().map(|member| member.weight).collect();
        weights.sort_unstable();
        assert_eq!(weights, [3000, 4000]);
        // A cache that never comes along is left out in the end.
        caches[1].epoch = 0;
        let step = scene.look_for(2 * EPOCH_WITHIN, &caches);
        assert_eq!(scene.publish(step), 1);
    }
}
