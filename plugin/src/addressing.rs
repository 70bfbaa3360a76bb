//! Who gives the pod its addresses: the IPAM within, or a plugin of another type that is executed (spec section 4).

use std::collections::BTreeSet;
use std::net::IpAddr;

use cni::{Attachment, Code, Dns, Error, Fields, Request, Route};
use ipam::{Claim, Collector, Lease, Place, Proof, Settings, Stamp};
use netlink::Socket;
use podlink::HostLinks;

use crate::delegate::Delegate;

/// The IPAM type that runs within the plugin.
const WITHIN: &str = "podlan-ipam";

/// What an IPAM gave.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    /// The pod's addresses, at least one.
    pub(crate) addresses: Vec<IpAddr>,
    /// The gateways that the IPAM knows: a route by one of them goes by the pod's own.
    pub(crate) gateways: Vec<IpAddr>,
    /// The routes that it wants.
    pub(crate) routes: Vec<Route>,
    /// The DNS settings that it knows.
    pub(crate) dns: Dns,
    /// The leases, of the IPAM within. What a delegate keeps, only the delegate knows.
    pub(crate) leases: Vec<Lease>,
}

/// Whoever gives addresses, for one call of one verb.
pub(crate) enum Addressing<'a> {
    /// The IPAM within.
    Within(&'a Request),
    /// Another plugin.
    Delegate(Delegate<'a>),
}

impl<'a> Addressing<'a> {
    /// By `ipam.type`.
    pub(crate) fn of(request: &'a Request) -> Result<Self, Error> {
        let fields = Fields::new(&request.config.raw, "", Code::InvalidConfig);
        let Some(ipam) = fields.object("ipam")? else {
            return Err(Error::new(Code::InvalidConfig, "IPAM config missing 'ipam' key"));
        };
        match ipam.string("type")? {
            Some(WITHIN) => Ok(Self::Within(request)),
            Some(kind) => Ok(Self::Delegate(Delegate::find(kind, request)?)),
            None => Err(ipam.missing("type")),
        }
    }

    /// For DEL and GC, which must succeed on a configuration that lost its `ipam`: by `ipam.type`, else within.
    pub(crate) fn of_removal(request: &'a Request) -> Result<Self, Error> {
        match request.config.ipam().and_then(|ipam| ipam.string("type").ok().flatten()) {
            Some(_) => Self::of(request),
            None => Ok(Self::Within(request)),
        }
    }

    /// Keeps other ADDs of the attachment off until the claim is dropped; an error 11 at once where one is under way.
    pub(crate) fn claim(&self, attachment: &Attachment) -> Result<Option<Claim>, Error> {
        match self {
            Self::Within(request) => Ok(Some(Place::from_request(request)?.claim(attachment)?)),
            Self::Delegate(delegate) => match delegate.claims().claim(attachment) {
                Ok(claim) => Ok(Some(claim)),
                Err(busy @ ipam::Error::Store(ipam::StoreError::Claimed { .. })) => Err(busy.into()),
                // A delegate's pods need no directory of ours.
                Err(_) => Ok(None),
            },
        }
    }

    /// For DEL: waits for an ADD of the attachment, where nothing but the order of the two would tell its addresses from
    /// later ones. A delegate releases by owner; the IPAM within needs no such wait, for ADD looks whether its lease is left.
    pub(crate) fn outlast_add(&self, attachment: &Attachment) -> Result<Option<Claim>, Error> {
        match self {
            Self::Within(_) => Ok(None),
            Self::Delegate(delegate) => match delegate.claims().wait_for_add(attachment) {
                Ok(claim) => Ok(claim),
                Err(busy @ ipam::Error::Store(ipam::StoreError::Claimed { .. })) => Err(busy.into()),
                Err(_) => Ok(None),
            },
        }
    }

    /// ADD: takes addresses. On an error nothing is kept.
    pub(crate) fn assign(
        &self,
        attachment: &Attachment,
        proof: &Proof,
        host: &mut Socket,
    ) -> Result<Assignment, Error> {
        match self {
            Self::Within(request) => {
                let settings = Settings::from_request(request)?;
                let links = HostLinks::new(host, &request.config.name);
                let leases = ipam::lease(&settings.place, &settings.want, attachment, proof, &links)?;
                Ok(assignment(settings, leases))
            }
            Self::Delegate(delegate) => delegate.add(),
        }
    }

    /// Fails with 11 where the leases were taken back since they were given: a DEL or a GC came in between, and the link
    /// must go as well. To be asked once the link is made, see [`podlink::removal::remove_unleased`].
    pub(crate) fn confirm(&self, attachment: &Attachment, assignment: &Assignment) -> Result<(), Error> {
        let Self::Within(request) = self else { return Ok(()) };
        if ipam::are_held(&Place::from_request(request)?, attachment, &assignment.leases)? {
            return Ok(());
        }
        let details = format!("the lease of {:?} was taken back by a DEL or a GC meanwhile", assignment.addresses);
        Err(Error::new(Code::TryAgain, "the attachment was deleted while it was added").with_details(details))
    }

    /// Gives back exactly what was assigned; a delegate is told to give back what the attachment has.
    pub(crate) fn give_back(&self, assignment: &Assignment) -> Result<(), Error> {
        match self {
            Self::Within(request) => Ok(ipam::give_back(&Place::from_request(request)?, &assignment.leases)?),
            Self::Delegate(delegate) => delegate.del(),
        }
    }

    /// The addresses that the attachment holds. What a delegate holds only the delegate knows: `None`.
    pub(crate) fn held(&self, attachment: &Attachment) -> Result<Option<Vec<IpAddr>>, Error> {
        Ok(self.leases_of(attachment)?.map(|leases| addresses(&leases)))
    }

    /// The leases that the attachment holds, as far as it is known.
    pub(crate) fn leases_of(&self, attachment: &Attachment) -> Result<Option<Vec<Lease>>, Error> {
        match self {
            Self::Within(request) => Ok(Some(ipam::leases_of(&Place::from_request(request)?, attachment)?)),
            Self::Delegate(_) => Ok(None),
        }
    }

    /// CHECK of whoever gave the addresses. The leases within are compared by [`Addressing::held`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Within(_) => Ok(()),
            Self::Delegate(delegate) => delegate.check(),
        }
    }

    /// DEL: gives the attachment's addresses back; none is no error.
    pub(crate) fn release(&self, attachment: &Attachment) -> Result<(), Error> {
        match self {
            Self::Within(request) => Ok(ipam::release(&Place::from_request(request)?, attachment).map(drop)?),
            Self::Delegate(delegate) => delegate.del(),
        }
    }

    /// All leases of the network, as far as they are known.
    pub(crate) fn leases(&self) -> Option<Vec<Lease>> {
        match self {
            Self::Within(request) => Place::from_request(request).ok().and_then(|place| ipam::leases(&place).ok()),
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
            Self::Within(request) => Ok(ipam::retain(&Place::from_request(request)?, keep, began, collector)?),
            Self::Delegate(delegate) => delegate.gc(),
        }
    }

    /// STATUS: an error when no address could be given; otherwise what ADD would be given, as far as it is known.
    pub(crate) fn status(&self, host: &mut Socket) -> Result<Option<Assignment>, Error> {
        match self {
            Self::Within(request) => {
                let settings = Settings::from_request(request)?;
                let links = HostLinks::new(host, &request.config.name);
                let leases = ipam::status(&settings.place, &settings.want, &links)?;
                Ok(Some(assignment(settings, leases)))
            }
            Self::Delegate(delegate) => delegate.status().map(|()| None),
        }
    }
}

fn assignment(settings: Settings, leases: Vec<Lease>) -> Assignment {
    Assignment {
        addresses: addresses(&leases),
        gateways: leases.iter().filter_map(|lease| lease.gateway).collect(),
        routes: settings.routes,
        dns: settings.dns,
        leases,
    }
}

fn addresses(leases: &[Lease]) -> Vec<IpAddr> {
    leases.iter().map(|lease| lease.address.ip()).collect()
}
