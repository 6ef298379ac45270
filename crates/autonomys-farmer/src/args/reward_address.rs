//! Reward addresses: SS58 text, or 64 hexadecimal digits, to the 32 bytes that solutions carry.

use blake2::{Blake2b512, Digest};
use std::str::FromStr;
use subspace_core_primitives::PublicKey;
use thiserror::Error;

/// SS58 prefix of the Autonomys network: addresses begin with `su`.
const AUTONOMYS_PREFIX: u16 = 6094;
/// The prefix under its former name, Subspace: addresses begin with `st`. Farmers still have and use them; the account is the same.
const SUBSPACE_PREFIX: u16 = 2254;
/// The generic Substrate prefix; wallets show the same account under it.
const GENERIC_PREFIX: u16 = 42;
/// Domain of the SS58 checksum.
const CHECKSUM_DOMAIN: &[u8] = b"SS58PRE";
const ACCOUNT_LENGTH: usize = 32;
const CHECKSUM_LENGTH: usize = 2;

/// The account that block and vote rewards go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RewardAddress(pub(crate) PublicKey);

/// Why a reward address was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum RewardAddressError {
    #[error("it is neither an SS58 address (su..., st... or 5...) nor 64 hexadecimal digits")]
    Form,
    #[error("its length is wrong for a 32-byte account; copy the whole address from the wallet")]
    Length,
    #[error("its checksum is wrong, so at least one character is; copy it again from the wallet")]
    Checksum,
    #[error(
        "it belongs to another network (SS58 prefix {0}); use the address of the Autonomys network, which begins with su or st"
    )]
    Network(u16),
}

impl FromStr for RewardAddress {
    type Err = RewardAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(bytes) = hexadecimal_account(text) {
            return Ok(Self(PublicKey::from(bytes)));
        }
        let bytes = bs58::decode(text)
            .into_vec()
            .map_err(|_| RewardAddressError::Form)?;
        // A first byte below 64 is the whole prefix; 64..=127 announce a second prefix byte.
        let (prefix, prefix_length) = match *bytes.as_slice() {
            [first @ 0..=63, ..] => (u16::from(first), 1),
            [first @ 64..=127, second, ..] => {
                let low = (first << 2) | (second >> 6);
                let high = second & 0b0011_1111;
                (u16::from_le_bytes([low, high]), 2)
            }
            _ => return Err(RewardAddressError::Form),
        };
        if bytes.len() != prefix_length + ACCOUNT_LENGTH + CHECKSUM_LENGTH {
            return Err(RewardAddressError::Length);
        }
        let (body, checksum) = bytes.split_at(bytes.len() - CHECKSUM_LENGTH);
        let hash = Blake2b512::new()
            .chain_update(CHECKSUM_DOMAIN)
            .chain_update(body)
            .finalize();
        if &hash[..CHECKSUM_LENGTH] != checksum {
            return Err(RewardAddressError::Checksum);
        }
        if ![AUTONOMYS_PREFIX, SUBSPACE_PREFIX, GENERIC_PREFIX].contains(&prefix) {
            return Err(RewardAddressError::Network(prefix));
        }
        let account: [u8; ACCOUNT_LENGTH] = body[prefix_length..]
            .try_into()
            .map_err(|_| RewardAddressError::Length)?;
        Ok(Self(PublicKey::from(account)))
    }
}

fn hexadecimal_account(text: &str) -> Option<[u8; ACCOUNT_LENGTH]> {
    let mut bytes = [0; ACCOUNT_LENGTH];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes).ok()?;
    Some(bytes)
}

/// SS58 text of `account` under the Autonomys prefix.
pub(crate) fn to_ss58(account: &[u8; ACCOUNT_LENGTH]) -> String {
    to_ss58_with(AUTONOMYS_PREFIX, account)
}

/// SS58 text of `account` under a prefix of two bytes (64 to 16 383).
fn to_ss58_with(prefix: u16, account: &[u8; ACCOUNT_LENGTH]) -> String {
    let [low, high] = prefix.to_le_bytes();
    let mut bytes = vec![(low >> 2) | 0b0100_0000, high | (low << 6)];
    bytes.extend_from_slice(account);
    let hash = Blake2b512::new()
        .chain_update(CHECKSUM_DOMAIN)
        .chain_update(&bytes)
        .finalize();
    bytes.extend_from_slice(&hash[..CHECKSUM_LENGTH]);
    bs58::encode(bytes).into_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The well-known development account "Alice" under the generic prefix.
    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    const ALICE_HEX: &str = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";

    #[test]
    fn a_known_address_decodes() {
        let alice: RewardAddress = ALICE.parse().expect("valid");
        assert_eq!(alice, ALICE_HEX.parse().expect("valid"));
    }

    #[test]
    fn addresses_of_the_network_begin_with_su_or_st() {
        let account = hexadecimal_account(ALICE_HEX).expect("valid");
        assert_eq!(to_ss58(&account), to_ss58_with(AUTONOMYS_PREFIX, &account));
        for (prefix, start) in [(AUTONOMYS_PREFIX, "su"), (SUBSPACE_PREFIX, "st")] {
            let text = to_ss58_with(prefix, &account);
            assert!(text.starts_with(start), "{text}");
            assert_eq!(text.parse(), ALICE.parse::<RewardAddress>());
        }
    }

    #[test]
    fn wrong_addresses_are_told_apart() {
        assert_eq!("".parse::<RewardAddress>(), Err(RewardAddressError::Form));
        assert_eq!("st0OIl".parse::<RewardAddress>(), Err(RewardAddressError::Form));
        assert_eq!(
            ALICE[..40].parse::<RewardAddress>(),
            Err(RewardAddressError::Length)
        );
        let changed = ALICE.replace("Grw", "Grx");
        assert_eq!(
            changed.parse::<RewardAddress>(),
            Err(RewardAddressError::Checksum)
        );
        // Alice on Polkadot, prefix 0.
        assert_eq!(
            "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5".parse::<RewardAddress>(),
            Err(RewardAddressError::Network(0))
        );
    }

    proptest! {
        #[test]
        fn every_account_round_trips(account: [u8; 32]) {
            prop_assert_eq!(to_ss58(&account).parse(), Ok(RewardAddress(PublicKey::from(account))));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,80}") {
            let _ = text.parse::<RewardAddress>();
        }
    }
}
