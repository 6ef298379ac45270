//! sr25519 signatures over the hashes of blocks and votes.

use schnorrkel::context::SigningContext;
use schnorrkel::{Keypair, Signature};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::solutions::{REWARD_SIGNING_CONTEXT, RewardSignature};

/// Why a reward signature is refused.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewardSignatureError {
    /// The public key is no point.
    #[error("the public key is no valid sr25519 key: check the identity that the reward is claimed for")]
    InvalidPublicKey,
    /// The signature has no valid form.
    #[error("the reward signature is malformed: it must be a 64-byte sr25519 signature")]
    Malformed,
    /// The signature is one of something or somebody else.
    #[error(
        "the reward signature does not fit hash and public key: sign the announced hash with the key of the solution"
    )]
    Mismatch,
}

/// Checks a signature over the 32 bytes of a block or vote hash.
///
/// # Errors
/// When key or signature are malformed, or do not fit each other and the hash.
pub fn check_reward_signature(
    hash: &[u8; 32],
    signature: &RewardSignature,
    public_key: &PublicKey,
) -> Result<(), RewardSignatureError> {
    let public_key = schnorrkel::PublicKey::from_bytes(public_key.as_ref())
        .map_err(|_| RewardSignatureError::InvalidPublicKey)?;
    let signature = Signature::from_bytes(signature.as_ref()).map_err(|_| RewardSignatureError::Malformed)?;
    let transcript = SigningContext::new(REWARD_SIGNING_CONTEXT).bytes(hash);
    public_key
        .verify(transcript, &signature)
        .map_err(|_| RewardSignatureError::Mismatch)
}

/// Signs the 32 bytes of a block or vote hash. Sign only what the own, trusted node announced.
pub fn sign_reward_hash(keypair: &Keypair, hash: &[u8; 32]) -> RewardSignature {
    let transcript = SigningContext::new(REWARD_SIGNING_CONTEXT).bytes(hash);
    RewardSignature(keypair.sign(transcript).to_bytes())
}
