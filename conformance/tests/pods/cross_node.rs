//! Pods of two nodes, and the nodes, reach each other at their own addresses over plain routes.
//!
//! ```text
//!   node1 172.31.0.1 ──────┬────── node2 172.31.0.2
//!     └── web 10.244.1.x  lan        └── db 10.244.2.y
//!         agent                          agent
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, eventually, within};

/// Waits until the agent of `node` has routes to the pods of `other`, in both families.
fn knows_the_way(node: &Node, other: &Node) -> Result<(), Error> {
    let fact = format!("{} has routes to the pods of {}", node.name(), other.name());
    eventually(Duration::from_secs(10), &fact, || {
        let network = node.network().map_err(|error| error.to_string())?;
        let known =
            |cidr: &ipnetwork::IpNetwork| !network.lines(&["route", "unicast", &cidr.to_string(), "via"]).is_empty();
        if other.pod_cidrs().iter().all(known) { Ok(()) } else { Err(network.to_string()) }
    })
}

#[test]
fn a_pod_reaches_a_pod_of_another_node_and_is_seen_at_its_own_address() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _agents = [one.agent(&[])?, two.agent(&[])?];
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let (at_web, at_db) = (web.add(&one.podnet())?, db.add(&two.podnet())?);
        let _servers = [web.serve()?, db.serve()?];
        knows_the_way(one, two)?;
        knows_the_way(two, one)?;
        web.reaches(&at_web, &at_db.ips())?;
        db.reaches(&at_db, &at_web.ips())
    });
}

#[test]
fn a_pod_and_another_node_see_each_other_at_their_own_addresses() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _agents = [one.agent(&[])?, two.agent(&[])?];
        let web = one.pod("web")?;
        let at_web = web.add(&one.podnet())?;
        let _servers = [web.serve()?, two.serve()?];
        knows_the_way(two, one)?;
        web.reaches(&at_web, &two.ips())?;
        two.reaches(&at_web.ips())
    });
}

#[test]
fn a_packet_of_full_size_crosses_without_being_cut() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let web = one.pod("web")?;
        web.add(&one.podnet())?;
        // No overlay: the pod's link carries what the LAN carries.
        let mtu = |lines: Vec<&str>| {
            lines[0].split(" mtu ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned)
        };
        let (pod, node) = (web.network()?, two.network()?);
        assert_eq!(mtu(pod.lines(&["link", "eth0"])), mtu(node.lines(&["link", "eth0"])));
        Ok(())
    });
}
