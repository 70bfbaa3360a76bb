//! Who gives the pod its addresses: the built-in IPAM, or a plugin of another type that is executed (spec section 4).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use cni::{Attachment, Code, Error, NetworkName};
use hostport::Ports;
use ipam::{Claim, Collector, DEFAULT_DATA_DIR, DEFAULT_LOCK_TIMEOUT, Lease, Place, Proof, Settings, Stamp};
use netlink::Socket;
use podlink::HostLinks;

use crate::assignment::{Assignment, addresses};
use crate::collected::Collected;
use crate::delegate::Delegate;

/// The IPAM that gives addresses, for one call of one verb. `P` is what was read of the `ipam` section for that verb: all of it
/// ([`Settings`]: ADD, STATUS), the place of the leases (CHECK), or that or what is wrong with it (DEL, GC).
pub(crate) enum Addressing<'a, P> {
    /// The built-in IPAM.
    BuiltIn(P),
    /// Another plugin.
    Delegate(Delegate<'a>),
}

/// Knows where the leases of the network are.
pub(crate) trait Placed {
    /// The place, or what is wrong with the configuration of it.
    fn place(&self) -> Result<&Place, Error>;
}

impl Placed for Settings {
    fn place(&self) -> Result<&Place, Error> {
        Ok(&self.place)
    }
}

impl Placed for Place {
    fn place(&self) -> Result<&Place, Error> {
        Ok(self)
    }
}

/// Of DEL and GC: what needs no lease is removed before the mistake is reported.
impl Placed for Result<Place, Error> {
    fn place(&self) -> Result<&Place, Error> {
        self.as_ref().map_err(Clone::clone)
    }
}

impl Addressing<'_, Settings> {
    /// Keeps other ADDs of the attachment off until the claim is dropped; an error 11 at once where one is under way.
    pub(crate) fn claim(&self, attachment: &Attachment) -> Result<Option<Claim>, Error> {
        match self {
            Self::BuiltIn(settings) => Ok(Some(settings.place.claim(attachment)?)),
            Self::Delegate(delegate) => optional(delegate.claims().claim(attachment).map(Some)),
        }
    }

    /// ADD: takes addresses. On an error nothing is kept.
    pub(crate) fn assign(
        &self,
        network: &NetworkName,
        attachment: &Attachment,
        proof: &Proof,
        host: &mut Socket,
    ) -> Result<Assignment, Error> {
        match self {
            Self::BuiltIn(settings) => {
                let links = Collected { links: HostLinks::new(host, network), ports: self.ports()?, network };
                let leases = ipam::lease(&settings.place, &settings.want, attachment, proof, &links)?;
                Ok(Assignment::of(settings, leases))
            }
            Self::Delegate(delegate) => delegate.add(),
        }
    }

    /// Fails with 11 where the leases were taken back since they were given: a DEL or a GC came in between, and the link
    /// must go as well. To be called once the link is made, see [`podlink::removal::remove_unleased`].
    pub(crate) fn confirm(&self, attachment: &Attachment, assignment: &Assignment) -> Result<(), Error> {
        let Self::BuiltIn(settings) = self else { return Ok(()) };
        if ipam::are_held(&settings.place, attachment, &assignment.leases)? {
            return Ok(());
        }
        let details = format!("the lease of {:?} was taken back by a DEL or a GC meanwhile", assignment.addresses);
        Err(Error::new(Code::TryAgain, "the attachment was deleted while it was added").with_details(details))
    }

    /// Gives back exactly what was assigned; a delegate gives back what the attachment has.
    pub(crate) fn give_back(&self, assignment: &Assignment) -> Result<(), Error> {
        match self {
            Self::BuiltIn(settings) => Ok(ipam::give_back(&settings.place, &assignment.leases)?),
            Self::Delegate(delegate) => delegate.del(),
        }
    }

    /// STATUS: an error when no address could be given; otherwise what ADD would be given, as far as it is known.
    pub(crate) fn status(&self, network: &NetworkName, host: &mut Socket) -> Result<Option<Assignment>, Error> {
        match self {
            Self::BuiltIn(settings) => {
                let links = HostLinks::new(host, network);
                let leases = ipam::status(&settings.place, &settings.want, &links)?;
                Ok(Some(Assignment::of(settings, leases)))
            }
            Self::Delegate(delegate) => delegate.status().map(|()| None),
        }
    }
}

