//! Telling a peer that single items of a request are not needed any more.

use super::link::Link;
use crate::key::ItemKey;
use std::collections::HashMap;
use std::sync::Arc;

/// Takes back keys of one request, without a hold on its answer.
#[derive(Debug, Clone)]
pub(super) struct Skipper {
    link: Arc<Link>,
    id: u32,
    positions: Arc<HashMap<ItemKey, u16>>,
}

impl Skipper {
    pub(super) fn new(link: Arc<Link>, id: u32, keys: &[ItemKey]) -> Self {
        let positions = keys.iter().copied().zip(0..).collect();
        Self {
            link,
            id,
            positions: Arc::new(positions),
        }
    }

    /// The peer need not send this item; it may be on its way already.
    pub(super) fn skip(&self, key: &ItemKey) {
        if let Some(&position) = self.positions.get(key) {
            self.link.skip(self.id, position);
        }
    }

    /// Tells the peer that this item came damaged.
    pub(super) fn report(&self, key: ItemKey) {
        self.link.report(key);
    }
}
