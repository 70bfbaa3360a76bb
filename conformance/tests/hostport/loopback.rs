//! The node's loopback: `route_localnet`, which a host port at 127.0.0.1 needs, is set on the links of such pods alone, and
//! opens nothing to them.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use podlan_conformance::host_ports::table;
use podlan_conformance::lab::{Added, Error, Lab, Node, Pod, within};
use serde_json::json;

use crate::rig::{mapping, with_ports};

fn localnet(node: &Node, added: &Added) -> Result<String, Error> {
    let link = added.result["interfaces"][0]["name"].as_str().unwrap_or_default();
    node.sysctl(&format!("/proc/sys/net/ipv4/conf/{link}/route_localnet"))
}

#[test]
fn only_the_links_of_pods_with_an_ipv4_host_port_route_the_loopback_net() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let (plain, web, six) = (one.pod("plain")?, one.pod("web")?, one.pod("six")?);
        assert_eq!(localnet(one, &plain.add(&one.podnet())?)?, "0");
        assert!(!table(one)?.contains("chain"), "no table for a pod without host ports");
        assert_eq!(localnet(one, &web.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?)?, "1");
        let v6 = json!([{"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": "::"}]);
        assert_eq!(localnet(one, &six.add(&with_ports(one, &v6))?)?, "0");
        for all in ["all", "default", "eth0", "lo"] {
            assert_eq!(one.sysctl(&format!("/proc/sys/net/ipv4/conf/{all}/route_localnet"))?, "0", "{all}");
        }
        Ok(())
    });
}

/// What a server of the node at 127.0.0.2 receives from a pod that sends there, and a server of the node at its own address
/// from a pod that sends as 127.0.0.1.
fn received(node: &Node, pod: &Pod<'_>) -> Result<Vec<String>, Error> {
    let io = |source| Error::System { doing: "send to the node's loopback".into(), source };
    let bind = |address: Ipv4Addr| -> Result<UdpSocket, Error> {
        let socket = node.place().enter(|| UdpSocket::bind((address, 9009)))?.map_err(io)?;
        socket.set_read_timeout(Some(Duration::from_millis(300))).map_err(io)?;
        Ok(socket)
    };
    let (loopback, own) = (bind(Ipv4Addr::new(127, 0, 0, 2))?, bind(Ipv4Addr::new(172, 31, 0, 1))?);
    pod.place()
        .enter(|| -> std::io::Result<()> {
            fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1")?;
            let honest = UdpSocket::bind("0.0.0.0:0")?;
            honest.send_to(b"honest", "172.31.0.1:9009")?;
            honest.send_to(b"to the loopback", "127.0.0.2:9009")?;
            let forged = UdpSocket::bind("127.0.0.1:0")?;
            forged.send_to(b"as the loopback", "172.31.0.1:9009").map(drop)
        })?
        .map_err(io)?;
    let mut all = Vec::new();
    for socket in [&loopback, &own] {
        let mut buffer = [0; 64];
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
    Ok(all)
}

#[test]
fn a_pod_with_a_host_port_neither_reaches_the_nodes_loopback_nor_speaks_for_it_without_an_agent() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        let web = one.pod("web")?;
        web.add(&with_ports(one, &json!([mapping("tcp", 8080)])))?;
        // What the kernel has against it is switched off.
        for key in ["rp_filter", "accept_local"] {
            let value = if key == "rp_filter" { "2" } else { "1" };
            one.shell(&format!("echo {value} > /proc/sys/net/ipv4/conf/all/{key}"))?;
        }
        // The pod's own loopback would take what it sends there.
        let away =
            "ip route del local 127.0.0.0/8 dev lo table local; ip route add 127.0.0.0/8 via 169.254.1.1 dev eth0";
        web.command("sh").args(["-c", away]).succeeds()?;
        let said = received(one, &web)?;
        assert_eq!(said, ["honest"], "with the rule");
        one.shell("nft flush chain inet podlan-hostport loopback")?;
        let said = received(one, &web)?;
        assert!(said.len() == 3, "nothing else stops it, so that the test is one: {said:?}");
        Ok(())
    });
}
