//! Do packets of pods pass to the other nodes and back, as the agent's probes find?

use state::paths::{PathLine, Paths};

use super::super::finding::{Finding, Outcome, some};
use conditions::{Condition, Kind};
use facts::Facts;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent runs here, so no paths are probed")) };
    let Some(paths) = &said.state.paths else { return Ok(Finding::moot("the agent has probed no path yet")) };
    if !paths.probed {
        return Ok(Finding::moot("the agent runs with --probe off: nobody knows whether packets of pods pass"));
    }
    if said.stale {
        return Ok(Finding::moot("the agent's report is stale, and what it says of paths with it (check agent)"));
    }
    let problems = conditions(paths);
    let total = |word: &str| paths.counts.values().filter_map(|counts| counts.get(word)).sum::<usize>();
    let all: usize = paths.counts.values().flat_map(|counts| counts.values()).sum();
    let passing = total("open") + total("no-agent");
    if problems.is_empty() && passing == 0 {
        if let Some(why) = not_probed(paths) {
            return Ok(Finding::moot(format!("no path could be probed: {why}")));
        }
        return Ok(Finding::moot(match paths.worst.first() {
            Some(line) => format!("no path could be probed: {} ({}): {}", line.node, shown(&line.family), line.text),
            None if all > 0 => "the paths are not judged yet".to_owned(),
            None => "there is no other node".to_owned(),
        }));
    }
    let others = match all - passing {
        0 => String::new(),
        others => format!("; not probed or not judged yet: {others}"),
    };
    let why = not_probed(paths).map(|why| format!("; not probed: {why}")).unwrap_or_default();
    let fine = format!("packets of pods pass to {passing} of {all} peers, each family counted{others}{why}");
    Ok(Finding::of(problems, fine))
}

/// Why this node probes no path of these families.
fn not_probed(paths: &Paths) -> Option<String> {
    let whys: Vec<String> = paths.not_probed.iter().map(|(family, why)| format!("{}: {why}", shown(family))).collect();
    (!whys.is_empty()).then(|| whys.join("; "))
}

/// One condition for each family and kind of loss, with the peers named.
fn conditions(paths: &Paths) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for family in ["ipv4", "ipv6"] {
        for word in
            ["lost-there", "lost-back", "lost", "translated", "too-big", "peer-dead", "port-closed-by-peer-firewall"]
        {
            let lines: Vec<&PathLine> =
                paths.worst.iter().filter(|line| line.family == family && line.state == word).collect();
            let count = |word: &str| paths.counts.get(family).and_then(|counts| counts.get(word)).copied();
            if let Some(first) = lines.first() {
                let all = paths.counts.get(family).map_or(0, |counts| counts.values().sum());
                let count = count(word).unwrap_or(lines.len());
                conditions.extend(condition(word, &lines, first, (count, all), paths.port));
            }
        }
    }
    conditions
}

/// What is wrong with one path, by a node whose probes use this port; `None` where nothing is.
pub fn of_one(line: &PathLine, port: u16) -> Option<Condition> {
    condition(&line.state, &[line], line, (1, 1), port)
}

