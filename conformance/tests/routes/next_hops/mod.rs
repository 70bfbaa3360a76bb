//! The next hops of podlan's routes: those by which the kernel reaches the peer's address, or none. Generated nodes,
//! and the kinds by name.

mod generated;
mod kinds;
mod law;
mod storm;

use std::time::Duration;

use podlan_conformance::cluster;
use podlan_conformance::lab::{Error, Lab, Node, Running, eventually, within};

use generated::{Dice, arrange, happen, peers};
use law::{Peer, holds};

const SOON: Duration = Duration::from_secs(20);

/// A list of the lab's nodes and of peers that need not exist.
fn list(lab: &Lab, peers: &[Peer]) -> Result<(), Error> {
    let real = lab.nodes().iter().map(Node::as_kubernetes);
    cluster::list(lab, &real.chain(peers.iter().map(Peer::as_kubernetes)).collect::<Vec<_>>())
}

/// Waits until the law holds, for as long as the agent may take.
fn soon_holds(node: &Node, peers: &[Peer], by_routers: bool, agent: &Running, case: &str) -> Result<(), Error> {
    eventually(SOON, &format!("the law holds on {}: {case}", node.name()), || {
        holds(node, peers, by_routers).map_err(|wrong| format!("{wrong}\n{}", agent.stderr()))
    })
}

/// ```text
///   node1 … node6, each with links, addresses, routes, rules and nexthop objects of its own dice:
///     a0 ── a1, b0 ── b1, c0 ── c1 (veth pairs within the node), eth0 on the LAN, an address on lo
/// ```
#[test]
fn a_route_to_a_peers_pods_uses_the_kernels_next_hop_to_the_peer_or_a_verdict_gives_the_reason() {
    within(|| {
        let seed = std::env::var("PODLAN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        println!("seed {seed} (PODLAN_SEED)");
        let lab = Lab::new(6)?;
        let mut dice = Dice::new(seed);
        let peers = peers(&mut dice);
        list(&lab, &peers)?;
        let mut agents = Vec::new();
        for (index, node) in lab.nodes().iter().enumerate() {
            let script = arrange(&mut dice);
            node.shell(&script)?;
            let by_routers = index % 2 == 1;
            // The kernel's answers before podlan has any route.
            let before = law::answers(node, &peers)?;
            let agent = node.agent(if by_routers { &["--by-routers"] } else { &[] })?;
            soon_holds(node, &peers, by_routers, &agent, &script)?;
            assert_eq!(law::answers(node, &peers)?, before, "podlan's routes change none of the answers: {script}");
            agents.push((node, by_routers, agent));
        }
        for _ in 0..4 {
            for (node, by_routers, agent) in &agents {
                let script = happen(&mut dice);
                node.shell(&script)?;
                soon_holds(node, &peers, *by_routers, agent, &script)?;
            }
        }
        Ok(())
    });
}
