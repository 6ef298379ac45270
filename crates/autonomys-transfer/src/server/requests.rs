//! The answers to each kind of request.
//!
//! Order of reservations for every frame with bulk: the client's window first, because it may be waited for long and nothing is
//! held meanwhile, then the connection's credit, then the server's budget. Only then the source is asked.

use super::connection::Context;
use crate::error::{ErrorCode, Refusal};
use crate::frame::{Frame, FrameKind};
use crate::key::{ItemKey, SectorKey};
use crate::limits::{ITEM_PERMITS, MAX_ITEM_LEN, SECTOR_CHUNK_LEN};
use crate::message::{Get, GetSector, item_frame, missing_frame, range_frame, sector_chunk_frame};
use crate::range::Served;
use crate::source::Item;
use bytes::Bytes;
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::error;

/// Room for one frame of bulk.
struct Room {
    window: OwnedSemaphorePermit,
    credit: Vec<OwnedSemaphorePermit>,
}

impl Room {
    async fn reserve(context: &Context, window: &Arc<Semaphore>, bytes: u32) -> Result<Self, Refusal> {
        let closed = |_| Refusal::new(ErrorCode::Internal, "the connection is closing");
        let window = window.clone().acquire_many_owned(bytes).await.map_err(closed)?;
        let connection = context
            .send_credit
            .clone()
            .acquire_many_owned(bytes)
            .await
            .map_err(closed)?;
        let server = context
            .shared
            .send_budget
            .clone()
            .acquire_many_owned(bytes)
            .await
            .map_err(closed)?;
        Ok(Self {
            window,
            credit: vec![connection, server],
        })
    }

    /// Gives back what the frame does not need; the window's share is spent for good, the rest lives until the frame is out.
    fn shrink(mut self, bytes: usize) -> Vec<OwnedSemaphorePermit> {
        if let Some(spent) = self.window.split(bytes) {
            spent.forget();
        }
        for credit in &mut self.credit {
            let surplus = credit.num_permits() - bytes;
            drop(credit.split(surplus));
        }
        self.credit
    }
}

pub(super) async fn get(
    context: Arc<Context>,
    id: u32,
    get: Get,
    window: Arc<Semaphore>,
) -> Result<(), Refusal> {
    if !context.shared.handlers.items.is_served() {
        return Err(Refusal::not_served("items"));
    }
    let mut open: HashMap<ItemKey, u16> = (0..)
        .zip(&get.keys)
        .map(|(position, &key)| (key, position))
        .collect();
    let source = &context.shared.handlers.items;
    let mut items = if context.sends_ranges {
        source.serve(get.keys)
    } else {
        let items = source.get(get.keys);
        items.map(|(key, item)| (key, item.map(Served::Item))).boxed()
    };
    while !open.is_empty() {
        let room = Room::reserve(&context, &window, ITEM_PERMITS).await?;
        let Some((key, item)) = items.next().await else {
            break;
        };
        let Some(position) = open.remove(&key) else {
            error!(%key, "a source answered a key that was not asked for");
            continue;
        };
        let last = open.is_empty();
        match item {
            Some(_) if context.is_skipped(id, position) => {
                drop(room);
                context
                    .send(missing_frame(id, position).last(last), Vec::new())
                    .await?;
            }
            Some(item) if item.len() <= MAX_ITEM_LEN => {
                let credit = room.shrink(item.len());
                let (frame, range) = match item {
                    Served::Item(item) => (item_frame(id, position, item), None),
                    Served::Range(range) => (range_frame(id, position, &range), Some(range)),
                };
                context.send_range(frame.last(last), range, credit).await?;
            }
            other => {
                if let Some(item) = other {
                    error!(%key, length = item.len(), "a source gave an item above the limit, reported as missing");
                }
                drop(room);
                context
                    .send(missing_frame(id, position).last(last), Vec::new())
                    .await?;
            }
        }
    }
    let mut left_out: Vec<u16> = open.into_values().collect();
    left_out.sort_unstable();
    let count = left_out.len();
    for (number, position) in left_out.into_iter().enumerate() {
        context
            .send(missing_frame(id, position).last(number + 1 == count), Vec::new())
            .await?;
    }
    Ok(())
}

pub(super) async fn put(
    context: &Context,
    id: u32,
    key: ItemKey,
    hash: [u8; 32],
    bytes: Bytes,
) -> Result<(), Refusal> {
    let item = tokio::task::spawn_blocking(move || Item::new(bytes))
        .await
        .map_err(|_| Refusal::new(ErrorCode::Internal, "hashing the item failed"))?;
    if *item.hash() != hash {
        return Err(Refusal::new(
            ErrorCode::HashMismatch,
            format!("{key} arrived with a wrong hash; send it again"),
        ));
    }
    context.shared.handlers.sink.put(key, item).await?;
    context
        .send(
            Frame::small(FrameKind::Done, id, Vec::new()).last(true),
            Vec::new(),
        )
        .await
}

pub(super) async fn get_sector(
    context: Arc<Context>,
    id: u32,
    get: GetSector,
    window: Arc<Semaphore>,
) -> Result<(), Refusal> {
    let sector = context.shared.handlers.sectors.open(get.key).await?;
    let sector_len = sector.len();
    if get.offset > sector_len {
        let message = format!(
            "offset {} lies behind the end of the sector at {sector_len}",
            get.offset
        );
        return Err(Refusal::new(ErrorCode::OutOfRange, message));
    }
    let end = get.offset.saturating_add(get.length).min(sector_len);
    let mut offset = get.offset;
    loop {
        let length = (end - offset).min(SECTOR_CHUNK_LEN as u64) as usize;
        let room = Room::reserve(&context, &window, length as u32).await?;
        let data = if length == 0 {
            Bytes::new()
        } else {
            sector.read(offset, length).await?
        };
        if data.len() != length {
            return Err(Refusal::new(
                ErrorCode::Internal,
                "the sector is shorter than it was when it was opened",
            ));
        }
        let last = offset + length as u64 == end;
        context
            .send(
                sector_chunk_frame(id, offset, sector_len, data).last(last),
                room.shrink(length),
            )
            .await?;
        if last {
            return Ok(());
        }
        offset += length as u64;
    }
}

pub(super) async fn acknowledge(context: Arc<Context>, id: u32, key: SectorKey) -> Result<(), Refusal> {
    context.shared.handlers.sectors.acknowledge(key).await?;
    context
        .send(
            Frame::small(FrameKind::Done, id, Vec::new()).last(true),
            Vec::new(),
        )
        .await
}
