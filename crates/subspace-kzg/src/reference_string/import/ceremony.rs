//! The final transcript of the public ceremony, read as a stream.
//!
//! `{"transcripts": [{"powersOfTau": {"G1Powers": ["0x…"], "G2Powers": ["0x…"]}, …}, …], …}`; the fourth transcript has the
//! powers of the mainnet reference string. Everything else is skipped without being kept.

use crate::reference_string::{BLOB_LENGTH, G1_BYTES, G2_BYTES, NUM_G1_POWERS, NUM_G2_POWERS};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io::Read;

/// Place of the transcript with 32 768 powers.
const TRANSCRIPT_INDEX: usize = 3;

/// The blob of the fourth transcript; the caller checks its hash.
pub(super) fn read(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut powers = Powers::default();
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    Document { powers: &mut powers }
        .deserialize(&mut deserializer)
        .map_err(|error| error.to_string())?;
    if powers.g1.is_empty() || powers.g2.is_empty() {
        return Err(format!(
            "it has no powers in its transcript number {}",
            TRANSCRIPT_INDEX + 1
        ));
    }
    let mut blob = powers.g1;
    blob.extend_from_slice(&powers.g2);
    debug_assert_eq!(blob.len(), BLOB_LENGTH);
    Ok(blob)
}

#[derive(Default)]
struct Powers {
    g1: Vec<u8>,
    g2: Vec<u8>,
}

/// An object of which only some fields matter; their values go where the expressions say.
macro_rules! object_seed {
    ($name:ident, $powers:ident, $($field:literal => $value:expr),+) => {
        impl<'de> DeserializeSeed<'de> for $name<'_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_map(self)
            }
        }

        impl<'de> Visitor<'de> for $name<'_> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!("an object with", $(" ", $field),+))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match key.as_ref() {
                        $($field => {
                            let $powers = &mut *self.powers;
                            map.next_value_seed($value)?;
                        })+
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(())
            }
        }
    };
}

struct Document<'a> {
    powers: &'a mut Powers,
}

object_seed!(Document, powers, "transcripts" => Transcripts { powers });

struct Transcripts<'a> {
    powers: &'a mut Powers,
}

impl<'de> DeserializeSeed<'de> for Transcripts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Transcripts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of transcripts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for _ in 0..TRANSCRIPT_INDEX {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        items.next_element_seed(Transcript {
            powers: &mut *self.powers,
        })?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

struct Transcript<'a> {
    powers: &'a mut Powers,
}

object_seed!(Transcript, powers, "powersOfTau" => PowersOfTau { powers });

struct PowersOfTau<'a> {
    powers: &'a mut Powers,
}

object_seed!(
    PowersOfTau,
    powers,
    "G1Powers" => Points { output: &mut powers.g1, count: NUM_G1_POWERS, bytes: G1_BYTES },
    "G2Powers" => Points { output: &mut powers.g2, count: NUM_G2_POWERS, bytes: G2_BYTES }
);

/// Exactly `count` points of `bytes` bytes each.
struct Points<'a> {
    output: &'a mut Vec<u8>,
    count: usize,
    bytes: usize,
}

impl<'de> DeserializeSeed<'de> for Points<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Points<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an array of {} points of {} bytes in hexadecimal digits",
            self.count, self.bytes
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.output.clear();
        let mut count = 0;
        while let Some(text) = items.next_element::<Cow<'de, str>>()? {
            if count == self.count {
                return Err(A::Error::invalid_length(count + 1, &self));
            }
            let digits = text.strip_prefix("0x").unwrap_or(&text);
            let start = self.output.len();
            self.output.resize(start + self.bytes, 0);
            hex::decode_to_slice(digits, &mut self.output[start..]).map_err(A::Error::custom)?;
            count += 1;
        }
        if count != self.count {
            return Err(A::Error::invalid_length(count, &self));
        }
        Ok(())
    }
}
