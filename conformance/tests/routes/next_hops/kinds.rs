//! Each kind of routed network by name, with packets: pods that reach each other through routers without an agent do so
//! with one.
//!
//! ```text
//!   node1 ──┐              ┌── node2        node1 and node2 cannot speak on the LAN but to the router (port isolation)
//!    web    ├── node3 ─────┤    db          10.244.0.0/16 leads to the router, which has routes to both pod subnets
//!           │   (router)   │
//! ```

use podlan_conformance::agent::is_ready;
use podlan_conformance::lab::{Added, Error, Lab, Node, Pod, eventually, within};
use serde_json::json;

use super::SOON;

/// A test for each kind. The script is for node1 and node2: `$me` and `$other` are their addresses, `$ll` is the
/// router's link-local one. After it come addresses that both nodes have in the list, before their own, and whether a
/// route can take the same path where the operator states that routers have the pod subnets.
macro_rules! kinds {
    ($($kind:ident: $script:expr, $also:expr, $followed:expr;)*) => {
        $(#[test]
        fn $kind() {
            within(|| passes($script, $also, $followed));
        })*
    };
}

kinds! {
    an_ipv6_next_hop_as_of_bgp_unnumbered: "ip addr del $me/24 dev eth0; ip addr add $me/32 dev lo
               ip route add 172.31.0.0/24 via inet6 $ll dev eth0; ip route add 10.244.0.0/16 via inet6 $ll dev eth0", &[], true;
    a_gateway_on_link_by_its_flag: "ip addr del $me/24 dev eth0; ip addr add $me/32 dev eth0; ip route add default via 172.31.0.3 dev eth0 onlink", &[], true;
    an_address_without_its_subnets_route: "ip addr del $me/24 dev eth0; ip addr add $me/24 dev eth0 noprefixroute
               ip route add 172.31.0.3 dev eth0 scope link; ip route add default via 172.31.0.3 dev eth0", &[], true;
    a_host_route_to_the_neighbour_by_the_router: "ip route add $other/32 via 172.31.0.3 dev eth0; ip route add 10.244.0.0/16 via 172.31.0.3 dev eth0", &[], true;
    several_next_hops: "ip link add m0 type veth peer name m1; ip link set m0 up; ip link set m1 up
               ip route add $other/32 nexthop dev eth0 nexthop dev m0; ip route add 10.244.0.0/16 via 172.31.0.3 dev eth0", &[], false;
    a_policy_rule_for_what_goes_to_the_nodes: "ip route add 172.31.0.0/24 via 172.31.0.3 dev eth0 onlink table 100; ip rule add to $other lookup 100 pref 50
               ip route add 10.244.0.0/16 via 172.31.0.3 dev eth0", &[], true;
    a_blackhole_for_the_nodes_address: "ip route add blackhole $other/32; ip route add 10.244.0.0/16 via 172.31.0.3 dev eth0", &[], false;
    a_nexthop_object_that_the_kernel_only_names: "echo 0 > /proc/sys/net/ipv4/nexthop_compat_mode; ip nexthop add id 7 via 172.31.0.3 dev eth0
               ip route add $other/32 nhid 7; ip route add 10.244.0.0/16 nhid 7", &[], true;
    an_address_that_both_nodes_have_and_list_first: "ip addr add 192.0.2.50/32 dev lo; ip route add $other/32 via 172.31.0.3 dev eth0
               ip route add 10.244.0.0/16 via 172.31.0.3 dev eth0", &["192.0.2.50"], true;
}

fn link_local(node: &Node) -> Result<String, Error> {
    eventually(SOON, "the router has a link-local address", || {
        let script = "ip -6 -o addr show dev eth0 scope link -tentative | sed 's/.*inet6 //; s,/.*,,'";
        match node.shell(script).map_err(|error| error.to_string())?.trim() {
            "" => Err("none".to_owned()),
            address => Ok(address.to_owned()),
        }
    })
}

fn isolate(ports: [&Node; 2]) {
    for port in ports {
        let isolated = ["link", "set", "dev", port.name(), "type", "bridge_slave", "isolated", "on"];
        let done = std::process::Command::new("ip").args(isolated).status();
        assert!(done.is_ok_and(|status| status.success()), "isolate {}", port.name());
    }
}

fn arrange(kind: &str, node: &Node, other: &Node, router: &Node) -> Result<(), Error> {
    let ll = link_local(router)?;
    let (me, it) = (node.v4(), other.v4());
    node.shell(&format!("set -e; me={me}; other={it}; ll={ll}\n{kind}"))?;
    let (mine, pods) = (link_local(node)?, &node.pod_cidrs()[0]);
    // The path back, whatever addresses the node's link has.
    let back = format!(
        "ip route replace {me}/32 via inet6 {mine} dev eth0; ip route replace {pods} via inet6 {mine} dev eth0"
    );
    router.shell(&back).map(drop)
}

fn v4_pod<'a>(node: &'a Node, name: &str) -> Result<(Pod<'a>, Added), Error> {
    let mut config = node.podnet();
    config["ipam"]["ranges"] = json!([config["ipam"]["ranges"][0]]);
    let pod = node.pod(name)?;
    let added = pod.add(&config)?;
    Ok((pod, added))
}

fn passes(kind: &str, also: &[&str], followed: bool) -> Result<(), Error> {
    let lab = Lab::new(3)?;
    let [one, two, router] = lab.these();
    isolate([one, two]);
    router.shell("echo 1 > /proc/sys/net/ipv4/ip_forward; for l in all eth0; do echo 0 > /proc/sys/net/ipv4/conf/$l/send_redirects; done",
    )?;
    arrange(kind, one, two, router)?;
    arrange(kind, two, one, router)?;
    let items = [one, two].map(|node| {
        let mut item = node.as_kubernetes();
        let own = item["status"]["addresses"].as_array().cloned().unwrap_or_default();
        let also = also.iter().map(|address| json!({ "type": "InternalIP", "address": address }));
        item["status"]["addresses"] = also.chain(own).collect();
        item
    });
    lab.write_nodes(&json!({ "kind": "NodeList", "items": items }).to_string())?;
    let ((web, at_web), (db, at_db)) = (v4_pod(one, "web")?, v4_pod(two, "db")?);
    let _servers = [web.serve()?, db.serve()?];
    let pass = || {
        let there = web.reaches(&at_web, &at_db.ips());
        there.and_then(|()| db.reaches(&at_db, &at_web.ips())).map_err(|error| error.to_string())
    };
    eventually(SOON, "pods pass without an agent", pass)?;
    for arguments in [&[][..], &["--by-routers"]] {
        let agents = [one.agent(arguments)?, two.agent(arguments)?];
        for (node, agent) in [one, two].into_iter().zip(&agents) {
            eventually(SOON, "the agent is ready", || is_ready(node, agent.id()))?;
        }
        pass().map_err(|said| Error::Unreadable {
            from: format!("the pods, with agents ({arguments:?})"),
            said: format!(
                "{said}\n{}\n{}",
                agents[0].stderr(),
                one.network().map(|all| all.to_string()).unwrap_or_default()
            ),
        })?;
        let [_, two_pods] = [one, two].map(|node| node.pod_cidrs()[0]);
        let ours = one.shell(&format!("ip route show {two_pods} proto 110"))?;
        assert_eq!(
            !ours.is_empty(),
            followed && !arguments.is_empty(),
            "{arguments:?}: {ours:?} {}",
            agents[0].stderr()
        );
        for agent in agents {
            agent.stop(SOON)?;
        }
    }
    Ok(())
}
