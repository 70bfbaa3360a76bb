//! The leases of all nodes, and addresses that two nodes have leased. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use inspect::leases::Line;
use inspect::table::table;
use serde::Serialize;
use state::ago::shown;

use crate::cluster::{Answers, Head, code};

/// The leases of all nodes.
#[derive(Debug, Serialize)]
pub(crate) struct Leases<'a> {
    #[serde(flatten)]
    head: Head,
    /// Every store could be read, and no address is leased twice.
    ok: bool,
    /// Sorted by node, network and address.
    leases: Vec<Lease<'a>>,
    /// Addresses of one network that several nodes have leased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    twice: Vec<Twice<'a>>,
    /// Stores that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<Unread<'a>>,
}

#[derive(Debug, Serialize)]
struct Lease<'a> {
    node: &'a str,
    #[serde(flatten)]
    line: &'a Line,
}

#[derive(Debug, Serialize)]
struct Twice<'a> {
    network: &'a str,
    address: &'a str,
    nodes: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Unread<'a> {
    node: &'a str,
    why: &'a str,
}

/// The report, by the answers.
pub(crate) fn leases(answers: &Answers<Vec<Line>>) -> Leases<'_> {
    let mut leases = Vec::new();
    let mut owners: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (node, answer) in answers.given() {
        let mut own: Vec<&Line> = answer.value.iter().collect();
        own.sort_by_key(|line| (&line.network, line.address.parse::<IpAddr>().ok(), &line.container_id, &line.ifname));
        for line in own {
            let owners = owners.entry((&line.network, &line.address)).or_default();
            if line.state != "gone" && !owners.contains(&node) {
                owners.push(node);
            }
            leases.push(Lease { node, line });
        }
    }
    let twice = owners.into_iter().filter(|(_, nodes)| nodes.len() > 1);
    let twice = twice.map(|((network, address), nodes)| Twice { network, address, nodes }).collect();
    let unread = answers.given().filter_map(|(node, answer)| Some(Unread { node, why: answer.complaint.as_ref()? }));
    let mut all = Leases { head: answers.head(), ok: false, leases, twice, unread: unread.collect() };
    all.ok = all.code() == 0;
    all
}

impl Leases<'_> {
    /// The exit code: 1: an address is leased on several nodes; 2: a node could not be asked or a store not read; 0: neither.
    pub(crate) fn code(&self) -> u8 {
        code(!self.twice.is_empty(), self.head.is_incomplete() || !self.unread.is_empty())
    }

    /// The leases for people.
    pub(crate) fn text(&self) -> String {
        let mut text = self.head.text();
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for lease in &self.leases {
            *states.entry(&lease.line.state).or_default() += 1;
        }
        let states: Vec<String> = states.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
        text += &format!("leases    {}\n", if states.is_empty() { "none".to_owned() } else { states.join(", ") });
        for Twice { network, address, nodes } in &self.twice {
            text += &format!("WRONG     {address} of the network {network} is leased on {}\n", nodes.join(", "));
        }
        text.extend(self.unread.iter().map(|unread| format!("unknown   {}: {}\n", unread.node, unread.why)));
        let rows: Vec<[String; 7]> = self.leases.iter().map(Lease::row).collect();
        if !rows.is_empty() {
            text += &format!("\n{}", table(["NODE", "NETWORK", "ADDRESS", "STATE", "AGE", "POD", "CONTAINER"], &rows));
        }
        text
    }
}

impl Lease<'_> {
    fn row(&self) -> [String; 7] {
        let line = self.line;
        [
            self.node.to_owned(),
            line.network.clone(),
            line.address.clone(),
            line.state.clone().into_owned(),
            line.age_seconds.map_or_else(|| "old boot".to_owned(), shown),
            line.pod.clone(),
            line.container_id.chars().take(13).collect(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::answers;

    fn line(address: &str, state: &'static str) -> Line {
        Line {
            network: "podnet".into(),
            address: address.into(),
            container_id: "0123456789abcdef".into(),
            ifname: "eth0".into(),
            pod: "default/web".into(),
            host_link: "podl1".into(),
            netns: "/run/netns/x".into(),
            age_seconds: Some(90),
            state: state.into(),
        }
    }

    #[test]
    fn leases_are_sorted_by_node_and_address_and_counted_by_state() {
        let all = answers([
            ("node1", Ok(vec![line("10.244.1.10", "live"), line("fd00::2", "live"), line("10.244.1.9", "gone")])),
            ("node2", Ok(vec![])),
        ]);
        let leases = leases(&all);
        assert_eq!(leases.code(), 0);
        let text = leases.text();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("node1")).collect();
        assert!(rows[0].contains(" 10.244.1.9 ") && rows[1].contains(" 10.244.1.10 ") && rows[2].contains("fd00::2"));
        assert!(
            text.contains("leases    1 gone, 2 live\n") && rows[0].ends_with("1m30s  default/web  0123456789abc"),
            "{text}"
        );
    }

    #[test]
    fn an_address_that_two_nodes_have_leased_is_wrong_unless_one_of_them_is_gone() {
        let with = |state| {
            answers([("node1", Ok(vec![line("10.244.1.2", "live")])), ("node2", Ok(vec![line("10.244.1.2", state)]))])
        };
        assert_eq!([leases(&with("gone")).code(), leases(&with("live")).code()], [0, 1]);
        let text = leases(&with("live")).text();
        assert!(text.contains("WRONG     10.244.1.2 of the network podnet is leased on node1, node2\n"), "{text}");
    }

    #[test]
    fn a_store_that_could_not_be_read_is_named() {
        let mut all = answers([("node1", Ok(vec![]))]);
        all.nodes[0].1.as_mut().unwrap().complaint = Some("failed to read podnet: broken".into());
        assert_eq!(leases(&all).code(), 2);
        assert!(leases(&all).text().contains("unknown   node1: failed to read podnet: broken\n"));
    }
}
