//! One controller for all solutions of a farm in a slot.
//!
//! A farm may win a slot several times over. When one solution went to a controller that is gone a moment later, the others must not
//! go to the next: its node would make a second block of the slot by the same farmer, which the chain punishes. Only when a controller has
//! certainly received nothing of the slot another one may take its place.

use autonomys_cluster::ControllerId;
use parking_lot::Mutex;
use std::collections::HashMap;
use subspace_core_primitives::{PublicKey, SlotNumber};

/// Slots that are remembered: solutions of older ones are worth nothing.
const REMEMBERED_SLOTS: SlotNumber = 64;

type Key = (PublicKey, SlotNumber);

/// Who has solutions of which slot.
#[derive(Debug, Default)]
pub(super) struct OneController(Mutex<HashMap<Key, Choice>>);

#[derive(Debug)]
struct Choice {
    controller: ControllerId,
    /// Solutions whose fate is not known yet.
    under_way: u32,
    /// It has, or may have, received one.
    given: bool,
}

/// A solution on its way; without [`Self::was_not_received`] it counts as received.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    owner: &'a OneController,
    key: Key,
    given: bool,
}

impl OneController {
    /// Leave to send a solution of the farm's slot to `controller`.
    ///
    /// # Errors
    /// The controller that has, or may have, received one of the slot already.
    pub(super) fn send(
        &self,
        farm: PublicKey,
        slot: SlotNumber,
        controller: ControllerId,
    ) -> Result<UnderWay<'_>, ControllerId> {
        let key = (farm, slot);
        let mut choices = self.0.lock();
        choices.retain(|(_, known), choice| {
            choice.under_way > 0 || known.saturating_add(REMEMBERED_SLOTS) >= slot
        });
        let choice = choices.entry(key).or_insert(Choice {
            controller,
            under_way: 0,
            given: false,
        });
        if choice.controller != controller {
            if choice.given || choice.under_way > 0 {
                return Err(choice.controller);
            }
            choice.controller = controller;
        }
        choice.under_way += 1;
        Ok(UnderWay {
            owner: self,
            key,
            given: true,
        })
    }
}

impl UnderWay<'_> {
    /// The controller has certainly not received it.
    pub(super) fn was_not_received(mut self) {
        self.given = false;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(choice) = self.owner.0.lock().get_mut(&self.key) {
            choice.under_way -= 1;
            choice.given |= self.given;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::{InstanceId, Role};

    fn controller() -> ControllerId {
        ControllerId::try_from(InstanceId::generate(Role::Controller)).expect("a controller")
    }

    #[test]
    fn a_slot_has_one_controller_unless_it_received_nothing() {
        let (farm, other_farm) = (PublicKey([1; 32]), PublicKey([2; 32]));
        let (a, b) = (controller(), controller());
        let choices = OneController::default();
        // A is gone before it gets anything: B takes its place, for good.
        choices.send(farm, 7, a).expect("first").was_not_received();
        let first = choices.send(farm, 7, b).expect("A has nothing");
        assert_eq!(choices.send(farm, 7, a).expect_err("on its way to B"), b);
        drop(first);
        assert_eq!(choices.send(farm, 7, a).expect_err("B has one"), b);
        // What B did not receive later changes nothing.
        choices.send(farm, 7, b).expect("the same").was_not_received();
        assert_eq!(choices.send(farm, 7, a).expect_err("B has one"), b);
        // Other slots and farms are free.
        drop(choices.send(farm, 8, a).expect("another slot"));
        drop(choices.send(other_farm, 7, a).expect("another farm"));
        // Long gone slots are forgotten.
        drop(choices.send(farm, 8 + REMEMBERED_SLOTS, a).expect("later"));
        assert_eq!(choices.0.lock().len(), 2);
    }
}
