//! A scripted farmer: plots tiny sectors in memory, answers slots and signs.

use crate::support::{TOOLS, within};
use autonomys_dev_node::{Controls, DevNode};
use autonomys_node_rpc::{AnnouncedSlot, NodeClient};
use futures::{Stream, StreamExt};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey};
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::rpc::{RewardSignatureResponse, RewardSigningInfo, SlotInfo, SolutionResponse};
use subspace_core_primitives::sectors::SectorId;
use subspace_core_primitives::solutions::{Solution, SolutionRange};
use subspace_farmer_components::auditing::{AuditChallenge, audit_sector};
use subspace_farmer_components::plotting::{SectorToEncode, encode_sector, sector_piece_indexes};
use subspace_farmer_components::proving::{provable_candidates, prove, read_proof_input};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_farmer_components::sector::{LoadedSector, SectorContentsMap};
use subspace_proof_of_space::{ProofOfSpaceKind, proof_of_space};
use subspace_verification::sign_reward_hash;

pub(crate) struct Farmer {
    pub(crate) keypair: Keypair,
    pub(crate) client: NodeClient,
    pub(crate) sector: Vec<u8>,
    loaded: LoadedSector,
    contents_map: SectorContentsMap,
    slots: Box<dyn Stream<Item = AnnouncedSlot> + Send + Unpin>,
    pub(crate) signing: Box<dyn Stream<Item = RewardSigningInfo> + Send + Unpin>,
}

impl Farmer {
    /// Plots one sector with the pieces that the node serves.
    pub(crate) async fn plot(client: NodeClient, seed: u8) -> Self {
        let keypair = MiniSecretKey::from_bytes(&[seed; 32])
            .unwrap()
            .expand_to_keypair(ExpansionMode::Ed25519);
        let info = client.farmer_app_info().await.unwrap().protocol_info;
        let public_key_hash = PublicKey(keypair.public.to_bytes()).hash();
        let history_size = info.history_size;
        let sector_id = SectorId::new(&public_key_hash, 0, history_size);
        let mut pieces = Vec::new();
        for index in sector_piece_indexes(&sector_id, history_size, info.max_pieces_in_sector, &info) {
            pieces.push(
                within(client.piece(index))
                    .await
                    .unwrap()
                    .expect("the node serves every piece"),
            );
        }
        let to_encode = SectorToEncode {
            public_key_hash,
            sector_index: 0,
            history_size,
            pieces,
        };
        let encoded = encode_sector(
            to_encode,
            &*proof_of_space(ProofOfSpaceKind::FastTest),
            &TOOLS.erasure_coding,
            &TOOLS.pool,
            NonZeroUsize::MIN,
            &|_| {},
            &AtomicBool::new(false),
        )
        .unwrap();
        let loaded = LoadedSector::new(&public_key_hash, encoded.metadata.0.clone());
        let contents_map = SectorContentsMap::from_bytes(
            &encoded.sector
                [..subspace_core_primitives::sectors::sector_contents_map_size(info.max_pieces_in_sector)],
            info.max_pieces_in_sector,
        )
        .unwrap();
        Self {
            keypair,
            slots: Box::new(client.slot_info()),
            signing: Box::new(client.reward_signing()),
            client,
            sector: encoded.sector,
            loaded,
            contents_map,
        }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey(self.keypair.public.to_bytes())
    }

    /// The next slot.
    pub(crate) async fn slot(&mut self) -> SlotInfo {
        within(self.slots.next()).await.expect("slots go on").slot_info
    }

    /// The best solution of a slot whose distance `wanted` accepts.
    pub(crate) fn solve(&self, slot: &SlotInfo, wanted: impl Fn(SolutionRange) -> bool) -> Option<Solution> {
        let challenge = AuditChallenge {
            global_challenge: slot.global_challenge,
            solution_range: slot.voting_solution_range,
        };
        let audit = audit_sector(&self.loaded, &self.sector, &challenge, &mut Vec::new()).unwrap()?;
        let candidate = provable_candidates(&audit, &self.contents_map)
            .into_iter()
            .find(|candidate| wanted(candidate.solution_distance))?;
        let reader = SectorReader::new(
            &self.sector,
            &self.loaded,
            ReadMode::SingleReads,
            Some(&TOOLS.pool),
        );
        let kind = ProofOfSpaceKind::FastTest;
        let input = read_proof_input(&reader, &self.contents_map, &candidate, kind).unwrap();
        let part = prove(
            &input.request,
            &TOOLS.kzg,
            &TOOLS.erasure_coding,
            &*proof_of_space(kind),
            &TOOLS.pool,
        )
        .unwrap();
        Some(
            input
                .solution_part
                .into_solution(self.public_key(), PublicKey([7; 32]), &part),
        )
    }

    /// Steps slots until one can be solved with a distance that `wanted` accepts, and submits the solution.
    pub(crate) async fn submit(
        &mut self,
        controls: &Controls,
        wanted: impl Fn(&SlotInfo, SolutionRange) -> bool,
    ) -> (SlotInfo, Solution) {
        loop {
            controls.step_slots(1);
            let slot = self.slot().await;
            if let Some(solution) = self.solve(&slot, |distance| wanted(&slot, distance)) {
                let response = SolutionResponse {
                    slot_number: slot.slot_number,
                    solution,
                };
                self.client.submit_solution_response(&response).await.unwrap();
                return (slot, solution);
            }
        }
    }

    /// Steps to the slot in which the claim of the last submitted solution is judged.
    pub(crate) async fn step_to_claim(&mut self, controls: &Controls) {
        controls.step_slots(4);
        for _ in 0..4 {
            self.slot().await;
        }
    }

    /// Answers the next signing request, which must be for our key, and returns its hash.
    pub(crate) async fn sign(&mut self) -> [u8; 32] {
        let request = within(self.signing.next()).await.expect("signing goes on");
        assert_eq!(request.public_key, self.public_key());
        let signature = Some(sign_reward_hash(&self.keypair, &request.hash));
        let response = RewardSignatureResponse {
            hash: request.hash,
            signature,
        };
        self.client.submit_reward_signature(&response).await.unwrap();
        request.hash.0
    }

    /// Wins one block without waiting for its import to finish.
    pub(crate) async fn win(&mut self, node: &DevNode) -> Solution {
        let controls = node.controls.clone();
        let (_, solution) = self
            .submit(&controls, |slot, distance| distance <= slot.solution_range / 2)
            .await;
        self.step_to_claim(&controls).await;
        self.sign().await;
        solution
    }

    /// Wins one block and waits until it is the best one; returns its number.
    pub(crate) async fn mine(&mut self, node: &DevNode) -> u32 {
        let mut best = node.controls.best_block();
        let before = best.borrow().state.number;
        self.win(node).await;
        within(best.wait_for(|best| best.state.number > before))
            .await
            .unwrap()
            .state
            .number
    }
}
