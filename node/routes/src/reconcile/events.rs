//! What the reconciler makes of the kernel's events: what it knows is brought up to date, or doubted. Nothing is decided.

use super::{Grounds, Reconciler, VisibleNetns};
use crate::apply::Trouble;
use crate::kernel_event::KernelEvent;
use crate::{Key, Target};

/// What is to be done after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing has to be done.
    Nothing,
    /// A turn, soon: what decides may have changed.
    Turn,
    /// The routes put back at once.
    Heal,
}

impl Reconciler {
    /// Takes in an event of the kernel.
    pub fn take(&mut self, kernel_event: KernelEvent) -> Asked {
        match kernel_event {
            KernelEvent::Held(key, target) => {
                let wrong =
                    self.observed.insert(key, target) != Some(target) && self.desired.get(&key) != Some(&target);
                if wrong { self.heals(&key) } else { Asked::Nothing }
            }
            KernelEvent::Lost(key) => {
                self.observed.remove(&key);
                if self.desired.contains_key(&key) { self.heals(&key) } else { Asked::Nothing }
            }
            // One that was put in the place of ours took ours away, and the kernel sends no other event of it.
            KernelEvent::Foreign { key: Some(key), .. } if self.observed.contains_key(&key) => self.look_again(),
            KernelEvent::Foreign { destination, table, .. } => {
                let doubts = self.ways.doubt_route(destination, table);
                self.reconsider(doubts, |key, trouble| key.destination == destination || trouble.is_refusal())
            }
            // A pod may have the address of a peer.
            KernelEvent::Beside { destination, table } => {
                let doubts = self.ways.doubt_route(destination, table);
                self.reconsider(doubts, |_, _| false)
            }
            KernelEvent::Nexthops => {
                let doubts = self.ways.doubt_objects();
                self.reconsider(doubts, |_, trouble| trouble.is_refusal())
            }
            KernelEvent::Rules => {
                self.ways.doubt_all();
                self.reconsider(true, |_, trouble| trouble.is_refusal())
            }
            KernelEvent::Link { index, known } => {
                self.unsure.insert(index);
                self.sight = VisibleNetns::Stale;
                self.grounds = Grounds::New;
                // A new link leads nowhere until it has addresses or routes, and these are events of their own.
                if known {
                    self.ways.doubt_all();
                }
                Asked::Turn
            }
            KernelEvent::Addresses | KernelEvent::Overflow => self.look_again(),
        }
    }

    /// A route by a link that has changed may not be possible, or not be wanted, any more.
    fn heals(&self, key: &Key) -> Asked {
        if self.desired.get(key).is_some_and(|target| self.is_unsure(target)) { Asked::Turn } else { Asked::Heal }
    }

    pub(super) fn is_unsure(&self, target: &Target) -> bool {
        matches!(target, Target::Hop { link, .. } if self.unsure.contains(link))
    }

    /// Lets what was in trouble be tried again where that is over, maybe; asks for a turn where there is a reason.
    fn reconsider(&mut self, doubts: bool, over: impl Fn(&Key, &Trouble) -> bool) -> Asked {
        let before = self.troubles.len();
        self.troubles.retain(|key, (_, trouble)| !over(key, trouble));
        if !doubts && self.troubles.len() == before {
            return Asked::Nothing;
        }
        self.grounds = Grounds::New;
        Asked::Turn
    }
}
