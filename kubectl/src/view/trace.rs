//! The way between two pods and back, joined from what the nodes of both say. Each node shows its own hops; between two nodes the
//! path probes say whether packets of pods pass, which no route and no rule of a node shows. Pure.

use std::net::IpAddr;

use inspect::doctor::checks::paths::of_one;
use inspect::trace::hop::{Hop, State};
use inspect::trace::way::{Answer, Kept, LegAnswer, WayAnswer, hop};
use serde::Serialize;
use state::paths::Paths;

use crate::cluster::{Answers, Head, code};
use crate::view::paths::{is_bad, unlisted};

/// One of the two pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pod {
    /// `namespace/name`, or the address by which it was named.
    pub(crate) name: String,
    /// Its node.
    pub(crate) node: String,
    /// Its addresses.
    pub(crate) addresses: Vec<IpAddr>,
}

/// What one node says of the two pods.
#[derive(Clone, Debug)]
pub(crate) struct Half {
    /// Its answer for each pair of addresses, in the order of the pairs; or why there is none.
    pub(crate) ways: Vec<Result<Answer, String>>,
    /// The paths by its probes.
    pub(crate) paths: Option<Paths>,
}

/// The way between two pods, and back.
#[derive(Debug, Serialize)]
pub(crate) struct Trace {
    #[serde(flatten)]
    head: Head,
    /// Nothing is wrong, and all was looked at.
    ok: bool,
    from: Pod,
    to: Pod,
    /// A way for each family that both have.
    ways: Vec<Way>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Way {
    family: &'static str,
    /// Whether each pod sees the other's own address.
    address_kept: Kept,
    /// There, and back.
    legs: [Leg; 2],
    /// What no node looked at.
    not_looked_at: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Leg {
    from: IpAddr,
    to: IpAddr,
    hops: Vec<Step>,
}

/// A hop, and the node that says so.
#[derive(Debug, Serialize)]
struct Step {
    /// The node; between two nodes that at which packets begin.
    node: String,
    #[serde(flatten)]
    hop: Hop,
}

/// The place between two nodes.
const BETWEEN: &str = "path";

/// The pairs of addresses of one family that both pods have: the first of each.
pub(crate) fn pairs(one: &Pod, other: &Pod) -> Vec<(IpAddr, IpAddr)> {
    let first = |pod: &Pod, v4: bool| pod.addresses.iter().copied().find(|address| address.is_ipv4() == v4);
    [true, false].into_iter().filter_map(|v4| Some((first(one, v4)?, first(other, v4)?))).collect()
}

/// Joins the answers of the nodes of both pods; where both are on one node there is one answer.
pub(crate) fn trace(from: Pod, to: Pod, answers: &Answers<Half>) -> Trace {
    let pairs = pairs(&from, &to);
    let half = |node: &str| answers.nodes.iter().find(|(name, _)| name == node).map(|(_, said)| said);
    let half = |node: &str| match half(node) {
        Some(said) => said.as_ref().map(|answer| &answer.value).map_err(Clone::clone),
        None => Err("the cluster has no such node".to_owned()),
    };
    let halves = [half(&from.node), half(&to.node)];
    let ways = pairs.iter().enumerate().map(|(place, pair)| way(place, *pair, [&from, &to], &halves)).collect();
    let mut trace = Trace { head: answers.head(), ok: false, from, to, ways };
    trace.ok = trace.code() == 0;
    trace
}

fn way(place: usize, (one, other): (IpAddr, IpAddr), ends: [&Pod; 2], halves: &[Result<&Half, String>; 2]) -> Way {
    let family = if one.is_ipv4() { "ipv4" } else { "ipv6" };
    let said = halves.each_ref().map(|half| match half {
        Err(why) => Err(why.clone()),
        Ok(half) => match half.ways.get(place) {
            Some(Ok(answer)) => answer.ways.first().ok_or_else(|| "it shows no way".to_owned()),
            Some(Err(why)) => Err(why.clone()),
            None => Err("it was not asked".to_owned()),
        },
    });
    let mut kept = Kept::Yes;
    let mut blind: Vec<String> = Vec::new();
    for half in &said {
        kept = match (kept, half.as_ref().map(|way| way.address_kept)) {
            (Kept::No, _) | (_, Ok(Kept::No)) => Kept::No,
            (Kept::Yes, Ok(Kept::Yes)) => Kept::Yes,
            _ => Kept::Unknown,
        };
        let not = half.as_ref().map(|way| way.not_looked_at.clone()).unwrap_or_default();
        blind.extend(not.into_iter().filter(|what| !blind.contains(what)).collect::<Vec<_>>());
    }
    let paths = halves.each_ref().map(|half| half.as_ref().ok().and_then(|half| half.paths.as_ref()));
    let leg = |from: IpAddr, to: IpAddr, turned: bool| {
        let (first, last) = if turned { (1, 0) } else { (0, 1) };
        let near = ends[first].node == ends[last].node;
        let mut hops = own(&said[first], from, to, &ends[first].node);
        if !near {
            let between = between(&ends[first].node, &ends[last].node, paths[first], paths[last], family);
            hops.push(Step { node: ends[first].node.clone(), hop: between });
            hops.extend(own(&said[last], from, to, &ends[last].node));
        }
        Leg { from, to, hops }
    };
    let legs = [leg(one, other, false), leg(other, one, true)];
    let translated =
        legs.iter().flat_map(|leg| &leg.hops).any(|step| step.hop.place == BETWEEN && step.is_translated());
    Way { family, address_kept: if translated { Kept::No } else { kept }, legs, not_looked_at: blind }
}

/// The hops of one direction that a node has itself.
fn own(said: &Result<&WayAnswer, String>, from: IpAddr, to: IpAddr, node: &str) -> Vec<Step> {
    let step = |hop| Step { node: node.to_owned(), hop };
    let unknown =
        |why: String| vec![step(Hop { state: State::Unknown, ..Hop::at("node", format!("not known: {why}")) })];
    let is_it = |leg: &&LegAnswer| leg.from.address == from && leg.to.address == to;
    match said {
        Err(why) => unknown(why.clone()),
        Ok(way) => match way.legs.iter().find(is_it) {
            None => unknown("its answer is about other addresses".to_owned()),
            Some(leg) => leg.hops.iter().filter(|hop| hop.place != "peer").cloned().map(step).collect(),
        },
    }
}

/// Whether packets of pods pass from one node to another, as the probes of both say.
fn between(from: &str, to: &str, sender: Option<&Paths>, receiver: Option<&Paths>, family: &str) -> Hop {
    let line = |paths: Option<&Paths>, peer: &str| {
        paths?.worst.iter().find(|line| line.family == family && line.node == peer).cloned()
    };
    let (there, back) = (line(sender, to), line(receiver, from));
    // What the sender finds lost on the way back is lost in the other direction, and the other way round.
    let of_sender = there.as_ref().filter(|line| is_bad(line) && line.state != "lost-back");
    let of_receiver = back
        .as_ref()
        .filter(|line| is_bad(line) && !matches!(line.state.as_str(), "lost-there" | "translated" | "too-big"));
    let port = |paths: Option<&Paths>| paths.map_or(0, |paths| paths.port);
    let bad = of_sender.map(|line| (line, port(sender), from)).or(of_receiver.map(|line| (line, port(receiver), to)));
    if let Some((line, port, node)) = bad {
        let text = format!("{from} to {to}: {} finds it {}: {}", node, line.state, line.text);
        return Hop::at(BETWEEN, text).with(of_one(line, port));
    }
    let is_open = |paths: Option<&Paths>, line: &Option<state::paths::PathLine>| {
        line.is_none() && paths.is_some_and(|paths| paths.probed && unlisted(paths, family) == "open")
    };
    // A round trip that one of them sees pass passes in both directions; what the other finds lost is lost in the other.
    if is_open(sender, &there)
        || is_open(receiver, &back)
        || there.as_ref().is_some_and(|line| line.state == "lost-back")
    {
        return Hop::at(BETWEEN, format!("{from} to {to}: packets of pods pass, as the probes find"));
    }
    let why = match (sender, &there) {
        (None, _) => "its agent's paths are not known".to_owned(),
        (Some(paths), _) if !paths.probed => "--probe off".to_owned(),
        (Some(paths), None) => {
            paths.not_probed.get(family).cloned().unwrap_or_else(|| "it is not judged yet".to_owned())
        }
        (Some(_), Some(line)) => format!("{}: {}", line.state, line.text),
    };
    Hop {
        state: State::Unknown,
        ..Hop::at(BETWEEN, format!("{from} to {to}: whether packets pass is not known: {why}"))
    }
}

impl Step {
    fn is_translated(&self) -> bool {
        self.hop.problems.iter().any(|problem| problem.kind == conditions::Kind::PathsTranslated)
    }
}

impl Trace {
    fn states(&self) -> impl Iterator<Item = State> {
        self.ways.iter().flat_map(|way| &way.legs).flat_map(|leg| &leg.hops).map(|step| step.hop.state)
    }

    /// The exit code: 1: a hop is wrong; 2: nothing wrong was found, and not every hop is known; 0: all hops are well.
    pub(crate) fn code(&self) -> u8 {
        let has = |wanted: &[State]| self.states().any(|state| wanted.contains(&state));
        let unknown = self.ways.is_empty() || has(&[State::Unknown, State::Cut, State::Elsewhere]);
        code(has(&[State::Wrong]), unknown || self.head.is_incomplete())
    }

    /// The way for people.
    pub(crate) fn text(&self) -> String {
        let mut text = self.head.text();
        for (title, pod) in [("from", &self.from), ("to", &self.to)] {
            let addresses: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
            text += &format!("{title:8}  {} on {}, at {}\n", pod.name, pod.node, addresses.join(", "));
        }
        text.extend(self.ways.iter().map(Way::text));
        let wrong = self.states().filter(|state| *state == State::Wrong).count();
        text + &match self.code() {
            0 => "nothing is wrong on this way\n".to_owned(),
            1 => format!("hops that are wrong: {wrong}\n"),
            _ => "nothing wrong was found; not every hop is known\n".to_owned(),
        }
    }
}

impl Way {
    fn text(&self) -> String {
        let mut text = String::new();
        for leg in &self.legs {
            text += &format!("\n{} to {}\n", leg.from, leg.to);
            let mut node = "";
            for step in &leg.hops {
                if step.hop.place == BETWEEN {
                    text += " between the nodes\n";
                    node = "";
                } else if step.node != node {
                    node = &step.node;
                    text += &format!(" {node}\n");
                }
                text += &hop(&step.hop);
            }
        }
        let [there, _] = &self.legs;
        let passes = self
            .legs
            .iter()
            .flat_map(|leg| &leg.hops)
            .all(|step| step.hop.state != State::Wrong && step.hop.state != State::Cut);
        text + "\n"
            + &match self.address_kept {
                Kept::Yes if passes => format!(
                    "the address is kept: {} sees {}, and {} sees {}\n",
                    there.to, there.from, there.from, there.to
                ),
                Kept::Yes => "packets do not pass; nothing would change their addresses\n".to_owned(),
                Kept::No => "the address is NOT kept\n".to_owned(),
                Kept::Unknown => "it is unknown whether the address is kept\n".to_owned(),
            }
            + &match self.not_looked_at.join("; ") {
                not if not.is_empty() => String::new(),
                not => format!("not looked at: {not}\n"),
            }
    }
}

#[cfg(test)]
mod tests;
