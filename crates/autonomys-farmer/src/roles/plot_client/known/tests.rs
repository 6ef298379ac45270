//! Whose turn it is after failures, parking and a grown history.

use super::*;
use autonomys_cluster::plot_jobs::{PlotJob, ReadySector};
use autonomys_cluster::{InstanceId, Role};
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::segments::HistorySize;

fn segments(count: u64) -> HistorySize {
    HistorySize::from_segments(count).expect("not zero")
}

fn record(sector_index: u16, state: JobState) -> JobRecord {
    let mut record = JobRecord::wanted(PlotJob {
        id: JobId {
            public_key: [1; 32].into(),
            sector_index,
            history_size: segments(10),
        },
        client: InstanceId::generate(Role::PlotClient),
        pieces_in_sector: 1,
        protocol_info: FarmerProtocolInfo {
            history_size: segments(10),
            max_pieces_in_sector: 1,
            recent_segments: segments(5),
            recent_history_fraction: (segments(1), segments(10)),
            min_sector_lifetime: segments(4),
        },
        created_at: 0,
    });
    record.state = state;
    record
}

fn ready() -> JobState {
    JobState::Ready(ReadySector {
        server: InstanceId::generate(Role::PlotServer),
        addresses: Vec::new(),
        session_key: None,
        length: 1,
        checksum: [0; 32].into(),
        metadata: Vec::new(),
    })
}

fn parked() -> JobState {
    JobState::Parked {
        reason: "no piece".to_string(),
    }
}

fn known(records: impl IntoIterator<Item = JobRecord>, now: Instant) -> Known {
    let mut known = Known::default();
    for record in records {
        known.apply(JobEvent::Changed(Box::new(record)), now);
    }
    known
}

#[test]
fn a_sector_that_cannot_be_pulled_lets_others_go_first_and_is_given_up_in_the_end() {
    let mut now = Instant::now();
    let (bad, good) = (record(0, ready()), record(1, ready()));
    let id = bad.job.id;
    let mut known = known([bad, good.clone()], now);
    for failure in 1..=MAX_FETCH_FAILURES {
        let last = known.fetch_started(id);
        assert_eq!(last, failure == MAX_FETCH_FAILURES);
        assert_eq!(
            known.to_fetch(now),
            std::slice::from_ref(&good),
            "not while it is pulled"
        );
        known.fetch_ended(&id, false, now);
        assert_eq!(known.to_fetch(now), std::slice::from_ref(&good), "not at once");
        now += FETCH_PAUSE.1;
        assert_eq!(known.to_fetch(now).len(), 2);
    }
    assert!(!known.fetch_started(id), "counted anew");
    known.fetch_ended(&id, true, now);
    assert_eq!(known.to_fetch(now), [good]);
}

#[test]
fn parked_jobs_take_no_place_and_rest_for_a_while() {
    let start = Instant::now();
    let mut known = known([record(0, parked()), record(1, JobState::Wanted)], start);
    let (open, active) = known.open([1; 32].into(), start);
    assert_eq!((open.len(), active), (2, 1));
    assert_eq!(known.open([2; 32].into(), start).1, 0, "another farm");
    assert_eq!(known.parked_count(), 1);
    assert!(known.rested(start).is_empty());
    let later = start + PARKED_FOR;
    assert_eq!(known.rested(later).len(), 1);
    known.apply(JobEvent::Changed(Box::new(record(0, JobState::Wanted))), later);
    assert!(known.rested(later).is_empty());
}

#[test]
fn a_job_that_is_parked_again_and_again_rests_longer_and_then_for_good() {
    let start = Instant::now();
    let parked_again = |parkings| {
        let mut record = record(0, parked());
        record.parkings = parkings;
        known([record], start)
    };
    for (parkings, rests) in [(1, 1), (2, 2), (3, 4), (5, 16)] {
        let known = parked_again(parkings);
        let wakes = start + PARKED_FOR * rests;
        assert!(
            known.rested(wakes - Duration::from_secs(1)).is_empty(),
            "{parkings}"
        );
        assert_eq!(known.rested(wakes).len(), 1, "{parkings}");
    }
    let known = parked_again(MAX_PARKINGS);
    assert!(known.rested(start + PARKED_FOR * 1000).is_empty());
    assert_eq!(
        known.out_of_date(11).len(),
        1,
        "a grown history gives it other pieces"
    );
}

#[test]
fn a_queued_job_counts_until_the_watch_had_time_to_tell_it() {
    let start = Instant::now();
    let mut known = Known::default();
    known.queued(record(3, JobState::Wanted).job.id, start);
    assert_eq!(known.open([1; 32].into(), start).1, 1);
    assert_eq!(known.open([1; 32].into(), start + TOLD_WITHIN).1, 0);
}

#[test]
fn what_could_expire_at_once_is_out_of_date() {
    let known = known(
        [
            record(0, JobState::Wanted),
            record(1, parked()),
            record(2, ready()),
        ],
        Instant::now(),
    );
    let out_of_date = |segments| {
        let ids = known.out_of_date(segments);
        ids.iter().map(|id| id.sector_index).collect::<Vec<_>>()
    };
    assert_eq!(out_of_date(10), [0_u16; 0]);
    assert_eq!(out_of_date(11), [1]);
    // The segment that decides about the sector's end is number 13, the fourteenth.
    assert_eq!(out_of_date(13), [1]);
    assert_eq!(out_of_date(14), [0, 1]);
}

#[test]
fn jobs_of_a_farm_that_is_set_aside_are_those_that_nobody_works_on() {
    let now = Instant::now();
    let mut known = known(
        [
            record(0, JobState::Wanted),
            record(1, parked()),
            record(2, ready()),
            record(3, ready()),
        ],
        now,
    );
    known.fetch_started(record(3, ready()).job.id);
    assert_eq!(known.fetching_for([1; 32].into()), 1);
    assert_eq!(known.fetching_for([2; 32].into()), 0);
    let idle = |known: &Known, finished| {
        let ids = known.idle_jobs_of([1; 32].into(), finished);
        ids.iter().map(|id| id.sector_index).collect::<Vec<_>>()
    };
    assert_eq!(idle(&known, false), [0, 1]);
    assert_eq!(idle(&known, true), [0, 1, 2]);
    assert!(known.idle_jobs_of([2; 32].into(), true).is_empty());
    // A new watch tells the records again; the pull goes on.
    known.begin_anew();
    assert!(known.records.is_empty() && !known.synced);
    assert_eq!(known.fetching_for([1; 32].into()), 1);
}
