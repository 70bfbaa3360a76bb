//! Traffic between two pods, on one node and across two, in each family: podlan, the reference plugins and a bare veth
//! pair with the same routes (the floor). All take turns in short slices of one flow, so that they share the same
//! conditions.

mod flow;

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use podlan_conformance::lab::{Lab, Node, Place};

use crate::Failure;
use crate::contender::{self, Contender, EACH, Families, Subnets, Verb};
use crate::figures::Figures;
use crate::tools::Tools;

const DUAL: Families = EACH[2];

/// The places of the pods of a flow.
const WAYS: [&str; 2] = ["same node", "across nodes"];

pub(crate) fn run(tools: &Tools, quick: bool, figures: &mut Figures) -> Result<(), Failure> {
    let (rounds, slice) = if quick { (9, Duration::from_millis(100)) } else { (30, Duration::from_millis(150)) };
    let there = contender::timed(tools, DUAL, Subnets::of(0)?).len();
    let lab = Lab::new(u8::try_from(2 * there)?)?;
    let mut paths = Vec::new();
    for (at, nodes) in lab.nodes().chunks(2).enumerate() {
        let [near, far] = nodes else { continue };
        let at = u8::try_from(at)?;
        let subnets = [Subnets::of(100 + 2 * at)?, Subnets::of(101 + 2 * at)?];
        let contender = |subnets| contender::timed(tools, DUAL, subnets).swap_remove(at.into());
        let (here, there) = (contender(subnets[0]), contender(subnets[1]));
        for (node, other, beyond) in [(near, far, subnets[1]), (far, near, subnets[0])] {
            forward(node, other, beyond)?;
        }
        let client = Host::new(&here, near, subnets[0], 0)?;
        let servers = [Host::new(&here, near, subnets[0], 1)?, Host::new(&there, far, subnets[1], 0)?];
        paths.extend(WAYS.into_iter().zip(servers).map(|(way, server)| Path {
            label: here.label.clone(),
            way,
            client: client.clone(),
            server,
        }));
    }
    for round in 0..rounds {
        for way in WAYS {
            let mut those: Vec<&Path> = paths.iter().filter(|path| path.way == way).collect();
            let count = those.len();
            those.rotate_left(round % count);
            for (at, family) in ["v4", "v6"].into_iter().enumerate() {
                for flow in flow::ALL {
                    for Path { label, client, server, .. } in &those {
                        let to = server.addresses[at];
                        for (what, unit, value) in flow.measure(&client.place, &server.place, to, slice)? {
                            figures.add("datapath", &format!("{what}, {family}, {way}"), label, unit, value);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// The two ends of a flow, and the contender of their links.
struct Path {
    label: String,
    way: &'static str,
    client: Host,
    server: Host,
}

/// Switches forwarding on, the same for all contenders, and adds a route to the other node's pods.
fn forward(node: &Node, other: &Node, beyond: Subnets) -> Result<(), Failure> {
    node.place().enter(|| -> std::io::Result<()> {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
    })??;
    for (to, via) in [(beyond.v4.to_string(), other.v4()), (beyond.v6.to_string(), other.v6())] {
        node.command("ip").args(["route", "add", &to, "via", &via.to_string()]).succeeds()?;
    }
    Ok(())
}

/// A pod that a contender has attached, with its addresses of IPv4 and IPv6.
#[derive(Clone)]
struct Host {
    place: Place,
    addresses: [IpAddr; 2],
}

impl Host {
    fn new(contender: &Contender, node: &Node, subnets: Subnets, number: usize) -> Result<Self, Failure> {
        let pod = node.pod(&format!("host{number}"))?;
        node.place().enter(|| contender.call(Verb::Add, number, pod.netns()))??;
        let state = pod.network()?;
        let find = |subnet: IpNetwork| -> Result<IpAddr, Failure> {
            let words = state.lines(&["address"]).into_iter().flat_map(|line| line.split(' '));
            let mut addresses = words.filter_map(|word| Some(word.parse::<IpNetwork>().ok()?.ip()));
            let found = addresses.find(|address| subnet.contains(*address));
            found.ok_or_else(|| format!("no address of {subnet} in {state}").into())
        };
        let addresses = [find(subnets.v4.into())?, find(subnets.v6.into())?];
        Ok(Self { place: pod.place().clone(), addresses })
    }
}
