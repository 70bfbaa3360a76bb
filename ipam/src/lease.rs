//! What a lease is: one address, the attachment that owns it, and what proves that attachment alive.
//! Values only. Refuses to decide which address comes next (allocate) and how a lease is kept (store).

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cni::Attachment;
use ipnetwork::IpNetwork;

use crate::now::Stamp;

/// One address given to one attachment of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The host address with the prefix length of its subnet, for example `10.244.1.7/24`.
    pub address: IpNetwork,
    /// The gateway of the range it was taken from. Absent in pools that reserve none (`/31`, `/32`, `/127`, `/128`).
    pub gateway: Option<IpAddr>,
    /// Who owns it.
    pub owner: Attachment,
    /// What proves the owner alive.
    pub proof: Proof,
    /// Given again before its cooldown was over: other hosts may still remember the previous owner. Nothing is flushed for
    /// it, see FORMAT.md, "Conntrack".
    pub reused_early: bool,
    /// When it was given: boot and milliseconds of `CLOCK_BOOTTIME`.
    pub since: Stamp,
}

impl Lease {
    /// Whether both are one and the same lease, and not two of one attachment or of one address: no two leases of an
    /// address have the same `since`. The text for people may be cut where it is kept, and says nothing.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.address, &self.owner, self.since) == (other.address, &other.owner, other.since)
    }
}

/// What proves an attachment alive, recorded when the address is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// Name of the link's host end. Absent when the caller does not make links itself (podlan-ipam below another plugin).
    pub host_link: Option<String>,
    /// Path of the network namespace, as the runtime gave it (`CNI_NETNS`).
    pub netns: PathBuf,
    /// Device and inode of the namespace. Without it the namespace is never proved gone: it was not seen to exist.
    pub netns_id: Option<(u64, u64)>,
    /// `namespace/name` of the pod, text for people; may be cut.
    pub pod: Option<String>,
}

/// What is known of a thing. Unknown is not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Present,
    /// It is provably not there.
    Gone,
    /// It cannot be said from here.
    Unknown,
}

impl Presence {
    /// What a look says. One that failed is no proof.
    pub fn of<T, E>(look: Result<Option<T>, E>) -> Self {
        match look {
            Ok(Some(_)) => Self::Present,
            Ok(None) => Self::Gone,
            Err(_) => Self::Unknown,
        }
    }
}

/// Answers for the host links, which this crate does not look at, and for this process's view of the mounts. The namespace
/// is judged here, from [`Proof`].
pub trait Prover {
    /// Is the link of this lease's attachment, of which the proof has the name, present on the host?
    fn host_link(&self, lease: &Lease) -> Presence;

    /// Does this process see the directory in which the runtime puts network namespaces? What is missing in another one
    /// says nothing. True for whoever is started by the runtime, as a plugin is.
    fn sees(&self, _directory: &Path) -> bool {
        true
    }

    /// This lease was proved dead and has been taken back. An ADD under way may have made its link since it was looked for;
    /// `leased` says whether the attachment has a lease again, and so a right to a link that is there by then.
    fn taken_back(&self, _lease: &Lease, _leased: &dyn Fn() -> bool) {}
}

/// A prover that sees no links: leases that name one are never proved dead by it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLinks;

impl Prover for NoLinks {
    fn host_link(&self, _lease: &Lease) -> Presence {
        Presence::Unknown
    }
}
