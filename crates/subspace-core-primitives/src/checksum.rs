//! A value followed by the hash of its encoding.

use crate::hashes::{Blake3Hash, blake3_hash};
use parity_scale_codec::{Decode, Encode, Error, Input, Output};

/// In SCALE: the encoding of the value, then BLAKE3 of exactly those bytes. Decoding fails when they do not agree.
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq, Hash)]
pub struct Blake3Checksummed<T>(pub T);

impl<T: Encode> Encode for Blake3Checksummed<T> {
    fn size_hint(&self) -> usize {
        self.0.size_hint() + Blake3Hash::SIZE
    }

    fn encode_to<O: Output + ?Sized>(&self, destination: &mut O) {
        self.0.using_encoded(|encoded| {
            destination.write(encoded);
            destination.write(&*blake3_hash(encoded));
        });
    }
}

impl<T: Decode> Decode for Blake3Checksummed<T> {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let mut hashing = HashingInput {
            input,
            hasher: blake3::Hasher::new(),
        };
        let value = T::decode(&mut hashing)?;
        let computed = Blake3Hash::from(hashing.hasher.finalize());
        let stored = Blake3Hash::decode(input)?;
        if computed != stored {
            return Err(Error::from("the checksum does not match the data: it is damaged"));
        }
        Ok(Self(value))
    }
}

/// Passes bytes on from another input and hashes what was taken.
struct HashingInput<'a, I> {
    input: &'a mut I,
    hasher: blake3::Hasher,
}

impl<I: Input> Input for HashingInput<'_, I> {
    fn remaining_len(&mut self) -> Result<Option<usize>, Error> {
        self.input.remaining_len()
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), Error> {
        self.input.read(into)?;
        self.hasher.update(into);
        Ok(())
    }

    fn descend_ref(&mut self) -> Result<(), Error> {
        self.input.descend_ref()
    }

    fn ascend_ref(&mut self) {
        self.input.ascend_ref();
    }
}
