//! One source after the other for each want.

use super::{Asked, FetchOptions, Fetched, Outcome, Want};
use crate::client::pool::Pool;
use crate::error::TransferError;
use bytes::Bytes;
use futures::{StreamExt, stream};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

pub(super) async fn run(
    pool: Pool,
    wants: Vec<Want>,
    options: FetchOptions,
    done: mpsc::UnboundedSender<(Fetched, OwnedSemaphorePermit)>,
) {
    let room = Arc::new(Semaphore::new(options.bytes_in_flight.min(u32::MAX as usize)));
    stream::iter(wants.into_iter().enumerate())
        .for_each_concurrent(64, |(number, want)| {
            let (pool, room, done) = (&pool, room.clone(), &done);
            async move {
                let bytes = (want.need * options.item_len).min(options.bytes_in_flight);
                let Ok(room) = room.acquire_many_owned(bytes as u32).await else {
                    return;
                };
                let _ = done.send((one(pool, number, want, options).await, room));
            }
        })
        .await;
}

async fn one(pool: &Pool, number: usize, want: Want, options: FetchOptions) -> Fetched {
    let mut fetched = Fetched {
        want: number,
        items: Vec::new(),
        complete: want.need == 0,
        asked: Vec::new(),
    };
    for (source, place) in want.sources.iter().enumerate() {
        if fetched.complete || Instant::now() >= options.deadline {
            break;
        }
        if fetched.items.iter().any(|(key, _)| *key == place.key) {
            continue;
        }
        let asked_at = Instant::now();
        let deadline = options.deadline.min(asked_at + options.item_deadline);
        let answer: Result<Option<Bytes>, TransferError> = async {
            let mut items = pool.get(&place.peer, vec![place.key], deadline).await?;
            Ok(items.next().await.transpose()?.and_then(|(_, bytes)| bytes))
        }
        .await;
        let (outcome, bytes) = match answer {
            Ok(Some(bytes)) => {
                let length = bytes.len();
                fetched.items.push((place.key, bytes));
                (Outcome::Delivered, length)
            }
            Ok(None) => (Outcome::Missing, 0),
            Err(error) => (Outcome::Failed(error), 0),
        };
        fetched.asked.push(Asked {
            source,
            peer: place.peer.clone(),
            outcome,
            bytes,
            latency: asked_at.elapsed(),
            hedge: false,
        });
        fetched.complete = fetched.items.len() >= want.need;
    }
    fetched
}
