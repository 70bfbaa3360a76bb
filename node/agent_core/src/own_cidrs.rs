//! This node's pod CIDRs by the last snapshot, and since when: a former CIDR is kept until a look at the leases that began
//! later finds none of it.

use std::time::Instant;

use ipnetwork::IpNetwork;

use nodes::Snapshot;
use routes::desired::own_cidrs;

pub(super) struct OwnCidrs {
    cidrs: Vec<IpNetwork>,
    pub(super) since: Instant,
}

impl OwnCidrs {
    pub(super) fn new(now: Instant) -> Self {
        Self { cidrs: Vec::new(), since: now }
    }

    /// Takes in a snapshot. Only one that changes them starts the time again: what goes with any other is judged, and held,
    /// at once.
    pub(super) fn note(&mut self, snapshot: &Snapshot, me: &str, now: Instant) {
        let cidrs = own_cidrs(snapshot, me);
        if self.cidrs != cidrs {
            self.cidrs = cidrs.to_vec();
            self.since = now;
        }
    }
}
