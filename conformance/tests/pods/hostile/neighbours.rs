//! The claims of a pod about neighbours, in ARP and in neighbour discovery: those about itself count, those about
//! others do not, and the node's table does not grow by them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink::{Hold, Link, Neighbour, Socket};
use podlan_conformance::lab::{Error, Lab, Place, eventually, within};
use smoltcp::wire::{ArpOperation, EthernetAddress, Icmpv6Repr, NdiscNeighborFlags, NdiscRepr};

use super::frames::{self, Ends};
use super::rig::{Rig, SOON};

const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// A MAC without an owner.
const OTHER: EthernetAddress = EthernetAddress([2, 0xba, 0xd0, 0, 0, 1]);

/// The number of senders of a flood: less than the table's first threshold, which the whole machine shares.
const FLOOD: u16 = 100;

/// Claims in every way that `v4` and `v6` are at `mac`.
fn claims(ends: Ends, v4: Ipv4Addr, v6: Ipv6Addr, mac: EthernetAddress) -> Vec<Vec<u8>> {
    let override_it = NdiscNeighborFlags::OVERRIDE | NdiscNeighborFlags::SOLICITED;
    let advert = |flags| NdiscRepr::NeighborAdvert { flags, target_addr: v6, lladdr: Some(mac.into()) };
    let solicit = NdiscRepr::NeighborSolicit { target_addr: GATEWAY_V6, lladdr: Some(mac.into()) };
    vec![
        frames::arp(ends, ArpOperation::Reply, mac, v4, GATEWAY_V4),
        frames::arp(ends, ArpOperation::Reply, mac, v4, v4),
        frames::arp(ends, ArpOperation::Request, mac, v4, v4),
        frames::arp(ends, ArpOperation::Request, mac, v4, GATEWAY_V4),
        frames::ndisc(ends, v6, GATEWAY_V6, advert(override_it)),
        frames::ndisc(ends, v6, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), advert(NdiscNeighborFlags::OVERRIDE)),
        frames::ndisc(ends, v6, GATEWAY_V6, solicit),
    ]
}

/// The MAC in a place's neighbour entry.
fn known(place: &Place, link: &str, address: IpAddr) -> Result<Option<EthernetAddress>, Error> {
    let listed = place.enter(|| -> Result<_, String> {
        let mut socket = Socket::open().map_err(|error| error.to_string())?;
        let device = Link::index(&socket, link).ok().flatten().ok_or_else(|| format!("no {link}"))?;
        let entry = Neighbour { address, mac: [0; 6], device, hold: Hold::Learned };
        let answer = socket.get(entry.get()).map_err(|error| error.to_string())?;
        Ok(answer.ok().as_ref().and_then(Neighbour::from_message))
    })?;
    let found = listed.map_err(|said| Error::Unreadable { from: "the kernel".into(), said })?;
    Ok(found.map(|entry| EthernetAddress(entry.mac)))
}

/// Waits until a place has this MAC for a neighbour.
fn becomes(place: &Place, link: &str, address: IpAddr, mac: EthernetAddress) -> Result<(), Error> {
    eventually(SOON, &format!("{} has {mac} for {address}", place.name()), || {
        match known(place, link, address).map_err(|error| error.to_string())? {
            Some(there) if there == mac => Ok(()),
            there => Err(format!("{there:?}")),
        }
    })
}

#[test]
fn a_pod_changes_neighbour_entries_of_its_own_addresses_only() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let (thief, victim) = (&rig.thief, &rig.victim);
        let _agent = rig.agent()?;
        let at = node.place();
        // The same frames change the thief's own entries on its own link: they are valid, and received.
        thief.sends(&claims(thief.ends, thief.v4, thief.v6, OTHER))?;
        for own in thief.added.ips() {
            becomes(at, &thief.link, own, OTHER)?;
        }
        thief.sends(&claims(thief.ends, thief.v4, thief.v6, thief.ends.own))?;
        for own in thief.added.ips() {
            becomes(at, &thief.link, own, thief.ends.own)?;
        }
        for (v4, v6) in [(victim.v4, victim.v6), (rig.target.v4, rig.target.v6), (GATEWAY_V4, GATEWAY_V6)] {
            thief.sends(&claims(thief.ends, v4, v6, thief.ends.own))?;
        }
        // Later frames have arrived: so have these.
        thief.sends(&claims(thief.ends, thief.v4, thief.v6, OTHER))?;
        becomes(at, &thief.link, thief.v6.into(), OTHER)?;
        thief.sends(&claims(thief.ends, thief.v4, thief.v6, thief.ends.own))?;
        becomes(at, &thief.link, thief.v6.into(), thief.ends.own)?;
        for address in victim.added.ips() {
            assert_eq!(known(at, &thief.link, address)?, None, "{address} on the thief's link");
            // The kernel drops the entry when the carrier is lost for a moment, and resolves it again when needed.
            let there = known(at, &victim.link, address)?;
            assert!(there.is_none_or(|mac| mac == victim.ends.own), "{address} on its own: {there:?}");
        }
        rig.all_is_well()
    });
}

