//! The key pair that owns a farm's plots, kept as entropy in `identity.bin`.
//!
//! The file is the SCALE byte vector of 32 bytes entropy. As with a wallet phrase, the mini secret is
//! PBKDF2-HMAC-SHA512 of the entropy with the salt `mnemonic`, 2048 rounds, first half; its Ed25519-mode expansion is the
//! sr25519 key pair.

use crate::error::{FarmError, IoContext};
use rand::TryRngCore;
use rand::rngs::OsRng;
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey};
use sha2::Sha512;
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::solutions::{REWARD_SIGNING_CONTEXT, RewardSignature};
use zeroize::Zeroizing;

/// Name of the file in the farm directory.
pub const FILE_NAME: &str = "identity.bin";
/// Bytes of the file: a compact length and the entropy.
pub const FILE_SIZE: u64 = 33;

const ENTROPY_SIZE: usize = 32;
/// SCALE compact form of 32.
const LENGTH_PREFIX: u8 = 32 << 2;
const SALT: &[u8] = b"mnemonic";
const ROUNDS: u32 = 2048;
const SEED_SIZE: usize = 64;

/// Owner of a farm.
pub struct Identity {
    entropy: Zeroizing<[u8; ENTROPY_SIZE]>,
    keypair: Keypair,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The entropy is a secret and never shown.
        formatter
            .debug_struct("Identity")
            .field("public_key", &self.public_key())
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The identity of `entropy`.
    pub fn from_entropy(entropy: [u8; ENTROPY_SIZE]) -> Self {
        let entropy = Zeroizing::new(entropy);
        let mut seed = Zeroizing::new([0; SEED_SIZE]);
        pbkdf2::pbkdf2_hmac::<Sha512>(entropy.as_slice(), SALT, ROUNDS, seed.as_mut_slice());
        let mini_secret =
            MiniSecretKey::from_bytes(&seed[..ENTROPY_SIZE]).expect("32 bytes are a mini secret");
        let keypair = mini_secret.expand_to_keypair(ExpansionMode::Ed25519);
        Self { entropy, keypair }
    }

    /// A new identity from the operating system's generator.
    pub fn generate() -> Result<Self, FarmError> {
        let mut entropy = [0; ENTROPY_SIZE];
        OsRng
            .try_fill_bytes(&mut entropy)
            .map_err(std::io::Error::other)
            .at("get entropy for", Path::new(FILE_NAME))?;
        Ok(Self::from_entropy(entropy))
    }

    /// Reads `identity.bin` of `directory`; `None` when there is none.
    pub fn load(directory: &Path) -> Result<Option<Self>, FarmError> {
        let path = directory.join(FILE_NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("read", &path),
        };
        let damaged = |reason: String| FarmError::Damaged {
            path: path.clone(),
            reason,
        };
        let entropy = match bytes.as_slice() {
            [LENGTH_PREFIX, entropy @ ..] => entropy
                .try_into()
                .map_err(|_| damaged(format!("it has {} bytes instead of {FILE_SIZE}", bytes.len())))?,
            _ => {
                return Err(damaged(
                    "it does not begin with the length of 32 bytes entropy".to_string(),
                ));
            }
        };
        Ok(Some(Self::from_entropy(entropy)))
    }

    /// Writes `identity.bin`, readable by its owner only, so that a crash leaves all of it or nothing.
    pub fn store(&self, directory: &Path) -> Result<(), FarmError> {
        let path = directory.join(FILE_NAME);
        let temporary = directory.join("identity.bin.new");
        let mut bytes = Zeroizing::new(vec![LENGTH_PREFIX]);
        bytes.extend_from_slice(self.entropy.as_slice());
        let write = || -> std::io::Result<()> {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            // The mode above holds only for a file that was not there before.
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            fs::File::open(directory)?.sync_all()
        };
        write().at("write", &path)
    }

    /// The sr25519 public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from(self.keypair.public.to_bytes())
    }

    /// Signs the hash of a block or vote (`docs/protocol/solution-verification.md`).
    pub fn sign_reward_hash(&self, hash: &Blake3Hash) -> RewardSignature {
        let context = schnorrkel::signing_context(REWARD_SIGNING_CONTEXT);
        let hash: &[u8] = hash.as_ref();
        RewardSignature::from(self.keypair.sign(context.bytes(hash)).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_file_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().expect("temporary directory");
        assert!(Identity::load(directory.path()).expect("readable").is_none());
        let identity = Identity::generate().expect("entropy");
        identity.store(directory.path()).expect("written");
        let path = directory.path().join(FILE_NAME);
        let metadata = fs::metadata(&path).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(metadata.len(), FILE_SIZE);
        let loaded = Identity::load(directory.path())
            .expect("readable")
            .expect("there");
        assert_eq!(loaded.public_key(), identity.public_key());
        assert!(!format!("{identity:?}").contains(&hex::encode(identity.entropy.as_slice())));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let directory = tempfile::tempdir().expect("temporary directory");
        for bytes in [&b""[..], &[0x80; 12], &[0x7c; 33], &[0x80; 34]] {
            fs::write(directory.path().join(FILE_NAME), bytes).expect("written");
            let error = Identity::load(directory.path()).expect_err("damaged").to_string();
            assert!(error.contains(FILE_NAME), "{error}");
        }
    }

    #[test]
    fn signatures_verify_under_the_reward_context_only() {
        let identity = Identity::from_entropy([7; ENTROPY_SIZE]);
        let hash = Blake3Hash::from([3; 32]);
        let signature = identity.sign_reward_hash(&hash);
        let bytes: [u8; 64] = signature.into();
        let signature = schnorrkel::Signature::from_bytes(&bytes).expect("well formed");
        let message: &[u8] = hash.as_ref();
        let verifies = |context: &[u8]| {
            identity
                .keypair
                .public
                .verify(schnorrkel::signing_context(context).bytes(message), &signature)
                .is_ok()
        };
        assert!(verifies(REWARD_SIGNING_CONTEXT));
        assert!(!verifies(b"substrate"));
    }
}
