//! The table as bytes, for the cluster's key-value store.
//!
//! 24 bytes of header, the members, the owner numbers packed into as many bits as the number of members needs, and a BLAKE3 hash
//! over all before it. All integers are little endian; `docs/caches.md` has the fields.

use super::{
    ALGORITHM, MAX_MEMBERS, MAX_NAME_BYTES, MAX_POSITIONS, Member, NUM_SHARDS, PlacementError, ShardTable,
};

/// First bytes.
const MAGIC: [u8; 8] = *b"AFSHARDS";

/// Version of the form.
pub(super) const VERSION: u32 = 1;

const HEADER: usize = 24;
const HASH: usize = 32;

/// No table is longer: the largest number of members with the longest names, and of positions.
pub const MAX_TABLE_BYTES: usize = HEADER
    + MAX_MEMBERS * (8 + 2 * (1 + MAX_NAME_BYTES))
    + NUM_SHARDS * MAX_POSITIONS * number_bits(MAX_MEMBERS) / 8
    + HASH;

/// Bits that number this many members.
const fn number_bits(members: usize) -> usize {
    (usize::BITS - members.saturating_sub(1).leading_zeros()) as usize
}

impl ShardTable {
    /// The table in its stored form: 8 KiB for every position and bit of a member's number, and the members' names.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bits = number_bits(self.members.len());
        let mut bytes = Vec::with_capacity(HEADER + self.owners.len() * bits / 8 + HASH);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&ALGORITHM.to_le_bytes());
        bytes.extend_from_slice(&(self.members.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.positions as u16).to_le_bytes());
        bytes.extend_from_slice(&(bits as u16).to_le_bytes());
        for member in &self.members {
            bytes.extend_from_slice(&member.weight.to_le_bytes());
            for name in [&member.id, &member.host] {
                bytes.push(name.len() as u8);
                bytes.extend_from_slice(name.as_bytes());
            }
        }
        let (mut word, mut filled) = (0u64, 0);
        for &owner in &self.owners {
            word |= u64::from(owner) << filled;
            filled += bits;
            while filled >= 8 {
                bytes.push(word as u8);
                word >>= 8;
                filled -= 8;
            }
        }
        // 65 536 numbers of any width fill whole bytes.
        debug_assert_eq!(filled, 0);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    /// The table in these bytes.
    ///
    /// # Errors
    ///
    /// [`PlacementError::Unsupported`] for another form or algorithm, [`PlacementError::Damaged`] for anything that
    /// [`Self::to_bytes`] does not produce.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlacementError> {
        let damaged = |reason| PlacementError::Damaged { reason };
        if bytes.len() > MAX_TABLE_BYTES {
            return Err(damaged("they are longer than any table"));
        }
        if bytes.len() < HEADER + HASH || bytes[..8] != MAGIC {
            return Err(damaged("they do not start like one"));
        }
        let mut reader = Reader(&bytes[8..]);
        let (version, algorithm) = (reader.u32()?, reader.u32()?);
        if version != VERSION || algorithm != ALGORITHM {
            return Err(PlacementError::Unsupported { version, algorithm });
        }
        let (content, hash) = bytes.split_at(bytes.len() - HASH);
        if blake3::hash(content).as_bytes() != hash {
            return Err(damaged("they fail the checksum"));
        }
        reader.0 = &content[16..];
        let (count, positions, bits) = (reader.u32()? as usize, reader.u16()?.into(), reader.u16()?.into());
        if count == 0 || count > MAX_MEMBERS || positions == 0 || positions > MAX_POSITIONS {
            return Err(damaged("their numbers of members and positions are impossible"));
        }
        if number_bits(count) != bits {
            return Err(damaged("their owner numbers have another width"));
        }
        let mut members: Vec<Member> = Vec::with_capacity(count);
        for _ in 0..count {
            let weight = reader.u64()?;
            let (id, host) = (reader.name()?, reader.name()?);
            if members.last().is_some_and(|before| before.id >= id) {
                return Err(damaged("their members are not sorted"));
            }
            members.push(Member { id, host, weight });
        }
        let owners = unpack(reader.0, bits, NUM_SHARDS * positions)
            .ok_or_else(|| damaged("their owner numbers have another length"))?;
        if owners.iter().any(|&owner| {
            members
                .get(usize::from(owner))
                .is_none_or(|member| member.weight == 0)
        }) {
            return Err(damaged("an owner is no member with a weight"));
        }
        Ok(Self {
            members,
            positions,
            owners,
        })
    }
}

/// `count` numbers of `bits` bits each, if that is what the bytes hold.
fn unpack(bytes: &[u8], bits: usize, count: usize) -> Option<Vec<u16>> {
    if bytes.len() * 8 != bits * count {
        return None;
    }
    let (mut word, mut filled) = (0u64, 0);
    let mut rest = bytes.iter();
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        while filled < bits {
            word |= u64::from(*rest.next()?) << filled;
            filled += 8;
        }
        numbers.push((word & ((1 << bits) - 1)) as u16);
        word >>= bits;
        filled -= bits;
    }
    Some(numbers)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], PlacementError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(PlacementError::Damaged {
            reason: "they end too early",
        })?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, PlacementError> {
        Ok(u16::from_le_bytes(
            self.take(2)?.try_into().expect("two bytes were taken"),
        ))
    }

    fn u32(&mut self) -> Result<u32, PlacementError> {
        Ok(u32::from_le_bytes(
            self.take(4)?.try_into().expect("four bytes were taken"),
        ))
    }

    fn u64(&mut self) -> Result<u64, PlacementError> {
        Ok(u64::from_le_bytes(
            self.take(8)?.try_into().expect("eight bytes were taken"),
        ))
    }

    fn name(&mut self) -> Result<String, PlacementError> {
        let length = self.take(1)?[0];
        let bytes = self.take(length.into())?;
        match std::str::from_utf8(bytes) {
            Ok(name) => Ok(name.to_owned()),
            Err(_) => Err(PlacementError::Damaged {
                reason: "a name is not UTF-8",
            }),
        }
    }
}
