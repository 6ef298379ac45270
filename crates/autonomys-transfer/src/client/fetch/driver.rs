//! The loop of one fetch: takes wants in as there is room, batches their questions by peer, and settles answers.

mod late;

use super::lane::{Lane, QuestionId};
use super::want::{Next, Progress};
use super::{FetchOptions, Fetched, Outcome, Source, Want};
use crate::client::answer::ItemStream;
use crate::client::pool::{Peer, Pool};
use crate::client::skip::Skipper;
use crate::error::TransferError;
use crate::key::ItemKey;
use crate::limits::{HEDGE_TICK, HEDGES_MIN};
use bytes::Bytes;
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, stream};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

type GetId = u64;
type PeerName = (String, SocketAddr, [u8; 32]);

/// What a Get under way says.
enum News {
    Opened(Skipper),
    Item(ItemKey, Result<Option<Bytes>, TransferError>),
    /// Nothing more comes.
    Ended(TransferError),
}

/// A Get under way and what it still has to answer.
struct Get {
    lane: PeerName,
    questions: HashMap<ItemKey, QuestionId>,
    stop: CancellationToken,
    skipper: Option<Skipper>,
}

/// One source that was asked and has not answered.
struct Question {
    want: usize,
    /// Its number within the want.
    number: usize,
    key: ItemKey,
    lane: PeerName,
    get: Option<GetId>,
    asked_at: Instant,
    ahead: usize,
    hedge: bool,
    late: bool,
}

struct Active {
    progress: Progress,
    room: OwnedSemaphorePermit,
    asked: Vec<(QuestionId, Instant)>,
    /// Since when it is complete with a spare.
    ripe_since: Option<Instant>,
}

pub(super) struct Driver {
    pool: Pool,
    options: FetchOptions,
    done: mpsc::UnboundedSender<(Fetched, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    room_total: usize,
    waiting: VecDeque<(usize, Want)>,
    active: HashMap<usize, Active>,
    questions: HashMap<QuestionId, Question>,
    lanes: HashMap<PeerName, Lane>,
    gets: HashMap<GetId, Get>,
    news: SelectAll<BoxStream<'static, (GetId, News)>>,
    last_id: u64,
    hedges: usize,
}

impl Driver {
    pub(super) fn new(
        pool: Pool,
        wants: Vec<Want>,
        options: FetchOptions,
        done: mpsc::UnboundedSender<(Fetched, OwnedSemaphorePermit)>,
    ) -> Self {
        let room_total = options.bytes_in_flight.min(u32::MAX as usize).max(1);
        Self {
            pool,
            options,
            done,
            room: Arc::new(Semaphore::new(room_total)),
            room_total,
            waiting: wants.into_iter().enumerate().collect(),
            active: HashMap::new(),
            questions: HashMap::new(),
            lanes: HashMap::new(),
            gets: HashMap::new(),
            news: SelectAll::new(),
            last_id: 0,
            hedges: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut tick = interval(HEDGE_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let room = self.room.clone();
        loop {
            self.take_in_all();
            self.send_gets();
            let next = self.waiting.front().map(|(_, want)| self.cost(want));
            if next.is_none() && self.active.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.options.deadline) => return self.give_up(),
                () = self.done.closed() => return,
                Some((get, news)) = self.news.next(), if !self.news.is_empty() => {
                    self.hear(get, news);
                    // What else is there already belongs to the same moment.
                    while let Some(Some((get, news))) = futures::FutureExt::now_or_never(self.news.next()) {
                        self.hear(get, news);
                    }
                }
                room = room.clone().acquire_many_owned(next.unwrap_or(0)), if next.is_some() => {
                    if let (Ok(room), Some((number, want))) = (room, self.waiting.pop_front()) {
                        self.take_in(number, want, room);
                    }
                }
                _ = tick.tick(), if !self.questions.is_empty() => {
                    self.finish_ripe_ones();
                    self.look_for_late_ones();
                }
            }
        }
    }

    fn cost(&self, want: &Want) -> u32 {
        let items = want.need.saturating_add(want.spare).max(1);
        items.saturating_mul(self.options.item_len).min(self.room_total) as u32
    }

    fn take_in_all(&mut self) {
        while let Some((_, want)) = self.waiting.front() {
            let Ok(room) = self.room.clone().try_acquire_many_owned(self.cost(want)) else {
                return;
            };
            if let Some((number, want)) = self.waiting.pop_front() {
                self.take_in(number, want, room);
            }
        }
    }

