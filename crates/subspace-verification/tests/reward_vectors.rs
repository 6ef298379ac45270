//! Golden vectors and properties of reward signatures and votes.

use autonomys_test_support::section;
use parity_scale_codec::{Decode, Encode};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::solutions::{REWARD_SIGNING_CONTEXT, RewardSignature, Solution};
use subspace_verification::{
    RewardSignatureError, SignedVote, Vote, check_reward_signature, sign_reward_hash,
};

fn keypair(mini_secret: &[u8; 32]) -> Keypair {
    MiniSecretKey::from_bytes(mini_secret)
        .expect("32 bytes")
        .expand_to_keypair(ExpansionMode::Ed25519)
}

#[test]
fn reward_signature() {
    let vectors = section("core.json", "reward_signature");
    let case = vectors.root();
    assert!(
        case.get("note").str().contains("randomised"),
        "signatures became reproducible: compare them too"
    );
    assert_eq!(
        case.get("signing_context").str().as_bytes(),
        REWARD_SIGNING_CONTEXT
    );
    assert_eq!(case.get("expansion").str(), "Ed25519 mode");

    let keypair = keypair(&case.get("mini_secret").array());
    let public_key = PublicKey(case.get("public_key").array());
    assert_eq!(keypair.public.to_bytes(), *public_key);
    let hash = case.get("hash").array::<32>();
    let signature = RewardSignature(case.get("signature").array());
    let is_valid = |hash, signature| check_reward_signature(&hash, &signature, &public_key).is_ok();

    assert_eq!(is_valid(hash, signature), case.get("verify").bool());
    assert!(is_valid(hash, sign_reward_hash(&keypair, &hash)));
    let mut other_hash = hash;
    other_hash[0] ^= 1;
    assert_eq!(
        is_valid(other_hash, signature),
        case.get("verify_hash_byte0_xor_1").bool()
    );
    let mut other_signature = signature;
    other_signature[3] ^= 1;
    assert_eq!(
        is_valid(hash, other_signature),
        case.get("verify_signature_byte3_xor_1").bool()
    );
    vectors.finish();
}

#[test]
fn reasons_for_refusal() {
    let keypair = keypair(&[1; 32]);
    let public_key = PublicKey(keypair.public.to_bytes());
    let hash = [2; 32];
    let signature = sign_reward_hash(&keypair, &hash);
    assert_eq!(check_reward_signature(&hash, &signature, &public_key), Ok(()));

    let not_a_key = PublicKey([0xff; 32]);
    let error = check_reward_signature(&hash, &signature, &not_a_key);
    assert_eq!(error, Err(RewardSignatureError::InvalidPublicKey));
    let error = check_reward_signature(&hash, &RewardSignature([0; 64]), &public_key);
    assert_eq!(error, Err(RewardSignatureError::Malformed));
    // The context of Substrate's own signatures.
    let foreign = keypair.sign_simple(b"substrate", &hash);
    let error = check_reward_signature(&hash, &RewardSignature(foreign.to_bytes()), &public_key);
    assert_eq!(error, Err(RewardSignatureError::Mismatch));
}

#[test]
fn votes() {
    let keypair = keypair(&[3; 32]);
    let public_key = PublicKey(keypair.public.to_bytes());
    let vote = Vote::V0 {
        height: 0x0102_0304,
        parent_hash: [5; 32],
        slot: 6,
        solution: Solution::genesis_solution(public_key, PublicKey([7; 32])),
        proof_of_time: PotOutput([8; 16]),
        future_proof_of_time: PotOutput([9; 16]),
    };
    let scale = vote.encode();
    assert_eq!(scale.len(), 489);
    assert_eq!(scale.len(), Vote::ENCODED_SIZE);
    assert_eq!(scale[..5], [0, 4, 3, 2, 1]);
    assert_eq!(scale[5..37], [5; 32]);
    assert_eq!(scale[37..45], [6, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(scale[45..77], *public_key);
    assert_eq!(scale[457..473], [8; 16]);
    assert_eq!(scale[473..], [9; 16]);
    assert_eq!(Vote::decode(&mut scale.as_slice()).expect("decodes"), vote);
    assert_eq!(vote.key().4, 6);

    let signed = SignedVote {
        vote,
        signature: sign_reward_hash(&keypair, &vote.hash()),
    };
    assert_eq!(signed.encode().len(), SignedVote::ENCODED_SIZE);
    assert_eq!(signed.check_signature(), Ok(()));
    let mut bytes = signed.encode();
    // The slot is covered by the signature.
    bytes[37] ^= 1;
    let changed = SignedVote::decode(&mut bytes.as_slice()).expect("decodes");
    assert_eq!(changed.check_signature(), Err(RewardSignatureError::Mismatch));
}
