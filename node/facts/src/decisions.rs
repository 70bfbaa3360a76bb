//! What the kernel decides on packets between pods, asked of it one by one: as this node sends them, and as it forwards them
//! for a pod. Policy rules of other programs are in force there, which the main table does not show.

pub mod observe;

use std::net::IpAddr;

use netlink::{FibEntry, Looked, PROBE_ROUTE, PolicyRule, Route, RouteKind, RuleAct};
use nix::errno::Errno;

/// The tables without which no node is: `default`, `main`, `local`.
pub const OF_EACH_NODE: [u32; 3] = [253, 254, 255];
/// `RT_TABLE_MAIN`.
pub const MAIN: u32 = 254;
/// `RTN_THROW`: the next rule decides.
const THROW: RouteKind = RouteKind::Other(9);

/// The rules, the tables that they look up, and the kernel's answers.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// All policy rules, by family and priority.
    pub rules: Vec<PolicyRule>,
    /// The routes of the tables that rules look up, but for `main`, `local` and `default`.
    pub tables: Vec<Route>,
    /// The packets that were asked for.
    pub asked: Vec<Asked>,
}

/// A packet that was asked for, and the kernel's answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The packet.
    pub packet: Looked,
    /// The name of the link on which it comes in; none for a packet that this node sends.
    pub incoming: Option<String>,
    /// Whose pod, or which pod, it goes to.
    pub to: String,
    /// Where it should go.
    pub wanted: Wanted,
    /// The entry that decides, or the kernel's refusal.
    pub answer: Result<FibEntry, Errno>,
}

/// Where a packet should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The next hop; none where the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The index of the link.
    pub device: u32,
}

/// A rule that neither a kernel makes by itself nor podlan for its path probes.
pub fn is_foreign(rule: &PolicyRule) -> bool {
    rule.protocol != PROBE_ROUTE
        && !matches!((rule.priority, rule.act), (0 | 32766 | 32767, RuleAct::Table(table)) if OF_EACH_NODE.contains(&table))
}

impl Decisions {
    /// The rule by which the kernel came to decide by `table`, or to refuse the packet (`None`), and the route of its table.
    /// `None` where that is the main table or none that is known.
    pub fn blame(
        &self,
        packet: &Looked,
        incoming: Option<&str>,
        table: Option<u32>,
    ) -> Option<(&PolicyRule, Option<&Route>)> {
        match table {
            Some(table) if OF_EACH_NODE.contains(&table) => None,
            Some(table) => {
                let leads = |rule: &&PolicyRule| {
                    rule.act == RuleAct::Table(table) && rule.selects(packet, incoming) != Some(false)
                };
                let rule = self.rules.iter().find(leads)?;
                Some((rule, self.best(table, packet.destination)))
            }
            None => self.refuser(packet, incoming),
        }
    }

    fn refuser(&self, packet: &Looked, incoming: Option<&str>) -> Option<(&PolicyRule, Option<&Route>)> {
        for rule in self.rules.iter().filter(|rule| rule.selects(packet, incoming) == Some(true)) {
            match rule.act {
                // Its routes are judged by themselves.
                RuleAct::Table(MAIN) => return None,
                RuleAct::Table(table) => {
                    if let Some(route) = self.best(table, packet.destination) {
                        return Some((rule, Some(route)));
                    }
                }
                RuleAct::Nowhere(_) => return Some((rule, None)),
                RuleAct::Other => {}
            }
        }
        None
    }

    /// A table's entry for an address: the most specific, and of these the one with the lowest metric; none where it is `throw`.
    fn best(&self, table: u32, address: IpAddr) -> Option<&Route> {
        let holds = self.tables.iter().filter(|route| route.table == table && route.destination.contains(address));
        let best = holds.min_by_key(|route| (u8::MAX - route.destination.prefix(), route.metric))?;
        (best.kind != THROW).then_some(best)
    }
}
