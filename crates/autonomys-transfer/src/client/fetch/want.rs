//! One want: which of its sources are asked, which come next, and when it is done. No input or output here.

use super::{Asked, Fetched, Outcome, Want};
use crate::key::ItemKey;
use bytes::Bytes;
use std::collections::HashSet;
use std::time::Duration;

/// A source of a want that has been asked.
struct Question {
    source: usize,
    hedge: bool,
    /// Asked for beyond what is needed.
    spare: bool,
    /// Past the peer's usual time: it no longer counts as an answer that will come.
    late: bool,
    outcome: Option<(Outcome, usize, Duration)>,
}

/// A want under way.
pub(super) struct Progress {
    want: Want,
    /// What came, and whether it was asked for as a spare.
    items: Vec<(ItemKey, Bytes, bool)>,
    questions: Vec<Question>,
}

/// What to do for a want now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask this source.
    Ask {
        source: usize,
        /// Because another one is late.
        hedge: bool,
        /// Beyond those that are needed, should all of them come.
        spare: bool,
    },
    /// As many answers as needed are expected, or nobody is left to ask.
    Wait,
    /// It is complete with a spare, and what the spare stands for is due any moment: parts that need no arithmetic to be put together.
    Ripen,
    /// It is complete, or cannot become complete any more.
    Finish,
}

impl Progress {
    pub(super) fn new(want: Want) -> Self {
        Self {
            want,
            items: Vec::new(),
            questions: Vec::new(),
        }
    }

    pub(super) fn source(&self, source: usize) -> &super::Source {
        &self.want.sources[source]
    }

    /// What comes next. Places that are `avoided` (peers that keep others waiting) come after the rest.
    pub(super) fn next(&self, avoided: impl Fn(usize) -> bool) -> Next {
        let missing = self.want.need.saturating_sub(self.items.len());
        if missing == 0 {
            return match self.is_better_due() {
                true => Next::Ripen,
                false => Next::Finish,
            };
        }
        let (mut reachable, mut promised) = (HashSet::new(), HashSet::new());
        let (mut expected, mut late) = (0, 0);
        for question in self
            .questions
            .iter()
            .filter(|question| question.outcome.is_none())
        {
            let key = self.want.sources[question.source].key;
            reachable.insert(key);
            if question.late {
                late += 1;
            } else {
                expected += 1;
                promised.insert(key);
            }
        }
        let open: Vec<usize> = (0..self.want.sources.len())
            .filter(|&source| {
                let key = self.want.sources[source].key;
                !self.questions.iter().any(|question| question.source == source)
                    && !self.items.iter().any(|(delivered, ..)| *delivered == key)
            })
            .collect();
        reachable.extend(open.iter().map(|&source| self.want.sources[source].key));
        if reachable.len() < missing {
            return Next::Finish;
        }
        let promised_enough = promised.len() >= missing;
        if promised_enough && expected >= missing + self.want.spare {
            return Next::Wait;
        }
        let choice = open
            .into_iter()
            .map(|source| (self.want.sources[source].key, source))
            // A second place for a key that is expected is only good as a spare.
            .filter(|(key, _)| promised_enough || !promised.contains(key))
            // A key that is late elsewhere comes after one that nobody was asked for.
            .min_by_key(|(key, source)| {
                (
                    promised.contains(key),
                    self.is_asked(key),
                    avoided(*source),
                    *source,
                )
            })
            .map(|(_, source)| source);
        match choice {
            Some(source) => Next::Ask {
                source,
                hedge: late > 0,
                spare: promised_enough,
            },
            None => Next::Wait,
        }
    }

    /// Whether a spare has come before one of those that it stands in for, which is not late.
    fn is_better_due(&self) -> bool {
        let is_due = |question: &Question| question.outcome.is_none() && !question.late && !question.spare;
        self.items.iter().any(|(.., spare)| *spare) && self.questions.iter().any(is_due)
    }

    /// Whether this key is on its way, late or not.
    fn is_asked(&self, key: &ItemKey) -> bool {
        self.questions
            .iter()
            .any(|question| question.outcome.is_none() && self.want.sources[question.source].key == *key)
    }

