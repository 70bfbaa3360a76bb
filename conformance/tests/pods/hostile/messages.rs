//! Messages that would change the node's configuration: router advertisements, redirects, and packets for servers that
//! listen on the node's loopback only.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, eventually, within};
use smoltcp::time;
use smoltcp::wire::{
    ArpOperation, IpProtocol, NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr, NdiscRouterFlags,
};

use super::frames;
use super::rig::{Attached, PORT, Receiver, Rig, SOON, set};

const EVERY_NODE: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A router advertisement by the thief: a default route by it, and a prefix for addresses.
fn advertisement(thief: &Attached<'_>) -> Vec<u8> {
    let prefix = NdiscPrefixInformation {
        prefix_len: 64,
        flags: NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF,
        valid_lifetime: time::Duration::from_secs(600),
        preferred_lifetime: time::Duration::from_secs(600),
        prefix: Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0),
    };
    let advert = NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: time::Duration::from_secs(600),
        reachable_time: time::Duration::ZERO,
        retrans_time: time::Duration::ZERO,
        lladdr: Some(thief.ends.own.into()),
        mtu: None,
        prefix_info: Some(prefix),
    };
    frames::ndisc(thief.ends, thief.link_local(), EVERY_NODE, advert)
}

#[test]
fn a_router_advertisement_of_a_pod_is_ignored_even_where_the_node_takes_them_by_default() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        // As on a node whose own default route is learned in this way, and which forwards.
        set(node, "/proc/sys/net/ipv6/conf/default/accept_ra", "2")?;
        let rig = Rig::new(node)?;
        let thief = &rig.thief;
        let learned = || -> Result<String, Error> {
            node.command("ip").args(["-6", "route", "show", "proto", "ra", "dev", &thief.link]).succeeds()
        };
        thief.sends(&[advertisement(thief)])?;
        rig.all_is_well()?;
        assert_eq!(learned()?, "");
        rig.set(&format!("/proc/sys/net/ipv6/conf/{}/accept_ra", thief.link), "2")?;
        eventually(SOON, "the same frame makes a default route where it is accepted", || {
            thief.sends(&[advertisement(thief)]).map_err(|error| error.to_string())?;
            match learned().map_err(|error| error.to_string())? {
                routes if routes.contains("default via fe80::") => Ok(()),
                routes => Err(routes),
            }
        })
    });
}

/// The thief is a router for a subnet behind it, and redirects the node to the victim's address as a better one.
#[test]
fn a_redirect_of_a_pod_is_ignored_in_both_families() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let (thief, victim) = (&rig.thief, &rig.victim);
        let behind: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(10, 99, 0, 1), Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1));
        let local = thief.link_local();
        for (subnet, by) in [("10.99.0.0/16", thief.v4.to_string()), ("fd99::/64", local.to_string())] {
            node.command("ip").args(["route", "add", subnet, "via", &by, "dev", &thief.link, "onlink"]).succeeds()?;
        }
        let redirects = || -> Result<(), Error> {
            // A redirect quotes the packet that it is about: an echo reply of the node, for which no socket is needed.
            let quoted = frames::ipv4(thief.ends, node_v4(), behind.0, IpProtocol::Icmp, &[0; 8]);
            let v4 = frames::redirect_v4(thief.ends, thief.v4, node_v4(), victim.v4, frames::packet_of(&quoted));
            // Where it is accepted, the node resolves the new gateway.
            let here =
                frames::arp(thief.ends, ArpOperation::Reply, thief.ends.own, victim.v4, Ipv4Addr::new(169, 254, 1, 1));
            let message = NdiscRepr::Redirect {
                target_addr: victim.link_local(),
                dest_addr: behind.1,
                lladdr: Some(thief.ends.own.into()),
                redirected_hdr: None,
            };
            let v6 = frames::ndisc(thief.ends, local, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), message);
            // A redirect applies only to a route in use.
            for to in [behind.0.to_string(), behind.1.to_string()] {
                node.command("ip").args(["route", "get", &to]).succeeds()?;
            }
            thief.sends(&[v4.clone(), here, v4, v6])
        };
        let gateway =
            |to: String| -> Result<String, Error> { node.command("ip").args(["route", "get", &to]).succeeds() };
        redirects()?;
        rig.all_is_well()?;
        assert!(!gateway(behind.0.to_string())?.contains(&victim.v4.to_string()));
        assert!(!gateway(behind.1.to_string())?.contains(&victim.link_local().to_string()));
        let link = &thief.link;
        for (path, value) in [
            ("ipv4/conf/all/accept_redirects".to_owned(), "1"),
            (format!("ipv4/conf/{link}/accept_redirects"), "1"),
            (format!("ipv4/conf/{link}/secure_redirects"), "0"),
            (format!("ipv6/conf/{link}/forwarding"), "0"),
            (format!("ipv6/conf/{link}/accept_redirects"), "1"),
        ] {
            rig.set(&format!("/proc/sys/net/{path}"), value)?;
        }
        for (to, by) in
            [(behind.0.to_string(), victim.v4.to_string()), (behind.1.to_string(), victim.link_local().to_string())]
        {
            eventually(SOON, &format!("the same frames lead {to} elsewhere where they are accepted"), || {
                redirects().map_err(|error| error.to_string())?;
                thread::sleep(Duration::from_millis(20));
                let said = gateway(to.clone()).map_err(|error| error.to_string())?;
                if said.contains(&by) { Ok(()) } else { Err(said) }
            })?;
        }
        Ok(())
    });
}

fn node_v4() -> Ipv4Addr {
    Ipv4Addr::new(172, 31, 0, 1)
}

/// portmap, chained after podlan, accepts packets for 127.0.0.1 from the pod's link (`route_localnet`), for hostPorts
/// on localhost; kube-proxy does so for all links.
#[test]
fn pods_do_not_reach_servers_on_the_nodes_loopback_even_where_a_host_port_set_route_localnet() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let thief = &rig.thief;
        rig.set(&format!("/proc/sys/net/ipv4/conf/{}/route_localnet", thief.link), "1")?;
        let received = |agent: &str| -> Result<Vec<String>, Error> {
            let loopback = Receiver::at(node.place(), Ipv4Addr::LOCALHOST.into())?;
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
            thief.sends(&[frames::udp(thief.ends, SocketAddr::from((thief.v4, 4444)), to, agent)])?;
            rig.all_is_well()?;
            node.place()
                .enter(|| std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"end", to)))?
                .map_err(|source| Error::System { doing: "end it".into(), source })?;
            loopback.receives()
        };
        assert_eq!(received("without")?, ["without"], "nothing else stops it");
        let _agent = rig.agent()?;
        assert_eq!(received("with")?, Vec::<String>::new());
        Ok(())
    });
}
