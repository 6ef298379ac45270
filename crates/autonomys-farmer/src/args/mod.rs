//! Arguments that several commands share.

pub(crate) mod kzg;
pub(crate) mod nats;
pub(crate) mod path;
pub(crate) mod reward_address;