/// Frames that do reach a pod, as on a bridge or from a faulty node.
#[test]
fn a_pod_ignores_claims_of_its_gateways_address_because_its_own_entry_is_permanent() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let victim = &rig.victim;
        let from_outside = Ends { own: OTHER, far: victim.ends.own };
        let claim = || {
            let frames = claims(from_outside, GATEWAY_V4, GATEWAY_V6, OTHER);
            frames::send(node.place(), &victim.link, &frames)
        };
        claim()?;
        rig.all_is_well()?;
        let pod = victim.pod.place();
        for gateway in [GATEWAY_V4.into(), IpAddr::from(GATEWAY_V6)] {
            assert_eq!(known(pod, "eth0", gateway)?, Some(victim.ends.far), "{gateway}");
            let gateway = gateway.to_string();
            let mac = victim.ends.far.to_string().replace('-', ":");
            let stale = ["neigh", "replace", &gateway, "lladdr", &mac, "dev", "eth0", "nud", "stale"];
            victim.pod.command("ip").args(stale).succeeds()?;
        }
        claim()?;
        for gateway in [GATEWAY_V4.into(), IpAddr::from(GATEWAY_V6)] {
            becomes(pod, "eth0", gateway, OTHER)?;
        }
        Ok(())
    });
}

#[test]
fn forged_arp_senders_create_no_neighbour_entries_on_the_node() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let thief = &rig.thief;
        // As on Ubuntu, where any source with some route is accepted.
        rig.set("/proc/sys/net/ipv4/conf/all/rp_filter", "2")?;
        let flood = || {
            let sender = |number: u16| Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 31, 0, 50)) + u32::from(number));
            let ask =
                |number| frames::arp(thief.ends, ArpOperation::Request, thief.ends.own, sender(number), GATEWAY_V4);
            thief.sends(&(0..FLOOD).map(ask).collect::<Vec<_>>())?;
            thief.sends(&claims(thief.ends, thief.v4, thief.v6, OTHER))?;
            becomes(node.place(), &thief.link, thief.v6.into(), OTHER)?;
            thief.sends(&claims(thief.ends, thief.v4, thief.v6, thief.ends.own))?;
            becomes(node.place(), &thief.link, thief.v6.into(), thief.ends.own)
        };
        let count =
            || rig.neighbours(&thief.link).map(|all| all.iter().filter(|line| line.contains("172.31.")).count());
        flood()?;
        assert_eq!(count()?, 0);
        rig.set(&format!("/proc/sys/net/ipv4/conf/{}/arp_filter", thief.link), "0")?;
        flood()?;
        assert_eq!(count()?, usize::from(FLOOD), "without arp_filter every one of them is");
        Ok(())
    });
}

#[test]
fn forged_link_local_senders_create_no_neighbour_entries_on_the_node() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let thief = &rig.thief;
        let _agent = rig.agent()?;
        let flood = || {
            let mut all = Vec::new();
            for number in 0..FLOOD {
                let sender = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 7, number);
                let solicit =
                    NdiscRepr::NeighborSolicit { target_addr: GATEWAY_V6, lladdr: Some(thief.ends.own.into()) };
                let echo = Icmpv6Repr::EchoRequest { ident: 1, seq_no: number, data: b"who" };
                all.push(frames::ndisc(thief.ends, sender, GATEWAY_V6, solicit));
                all.push(frames::icmpv6(thief.ends, sender, GATEWAY_V6, &echo));
            }
            thief.sends(&all)?;
            thief.sends(&claims(thief.ends, thief.v4, thief.v6, OTHER))?;
            becomes(node.place(), &thief.link, thief.v6.into(), OTHER)?;
            thief.sends(&claims(thief.ends, thief.v4, thief.v6, thief.ends.own))?;
            becomes(node.place(), &thief.link, thief.v6.into(), thief.ends.own)
        };
        let count =
            || rig.neighbours(&thief.link).map(|all| all.iter().filter(|line| line.starts_with("fe80::7:")).count());
        flood()?;
        assert_eq!(count()?, 0);
        node.command("ip").args(["-6", "route", "add", "fe80::/64", "dev", &thief.link]).succeeds()?;
        flood()?;
        assert_eq!(count()?, usize::from(FLOOD), "with a route to all link-local addresses every one of them is");
        Ok(())
    });
}
