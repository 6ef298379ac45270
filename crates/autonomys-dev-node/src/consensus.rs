//! How blocks come about: proof of time, mailboxes, judging, votes, signing, and the runtime's state.

pub mod author;
pub mod builder;
pub mod clock;
pub mod import;
pub mod judge;
pub mod mailbox;
pub mod pot;
pub mod received;
pub mod runtime;
pub mod signing;
pub mod votes;
