//! JetStream objects: how they are made, and buckets whose records change by compare-and-set only.
//!
//! Only what nats-server 2.10 has is used. Every object keeps its messages in files, has a size beyond which writes are
//! refused (nothing is ever dropped to make room), and is created by whoever needs it first.

mod bucket;
mod object;
mod watch;

pub use bucket::{Bucket, BucketConfig, Created, Entry};
pub(crate) use object::Object;
pub use object::StoreError;
pub use watch::{Watch, WatchEvent};
