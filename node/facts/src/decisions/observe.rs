//! Asks the kernel. Decides nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::{Family, FibEntry, Looked, NODE_ROUTE, POD_ROUTE, PROBE_ROUTE, PolicyRule, Route, RuleAct, Socket};
use nix::errno::Errno;

use super::{Asked, Decisions, OF_EACH_NODE, Wanted, is_foreign};
use crate::attached::Attached;
use crate::{AgentSaid, Kernel, Subnets};
use routes::Target;

/// So many tables are read.
const TABLES: usize = 32;

/// So many peers' CIDRs are asked for in one look of many.
const AT_ONCE: usize = 1000;

/// For which peers' CIDRs the kernel is asked.
#[derive(Clone, Copy, Debug)]
pub enum Peers {
    /// All.
    All,
    /// A thousand in turn, in the look of this number, and those in which another program has a route; all where another
    /// program has rules.
    InTurn(usize),
}

/// Asks for one packet for each peer's CIDR and each pod of this node.
pub fn observe(said: &AgentSaid, kernel: &Kernel, pods: &[Attached], peers_due: Peers) -> Result<Decisions, String> {
    let failed = |error: netlink::Error| format!("failed to query the kernel's routing decisions: {error}");
    let mut socket = Socket::open().map_err(failed)?;
    let mut rules = Vec::new();
    for family in families() {
        rules.extend(
            socket
                .dump(PolicyRule::dump(family), |message| PolicyRule::from_message(&message))
                .map_err(failed)?
                .into_iter()
                .filter(|rule| rule.family == family),
        );
    }
    let tables = tables(&mut socket, &rules).map_err(failed)?;
    let mut asked = Vec::new();
    let sources = Sources::of(said, kernel, pods);
    for pod in pods {
        let address = pod.lease.address.ip();
        let Some(device) = pod.link.as_ref().map(|link| link.index) else { continue };
        let wanted = Wanted { gateway: None, device };
        asked.extend(sources.packets(address, &pod.name(), wanted, Some(device)));
    }
    let peers: Vec<(IpNetwork, &str, Wanted)> = peers(said).collect();
    for number in due(&peers, &rules, &kernel.routes, peers_due) {
        let (cidr, node, wanted) = peers[number];
        let pod = cidr.iter().nth(2).unwrap_or(cidr.ip());
        asked.extend(sources.packets(pod, node, wanted, None));
    }
    let packets: Vec<Looked> = asked.iter().map(|asked| asked.packet).collect();
    let answers = FibEntry::ask_for(&mut socket, &packets).map_err(failed)?;
    for (asked, answer) in asked.iter_mut().zip(answers) {
        asked.answer = answer.map_err(|refused| refused.errno);
    }
    Ok(Decisions { rules, tables, asked })
}

fn families() -> impl Iterator<Item = Family> {
    Family::BOTH.into_iter().filter(|family| *family == Family::V4 || netlink::kernel_has_v6())
}

fn tables(socket: &mut Socket, rules: &[PolicyRule]) -> Result<Vec<Route>, netlink::Error> {
    let looked_up: BTreeSet<(bool, u32)> = rules
        .iter()
        .filter_map(|rule| match rule.act {
            RuleAct::Table(table) if table != 0 && !OF_EACH_NODE.contains(&table) => {
                Some((rule.family == Family::V6, table))
            }
            _ => None,
        })
        .collect();
    let mut routes = Vec::new();
    for (v6, table) in looked_up.into_iter().take(TABLES) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        match socket.dump(Route::dump_table(family, table, None), |message| Route::from_message(&message)) {
            Ok(of_table) => routes.extend(of_table.into_iter().filter(|route| route.table == table)),
            // The table has no route.
            Err(netlink::Error::Dump(refused)) if refused.errno == Errno::ENOENT => {}
            Err(error) => return Err(error),
        }
    }
    Ok(routes)
}

/// Which of the peers are asked for in this look, by their place.
fn due(peers: &[(IpNetwork, &str, Wanted)], rules: &[PolicyRule], routes: &[Route], which: Peers) -> BTreeSet<usize> {
    let Peers::InTurn(turn) = which else { return (0..peers.len()).collect() };
    if peers.len() <= AT_ONCE || rules.iter().any(is_foreign) {
        return (0..peers.len()).collect();
    }
    let begin = turn.wrapping_mul(AT_ONCE) % peers.len();
    let mut due: BTreeSet<usize> = (begin..begin + AT_ONCE).map(|number| number % peers.len()).collect();
    let subnets: Subnets<usize> = peers.iter().enumerate().map(|(number, (cidr, ..))| (*cidr, number)).collect();
    let foreign = routes.iter().filter(|route| ![NODE_ROUTE, POD_ROUTE, PROBE_ROUTE].contains(&route.protocol));
    due.extend(foreign.filter_map(|route| subnets.holder(route.destination)).map(|(_, number)| *number));
    due
}