    fn take_in(&mut self, number: usize, want: Want, room: OwnedSemaphorePermit) {
        let active = Active {
            progress: Progress::new(want),
            room,
            asked: Vec::new(),
            ripe_since: None,
        };
        self.active.insert(number, active);
        self.advance(number);
    }

    /// Asks for a want whatever may be asked now, and hands it out when it is done.
    fn advance(&mut self, number: usize) {
        while let Some(active) = self.active.get_mut(&number) {
            let progress = &active.progress;
            let next = progress.next(|source| {
                let lane = self.lanes.get(&name(&progress.source(source).peer));
                lane.is_some_and(Lane::is_avoided)
            });
            match next {
                Next::Wait => return,
                Next::Ripen => {
                    active.ripe_since.get_or_insert_with(Instant::now);
                    return;
                }
                Next::Finish => return self.finish(number),
                Next::Ask { hedge: true, .. } if self.hedges >= HEDGES_MIN.max(self.questions.len() / 2) => {
                    return;
                }
                Next::Ask { source, hedge, spare } => self.ask(number, source, hedge, spare),
            }
        }
    }

    fn ask(&mut self, want: usize, source: usize, hedge: bool, spare: bool) {
        let Some(active) = self.active.get_mut(&want) else {
            return;
        };
        let (now, Source { peer, key }) = (Instant::now(), active.progress.source(source).clone());
        let number = active.progress.ask(source, hedge, spare);
        self.last_id += 1;
        let id = self.last_id;
        active.asked.push((id, now));
        let lane = name(&peer);
        let ahead = self
            .lanes
            .entry(lane.clone())
            .or_insert_with(|| Lane::new(peer, now))
            .add(id, key, spare);
        self.hedges += usize::from(hedge);
        self.questions.insert(
            id,
            Question {
                want,
                number,
                key,
                lane,
                get: None,
                asked_at: now,
                ahead,
                hedge,
                late: false,
            },
        );
    }

    fn send_gets(&mut self) {
        for (lane_name, lane) in &mut self.lanes {
            while let Some(batch) = lane.next_get() {
                self.last_id += 1;
                let id = self.last_id;
                for (question, _) in &batch {
                    if let Some(question) = self.questions.get_mut(question) {
                        question.get = Some(id);
                    }
                }
                let stop = CancellationToken::new();
                let keys = batch.iter().map(|(_, key)| *key).collect();
                let news = news(self.pool.clone(), lane.peer.clone(), keys, self.options);
                let news = news.take_until(stop.clone().cancelled_owned());
                self.news.push(news.map(move |news| (id, news)).boxed());
                self.gets.insert(
                    id,
                    Get {
                        lane: lane_name.clone(),
                        questions: batch.into_iter().map(|(question, key)| (key, question)).collect(),
                        stop,
                        skipper: None,
                    },
                );
            }
        }
    }

    fn hear(&mut self, id: GetId, news: News) {
        let Some(get) = self.gets.get_mut(&id) else {
            return;
        };
        match news {
            News::Opened(skipper) => get.skipper = Some(skipper),
            News::Item(key, result) => {
                // Unless it was skipped meanwhile.
                let question = get.questions.remove(&key);
                if get.questions.is_empty() {
                    self.end_get(id);
                }
                if let Some(question) = question {
                    self.settle(question, result, true);
                }
            }
            News::Ended(TransferError::TooManyKeys { limit }) => {
                let (left, lane) = (std::mem::take(&mut get.questions), get.lane.clone());
                self.end_get(id);
                let left: Vec<_> = left.into_iter().map(|(key, question)| (question, key)).collect();
                for (question, _) in &left {
                    if let Some(question) = self.questions.get_mut(question) {
                        question.get = None;
                    }
                }
                if let Some(lane) = self.lanes.get_mut(&lane) {
                    lane.put_back(left, limit);
                }
            }
            News::Ended(error) => {
                let left: Vec<_> = get.questions.drain().map(|(_, question)| question).collect();
                if let Some(lane) = self.lanes.get_mut(&get.lane) {
                    lane.failed();
                }
                self.end_get(id);
                for question in left {
                    self.settle(question, Err(error.clone()), false);
                }
            }
        }
    }

