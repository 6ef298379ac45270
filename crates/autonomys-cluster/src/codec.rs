//! How messages and records become bytes: one version byte, then SCALE, within a stated size.

use bytes::Bytes;
use parity_scale_codec::{Decode, DecodeAll, Encode};
use thiserror::Error;

/// Something that travels through NATS or lies in JetStream.
pub trait Message: Encode + Decode + Send + Sync + 'static {
    /// What it is called in subjects and errors.
    const NAME: &'static str;
    /// Version of its layout, the first byte on the wire.
    const VERSION: u8;
    /// Most bytes it may take, version byte included.
    const MAX_SIZE: usize;
}

/// Why bytes are not the message they should be, or a message cannot become bytes.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum CodecError {
    /// Another version of the software wrote it.
    #[error(
        "{message} came in version {found}, this process knows version {known} only; bring both sides to the same release"
    )]
    UnknownVersion {
        /// Which message.
        message: &'static str,
        /// The version byte found.
        found: u8,
        /// The version known here.
        known: u8,
    },
    /// More bytes than the message may ever have.
    #[error("{message} of {size} bytes is beyond its limit of {limit} bytes")]
    TooLarge {
        /// Which message.
        message: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Not the layout of this version.
    #[error("{message} could not be decoded: {reason}")]
    Malformed {
        /// Which message.
        message: &'static str,
        /// What did not fit.
        reason: String,
    },
}

/// Encodes with the version byte.
///
/// # Errors
/// [`CodecError::TooLarge`] when the result is beyond [`Message::MAX_SIZE`].
pub fn encode<M: Message>(message: &M) -> Result<Bytes, CodecError> {
    let mut bytes = Vec::with_capacity(1 + message.size_hint());
    bytes.push(M::VERSION);
    message.encode_to(&mut bytes);
    check_size::<M>(bytes.len())?;
    Ok(bytes.into())
}

/// Decodes; every byte has to be used.
///
/// # Errors
/// [`CodecError`]; nothing is allocated for a payload beyond the limit.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, CodecError> {
    check_size::<M>(bytes.len())?;
    let malformed = |reason: String| CodecError::Malformed {
        message: M::NAME,
        reason,
    };
    let (&version, mut body) = bytes
        .split_first()
        .ok_or_else(|| malformed("it is empty".to_owned()))?;
    if version != M::VERSION {
        return Err(CodecError::UnknownVersion {
            message: M::NAME,
            found: version,
            known: M::VERSION,
        });
    }
    M::decode_all(&mut body).map_err(|error| malformed(error.to_string()))
}

fn check_size<M: Message>(size: usize) -> Result<(), CodecError> {
    if size > M::MAX_SIZE {
        return Err(CodecError::TooLarge {
            message: M::NAME,
            size,
            limit: M::MAX_SIZE,
        });
    }
    Ok(())
}

/// The longest prefix of whole characters within `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    text[..text.floor_char_boundary(limit)].to_owned()
}

#[cfg(test)]
mod tests {
    //! Round trips and refusals by name.

    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Sample(Vec<u8>, u32);

    impl Message for Sample {
        const NAME: &'static str = "sample";
        const VERSION: u8 = 7;
        const MAX_SIZE: usize = 64;
    }

    #[test]
    fn refusals_name_the_message_and_the_reason() {
        assert_eq!(
            decode::<Sample>(&[]).unwrap_err().to_string(),
            "sample could not be decoded: it is empty"
        );
        let unknown = decode::<Sample>(&[8, 0]).unwrap_err().to_string();
        assert!(
            unknown.starts_with("sample came in version 8, this process knows version 7 only"),
            "{unknown}"
        );
        let large = decode::<Sample>(&[7; 65]).unwrap_err().to_string();
        assert_eq!(large, "sample of 65 bytes is beyond its limit of 64 bytes");
        assert!(encode(&Sample(vec![0; 60], 0)).is_err());

        let mut bytes = encode(&Sample(vec![1, 2], 3)).unwrap().to_vec();
        bytes.push(0);
        assert!(
            matches!(decode::<Sample>(&bytes), Err(CodecError::Malformed { .. })),
            "trailing byte"
        );
        bytes.truncate(bytes.len() - 2);
        assert!(
            matches!(decode::<Sample>(&bytes), Err(CodecError::Malformed { .. })),
            "missing byte"
        );
    }

    proptest! {
        #[test]
        fn round_trip(data in proptest::collection::vec(any::<u8>(), 0..50), number: u32) {
            let sample = Sample(data, number);
            prop_assert_eq!(decode::<Sample>(&encode(&sample).unwrap()).unwrap(), sample);
        }

        #[test]
        fn any_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode::<Sample>(&data);
        }
    }
}
