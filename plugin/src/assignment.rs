//! What an IPAM gave to a pod, whichever IPAM it was.

use std::net::IpAddr;

use cni::{Dns, Route};
use ipam::{Lease, Settings};

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
    /// The leases, of the built-in IPAM. What a delegate keeps, only the delegate knows.
    pub(crate) leases: Vec<Lease>,
}

impl Assignment {
    /// What the built-in IPAM gave.
    pub(crate) fn of(settings: &Settings, leases: Vec<Lease>) -> Self {
        Self {
            addresses: addresses(&leases),
            gateways: leases.iter().filter_map(|lease| lease.gateway).collect(),
            routes: settings.routes.clone(),
            dns: settings.dns.clone(),
            leases,
        }
    }
}

/// The addresses of leases, in their order.
pub(crate) fn addresses(leases: &[Lease]) -> Vec<IpAddr> {
    leases.iter().map(|lease| lease.address.ip()).collect()
}
