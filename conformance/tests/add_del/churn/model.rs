//! The owner of each address as the runtimes know it: each result of the plugin is compared with it at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An interface of a pod in a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attachment {
    pub(super) network: String,
    pub(super) pod: String,
    pub(super) ifname: String,
}

/// The living attachments by address.
#[derive(Debug, Default)]
pub(super) struct Model {
    living: Mutex<BTreeMap<IpAddr, Attachment>>,
}

impl Model {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Attachment>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the addresses that an ADD returned.
    ///
    /// # Panics
    /// When one of them belongs to another attachment.
    pub(super) fn begin(&self, who: &Attachment, addresses: &[IpAddr]) {
        assert_eq!(addresses.len(), 2, "one address of each family: {addresses:?}");
        let mut living = self.lock();
        for address in addresses {
            if let Some(other) = living.insert(*address, who.clone()) {
                panic!("{address} was given to {who:?} while {other:?} lives there");
            }
        }
    }

    /// From here on the attachment may end: its DEL begins, or its namespace is deleted.
    pub(super) fn end(&self, addresses: &[IpAddr]) {
        let mut living = self.lock();
        for address in addresses {
            living.remove(address);
        }
    }

    /// The owner of every address.
    pub(super) fn living(&self) -> BTreeMap<IpAddr, Attachment> {
        self.lock().clone()
    }
}
