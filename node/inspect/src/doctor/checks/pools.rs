//! Do the addresses that this node leases belong to it alone?

use std::net::IpAddr;

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;
use install::pools::{self, Pool};
use routes::overlap;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let files = facts.configurations()?;
    let mut problems = Vec::new();
    let pools: Vec<(&str, Pool)> =
        files.iter().flat_map(|file| file.pools().into_iter().map(|pool| (file.network(), pool))).collect();
    for (index, (network, pool)) in pools.iter().enumerate() {
        let twin = pools[..index].iter().find(|(other, them)| other != network && overlap(them.subnet, pool.subnet));
        if let Some((other, theirs)) = twin {
            problems.push(
                Condition::new(
                    Kind::PoolShared,
                    *network,
                    format!(
                        "the networks {other} ({}, {}) and {network} ({}, {}) share addresses",
                        theirs.file, theirs.subnet, pool.file, pool.subnet
                    ),
                )
                .decided_by_a_person("give each network a subnet of its own"),
            );
        }
    }
    if let Some(said) = facts.said()? {
        let former: Vec<_> = said.verdicts.iter().filter(|line| line.verdict == "draining").collect();
        let drains = |address: &IpAddr| {
            former.iter().any(|line| line.cidr.parse().is_ok_and(|cidr: ipnetwork::IpNetwork| cidr.contains(*address)))
        };
        let leased: Vec<IpAddr> = facts
            .leases()?
            .all
            .iter()
            .map(|(_, lease, _)| lease.address.ip())
            .filter(|address| !drains(address))
            .collect();
        let subnets: Vec<Pool> = pools.iter().map(|(_, pool)| pool.clone()).collect();
        let dangers = pools::judge(&subnets, &leased, &facts.own_cidrs(), said.others());
        problems.extend(dangers.grave.into_iter().chain(dangers.slight).map(|danger| {
            // The pool or address, which is one condition each.
            let subject = danger.split(" lies").next().unwrap_or_default().trim_start_matches("the ").to_owned();
            Condition::new(Kind::PoolOutside, subject, danger)
                .because(
                    "addresses are unique in the cluster only while each node leases from its own pod CIDRs; other \
                     nodes have no route to these",
                )
                .decided_by_a_person(
                    "set the pool in that file to one of this node's own CIDRs (podlan-node status), and create \
                     those pods again",
                )
        }));
    }
    Ok(Finding::of(problems, "every pool belongs to this node alone"))
}
