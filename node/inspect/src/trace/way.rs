//! The path between two addresses in both directions, and its report as text and as JSON. Pure.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::follow::follow;
use super::hop::{Hop, State};
use facts::legs::{End, Leg};

/// The path between two addresses.
pub struct Way {
    node: String,
    ends: [End; 2],
    /// Both directions.
    legs: [Vec<Hop>; 2],
    kept: Kept,
    /// What was not looked at.
    blind: Vec<String>,
}

/// Whether each pod sees the other's own address, as far as this node's rules go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That is unknown.
    #[serde(other)]
    Unknown,
}

/// What `podlan-node trace --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Nothing is wrong on this node.
    pub ok: bool,
    /// The release of the program that printed it; "" where it does not say so.
    #[serde(default)]
    pub release: String,
    /// A path for each family that both pods have.
    pub ways: Vec<WayAnswer>,
}

/// One path of an [`Answer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WayAnswer {
    /// Whether each pod sees the other's own address.
    pub address_kept: Kept,
    /// Both directions.
    pub legs: Vec<LegAnswer>,
    /// The node that looked.
    pub node: String,
    /// What it did not look at.
    pub not_looked_at: Vec<String>,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegAnswer {
    /// The pod that sends.
    pub from: EndAnswer,
    /// The hops, in the order in which a packet meets them.
    pub hops: Vec<Hop>,
    /// The pod that receives.
    pub to: EndAnswer,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndAnswer {
    /// Its address.
    pub address: IpAddr,
    /// Whether it is on this node.
    pub here: bool,
    /// `namespace/name` where that is known, else its container id, else its address.
    pub name: String,
}

impl Way {
    /// Follows packets between `ends` through the facts of both directions.
    pub fn of(ends: [End; 2], legs: &[Leg; 2]) -> Self {
        let node = legs[0].node.clone();
        let mut kept = Kept::Yes;
        for leg in legs {
            kept = match &leg.translated {
                Ok(found) if found.iter().any(|found| found.certain) => Kept::No,
                Ok(found) if found.is_empty() => kept,
                _ if kept == Kept::No => kept,
                _ => Kept::Unknown,
            };
        }
        let mut blind: Vec<String> = legs[0].blind.iter().map(|what| (*what).to_owned()).collect();
        if legs[0].transport.port.is_none() {
            blind.insert(0, "rules by port only (--tcp PORT, --udp PORT)".to_owned());
        }
        Self { node, ends, legs: legs.each_ref().map(follow), kept, blind }
    }

    fn text(&self) -> String {
        let [one, other] = self.ends.each_ref().map(|end| end.address);
        let mut text = String::new();
        for ((from, to), hops) in [(one, other), (other, one)].into_iter().zip(&self.legs) {
            text += &format!("{from} to {to}, seen from {}\n", self.node);
            text.extend(hops.iter().map(hop));
        }
        let blind = self.blind.join("; ");
        text + &match self.kept {
            Kept::Yes if !self.passes() => {
                "packets do not pass; no rule of this node would change their addresses\n".to_owned()
            }
            Kept::Yes => {
                format!("the address is kept, as far as this node decides: {other} sees {one}, {one} sees {other}\n")
            }
            Kept::No => "the address is NOT kept\n".to_owned(),
            Kept::Unknown => "it is unknown whether the address is kept\n".to_owned(),
        } + &format!("not looked at: {blind}\n\n")
    }

    /// Whether no hop on this node is known to stop packets.
    fn passes(&self) -> bool {
        self.legs.iter().flatten().all(|hop| !matches!(hop.state, State::Wrong | State::Cut))
    }

    fn answer(&self) -> WayAnswer {
        let end = |end: &End| EndAnswer { address: end.address, here: end.is_here(), name: end.name.clone() };
        let leg = |from: &End, to: &End, hops: &[Hop]| LegAnswer { from: end(from), hops: hops.to_vec(), to: end(to) };
        let ([one, other], [there, back]) = (&self.ends, &self.legs);
        WayAnswer {
            address_kept: self.kept,
            legs: vec![leg(one, other, there), leg(other, one, back)],
            node: self.node.clone(),
            not_looked_at: self.blind.clone(),
        }
    }
}

/// The exit code: 0: nothing is wrong on this node; 1: something is wrong; 2: not everything could be checked.
pub fn code(ways: &[Way]) -> u8 {
    let has = |state| states(ways).any(|seen| seen == state);
    match (has(State::Wrong), has(State::Unknown) || has(State::Cut)) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    }
}

/// The report for people: each path, then a summary.
pub fn text(ways: &[Way]) -> String {
    let wrong = states(ways).filter(|state| *state == State::Wrong).count();
    let summary = match (code(ways), wrong) {
        (0, _) => "nothing is wrong on this node\n".to_owned(),
        (1, wrong) => format!("hops that are wrong: {wrong}\n"),
        _ => "nothing wrong was found; not everything could be checked\n".to_owned(),
    };
    ways.iter().map(Way::text).chain([summary]).collect()
}

/// The report for machines.
pub fn answer(ways: &[Way], release: &str) -> Answer {
    Answer { ok: code(ways) == 0, release: release.to_owned(), ways: ways.iter().map(Way::answer).collect() }
}

fn states(ways: &[Way]) -> impl Iterator<Item = State> {
    ways.iter().flat_map(|way| way.legs.iter().flatten()).map(|hop| hop.state)
}

/// A hop for people: a line, and three for each problem.
pub fn hop(hop: &Hop) -> String {
    let state = match hop.state {
        State::Ok => "ok",
        State::Wrong => "WRONG",
        State::Cut => "cut off",
        State::Elsewhere => "-",
        State::Unknown => "unknown",
    };
    let mtu = hop.mtu.map(|mtu| format!(", MTU {mtu}")).unwrap_or_default();
    let mut text = format!("  {state:7}  {:9}  {}{mtu}\n", hop.place, hop.text);
    for problem in &hop.problems {
        for (label, line) in [("wrong:", &problem.wrong), ("why:", &problem.why), ("fix:", &problem.cure)] {
            text += &format!("           {:9}  {label:6} {line}\n", "");
        }
    }
    text
}
