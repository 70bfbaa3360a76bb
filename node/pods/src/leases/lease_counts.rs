//! The result of the last sweeps over the leases, network by network. Pure.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnetwork::IpNetwork;

use super::sweep::{NetworkLeases, Rooms};

/// What is known of one network's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The name of its directory.
    pub network: String,
    /// The addresses that were leased when it was last read; `None` where it never was.
    pub addresses: Option<Arc<[IpAddr]>>,
    /// It could be read in the last sweep.
    pub is_read: bool,
}

/// The state of the leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseCounts {
    /// When the sweep began. `None` before the first.
    pub begun: Option<Instant>,
    /// The counts of each network that could be read.
    pub leases: Vec<NetworkLeases>,
    /// What is known of each network's store.
    pub stores: Vec<Known>,
    /// How full this node's pools are, with the name of the network; known where the agent writes the conflist.
    pub rooms: Option<(String, Rooms)>,
    /// How many leases were taken back since the agent started.
    pub reclaimed: u64,
    /// What an operator should know.
    pub warnings: Vec<String>,
    /// The directory of the stores could be listed.
    pub is_listed: bool,
}

impl LeaseCounts {
    /// Whether a lease may be in `cidr`: true until a sweep that began after `since` shows otherwise. `own` is the
    /// network of the node's pods.
    ///
    /// Unknown is not absent. But the store of another network that cannot be read holds a lease there only if it had
    /// one when it was last read: that network has pools of its own.
    pub fn may_hold(&self, cidr: IpNetwork, own: &str, since: Instant) -> bool {
        if !self.is_listed || self.begun.is_none_or(|begun| begun < since) {
            return true;
        }
        let has_own = self.stores.iter().any(|store| store.network == own);
        self.stores.iter().any(|store| match &store.addresses {
            Some(addresses) if store.is_read || store.network != own => {
                addresses.iter().any(|address| cidr.contains(*address))
            }
            Some(_) => true,
            None => store.network == own || !has_own,
        })
    }

    /// The leased addresses, as far as they are known.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.stores
            .iter()
            .filter_map(|store| store.addresses.as_ref())
            .flat_map(|known| known.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(network: &str, addresses: Option<&[&str]>, is_read: bool) -> Known {
        let addresses = addresses.map(|all| all.iter().map(|text| text.parse().unwrap()).collect());
        Known { network: network.to_owned(), addresses, is_read }
    }

    #[test]
    fn a_store_that_cannot_be_read_keeps_only_what_may_be_its_own() {
        let (before, cidr) = (Instant::now(), "10.244.1.0/24".parse().unwrap());
        let may_hold = |stores: Vec<Known>| {
            let lease_counts =
                LeaseCounts { begun: Some(Instant::now()), stores, is_listed: true, ..LeaseCounts::default() };
            lease_counts.may_hold(cidr, "podnet", before)
        };
        let empty: &[&str] = &[];
        assert!(!may_hold(vec![]));
        assert!(!may_hold(vec![store("podnet", Some(empty), true), store("storage", Some(&["10.9.0.2"]), true)]));
        assert!(may_hold(vec![store("podnet", Some(&["10.244.1.2"]), true)]));
        assert!(may_hold(vec![store("podnet", Some(empty), false)]), "leases may have come since");
        assert!(may_hold(vec![store("podnet", None, false)]));
        assert!(!may_hold(vec![store("podnet", Some(empty), true), store("storage", None, false)]));
        assert!(may_hold(vec![store("podnet", Some(empty), true), store("storage", Some(&["10.244.1.9"]), false)]));
        assert!(may_hold(vec![store("storage", None, false)]), "no store is known to be that of the node's pods");
    }

    #[test]
    fn a_look_that_is_older_than_the_question_says_nothing() {
        let old = LeaseCounts { begun: Some(Instant::now()), is_listed: true, ..LeaseCounts::default() };
        let since = Instant::now() + std::time::Duration::from_millis(1);
        let cidr = "10.244.1.0/24".parse().unwrap();
        assert!(old.may_hold(cidr, "podnet", since));
        assert!(!LeaseCounts { begun: Some(since), ..old }.may_hold(cidr, "podnet", since));
        assert!(LeaseCounts::default().may_hold(cidr, "podnet", since));
    }
}
