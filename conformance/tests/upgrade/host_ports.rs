//! Host ports, of podlan or of portmap: whom they lead to, and portmap's rules.

use std::net::IpAddr;

use podlan_conformance::lab::{Error, Node, PORT, Place, eventually};
use podlan_conformance::traffic::{Answer, Protocol, Target, probe};
use serde_json::{Value, json};

use crate::build::SOON;

/// `portMappings` of one TCP port that leads to a port of the pod.
pub(crate) fn mapping(host_port: u16, container_port: u16) -> Value {
    json!([{ "hostPort": host_port, "containerPort": container_port, "protocol": "tcp" }])
}

/// The same, to the lab's server.
pub(crate) fn to_server(host_port: u16) -> Value {
    mapping(host_port, PORT)
}

fn answer(from: &Place, address: IpAddr, port: u16) -> Result<IpAddr, String> {
    let report = from.enter(|| probe(Target { protocol: Protocol::Tcp, address }, port, None));
    match report.map_err(|error| error.to_string())?.answer {
        Answer::Saw(seen) => Ok(seen),
        Answer::Silent(why) => Err(format!("{address} port {port}: {why}")),
    }
}

/// Every address of the node leads by this port to a server that sees the caller's own address.
pub(crate) fn answers(from: &Node, to: &Node, port: u16) -> Result<(), Error> {
    for (address, own) in to.ips().into_iter().zip(from.ips()) {
        eventually(SOON, &format!("{address} port {port} answers"), || match answer(from.place(), address, port)? {
            seen if seen == own => Ok(()),
            seen => Err(format!("it saw {seen}")),
        })?;
    }
    Ok(())
}

/// No address of the node answers by this port.
pub(crate) fn is_closed(from: &Node, to: &Node, port: u16) {
    for address in to.ips() {
        let answer = answer(from.place(), address, port);
        assert!(answer.is_err(), "{address} port {port} saw {answer:?}");
    }
}

/// Whether portmap's rules, of either of its ways to lay them, name this container.
pub(crate) fn portmap_knows(node: &Node, container: &str) -> Result<bool, Error> {
    let rules = node.shell(
        "iptables-save -t nat; ip6tables-save -t nat; nft list table ip cni_hostport; nft list table ip6 cni_hostport; true",
    )?;
    Ok([format!("\"{container}\""), format!("\"{container}\\\"")].iter().any(|name| rules.contains(name)))
}
