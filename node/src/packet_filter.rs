//! The agent's own rules in the packet filter: that a pod sends with its own addresses only, that the node does not answer
//! ARP for the pods' gateway, and, where asked for, that pods leave the cluster with the node's address. They are values
//! over the room `nft`, in tables of our own; tables of others are never changed here.

mod arp_guard;
mod keep;
mod masquerade;
mod source_rule;

use crate::nft::{self, Error, Nfnetlink, Table};

pub(crate) use keep::{Shared, keep};
pub(crate) use masquerade::{Egress, Sides};

/// How a rule stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// Nobody asked for it.
    Off,
    InPlace,
    /// It could not be put in place, and why.
    Missing(String),
}

/// How all of them stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standings {
    /// The source rule and the ARP guard.
    pub(crate) source: Standing,
    pub(crate) masquerade: Standing,
}

/// The rules that there should be, and how they stand.
pub(crate) struct PacketFilter {
    requests: Option<Nfnetlink>,
    egress: Egress,
    standings: Standings,
}

impl PacketFilter {
    /// Changes no rule yet.
    pub(crate) fn new(egress: Egress) -> Self {
        Self { requests: None, egress, standings: Standings::default() }
    }

    pub(crate) fn standings(&self) -> &Standings {
        &self.standings
    }

    /// Tells who is inside of the cluster now; in force when this returns, as far as the kernel obeys.
    pub(crate) fn tell_sides(&mut self, sides: Sides) {
        if let Egress::On(known) = &self.egress
            && *known == sides
        {
            return;
        }
        self.egress = Egress::On(sides);
        self.put_masquerade();
    }

    /// Makes the rules right, each as far as the kernel can have it.
    pub(crate) fn put(&mut self) {
        // One that the kernel cannot have does not stop the other.
        let [source, arp] = [source_rule::table(), arp_guard::table()]
            .map(|table| self.with_socket(|socket| nft::put(socket, &table)).map(drop));
        self.standings.source = stand("source", &self.standings.source, source.and(arp));
        self.put_masquerade();
    }

    fn put_masquerade(&mut self) {
        let done = match &self.egress {
            // What an agent before this one put in place stays until the nodes are known.
            Egress::Unknown => return,
            Egress::Off => {
                let (family, name) = masquerade::TABLE;
                self.with_socket(|socket| nft::remove(socket, family, name)).map(drop)
            }
            Egress::On(sides) => {
                let table = masquerade::table(sides);
                self.with_socket(|socket| nft::put(socket, &table)).map(drop)
            }
        };
        let standing = stand("masquerade", &self.standings.masquerade, done);
        let off = self.egress == Egress::Off && standing == Standing::InPlace;
        self.standings.masquerade = if off { Standing::Off } else { standing };
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
pub(crate) fn look() -> Result<[(&'static str, bool); 2], Error> {
    let mut socket = Nfnetlink::requests()?;
    let source = nft::stands(&mut socket, &source_rule::table())?;
    Ok([("source", source), ("ARP guard", nft::stands(&mut socket, &arp_guard::table())?)])
}

/// What came of an attempt, told once.
fn stand(rule: &str, before: &Standing, done: Result<(), Error>) -> Standing {
    let now = match done {
        Ok(()) => Standing::InPlace,
        Err(error) => Standing::Missing(error.to_string()),
    };
    if let Standing::Missing(error) = &now
        && now != *before
    {
        tracing::warn!(rule, error, "a rule is not in place");
    }
    now
}

/// Removes all of our tables; tells the names of those that there were.
pub(crate) fn remove() -> Result<Vec<String>, Error> {
    let mut socket = Nfnetlink::requests()?;
    let mut removed = Vec::new();
    let ours = [source_rule::table(), arp_guard::table()].map(|Table { family, name, .. }| (family, name));
    for (family, name) in ours.into_iter().chain([masquerade::TABLE]) {
        if nft::remove(&mut socket, family, name)? {
            removed.push(format!("{} {name}", family.word()));
        }
    }
    Ok(removed)
}
