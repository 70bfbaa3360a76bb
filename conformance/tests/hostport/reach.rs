//! Who reaches a pod by its node's port, and whom the pod sees.
//!
//! ```text
//!   node1 (agent)                  node2 (agent)
//!     ├── web  8080 -> 7777          └── far
//!     └── near
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlan_conformance::agent::has_routes_to;
use podlan_conformance::host_ports::table;
use podlan_conformance::lab::{Lab, PORT, within};
use podlan_conformance::traffic::Protocol::{Tcp, Udp};
use serde_json::json;

use crate::rig::{is_closed, is_empty, mapping, seen, with_ports};

/// H-110, S-181.
#[test]
fn a_host_port_reaches_the_pod_from_everywhere_and_the_pod_sees_who_called() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let _agents = [one.agent(&[])?, two.agent(&[])?];
        has_routes_to(one, two)?;
        has_routes_to(two, one)?;
        let (web, near, far) = (one.pod("web")?, one.pod("near")?, two.pod("far")?);
        let at = |protocol: &str, port: u16, ip: IpAddr| json!({"hostPort": port, "containerPort": PORT, "protocol": protocol, "hostIP": ip.to_string()});
        let config = with_ports(
            one,
            &json!([
                mapping("tcp", 8080),
                mapping("UDP", 8080),
                at("tcp", 8081, one.v4()),
                at("tcp", 8082, one.v6()),
                at("tcp", 8083, Ipv4Addr::UNSPECIFIED.into()),
                at("tcp", 8084, two.v4()),
            ]),
        );
        let added = web.add(&config)?;
        let (at_near, at_far) = (near.add(&one.podnet())?, far.add(&two.podnet())?);
        web.check(&config, &added)?;
        let _server = web.serve()?;
        for protocol in [Tcp, Udp] {
            for (node, family) in [(one.v4(), 0), (one.v6(), 1)] {
                let asks = |place, port| seen(place, protocol, node, port);
                assert_eq!(asks(two.place(), 8080)?, two.ips()[family], "another node");
                assert_eq!(asks(far.place(), 8080)?, at_far.ips()[family], "a pod of another node");
                assert_eq!(asks(near.place(), 8080)?, at_near.ips()[family], "a pod of the same node");
                assert_eq!(asks(one.place(), 8080)?, one.ips()[family], "the node itself");
                assert_eq!(asks(web.place(), 8080)?, one.ips()[family], "the pod itself, by its node");
            }
            assert_eq!(seen(one.place(), protocol, Ipv4Addr::LOCALHOST.into(), 8080)?, one.v4(), "the node's loopback");
            is_closed(one.place(), protocol, Ipv6Addr::LOCALHOST.into(), 8080)?;
        }
        // Only at the address that the mapping names.
        assert_eq!(seen(two.place(), Tcp, one.v4(), 8081)?, two.v4());
        is_closed(two.place(), Tcp, one.v6(), 8081)?;
        is_closed(one.place(), Tcp, Ipv4Addr::LOCALHOST.into(), 8081)?;
        assert_eq!(seen(two.place(), Tcp, one.v6(), 8082)?, two.v6());
        is_closed(two.place(), Tcp, one.v4(), 8082)?;
        assert_eq!(seen(two.place(), Tcp, one.v4(), 8083)?, two.v4());
        is_closed(two.place(), Tcp, one.v6(), 8083)?;
        is_closed(two.place(), Tcp, one.v4(), 8084)?;
        // Only what is for the node: an address of another host is passed on.
        is_closed(one.place(), Tcp, two.v4(), 8080)?;
        is_closed(near.place(), Tcp, two.v4(), 8080)?;

        web.del(&config)?;
        for (protocol, node) in [(Tcp, one.v4()), (Tcp, one.v6()), (Udp, one.v4())] {
            is_closed(two.place(), protocol, node, 8080)?;
        }
        is_empty(one, "after DEL")?;
        web.del(&config)
    });
}

#[test]
fn check_finds_what_is_missing_and_del_needs_neither_the_table_nor_the_ports() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let web = one.pod("web")?;
        let config = with_ports(one, &json!([mapping("tcp", 8080)]));
        let mut added = web.add(&config)?;
        web.check(&config, &added)?;
        for (broken, said) in [
            ("flush chain inet podlan-hostport output", "lacks its rules"),
            ("flush map inet podlan-hostport any4", "host port tcp 0.0.0.0:8080 does not lead to"),
            ("flush set inet podlan-hostport hairpin6", "host port tcp [::]:8080 does not lead to"),
            ("delete table inet podlan-hostport", "lacks its rules"),
        ] {
            one.shell(&format!("nft {broken}"))?;
            let mut checked = config.clone();
            checked["prevResult"] = added.result.clone();
            let complaint = web.cni("CHECK", "eth0", &checked)?.fails()?.complaint()?;
            assert!(complaint.code == 105 && complaint.text.contains(said), "{broken}: {complaint:?}");
            web.del(&one.podnet())?;
            is_empty(one, broken)?;
            web.del(&one.podnet())?;
            added = web.add(&config)?;
            web.check(&config, &added)?;
        }
        web.del(&one.podnet())?;
        is_empty(one, "after the last DEL")
    });
}

/// S-099: GC removes the host ports of what is not listed, and leaves those of what is.
#[test]
fn gc_removes_the_host_ports_of_what_is_not_listed() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (web, gone) = (one.pod("web")?, one.pod("gone")?);
        web.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?;
        gone.add(&with_ports(one, &json!([mapping("tcp", 8081)])))?;
        let _server = web.serve()?;
        let gc = |valid| {
            let mut config = one.podnet();
            config["cniVersion"] = json!("1.1.0");
            config["cni.dev/valid-attachments"] = valid;
            web.cni("GC", "", &config)?.without_env("CNI_CONTAINERID").without_env("CNI_NETNS").succeeds()
        };
        gc(json!([{"containerID": "web", "ifname": "eth0"}]))?;
        assert!(!table(one)?.contains("8081"), "{}", table(one)?);
        seen(one.place(), Tcp, one.v4(), 8080)?;
        gc(json!([]))?;
        is_empty(one, "after GC")
    });
}

/// As with portmap: a server of the node does not keep its port from a pod. It is reached where no pod can be: at ::1.
#[test]
fn a_server_of_the_node_loses_its_port_to_a_pod_but_at_the_ipv6_loopback() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let web = one.pod("web")?;
        let _server = one.place().serve(8080)?;
        let everywhere = [one.v4(), one.v6()];
        for address in everywhere {
            seen(two.place(), Tcp, address, 8080)?;
        }
        web.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?;
        for address in everywhere {
            is_closed(two.place(), Tcp, address, 8080)?;
        }
        let loopback = Ipv6Addr::LOCALHOST.into();
        assert_eq!(seen(one.place(), Tcp, loopback, 8080)?, loopback);
        web.del(&one.podnet())?;
        for address in everywhere {
            seen(two.place(), Tcp, address, 8080)?;
        }
        Ok(())
    });
}
