//! Does a policy rule of another program (`ip rule`) lead packets to pods astray? The kernel's own answers are judged: for a
//! packet as this node sends it, and for one that it forwards for a pod.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::{Family, Onward, PolicyRule, Route, RuleAct};

use super::super::finding::{Finding, Outcome, some};
use conditions::{Condition, Kind};
use facts::decisions::{Asked, Decisions, is_foreign};
use facts::{AgentSaid, Facts, Kernel};

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent knows the pod subnets")) };
    let kernel = facts.kernel()?;
    let decisions = facts.decisions.as_ref().map_err(Clone::clone)?;
    let Some(decisions) = decisions else { return Ok(Finding::moot("no agent knows the pod subnets")) };
    let mut astray: BTreeMap<(u32, String), Astray<'_>> = BTreeMap::new();
    for asked in &decisions.asked {
        if is_judged_elsewhere(asked, facts) {
            continue;
        }
        if let Some((rule, route)) = culprit(asked, decisions) {
            let found = astray.entry((rule.priority, rule.to_string())).or_insert_with(|| Astray::of(rule, route));
            found.take(asked);
        }
    }
    let problems = astray.values().map(|astray| astray.condition(said, kernel)).collect();
    let others = decisions.rules.iter().filter(|rule| is_foreign(rule)).count();
    let fine = match others {
        0 => "there are none of other programs".to_owned(),
        others => format!("{others} of other programs, none decides on packets to pods"),
    };
    Ok(Finding::of(problems, fine))
}

/// Forwarding that is off, and links that are down, have checks of their own; the kernel refuses packets for them too.
fn is_judged_elsewhere(asked: &Asked, facts: &Facts) -> bool {
    let Ok(kernel) = facts.kernel() else { return true };
    let is_up = |index: u32| kernel.links.iter().any(|link| link.index == index && link.up);
    let family = Family::of(asked.packet.destination);
    let forwarded = asked.packet.incoming;
    let off = forwarded.is_some() && !matches!(facts.not_forwarding(family), Ok(None));
    off || !is_up(asked.wanted.device) || forwarded.is_some_and(|index| !is_up(index))
}

/// The rule that leads a packet astray, and the route of its table; `None` where the packet goes as it should.
fn culprit<'a>(asked: &Asked, decisions: &'a Decisions) -> Option<(&'a PolicyRule, Option<&'a Route>)> {
    let table = match &asked.answer {
        Ok(entry) => {
            let as_wanted = matches!(entry.onward, Onward::Hop { gateway, device, .. }
                if gateway == asked.wanted.gateway && device == asked.wanted.device);
            if as_wanted {
                return None;
            }
            Some(entry.table)
        }
        Err(_refused) => None,
    };
    decisions.blame(&asked.packet, asked.incoming.as_deref(), table)
}

/// What one rule leads astray.
struct Astray<'a> {
    rule: &'a PolicyRule,
    route: Option<&'a Route>,
    to: Vec<String>,
    destinations: Vec<IpAddr>,
    sent: bool,
    forwarded: bool,
}

impl<'a> Astray<'a> {
    fn of(rule: &'a PolicyRule, route: Option<&'a Route>) -> Self {
        Self { rule, route, to: Vec::new(), destinations: Vec::new(), sent: false, forwarded: false }
    }

    fn take(&mut self, asked: &Asked) {
        if !self.to.contains(&asked.to) {
            self.to.push(asked.to.clone());
        }
        self.destinations.push(asked.packet.destination);
        self.sent |= asked.packet.incoming.is_none();
        self.forwarded |= asked.packet.incoming.is_some();
    }

    fn condition(&self, said: &AgentSaid, kernel: &Kernel) -> Condition {
        let whose = match (self.sent, self.forwarded) {
            (true, true) => "packets of this node and of its pods",
            (true, false) => "packets of this node",
            (false, _) => "packets of this node's pods",
        };
        let by = match (self.route, self.rule.act) {
            (Some(route), _) => format!("by `{}`", kernel.shown(route)),
            (None, RuleAct::Nowhere(word)) => format!("nowhere ({word})"),
            (None, _) => "by another table".to_owned(),
        };
        let wrong = format!("the policy rule `{}` sends {whose} to {} {by}", self.rule, some(&self.to));
        let cidrs = self.cidrs(said);
        let v6 = if self.rule.family == Family::V6 { "-6 " } else { "" };
        let condition = Condition::new(Kind::PolicyRule, self.rule.priority.to_string(), wrong)
            .left_because("the rule is another program's");
        let Some(before) = self.rule.priority.checked_sub(1).filter(|before| *before > 0) else {
            return condition.decided_by_a_person("except the pod CIDRs from that rule, where it is configured");
        };
        let adds: Vec<String> =
            cidrs.iter().map(|cidr| format!("ip {v6}rule add to {cidr} lookup main priority {before}")).collect();
        let command = adds.join(" && ");
        condition
            .decided_by_a_person(format!(
                "except the pod CIDRs from that rule where it is configured (netplan, cloud-init, NetworkManager, a \
                 VPN), or add rules before it, and make them permanent: {command}"
            ))
            .by_command(command)
    }

    /// The pod CIDRs that are concerned.
    fn cidrs(&self, said: &AgentSaid) -> Vec<IpNetwork> {
        let own = said.state.pod_cidrs.iter().filter_map(|cidr| cidr.parse().ok());
        let all: Vec<IpNetwork> = own.chain(said.others().map(|(_, cidr)| cidr)).collect();
        let around = |address: &IpAddr| all.iter().find(|cidr| cidr.contains(*address)).copied();
        let mut cidrs: Vec<IpNetwork> =
            self.destinations.iter().map(|address| around(address).unwrap_or((*address).into())).collect();
        cidrs.sort_unstable();
        cidrs.dedup();
        cidrs
    }
}
