//! What a lease is: one address, the attachment that owns it, and what proves that attachment alive.
//! Values only.

use std::net::IpAddr;
use std::path::PathBuf;

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
    /// address have the same `since`. The pod's name may be cut in the store, so it is not compared.
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
