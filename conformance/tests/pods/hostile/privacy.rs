//! What a pod receives of others' traffic, and what is left of it after DEL.

use std::net::{SocketAddr, UdpSocket};

use podlan_conformance::lab::{Error, Lab, eventually, within};
use smoltcp::wire::ArpOperation;

use super::frames;
use super::rig::{Attached, PORT, Receiver, Rig, SOON};

/// Whether any frame holds the text.
fn holds(frames: &[Vec<u8>], text: &str) -> bool {
    frames.iter().any(|frame| frame.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn sends_text(from: &Attached<'_>, to: &Attached<'_>, text: &str) -> Result<(), Error> {
    for v6 in [false, true] {
        let receiver = Receiver::at(to.pod.place(), to.ip(v6))?;
        let to = SocketAddr::new(to.ip(v6), PORT);
        let speak = |text: &str| frames::udp(from.ends, SocketAddr::new(from.ip(v6), 4444), to, text);
        from.sends(&[speak(text), speak("end")])?;
        assert_eq!(receiver.receives()?, [text]);
    }
    Ok(())
}

#[test]
fn a_pod_receives_no_traffic_between_other_pods_whatever_addresses_it_claims() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let (thief, victim, target) = (&rig.thief, &rig.victim, &rig.target);
        let received = frames::capture(thief.pod.place(), "eth0", || {
            thief.pod.command("ip").args(["link", "set", "eth0", "promisc", "on"]).succeeds()?;
            for other in [victim, target] {
                let claim = frames::arp(thief.ends, ArpOperation::Reply, thief.ends.own, other.v4, other.v4);
                thief.sends(&[claim.clone(), claim])?;
                thief
                    .pod
                    .command("ip")
                    .args(["address", "add", &format!("{}/32", other.v4), "dev", "eth0"])
                    .succeeds()?;
                let also = format!("{}/128", other.v6);
                thief.pod.command("ip").args(["address", "add", &also, "dev", "eth0", "nodad"]).succeeds()?;
            }
            sends_text(victim, target, "a secret")?;
            sends_text(target, victim, "a secret")?;
            // The capture works: it receives what is sent to the thief.
            let to = SocketAddr::new(thief.v4.into(), PORT);
            let sent = node.place().enter(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"for the thief", to))?;
            sent.map(drop).map_err(|source| Error::System { doing: "send".into(), source })
        })?;
        assert!(holds(&received, "for the thief"));
        assert!(!holds(&received, "a secret"));
        Ok(())
    });
}

#[test]
fn a_pod_that_lives_on_after_del_has_lost_its_address_and_the_next_owner_has_it() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        let _agent = rig.agent()?;
        let (former, target) = (&rig.thief, &rig.target);
        let mut tight = node.podnet();
        tight["name"] = serde_json::json!("tight");
        tight["ipam"]["ranges"] = serde_json::json!([[{ "subnet": "10.244.1.252/30" }]]);
        let first = former.pod.add_as("eth1", &tight)?;
        former.pod.del_as("eth1", &tight)?;
        // What it can still do: give the address to another of its links.
        let taken = format!("{}/32", first.v4()?);
        former.pod.command("ip").args(["address", "add", &taken, "dev", "eth0"]).succeeds()?;
        let next = node.pod("next")?;
        let owner = next.add(&tight)?;
        assert_eq!(owner.v4()?, first.v4()?, "there is only one");
        let _server = next.serve()?;
        eventually(SOON, "the next owner answers", || {
            target
                .pod
                .reaches(&target.added, &[owner.v4().map_err(|error| error.to_string())?])
                .map_err(|error| error.to_string())
        })?;
        let receiver = Receiver::at(target.pod.place(), target.v4.into())?;
        let to = SocketAddr::new(target.v4.into(), PORT);
        let from = |ip| SocketAddr::new(ip, 4444);
        former.sends(&[
            frames::udp(former.ends, from(first.v4()?), to, "of the former owner"),
            frames::udp(former.ends, from(former.v4.into()), to, "end"),
        ])?;
        assert_eq!(receiver.receives()?, Vec::<String>::new());
        next.reaches(&owner, &[node.v4()]).or_else(|_| {
            let _server = node.serve()?;
            next.reaches(&owner, &[node.v4()])
        })
    });
}
