//! What is done with leases: give, release, retain, scavenge, import, look, answer STATUS.
//! Owns the order of looking, proving and changing. The lock is never held while something outside the store is asked.

mod choose;
mod give;
mod import;
mod look;
mod reclaim;
mod remove;
mod status;
mod want;

#[cfg(test)]
mod tests;

pub use self::give::lease;
pub use self::import::{Imported, Refusal, Refused, import, rehearse_import};
pub use self::look::{are_held, audit, leases, leases_of};
pub use self::remove::{Collector, Scavenged, give_back, release, retain, scavenge};
pub use self::status::{Counts, SetCounts, counts, status};
pub use self::want::{MOST_SETS, Require, Want};

use crate::lease::{Lease, Presence, Proof, Prover};
use crate::netns;
use crate::now::Stamp;

/// What is known of the world outside the store.
pub(crate) trait Judge {
    /// Is the network namespace there?
    fn netns(&self, proof: &Proof, same_boot: bool) -> Presence;
    /// Is the host link there?
    fn host_link(&self, lease: &Lease) -> Presence;

    /// A lease that was proved dead has been taken back, see [`Prover::taken_back`].
    fn taken_back(&self, _lease: &Lease, _leased: &dyn Fn() -> bool) {}

    /// Can this lease be taken back? Only when all that proves it alive is gone: a link that is not there yet, in a
    /// namespace that is, belongs to an ADD under way.
    fn verdict(&self, lease: &Lease, now: Stamp) -> Presence {
        let netns = self.netns(&lease.proof, lease.since.boot == now.boot);
        match (netns, &lease.proof.host_link) {
            (Presence::Gone, Some(_)) => self.host_link(lease),
            (netns, _) => netns,
        }
    }
}

/// Is the attachment of this lease there? Gone only when all that proves it alive is, as when a lease is taken back.
pub fn presence(lease: &Lease, prover: &dyn Prover, now: Stamp) -> Presence {
    World(prover).verdict(lease, now)
}

/// The real world: links as the caller sees them, namespaces as this process sees them.
struct World<'p>(&'p dyn Prover);

impl Judge for World<'_> {
    fn netns(&self, proof: &Proof, same_boot: bool) -> Presence {
        netns::presence(proof, same_boot, &|directory| self.0.sees(directory))
    }

    fn host_link(&self, lease: &Lease) -> Presence {
        self.0.host_link(lease)
    }

    fn taken_back(&self, lease: &Lease, leased: &dyn Fn() -> bool) {
        self.0.taken_back(lease, leased);
    }
}
