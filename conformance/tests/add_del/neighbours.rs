//! The neighbour entries of both ends of a pod's link: CHECK names an entry that is missing, and a pod that answers no
//! ARP stays reachable, also when its MAC changes.
//!
//! ```text
//!   node1
//!     └── web
//! ```

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use netlink::{Known, Socket};
use nix::net::if_::if_nametoindex;
use podlan_conformance::lab::{Added, Error, Lab, Node, Place, Pod, eventually, within};

const SOON: Duration = Duration::from_secs(20);

fn link(added: &Added) -> &str {
    added.result["interfaces"][0]["name"].as_str().unwrap_or_default()
}

/// A place's neighbour entry.
fn known(place: &Place, link: &str, address: IpAddr) -> Result<Known, Error> {
    let known = place.enter(|| -> Result<Known, String> {
        let device = if_nametoindex(link).map_err(|error| error.to_string())?;
        let mut socket = Socket::open().map_err(|error| error.to_string())?;
        Known::ask(&mut socket, address, device).map_err(|error| error.to_string())
    })?;
    known.map_err(|said| Error::Unreadable { from: "the kernel".into(), said })
}

fn forget(place: &Place, run: impl Fn(&[&str]) -> Result<(), Error>, link: &str, address: IpAddr) -> Result<(), Error> {
    run(&["neigh", "del", &address.to_string(), "dev", link])?;
    assert_eq!(known(place, link, address)?, Known::Absent);
    Ok(())
}

fn on_node(node: &Node) -> impl Fn(&[&str]) -> Result<(), Error> {
    |words| node.command("ip").args(words).succeeds().map(drop)
}

fn in_pod(pod: &Pod<'_>) -> impl Fn(&[&str]) -> Result<(), Error> {
    |words| pod.command("ip").args(words).succeeds().map(drop)
}

/// CHECK finds a difference, and its text has these words.
fn is_drift(pod: &Pod<'_>, node: &Node, added: &Added, words: &str) -> Result<(), Error> {
    let mut config = node.podnet();
    config["prevResult"] = added.result.clone();
    let said = pod.cni("CHECK", "eth0", &config)?.run()?.complaint()?;
    assert!(said.code == 105 && said.text.contains(words), "{words:?} is missing in {said:?}");
    Ok(())
}

fn write(place: &Place, path: &str, value: &str) -> Result<(), Error> {
    let written = place.enter(|| fs::write(path, value))?;
    written.map_err(|source| Error::System { doing: format!("write {path} in {}", place.name()), source })
}

/// Makes the pod answer no ARP, as where it inherited that setting.
fn silence(pod: &Pod<'_>) -> Result<(), Error> {
    ["all", "default"]
        .iter()
        .try_for_each(|which| write(pod.place(), &format!("/proc/sys/net/ipv4/conf/{which}/arp_ignore"), "8"))
}

fn send(place: &Place, to: IpAddr) -> Result<(), Error> {
    let sent = place.enter(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"hello", (to, 7777)))?;
    sent.map(drop).map_err(|source| Error::System { doing: format!("send to {to}"), source })
}

#[test]
fn check_names_a_neighbour_that_either_end_has_lost() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let web = node.pod("web")?;
        let at_web = web.add(&node.podnet())?;
        web.check(&node.podnet(), &at_web)?;
        let server = web.serve()?;
        for ip in at_web.ips() {
            forget(node.place(), on_node(node), link(&at_web), ip)?;
            is_drift(&web, node, &at_web, &format!("node: the neighbour {ip} has no entry"))?;
            // The kernel resolves the neighbour when it needs it.
            node.reaches(&[ip])?;
            web.check(&node.podnet(), &at_web)?;
        }
        drop(server);
        for gateway in ["169.254.1.1", "fe80::1"] {
            let address: IpAddr = gateway.parse().unwrap_or(at_web.v4()?);
            forget(web.place(), in_pod(&web), "eth0", address)?;
            is_drift(&web, node, &at_web, &format!("pod: the neighbour {gateway} has no entry"))?;
        }
        web.del(&node.podnet())
    });
}

#[test]
fn check_names_a_pod_that_does_not_answer() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let web = node.pod("web")?;
        silence(&web)?;
        let at_web = web.add(&node.podnet())?;
        web.check(&node.podnet(), &at_web)?;
        // Only a missing entry is resolved again.
        let ip = at_web.v4()?;
        forget(node.place(), on_node(node), link(&at_web), ip)?;
        send(node.place(), ip)?;
        eventually(SOON, "the pod is silent", || match known(node.place(), link(&at_web), ip) {
            Ok(Known::Silent) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        is_drift(&web, node, &at_web, &format!("node: the neighbour {ip} does not answer"))
    });
}

/// The pod announces its MAC; for a pod that answers no ARP the node learns it in no other way.
#[test]
fn a_changed_mac_is_followed_also_where_the_pod_answers_no_arp() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (plain, silent) = (node.pod("plain")?, node.pod("silent")?);
        silence(&silent)?;
        for (number, pod) in [&plain, &silent].into_iter().enumerate() {
            let added = pod.add(&node.podnet())?;
            let _server = pod.serve()?;
            node.reaches(&added.ips())?;
            let mac = format!("02:00:00:00:00:a{number}");
            in_pod(pod)(&["link", "set", "eth0", "address", &mac])?;
            let octets = [2, 0, 0, 0, 0, 0xa0 + u8::try_from(number).unwrap_or_default()];
            for ip in added.ips() {
                eventually(SOON, "the node knows the new MAC", || match known(node.place(), link(&added), ip) {
                    Ok(Known::At(mac)) if mac == octets => Ok(()),
                    other => Err(format!("{other:?}")),
                })?;
            }
            node.reaches(&added.ips())?;
            // CHECK accepts it when the result has it, as tuning writes it there.
            let mut changed = added.clone();
            changed.result["interfaces"][1]["mac"] = mac.into();
            pod.check(&node.podnet(), &changed)?;
        }
        Ok(())
    });
}
