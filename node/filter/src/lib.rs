//! The agent's own rules in the packet filter: that a pod sends only with its own addresses, that the node does not
//! answer ARP requests for the pods' gateway, and, with `--masquerade`, that pods' traffic leaves the cluster with the
//! node's address. They are values of the crate `nftables`, in tables of podlan's own. Rules of other programs that
//! drop what the node forwards between pods are found and reported; only `--accept-forward` adds rules to their chains.

mod arp_guard;
pub mod forward;
mod keep;
mod kernel;
mod kernel_parts;
mod masquerade;
mod source_rule;
pub mod translation;

use ipnetwork::IpNetwork;
use nftables::{Error, Nfnetlink, Shape, Table};

use forward::{ForwardDrop, Packet};

pub use keep::{Filtered, Options, Wanted, keep};
pub use kernel_parts::{Has, KernelParts};
pub use masquerade::{Egress, Sides};
pub use source_rule::Drops;

/// The state of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuleState {
    /// Not known yet.
    #[default]
    Unknown,
    /// Not wanted.
    Off,
    /// In the kernel.
    InPlace,
    /// It could not be put in place, with the reason.
    Missing(String),
}

/// The states of all rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleStates {
    /// The source rule and the ARP guard.
    pub source: RuleState,
    /// The masquerade of egress.
    pub masquerade: RuleState,
    /// The host ports of this node's pods.
    pub ports: RuleState,
    /// What rules of other programs drop between pods.
    pub forward: Vec<ForwardDrop>,
}

impl RuleStates {
    /// Whether a rule is not in place that should be.
    fn is_missing(&self) -> bool {
        [&self.source, &self.masquerade, &self.ports].iter().any(|state| matches!(state, RuleState::Missing(_)))
    }
}

/// The traffic between pods that other programs' rules must accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// This node's pod CIDRs.
    pub own: Vec<IpNetwork>,
    /// A packet of each kind that is forwarded between pods.
    pub packets: Vec<Packet>,
}

/// Whether the source rule and the ARP guard, which are always wanted, are in place. For programs other than the agent.
pub fn look() -> Result<[(&'static str, bool); 2], Error> {
    let mut socket = Nfnetlink::requests()?;
    let source = nftables::is_in_place(&mut socket, &source_rule::table())?;
    Ok([("source", source), ("ARP guard", nftables::is_in_place(&mut socket, &arp_guard::table())?)])
}

/// Removes all rules of podlan; returns what was removed.
pub fn remove() -> Result<Vec<String>, Error> {
    let mut removed = Vec::new();
    let Some(mut socket) = Nfnetlink::if_any()? else { return Ok(removed) };
    if nftables::tables(&mut socket)?.is_empty() {
        return Ok(removed);
    }
    let ours = [source_rule::table(), arp_guard::table()].map(|Table { family, name, .. }| (family, name));
    for (family, name) in ours {
        if nftables::remove(&mut socket, family, name)? {
            removed.push(format!("the table {} {name}", family.name()));
        }
    }
    for shape in Shape::BOTH {
        let families = nftables::leave(&mut socket, masquerade::TABLE, shape)?;
        removed.extend(families.iter().map(|family| format!("the table {} {}", family.name(), masquerade::TABLE)));
    }
    if forward::withdraw(&mut socket)? {
        removed.push("podlan's rules in forward chains of other programs".to_owned());
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
