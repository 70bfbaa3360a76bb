//! GC: everything of this network that is not listed goes, host ends before leases (spec 1.1.0, section 2, "GC"). What an ADD
//! was given after GC began is not of its list: it stays whole.

use std::collections::{BTreeMap, BTreeSet};

use cni::{Attachment, Code, Error as CniError, NetworkName, Request};
use hostport::{Ports, Record};
use ipam::{Collector, Lease, Place, Stamp};
use netlink::{Link, Socket};
use podlink::{Identity, removal};

use crate::addressing::Addressing;
use crate::config::addressing_of_removal;
use crate::error::{Activity, Error};

/// Removes what no valid attachment needs. Goes on past failures and reports them all at the end.
pub(crate) fn gc(request: &Request, valid: &BTreeSet<Attachment>) -> Result<(), CniError> {
    let addressing = addressing_of_removal(request)?;
    let network = &request.config.name;
    let began = Stamp::now()?;
    let mut host = Socket::open().map_err(failed)?;
    let keep = valid.iter().map(|attachment| name_of(network, attachment)).collect();
    // Seen before the leases, which an ADD takes first: a record without a lease is garbage.
    let ports = addressing.ports().ok();
    let records = ports.as_ref().map_or_else(|| Ok(Vec::new()), Ports::records)?;
    let strays = removal::strays(&mut host, network, &keep).map_err(failed)?;
    let strays = strays.into_iter().map(|link| (link.name.clone(), link)).collect();
    let mut links = Links { network, addressing: &addressing, host, ports, strays, failures: Vec::new() };
    links.remove_unleased(&records.into_iter().filter(|record| is_stray(record, network, valid)).collect::<Vec<_>>());
    addressing.retain(valid, began, &mut links)?;
    links.collect_portmap(valid);
    if links.failures.is_empty() {
        return Ok(());
    }
    Err(CniError::new(Code::Kernel, "garbage is left").with_details(links.failures.join("; ")))
}

/// The links of one network, while its leases are collected.
struct Links<'a> {
    network: &'a NetworkName,
    addressing: &'a Addressing<'a, Result<Place, CniError>>,
    host: Socket,
    /// The node's host ports, where their place is known.
    ports: Option<Ports>,
    /// The host ends of attachments that are not listed, as they were at the beginning, by name.
    strays: BTreeMap<String, Link>,
    failures: Vec<String>,
}

impl Links<'_> {
    /// Removes the strays whose attachment has no lease, and the host ports of such. They were seen before the leases, which
    /// an ADD takes first.
    fn remove_unleased(&mut self, records: &[Record]) {
        let leases = self.addressing.leases().unwrap_or_default();
        let leased: BTreeSet<String> = leases.iter().map(|lease| name_of(self.network, &lease.owner)).collect();
        for (_, stray) in self.strays.iter().filter(|(name, _)| !leased.contains(*name)) {
            if let Err(error) = removal::remove(&mut self.host, stray) {
                self.failures.push(error.to_string());
            }
        }
        for key in records.iter().map(Record::link).filter(|key| !leased.contains(key)) {
            if let Err(error) = self.release(&key) {
                self.failures.push(error.to_string());
            }
        }
    }

    fn release(&self, key: &str) -> Result<(), hostport::Error> {
        self.ports.as_ref().map_or(Ok(()), |ports| ports.release(key).map(drop))
    }

    fn release_ports(&self, lease: &Lease) -> Result<(), hostport::Error> {
        self.release(&name_of(self.network, &lease.owner))?;
        hostport::portmap::forget(self.network, &lease.owner.container_id).map(drop)
    }

    /// Removes the rules that portmap has left by iptables for containers that are neither listed nor have a lease. They are
    /// seen before the leases: an ADD takes its lease first, and portmap, chained behind it, comes later.
    fn collect_portmap(&mut self, valid: &BTreeSet<Attachment>) {
        let is = |owner: &Attachment, container: &str| owner.container_id.as_str() == container;
        let keep = |container: &str| {
            let leased = |leases: Vec<Lease>| leases.iter().any(|lease| is(&lease.owner, container));
            valid.iter().any(|one| is(one, container)) || self.addressing.leases().is_none_or(leased)
        };
        if let Err(error) = hostport::portmap::collect(self.network, &keep) {
            self.failures.push(error.to_string());
        }
    }
}

fn is_stray(record: &Record, network: &NetworkName, valid: &BTreeSet<Attachment>) -> bool {
    record.network == *network && !valid.contains(&record.owner)
}

impl Collector for Links<'_> {
    /// A link that stays keeps its lease, and so do host ports.
    fn detach(&mut self, lease: &Lease) -> bool {
        if self.addressing.is_held(lease)
            && let Err(error) = self.release_ports(lease)
        {
            self.failures.push(error.to_string());
            return false;
        }
        let Self { network, addressing, host, strays, failures, .. } = self;
        // Seen before the lease, which is older than GC: it is this lease's link, or one of before.
        let stray = strays.get(&name_of(network, &lease.owner));
        let removed = stray.map_or(Ok(()), |stray| removal::remove(host, stray));
        let detached = removed.and_then(|()| removal::detach(host, network, lease, &|| addressing.is_held(lease)));
        detached.map_err(|error| failures.push(error.to_string())).is_ok()
    }

    fn taken_back(&mut self, lease: &Lease) {
        let Self { network, addressing, host, failures, .. } = self;
        let identity = Identity::of(network, &lease.owner);
        let removed = removal::remove_unleased(host, &identity, &|| addressing.is_leased(&lease.owner));
        if let Err(error) = removed {
            failures.push(error.to_string());
        }
    }
}

fn name_of(network: &NetworkName, attachment: &Attachment) -> String {
    Identity::of(network, attachment).host_name
}

fn failed(error: impl Into<Error>) -> CniError {
    Activity::Collect.error(error)
}