    /// Notes that a source is asked and gives the number of the question.
    pub(super) fn ask(&mut self, source: usize, hedge: bool, spare: bool) -> usize {
        self.questions.push(Question {
            source,
            hedge,
            spare,
            late: false,
            outcome: None,
        });
        self.questions.len() - 1
    }

    pub(super) fn mark_late(&mut self, question: usize) {
        self.questions[question].late = true;
    }

    /// Notes how a question ended.
    pub(super) fn settle(&mut self, question: usize, result: Result<Bytes, Outcome>, latency: Duration) {
        let source = self.questions[question].source;
        let (outcome, bytes) = match result {
            Ok(bytes) => {
                let key = self.want.sources[source].key;
                let length = bytes.len();
                // The same key may come twice when one of the two was late.
                if !self.items.iter().any(|(delivered, ..)| *delivered == key) {
                    let spare = self.questions[question].spare;
                    self.items.push((key, bytes, spare));
                }
                (Outcome::Delivered, length)
            }
            Err(outcome) => (outcome, 0),
        };
        self.questions[question].outcome = Some((outcome, bytes, latency));
    }

    /// Gives back what there is.
    pub(super) fn finish(self, number: usize, unsettled: impl Fn(usize) -> Duration) -> Fetched {
        let Self {
            want,
            mut items,
            questions,
        } = self;
        // Spares only in the place of what has not come.
        items.sort_by_key(|(.., spare)| *spare);
        items.truncate(want.need);
        let items: Vec<_> = items.into_iter().map(|(key, bytes, _)| (key, bytes)).collect();
        let asked = questions
            .into_iter()
            .enumerate()
            .map(|(number, question)| {
                let (outcome, bytes, latency) = question
                    .outcome
                    .unwrap_or_else(|| (Outcome::NotNeeded, 0, unsettled(number)));
                Asked {
                    source: question.source,
                    peer: want.sources[question.source].peer.clone(),
                    outcome,
                    bytes,
                    latency,
                    hedge: question.hedge,
                }
            })
            .collect();
        Fetched {
            want: number,
            complete: items.len() >= want.need,
            items,
            asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Source;
    use crate::{Peer, SessionKey};
    use std::sync::Arc;

    /// Sources by peer and shard.
    fn want(need: usize, spare: usize, sources: &[(u16, u16)]) -> Progress {
        let sources = sources
            .iter()
            .map(|&(peer, shard)| Source {
                peer: Arc::new(Peer {
                    member: peer.to_string(),
                    address: ([127, 0, 0, 1], peer).into(),
                    session_key: SessionKey::from([0; 32]),
                }),
                key: ItemKey {
                    shard,
                    ..ItemKey::piece(0, 1)
                },
            })
            .collect();
        Progress::new(Want { need, spare, sources })
    }

    /// Asks until there is nothing to ask; gives the sources and whether each was a hedge.
    fn ask_all(progress: &mut Progress) -> Vec<(usize, bool)> {
        let mut asked = Vec::new();
        while let Next::Ask { source, hedge, spare } = progress.next(|_| false) {
            progress.ask(source, hedge, spare);
            asked.push((source, hedge));
        }
        asked
    }

    fn bytes() -> Result<Bytes, Outcome> {
        Ok(Bytes::from_static(b"x"))
    }

    #[test]
    fn a_whole_piece_is_asked_of_one_place_after_the_other() {
        let mut progress = want(1, 0, &[(1, 0), (2, 0), (3, 0)]);
        assert_eq!(ask_all(&mut progress), [(0, false)]);
        progress.settle(0, Err(Outcome::Missing), Duration::ZERO);
        assert_eq!(ask_all(&mut progress), [(1, false)]);
        progress.mark_late(1);
        assert_eq!(ask_all(&mut progress), [(2, true)]);
        progress.settle(1, bytes(), Duration::ZERO);
        assert_eq!(progress.next(|_| false), Next::Finish);
        let fetched = progress.finish(7, |_| Duration::from_secs(1));
        assert!(fetched.complete && fetched.items.len() == 1 && fetched.want == 7);
        let outcomes: Vec<_> = fetched.asked.iter().map(|asked| asked.outcome.clone()).collect();
        assert_eq!(
            outcomes,
            [Outcome::Missing, Outcome::Delivered, Outcome::NotNeeded]
        );
        assert_eq!(fetched.asked[2].latency, Duration::from_secs(1));
    }

    #[test]
    fn split_items_take_distinct_parts_first_and_replicas_after_a_failure() {
        // Three parts at two places each, two needed, one spare.
        let mut progress = want(2, 1, &[(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2)]);
        assert_eq!(ask_all(&mut progress), [(0, false), (2, false), (4, false)]);
        progress.settle(0, Err(Outcome::Missing), Duration::ZERO);
        assert_eq!(ask_all(&mut progress), [(1, false)]);
        progress.settle(1, bytes(), Duration::ZERO);
        assert_eq!(progress.next(|_| false), Next::Wait);
        progress.mark_late(3);
        // Of the two parts on their way one is late and has no other place left: the second place of the other stands in.
        assert_eq!(ask_all(&mut progress), [(5, true)]);
        progress.settle(2, bytes(), Duration::ZERO);
        assert_eq!(progress.next(|_| false), Next::Finish);
    }

    #[test]
    fn a_spare_for_a_whole_piece_is_a_second_place() {
        let mut progress = want(1, 1, &[(1, 0), (2, 0), (3, 0)]);
        assert_eq!(ask_all(&mut progress), [(0, false), (1, false)]);
    }

    #[test]
    fn a_spare_that_comes_first_waits_for_a_better_one_unless_that_is_late() {
        let sources = [(1, 0), (2, 1), (3, 2)];
        let arrive = |progress: &mut Progress, number| progress.settle(number, bytes(), Duration::ZERO);
        let shards = |progress: Progress| -> Vec<u16> {
            let fetched = progress.finish(0, |_| Duration::ZERO);
            fetched.items.iter().map(|(key, _)| key.shard).collect()
        };
        for outcome in ["comes", "late", "missing"] {
            let mut progress = want(2, 1, &sources);
            assert_eq!(ask_all(&mut progress), [(0, false), (1, false), (2, false)]);
            arrive(&mut progress, 0);
            assert_eq!(progress.next(|_| false), Next::Wait);
            arrive(&mut progress, 2);
            assert_eq!(progress.next(|_| false), Next::Ripen);
            match outcome {
                "comes" => arrive(&mut progress, 1),
                "late" => progress.mark_late(1),
                _ => progress.settle(1, Err(Outcome::Missing), Duration::ZERO),
            }
            assert_eq!(progress.next(|_| false), Next::Finish, "{outcome}");
            let expected = if outcome == "comes" { [0, 1] } else { [0, 2] };
            assert_eq!(shards(progress), expected, "{outcome}");
        }
    }

    #[test]
    fn what_cannot_be_completed_ends_at_once() {
        let mut progress = want(2, 0, &[(1, 0), (2, 1)]);
        assert_eq!(ask_all(&mut progress).len(), 2);
        progress.settle(0, Err(Outcome::Missing), Duration::ZERO);
        assert_eq!(progress.next(|_| false), Next::Finish);
        assert_eq!(want(1, 0, &[]).next(|_| false), Next::Finish);
        assert_eq!(want(0, 0, &[(1, 0)]).next(|_| false), Next::Finish);
    }

    #[test]
    fn places_that_keep_others_waiting_come_last() {
        let progress = want(1, 0, &[(1, 0), (2, 0)]);
        let avoid_first = |source| source == 0;
        assert_eq!(
            progress.next(avoid_first),
            Next::Ask {
                source: 1,
                hedge: false,
                spare: false
            }
        );
        assert_eq!(
            progress.next(|_| true),
            Next::Ask {
                source: 0,
                hedge: false,
                spare: false
            }
        );
    }
}