/// The peers' CIDRs to which a route is wanted.
fn peers(said: &AgentSaid) -> impl Iterator<Item = (IpNetwork, &str, Wanted)> {
    said.verdicts.iter().filter_map(|line| match line.wanted? {
        Target::Hop { via, link, .. } => {
            let cidr = line.cidr.parse().ok()?;
            Some((cidr, line.node.as_str(), Wanted { gateway: Some(via), device: link }))
        }
        Target::Unreachable | Target::Foreign => None,
    })
}

/// From where packets come.
struct Sources<'a> {
    /// This node's own addresses, by which its packets to pods leave.
    own: Vec<IpAddr>,
    /// The pods that send: of each family the first two, with the names and indexes of their links.
    pods: Vec<(IpAddr, u32, &'a str)>,
}

impl<'a> Sources<'a> {
    fn of(said: &AgentSaid, kernel: &Kernel, pods: &'a [Attached]) -> Self {
        let own = said.state.addresses.iter().copied().filter(|address| kernel.here.is_own(*address)).collect();
        let mut senders: Vec<(IpAddr, u32, &str)> = Vec::new();
        for family in Family::BOTH {
            let of_family = pods.iter().filter(|pod| family.holds(pod.lease.address.ip()));
            let usable = of_family.filter_map(|pod| {
                let link = pod.link.as_ref().filter(|link| link.up)?;
                Some((pod.lease.address.ip(), link.index, link.name.as_str()))
            });
            senders.extend(usable.take(2));
        }
        Self { own, pods: senders }
    }

    /// The packets to one address: as this node sends it, and as a pod does; never one back to the link `not_by`.
    fn packets(&self, to: IpAddr, name: &str, wanted: Wanted, not_by: Option<u32>) -> Vec<Asked> {
        let asked = |source: Option<IpAddr>, incoming: Option<(u32, &str)>| Asked {
            packet: Looked { destination: to, source, incoming: incoming.map(|(index, _)| index) },
            incoming: incoming.map(|(_, name)| name.to_owned()),
            to: name.to_owned(),
            wanted,
            answer: Err(Errno::ENODATA),
        };
        let own = self.own.iter().copied().find(|own| own.is_ipv4() == to.is_ipv4());
        let pod = self.pods.iter().find(|(pod, link, _)| pod.is_ipv4() == to.is_ipv4() && Some(*link) != not_by);
        let forwarded = pod.map(|(pod, link, name)| asked(Some(*pod), Some((*link, name))));
        std::iter::once(asked(own, None)).chain(forwarded).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_peers_those_with_a_foreign_route_are_asked_for_in_each_look_and_all_others_in_turn() {
        let wanted = Wanted { gateway: None, device: 2 };
        let cidr = |number: usize| format!("10.{}.{}.0/24", number / 256, number % 256).parse::<IpNetwork>().unwrap();
        let peers: Vec<(IpNetwork, &str, Wanted)> = (0..5000).map(|number| (cidr(number), "peer", wanted)).collect();
        let within = |number: usize| IpNetwork::new(cidr(number).iter().nth(128).unwrap(), 25).unwrap();
        // Of another program within the CIDR of peer 4321, and podlan's own to each peer.
        let own = |number: usize| Route::to(cidr(number), NODE_ROUTE);
        let routes: Vec<Route> = (0..5000).map(own).chain([Route::to(within(4321), 4)]).collect();
        let mut asked = BTreeSet::new();
        for turn in 0..5 {
            let due = due(&peers, &[], &routes, Peers::InTurn(turn));
            assert!(due.contains(&4321), "look {turn}");
            assert!(due.len() <= AT_ONCE + 1, "look {turn}: {}", due.len());
            asked.extend(due);
        }
        assert_eq!(asked.len(), 5000);
        let rule = PolicyRule::by_addresses(Family::V4, 50, RuleAct::Table(52), None, None);
        assert_eq!(due(&peers, &[rule], &[], Peers::InTurn(0)).len(), 5000, "a rule concerns them all");
    }
}
