//! The agent's own rules in the packet filter: that a pod sends only with its own addresses, that the node does not
//! answer ARP requests for the pods' gateway, and, with `--masquerade`, that pods' traffic leaves the cluster with the
//! node's address. They are values of the crate `nftables`, in tables of podlan's own. Rules of other programs that
//! drop what the node forwards between pods are found and reported; only `--accept-forward` adds rules to their chains.

mod arp_guard;
pub mod forward;
mod keep;
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
    /// What rules of other programs drop between pods.
    pub forward: Vec<ForwardDrop>,
}

/// The traffic between pods that other programs' rules must accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// This node's pod CIDRs.
    pub own: Vec<IpNetwork>,
    /// A packet of each kind that is forwarded between pods.
    pub packets: Vec<Packet>,
}

/// The desired rules and their states.
pub(crate) struct PacketFilter {
    requests: Option<Nfnetlink>,
    egress: Egress,
    /// Whether rules are added to chains whose policy is drop (`--accept-forward`).
    accepts: bool,
    /// None before the nodes are known.
    forwarded: Option<Forwarded>,
    states: RuleStates,
}

impl PacketFilter {
    /// Changes no rule.
    pub(crate) fn new(egress: Egress, accepts: bool) -> Self {
        Self { requests: None, egress, accepts, forwarded: None, states: RuleStates::default() }
    }

    pub(crate) fn states(&self) -> &RuleStates {
        &self.states
    }

    /// Whether a desired rule is missing.
    fn is_missing(&self) -> bool {
        [&self.states.source, &self.states.masquerade].iter().any(|standing| matches!(standing, RuleState::Missing(_)))
    }

    /// Sets which addresses are inside the cluster; in force on return, unless the kernel refuses.
    pub(crate) fn set_sides(&mut self, sides: Sides) {
        // A failed attempt is repeated.
        if self.states.masquerade == RuleState::InPlace && matches!(&self.egress, Egress::On(known) if *known == sides)
        {
            return;
        }
        self.egress = Egress::On(sides);
        self.put_masquerade();
    }

    /// Sets what is forwarded between pods.
    pub(crate) fn set_forwarded(&mut self, forwarded: Forwarded) {
        if self.forwarded.as_ref() != Some(&forwarded) {
            self.forwarded = Some(forwarded);
            self.look_at_others();
        }
    }

    /// Looks for rules of other programs that drop it; adds accept rules to their chains where that is wanted.
    pub(crate) fn look_at_others(&mut self) {
        let Some(Forwarded { own, packets }) = self.forwarded.clone() else { return };
        let accepts = self.accepts;
        let looked = self.with_socket(|socket| {
            let answered = if accepts { forward::accept(socket, &own) } else { forward::withdraw(socket) };
            match answered {
                Ok(true) if accepts => tracing::info!(
                    "rules that accept traffic of pods were added to forward chains \
                                                       whose policy is drop"
                ),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the forward chains of other programs cannot be changed"),
            }
            forward::look(socket, &packets)
        });
        match looked {
            Ok(findings) => {
                let new = findings.iter().filter(|finding| finding.certain && !self.states.forward.contains(finding));
                new.for_each(|finding| tracing::warn!(%finding, "traffic between pods is dropped"));
                self.states.forward = findings;
            }
            Err(error) => tracing::debug!(%error, "the forward chains of other programs cannot be read"),
        }
    }

    /// What the source rule has dropped; `None` where it cannot be read.
    pub(crate) fn drops(&mut self) -> Option<Drops> {
        self.with_socket(source_rule::drops).ok()
    }

    /// Corrects the rules, each as far as the kernel supports it; true when something was changed.
    pub(crate) fn put(&mut self) -> bool {
        // One that the kernel does not support does not affect the other.
        let [source, arp] = [source_rule::table(), arp_guard::table()]
            .map(|table| self.with_socket(|socket| nftables::put(socket, &table)));
        let changed = [&source, &arp].into_iter().any(|done| matches!(done, Ok(true)));
        self.states.source = stand("source", &self.states.source, source.and(arp));
        self.put_masquerade() || changed
    }

    fn put_masquerade(&mut self) -> bool {
        let done = match &self.egress {
            // The rules of an earlier agent stay until the nodes are known.
            Egress::Unknown => return false,
            Egress::Off => {
                let (family, name) = masquerade::TABLE;
                self.with_socket(|socket| nftables::remove(socket, family, name))
            }
            Egress::On(sides) => {
                let table = masquerade::table(sides);
                self.with_socket(|socket| nftables::put(socket, &table))
            }
        };
        let changed = matches!(done, Ok(true));
        let standing = stand("masquerade", &self.states.masquerade, done);
        let off = self.egress == Egress::Off && standing == RuleState::InPlace;
        self.states.masquerade = if off { RuleState::Off } else { standing };
        changed
    }

    /// After an error the socket is opened again.
    fn with_socket<T>(&mut self, ask: impl FnOnce(&mut Nfnetlink) -> Result<T, Error>) -> Result<T, Error> {
        let mut socket = match self.requests.take() {
            Some(socket) => socket,
            None => Nfnetlink::requests()?,
        };
        let answer = ask(&mut socket);
        if !matches!(answer, Err(Error::Send(_) | Error::Receive(_))) {
            self.requests = Some(socket);
        }
        answer
    }

    /// The socket's port, by which events of podlan's own changes are recognised.
    fn port(&self) -> Option<u32> {
        self.requests.as_ref().map(Nfnetlink::port)
    }
}

/// Whether the source rule and the ARP guard, which are always wanted, are in place. For programs other than the agent.
pub fn look() -> Result<[(&'static str, bool); 2], Error> {
    let mut socket = Nfnetlink::requests()?;
    let source = nftables::stands(&mut socket, &source_rule::table())?;
    Ok([("source", source), ("ARP guard", nftables::stands(&mut socket, &arp_guard::table())?)])
}

/// The state after an attempt; a failure is logged once.
fn stand(rule: &str, before: &RuleState, done: Result<bool, Error>) -> RuleState {
    let now = match done {
        Ok(_) => RuleState::InPlace,
        Err(error) => RuleState::Missing(error.to_string()),
    };
    if let RuleState::Missing(error) = &now
        && now != *before
    {
        tracing::warn!(rule, error, "a rule is not in place");
    }
    now
}

/// Removes all rules of podlan; returns what was removed.
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
