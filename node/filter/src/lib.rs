//! The agent's own rules in the packet filter: that a pod sends with its own addresses only, that the node does not answer
//! ARP for the pods' gateway, and, where asked for, that pods leave the cluster with the node's address. They are values
//! of the crate `nftables`, in tables of our own. And the rules of others that drop what the node forwards between pods: they
//! are found and reported, and changed only where an operator asks for it.

mod arp_guard;
pub mod forward;
mod keep;
mod kernel;
mod masquerade;
mod source_rule;
pub mod translation;

use ipnetwork::IpNetwork;
use nftables::{Error, Nfnetlink, Table};

use forward::{ForwardDrop, Packet};

pub use keep::{Filtered, Options, Wanted, keep};
pub use masquerade::{Egress, Sides};
pub use source_rule::Drops;

/// The state of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuleState {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// Nobody asked for it.
    Off,
    /// The kernel holds it.
    InPlace,
    /// It could not be put in place, and why.
    Missing(String),
}

/// The states of all rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleStates {
    /// The source rule and the ARP guard.
    pub source: RuleState,
    /// The masquerade of egress.
    pub masquerade: RuleState,
    /// What others drop between pods.
    pub forward: Vec<ForwardDrop>,
}

impl RuleStates {
    /// Whether a rule is not in place that should be.
    fn is_missing(&self) -> bool {
        [&self.source, &self.masquerade].iter().any(|state| matches!(state, RuleState::Missing(_)))
    }
}

/// The traffic between pods that others must let pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// This node's pod CIDRs.
    pub own: Vec<IpNetwork>,
    /// A packet of each kind that is forwarded between pods.
    pub packets: Vec<Packet>,
}

/// Whether the source rule and the ARP guard are in place. For other programs than the agent.
pub fn look() -> Result<[(&'static str, bool); 2], Error> {
    let mut socket = Nfnetlink::requests()?;
    let source = nftables::stands(&mut socket, &source_rule::table())?;
    Ok([("source", source), ("ARP guard", nftables::stands(&mut socket, &arp_guard::table())?)])
}

/// Removes all our rules; returns what there was.
pub fn remove() -> Result<Vec<String>, Error> {
    let mut socket = Nfnetlink::requests()?;
    let mut removed = Vec::new();
    let ours = [source_rule::table(), arp_guard::table()].map(|Table { family, name, .. }| (family, name));
    for (family, name) in ours.into_iter().chain([masquerade::TABLE]) {
        if nftables::remove(&mut socket, family, name)? {
            removed.push(format!("the table {} {name}", family.name()));
        }
    }
    if forward::withdraw(&mut socket)? {
        removed.push("podlan's rules in forward chains of other programs".to_owned());
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
