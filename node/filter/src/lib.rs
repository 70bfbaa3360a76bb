//! The agent's own rules in the packet filter: that a pod sends with its own addresses only, that the node does not answer
//! ARP for the pods' gateway, and, where asked for, that pods leave the cluster with the node's address. They are values
//! over the room `nft`, in tables of our own. And the rules of others that drop what the node forwards between pods: they
//! are found and told, and changed only where an operator asks for it.

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

/// How a rule stands.
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

/// How all of them stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleStates {
    /// The source rule and the ARP guard.
    pub source: RuleState,
    /// The masquerade of egress.
    pub masquerade: RuleState,
    /// What others drop between pods.
    pub forward: Vec<ForwardDrop>,
}

/// The traffic between pods that others must let pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// This node's pod CIDRs.
    pub own: Vec<IpNetwork>,
    /// A packet of each kind that is forwarded between pods.
    pub packets: Vec<Packet>,
}

/// The rules that there should be, and how they stand.
pub(crate) struct PacketFilter {
    requests: Option<Nfnetlink>,
    egress: Egress,
    /// Whether others' policies are answered.
    accepts: bool,
    /// None before the nodes are known.
    forwarded: Option<Forwarded>,
    states: RuleStates,
}

impl PacketFilter {
    /// Changes no rule yet.
    pub(crate) fn new(egress: Egress, accepts: bool) -> Self {
        Self { requests: None, egress, accepts, forwarded: None, states: RuleStates::default() }
    }

    pub(crate) fn states(&self) -> &RuleStates {
        &self.states
    }

    /// Whether a rule is not in place that should be.
    fn is_missing(&self) -> bool {
        [&self.states.source, &self.states.masquerade].iter().any(|standing| matches!(standing, RuleState::Missing(_)))
    }

    /// Tells who is inside of the cluster now; in force when this returns, as far as the kernel obeys.
    pub(crate) fn set_sides(&mut self, sides: Sides) {
        // What failed is tried again.
        if self.states.masquerade == RuleState::InPlace && matches!(&self.egress, Egress::On(known) if *known == sides)
        {
            return;
        }
        self.egress = Egress::On(sides);
        self.put_masquerade();
    }

    /// Tells what is forwarded between pods now.
    pub(crate) fn set_forwarded(&mut self, forwarded: Forwarded) {
        if self.forwarded.as_ref() != Some(&forwarded) {
            self.forwarded = Some(forwarded);
            self.look_at_others();
        }
    }

    /// Looks for rules of others that drop it; answers their policies where that is asked for.
    pub(crate) fn look_at_others(&mut self) {
        let Some(Forwarded { own, packets }) = self.forwarded.clone() else { return };
        let accepts = self.accepts;
        let looked = self.with_socket(|socket| {
            let answered = if accepts { forward::accept(socket, &own) } else { forward::withdraw(socket) };
            match answered {
                Ok(true) if accepts => tracing::info!("pods pass chains whose policy is to drop"),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the chains of others at forward stay as they are"),
            }
            forward::look(socket, &packets)
        });
        match looked {
            Ok(findings) => {
                let new = findings.iter().filter(|finding| finding.certain && !self.states.forward.contains(finding));
                new.for_each(|finding| tracing::warn!(%finding, "traffic between pods is dropped"));
                self.states.forward = findings;
            }
            Err(error) => tracing::debug!(%error, "the chains of others at forward cannot be read now"),
        }
    }

    /// What the source rule has dropped; `None` where it cannot be asked.
    pub(crate) fn drops(&mut self) -> Option<Drops> {
        self.with_socket(source_rule::drops).ok()
    }

    /// Makes the rules right, each as far as the kernel can have it; true when there was something to change.
    pub(crate) fn put(&mut self) -> bool {
        // One that the kernel cannot have does not stop the other.
        let [source, arp] = [source_rule::table(), arp_guard::table()]
            .map(|table| self.with_socket(|socket| nftables::ensure(socket, &table)));
        let changed = [&source, &arp].into_iter().any(|done| matches!(done, Ok(true)));
        self.states.source = stand("source", &self.states.source, source.and(arp));
        self.put_masquerade() || changed
    }

    fn put_masquerade(&mut self) -> bool {
        let done = match &self.egress {
            // What an agent before this one put in place stays until the nodes are known.
            Egress::Unknown => return false,
            Egress::Off => {
                let (family, name) = masquerade::TABLE;
                self.with_socket(|socket| nftables::remove(socket, family, name))
            }
            Egress::On(sides) => {
                let table = masquerade::table(sides);
                self.with_socket(|socket| nftables::ensure(socket, &table))
            }
        };
        let changed = matches!(done, Ok(true));
        let standing = stand("masquerade", &self.states.masquerade, done);
        let off = self.egress == Egress::Off && standing == RuleState::InPlace;
        self.states.masquerade = if off { RuleState::Off } else { standing };
        changed
    }

    /// A socket that failed once is opened anew the next time.
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

    /// By which events tell that this was us.
    fn port(&self) -> Option<u32> {
        self.requests.as_ref().map(Nfnetlink::port)
    }
}

/// Whether the rules that always stand are there: the source rule and the ARP guard. For whoever is not the agent.
pub fn look() -> Result<[(&'static str, bool); 2], Error> {
    let mut socket = Nfnetlink::requests()?;
    let source = nftables::is_in_place(&mut socket, &source_rule::table())?;
    Ok([("source", source), ("ARP guard", nftables::is_in_place(&mut socket, &arp_guard::table())?)])
}

/// What came of an attempt, told once.
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

/// Removes all rules of ours; tells what there was.
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
        removed.push("our rules in the chains of others at forward".to_owned());
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
