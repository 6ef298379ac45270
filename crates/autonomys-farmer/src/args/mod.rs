//! Arguments that several commands share.

pub(crate) mod nats;
pub(crate) mod path;
pub(crate) mod reward_address;
pub(crate) mod size;

pub(crate) use autonomys_command::kzg;
