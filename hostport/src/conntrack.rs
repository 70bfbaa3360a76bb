//! UDP connections that connection tracking knows from before a mapping came or went: it translates their packets as it did
//! the first one, so that a client that goes on sending reaches a pod that is gone, or never the new one. They are deleted, as
//! portmap does. Nothing depends on it: an error is none.
//!
//! ctnetlink is spoken over the netfilter wire (linux/netfilter/nfnetlink_conntrack.h). The kernel filters the dump by
//! protocol and port (Linux 5.8 and later).

use std::net::IpAddr;

use cni::Transport;
use netlink::wire::{Attribute, Attributes, Protocol, Wire, write};
use netlink::{Family, Lookup, Route, RouteKind, Socket};

use crate::forward::Forward;

/// `NFNL_SUBSYS_CTNETLINK`, `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
/// `struct nfgenmsg`, bytes.
const GENERIC: usize = 4;
/// `RTN_LOCAL`.
const LOCAL: u8 = 2;
/// Deletions in one datagram.
const BATCH: usize = 64;

/// A tracked connection.
struct Entry {
    /// Whither its first packet was sent.
    destination: IpAddr,
    /// Who answers it.
    answers: IpAddr,
    /// The attributes that name it.
    name: Vec<Attribute>,
}

/// Deletes the connections to the ports at addresses of the node: they were made before the mapping.
pub(crate) fn forget_node(host: &mut Socket, forwards: &[Forward]) {
    let mut known: Vec<(IpAddr, bool)> = Vec::new();
    each(forwards, |forward, entry| {
        let wanted = forward.is_everywhere() || forward.at.ip() == entry.destination;
        let is_local = match known.iter().find(|(address, _)| *address == entry.destination) {
            Some((_, is_local)) => *is_local,
            None => {
                let route = Route::ask(host, Lookup::Packet, entry.destination);
                let is_local =
                    route.is_ok_and(|route| route.is_some_and(|route| route.kind == RouteKind::Other(LOCAL)));
                known.push((entry.destination, is_local));
                is_local
            }
        };
        wanted && is_local && entry.answers != forward.to.ip()
    });
}

/// Deletes the connections that the ports led to the pod.
pub(crate) fn forget_pod(forwards: &[Forward]) {
    each(forwards, |forward, entry| entry.answers == forward.to.ip());
}

/// Deletes the connections to UDP ports that `is_stale` says are.
fn each(forwards: &[Forward], mut is_stale: impl FnMut(&Forward, &Entry) -> bool) {
    let mut udp = forwards.iter().filter(|forward| forward.protocol == Transport::Udp).peekable();
    if udp.peek().is_none() {
        return;
    }
    let Ok(mut wire) = Wire::open(Protocol::Netfilter) else { return };
    for forward in udp {
        let Some(entries) = dump(&mut wire, forward) else { return };
        let stale: Vec<&Entry> = entries.iter().filter(|entry| is_stale(forward, entry)).collect();
        for some in stale.chunks(BATCH) {
            let mut datagram = Vec::new();
            for entry in some {
                let sequence = wire.next_sequence();
                write(&mut datagram, DELETE, REQUEST, sequence, &generic(forward.family()), &entry.name);
            }
            // The kernel answers only what it refuses: an entry that ended meanwhile.
            if wire.send(&datagram).is_err() {
                return;
            }
        }
    }
}

/// The connections of UDP to the forward's port.
fn dump(wire: &mut Wire, forward: &Forward) -> Option<Vec<Entry>> {
    let family = forward.family();
    // CTA_TUPLE_ORIG 1 {CTA_TUPLE_PROTO 2 {CTA_PROTO_NUM 1, CTA_PROTO_DST_PORT 3}}; CTA_FILTER 25 {CTA_FILTER_ORIG_FLAGS 1:
    // the protocol's number 8, the destination port 32}.
    let port = [Attribute::bytes(1, &[forward.protocol as u8]), Attribute::bytes(3, &forward.at.port().to_be_bytes())];
    let filter =
        [Attribute::nested(1, &[Attribute::nested(2, &port)]), Attribute::nested(25, &[Attribute::u32(1, 8 | 32)])];
    let request = |sequence, datagram: &mut Vec<u8>| {
        write(datagram, GET, REQUEST | DUMP, sequence, &generic(family), &filter);
    };
    let dumped = wire.dump(request, |message| Ok::<_, ()>(read(message.attributes(GENERIC), forward)));
    dumped.ok().map(|dumped| dumped.objects)
}

/// CTA_TUPLE_ORIG 1, _REPLY 2 {CTA_TUPLE_IP 1 {CTA_IP_V4_SRC 1, _V4_DST 2, _V6_SRC 3, _V6_DST 4}, CTA_TUPLE_PROTO 2
/// {CTA_PROTO_NUM 1, _DST_PORT 3}}, CTA_ID 12, CTA_ZONE 18.
fn read(entry: Attributes<'_>, forward: &Forward) -> Option<Entry> {
    let address = |tuple: Attributes<'_>, kinds: [u16; 2]| {
        let ip = tuple.inside(1);
        kinds.into_iter().find_map(|kind| ip_of(ip.find(kind)?))
    };
    let (original, reply) = (entry.inside(1), entry.inside(2));
    let port = original.inside(2);
    // A kernel that does not filter sends everything.
    let is_of_forward =
        port.find(1) == Some(&[forward.protocol as u8]) && port.find(3) == Some(&forward.at.port().to_be_bytes());
    let mut name = vec![Attribute::bytes(1 | NESTED, entry.find(1)?)];
    name.extend([12, 18].into_iter().filter_map(|kind| Some(Attribute::bytes(kind, entry.find(kind)?))));
    let entry = Entry { destination: address(original, [2, 4])?, answers: address(reply, [1, 3])?, name };
    is_of_forward.then_some(entry)
}

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn generic(family: Family) -> [u8; GENERIC] {
    [family.number(), 0, 0, 0]
}