fn condition(
    word: &str,
    lines: &[&PathLine],
    first: &PathLine,
    (count, all): (usize, usize),
    port: u16,
) -> Option<Condition> {
    let names: Vec<String> = lines.iter().map(|line| line.node.clone()).collect();
    let peers = format!("{} ({}, {count} of {all} peers)", some(&names), shown(&first.family));
    let subject = format!("{} {word}", first.family);
    let watch = format!("tcpdump -ni any host {} and udp port {port}", first.probe);
    let lost = |wrong: String, what: &str| {
        let where_ = if count == all && all > 1 { " Every peer is concerned: look at this node first." } else { "" };
        Condition::new(Kind::PathsLost, subject.clone(), wrong).decided_by_a_person(format!(
            "{what}.{where_} Unless another check of doctor here or on that node names the cause, the network between the \
             nodes drops pod addresses: switch off the source/destination check of the nodes' interfaces (AWS; GCP: allow IP \
             forwarding), add the pod CIDRs to port security (OpenStack: allowed address pairs), to the security groups and \
             to the route tables. To see where packets end: {watch}"
        ))
    };
    let between = match first.address {
        Some(address) => format!("while its node address {address} answers"),
        None => "its node address is not probed".to_owned(),
    };
    Some(match word {
        "lost-there" => lost(
            format!("packets of pods do not arrive at {peers}: {} receives no packets from this node's pods, {between}", first.probe),
            "packets are lost on the way there",
        ),
        "lost-back" => lost(
            format!("packets of pods arrive at {peers}, and the answers of {} do not come back", first.probe),
            "packets are lost on the way back",
        ),
        "lost" => lost(
            format!("packets of pods to {peers} are not answered by {}, in which direction they are lost is unknown", first.probe),
            "that node's agent could not be asked what it received",
        ),
        "translated" => {
            let seen = first.seen_as.map_or_else(|| "another address".to_owned(), |seen| seen.to_string());
            Condition::new(
                Kind::PathsTranslated,
                subject,
                format!("packets of pods arrive at {peers} with the source address {seen} instead of their own"),
            )
            .decided_by_a_person(
                "find the rule that translates them and let it leave out the pod CIDRs; where the address is this node's own, \
                 it is a rule of this node, where it is the peer's a rule of the peer, whose doctor names it: nft list ruleset | \
                 grep -nE 'masquerade|snat'; iptables-save -t nat",
            )
        }
        "too-big" => {
            let largest = first.largest.map_or_else(|| "fewer".to_owned(), |largest| largest.to_string());
            Condition::new(
                Kind::PathsTooBig,
                subject,
                format!("packets of {} bytes do not arrive at {peers}, and no ICMP error reports it; {largest} bytes pass", first.mtu),
            )
            .decided_by_a_person(format!(
                "give the network between the nodes an MTU of {} bytes, or the pods one of {largest}: add --mtu={largest} to \
                 the arguments of every agent (in Kubernetes: args of the DaemonSet podlan), and create the pods again",
                first.mtu
            ))
        }
        "peer-dead" => Condition::new(
            Kind::PeersDead,
            subject,
            match first.address {
                Some(address) => {
                    format!("nothing answers at {peers}: neither {} nor the node itself at {address}", first.probe)
                }
                None => format!("nothing answers at {peers}: neither {} nor the node itself", first.probe),
            },
        )
        .decided_by_a_person(format!(
            "see whether that node runs: ping {}; remove it from the list of nodes if it is gone for good",
            first.address.unwrap_or(first.probe)
        )),
        "port-closed-by-peer-firewall" => Condition::new(
            Kind::ProbePortClosed,
            subject,
            format!("a packet filter rejects the path probes (UDP port {port}) to {peers}"),
        )
        .decided_by_a_person(format!(
            "allow UDP port {port} from the pod CIDRs and from the nodes there, or add --probe=off to the arguments of every \
             agent (in Kubernetes: args of the DaemonSet podlan)"
        )),
        _ => return None,
    })
}

fn shown(family: &str) -> &'static str {
    if family == "ipv6" { "IPv6" } else { "IPv4" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(node: &str, state: &str) -> PathLine {
        PathLine {
            node: node.to_owned(),
            family: "ipv4".to_owned(),
            state: state.to_owned(),
            text: "text".to_owned(),
            since: 1,
            probe: [10, 244, 2, 1].into(),
            address: Some([172, 31, 0, 2].into()),
            seen_as: (state == "translated").then(|| [172, 31, 0, 1].into()),
            rtt_micros: None,
            largest: Some(1400),
            mtu: 1500,
        }
    }

    #[test]
    fn each_kind_of_loss_is_one_condition_that_names_the_peers() {
        let words =
            ["lost-there", "lost-back", "lost", "translated", "too-big", "peer-dead", "port-closed-by-peer-firewall"];
        for word in words {
            let paths =
                Paths { worst: vec![line("n2", word), line("n3", word), line("n4", "not-probed")], ..Paths::default() };
            let found = super::conditions(&paths);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].wrong.contains("n2, n3") && !found[0].wrong.contains("n4"), "{found:?}");
            // A second agent would not start beside the first.
            assert!(found[0].cure.len() > 20 && !found[0].cure.contains("podlan-node run"), "{found:?}");
        }
        let translated = super::conditions(&Paths { worst: vec![line("n2", "translated")], ..Paths::default() });
        assert!(translated[0].wrong.contains("172.31.0.1"));
    }

    #[test]
    fn what_cannot_be_probed_is_no_condition() {
        let paths = Paths { worst: vec![line("n2", "not-probed")], ..Paths::default() };
        assert_eq!(super::conditions(&paths), []);
    }
}
