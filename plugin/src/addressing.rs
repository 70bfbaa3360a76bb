//! Who gives the pod its addresses: the IPAM within, or a plugin of another type that is executed (spec section 4).

use std::collections::BTreeSet;
use std::net::IpAddr;

use cni::{Attachment, Code, Dns, Error, Fields, Request, Route};
use ipam::{Lease, Place, Proof, Settings};
use netlink::Socket;
use podlink::HostLinks;

use crate::delegate::Delegate;

/// The IPAM type that runs within the plugin.
const WITHIN: &str = "podlan-ipam";

/// What an IPAM gave.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// The pod's addresses, at least one.
    pub(crate) addresses: Vec<IpAddr>,
    /// The gateways that the IPAM knows: a route by one of them goes by the pod's own.
    pub(crate) gateways: Vec<IpAddr>,
    /// The routes that it wants.
    pub(crate) routes: Vec<Route>,
    /// The DNS settings that it knows.
    pub(crate) dns: Dns,
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
                Ok(Assignment {
                    addresses: addresses(&leases),
                    gateways: leases.iter().filter_map(|lease| lease.gateway).collect(),
                    routes: settings.routes,
                    dns: settings.dns,
                })
            }
            Self::Delegate(delegate) => delegate.add(),
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

    /// GC: gives back what no attachment that `keep` names holds, but for a lease that `detach` wants to stay.
    pub(crate) fn retain(
        &self,
        keep: &BTreeSet<Attachment>,
        detach: &mut dyn FnMut(&Lease) -> bool,
    ) -> Result<(), Error> {
        match self {
            Self::Within(request) => Ok(ipam::retain(&Place::from_request(request)?, keep, detach).map(drop)?),
            Self::Delegate(delegate) => delegate.gc(),
        }
    }

    /// STATUS: an error when no address could be given.
    pub(crate) fn status(&self) -> Result<(), Error> {
        match self {
            Self::Within(request) => {
                let settings = Settings::from_request(request)?;
                Ok(ipam::status(&settings.place, &settings.want).map(drop)?)
            }
            Self::Delegate(delegate) => delegate.status(),
        }
    }
}

fn addresses(leases: &[Lease]) -> Vec<IpAddr> {
    leases.iter().map(|lease| lease.address.ip()).collect()
}