impl<P: Placed> Addressing<'_, P> {
    /// The host ports of this node: beside the leases; for a delegate's pods in podlan's usual directory.
    pub(crate) fn ports(&self) -> Result<Ports, Error> {
        Ok(match self {
            Self::BuiltIn(placed) => {
                let place = placed.place()?;
                Ports::below(&place.data_dir, place.lock_timeout)
            }
            Self::Delegate(_) => Ports::below(Path::new(DEFAULT_DATA_DIR), DEFAULT_LOCK_TIMEOUT),
        })
    }

    /// Whether the addresses are leases of the built-in IPAM.
    pub(crate) fn leases_them(&self) -> bool {
        matches!(self, Self::BuiltIn(_))
    }

    /// The addresses that the attachment holds. What a delegate holds only the delegate knows: `None`.
    pub(crate) fn held(&self, attachment: &Attachment) -> Result<Option<Vec<IpAddr>>, Error> {
        Ok(self.leases_of(attachment)?.map(|leases| addresses(&leases)))
    }

    /// The leases that the attachment holds, as far as it is known.
    pub(crate) fn leases_of(&self, attachment: &Attachment) -> Result<Option<Vec<Lease>>, Error> {
        match self {
            Self::BuiltIn(placed) => Ok(Some(ipam::leases_of(placed.place()?, attachment)?)),
            Self::Delegate(_) => Ok(None),
        }
    }
}

impl Addressing<'_, Place> {
    /// CHECK of the IPAM. Leases of the built-in IPAM are compared by [`Addressing::held`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::BuiltIn(_) => Ok(()),
            Self::Delegate(delegate) => delegate.check(),
        }
    }
}

impl Addressing<'_, Result<Place, Error>> {
    /// For DEL: waits for an ADD of the attachment, where only the order of the two distinguishes its addresses from later
    /// ones. A delegate releases by owner; the built-in IPAM needs no such wait, for ADD looks whether its lease is
    /// left.
    pub(crate) fn outlast_add(&self, attachment: &Attachment) -> Result<Option<Claim>, Error> {
        match self {
            Self::BuiltIn(_) => Ok(None),
            Self::Delegate(delegate) => optional(delegate.claims().wait_for_add(attachment)),
        }
    }

    /// DEL: gives the attachment's addresses back; none is no error.
    pub(crate) fn release(&self, attachment: &Attachment) -> Result<(), Error> {
        match self {
            Self::BuiltIn(place) => Ok(ipam::release(place.place()?, attachment).map(drop)?),
            Self::Delegate(delegate) => delegate.del(),
        }
    }

    /// All leases of the network, as far as they are known.
    pub(crate) fn leases(&self) -> Option<Vec<Lease>> {
        match self {
            Self::BuiltIn(place) => place.as_ref().ok().and_then(|place| ipam::leases(place).ok()),
            Self::Delegate(_) => None,
        }
    }

    /// Whether the attachment has any lease. What is not known may have one.
    pub(crate) fn is_leased(&self, attachment: &Attachment) -> bool {
        self.leases_of(attachment).map_or(true, |leases| leases.is_none_or(|leases| !leases.is_empty()))
    }

    /// Whether the attachment of a lease still has that very lease. What is not known may be.
    pub(crate) fn is_held(&self, lease: &Lease) -> bool {
        let leases = self.leases_of(&lease.owner);
        leases.map_or(true, |leases| leases.is_none_or(|leases| leases.iter().any(|other| other.is_same(lease))))
    }

    /// GC: gives back what no attachment that `keep` names holds and was given before `began`, but for a lease that the
    /// collector wants to stay.
    pub(crate) fn retain(
        &self,
        keep: &BTreeSet<Attachment>,
        began: Stamp,
        collector: &mut dyn Collector,
    ) -> Result<(), Error> {
        match self {
            Self::BuiltIn(place) => Ok(ipam::retain(place.place()?, keep, began, collector)?),
            Self::Delegate(delegate) => delegate.gc(),
        }
    }
}

/// A claim for a delegate's pod, which needs no directory of podlan's: only that another process has it is an error.
fn optional(claim: Result<Option<Claim>, ipam::Error>) -> Result<Option<Claim>, Error> {
    match claim {
        Ok(claim) => Ok(claim),
        Err(busy @ ipam::Error::Store(ipam::StoreError::Claimed { .. })) => Err(busy.into()),
        Err(_) => Ok(None),
    }
}
