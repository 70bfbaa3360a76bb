//! A pod with host ports, and the questions that the tests ask.

use std::net::IpAddr;
use std::time::Duration;

use podlan_conformance::host_ports::{records, table};
use podlan_conformance::lab::{Error, Node, PORT, Place, eventually};
use podlan_conformance::traffic::{Answer, Protocol, Target, probe};
use serde_json::{Value, json};

/// The deadline for a fact on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Nothing is left of any host port: no record, no element.
pub(crate) fn is_empty(node: &Node, when: &str) -> Result<(), Error> {
    let (records, table) = (records(node), table(node)?);
    if records.is_empty() && !table.contains("elements") {
        return Ok(());
    }
    Err(Error::Unreadable { from: format!("{}, {when},", node.name()), said: format!("{records:?}\n{table}") })
}

/// The node's network with these mappings.
pub(crate) fn with_ports(node: &Node, mappings: &Value) -> Value {
    let mut config = node.podnet();
    config["runtimeConfig"] = json!({ "portMappings": mappings });
    config
}

/// A mapping to the lab's server.
pub(crate) fn mapping(protocol: &str, host_port: u16) -> Value {
    json!({ "hostPort": host_port, "containerPort": PORT, "protocol": protocol })
}

/// The address at which the server behind a port saw a client that asks from here.
pub(crate) fn seen(from: &Place, protocol: Protocol, address: IpAddr, port: u16) -> Result<IpAddr, Error> {
    let report = from.enter(|| probe(Target { protocol, address }, port, None))?;
    match report.answer {
        Answer::Saw(seen) => Ok(seen),
        Answer::Silent(_) => {
            Err(Error::Unreadable { from: format!("{}, asking port {port}", from.name()), said: report.to_string() })
        }
    }
}

/// Nobody answers there.
pub(crate) fn is_closed(from: &Place, protocol: Protocol, address: IpAddr, port: u16) -> Result<(), Error> {
    match seen(from, protocol, address, port) {
        Ok(seen) => Err(Error::Unreadable { from: format!("{address} port {port}"), said: format!("saw {seen}") }),
        Err(_) => Ok(()),
    }
}

/// Somebody answers there before long.
pub(crate) fn opens(from: &Place, protocol: Protocol, address: IpAddr, port: u16) -> Result<(), Error> {
    eventually(SOON, &format!("{address} port {port} answers"), || {
        seen(from, protocol, address, port).map(drop).map_err(|error| error.to_string())
    })
}