    /// Forgets a Get; what it has not answered is cancelled at the peer.
    fn end_get(&mut self, id: GetId) {
        if let Some(get) = self.gets.remove(&id) {
            get.stop.cancel();
            if let Some(lane) = self.lanes.get_mut(&get.lane) {
                lane.gets -= 1;
            }
        }
    }

    fn settle(&mut self, id: QuestionId, result: Result<Option<Bytes>, TransferError>, arrived: bool) {
        let Some(question) = self.forget(id) else { return };
        let now = Instant::now();
        if arrived && let Some(lane) = self.lanes.get_mut(&question.lane) {
            lane.arrived(now, question.asked_at);
        }
        let result = match result {
            Ok(Some(bytes)) if bytes.len() > self.options.item_len => {
                let (key, length) = (question.key, bytes.len());
                Err(Outcome::Failed(TransferError::ItemTooLong { key, length }))
            }
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Outcome::Missing),
            Err(error) => Err(Outcome::Failed(error)),
        };
        let is_delivered = result.is_ok();
        if let Some(active) = self.active.get_mut(&question.want) {
            active
                .progress
                .settle(question.number, result, now - question.asked_at);
            if !is_delivered {
                self.send_spares(question.want);
            }
            self.advance(question.want);
        }
    }

    /// Takes a question off the books.
    fn forget(&mut self, id: QuestionId) -> Option<Question> {
        let question = self.questions.remove(&id)?;
        self.hedges -= usize::from(question.hedge);
        if let Some(lane) = self.lanes.get_mut(&question.lane) {
            lane.open -= 1;
            lane.late -= usize::from(question.late);
        }
        Some(question)
    }

    /// Takes a question back from the peer.
    fn withdraw(&mut self, id: QuestionId) {
        let Some(question) = self.forget(id) else { return };
        let Some(get_id) = question.get else {
            if let Some(lane) = self.lanes.get_mut(&question.lane) {
                lane.withdraw(id);
            }
            return;
        };
        if let Some(get) = self.gets.get_mut(&get_id) {
            get.questions.remove(&question.key);
            if get.questions.is_empty() {
                self.end_get(get_id);
            } else if let Some(skipper) = &get.skipper {
                skipper.skip(&question.key);
            }
        }
    }

    fn finish(&mut self, number: usize) {
        let Some(active) = self.active.remove(&number) else {
            return;
        };
        for (id, _) in &active.asked {
            self.withdraw(*id);
        }
        let unsettled = |question: usize| active.asked[question].1.elapsed();
        let fetched = active.progress.finish(number, unsettled);
        // When nobody listens any more the loop ends.
        let _ = self.done.send((fetched, active.room));
    }

    /// The deadline has passed: everything is given back as it is.
    fn give_up(mut self) {
        let unfinished: Vec<_> = self.active.keys().copied().collect();
        for number in unfinished {
            self.finish(number);
        }
        while let Some((number, want)) = self.waiting.pop_front() {
            let Ok(room) = self.room.clone().try_acquire_many_owned(0) else {
                return;
            };
            let fetched = Progress::new(want).finish(number, |_| Duration::ZERO);
            let _ = self.done.send((fetched, room));
        }
    }
}

fn name(peer: &Peer) -> PeerName {
    (peer.member.clone(), peer.address, *peer.session_key.as_bytes())
}

/// One Get from its beginning to its end.
fn news(
    pool: Pool,
    peer: Arc<Peer>,
    keys: Vec<ItemKey>,
    options: FetchOptions,
) -> impl futures::Stream<Item = News> + Send + 'static {
    let opened = async move {
        pool.get_sized(&peer, keys, options.item_len, options.deadline)
            .await
    };
    stream::once(opened).flat_map(|opened| match opened {
        Ok(items) => {
            let first = News::Opened(items.skipper());
            stream::once(async { first }).chain(heard(items)).boxed()
        }
        Err(error) => stream::once(async { News::Ended(error) }).boxed(),
    })
}

fn heard(items: ItemStream) -> impl futures::Stream<Item = News> + Send {
    let heard = items.map(|item| match item {
        Ok((key, bytes)) => News::Item(key, Ok(bytes)),
        Err(TransferError::CorruptItem { key }) => News::Item(key, Err(TransferError::CorruptItem { key })),
        Err(error) => News::Ended(error),
    });
    heard.chain(stream::once(async {
        News::Ended(TransferError::ConnectionClosed)
    }))
}
