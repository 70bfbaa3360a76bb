//! The extensions of iptables that are known: whether one matches the first packet of a connection between pods. Pure.

use super::{NEW, Packet, Protocol};

/// Whether it matches; `None` where that is not known.
pub(super) fn matches(packet: &Packet, mark: Option<u32>, name: &str, parameters: &[u8]) -> Option<bool> {
    let half = |at: usize| parameters.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
    let whole = |at: usize| parameters.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    match name {
        "comment" => Some(true),
        // linux/netfilter/xt_conntrack.h, `xt_conntrack_mtinfo3`: match_flags, invert_flags, state_mask.
        "conntrack" => match (half(146)?, half(148)?) {
            (1, 0) => Some(u32::from(half(150)?) & NEW != 0),
            (1, 1) => Some(u32::from(half(150)?) & NEW == 0),
            _ => None,
        },
        "state" => Some(whole(0)? & NEW != 0),
        // linux/netfilter/xt_mark.h, `xt_mark_mtinfo1`: mark, mask, invert.
        "mark" => Some((mark? & whole(4)? == whole(0)?) != (*parameters.get(8)? != 0)),
        "addrtype" => address_type(half(0)?, half(2)?, parameters),
        // linux/netfilter/xt_tcpudp.h: spts, dpts; of TCP option, flg_mask, flg_cmp, invflags; of UDP invflags.
        "tcp" => ports(packet, Protocol::Tcp, parameters.get(..8)?, *parameters.get(11)?, *parameters.get(8)? == 0),
        "udp" => ports(packet, Protocol::Udp, parameters.get(..8)?, *parameters.get(8)?, true),
        "multiport" => multiport(packet, parameters),
        _ => None,
    }
}

/// linux/netfilter/xt_addrtype.h: the types of source and destination; `xt_addrtype_info_v1` has flags, the older one has two
/// words for the inversions. Pods' addresses are unicast (`1 << RTN_UNICAST`).
fn address_type(source: u16, destination: u16, parameters: &[u8]) -> Option<bool> {
    const UNICAST: u16 = 2;
    let word = |at: usize| parameters.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let flags = word(4)?;
    let inverted = match word(8) {
        Some(of_destination) => [flags != 0, of_destination != 0],
        None => [flags & 1 != 0, flags & 2 != 0],
    };
    let matches = |types: u16, inverted: bool| types == 0 || (types & UNICAST != 0) != inverted;
    Some(matches(source, inverted[0]) && matches(destination, inverted[1]))
}

fn ports(packet: &Packet, protocol: Protocol, ranges: &[u8], inverted: u8, plain: bool) -> Option<bool> {
    if packet.transport.protocol != protocol {
        return Some(false);
    }
    let half = |at: usize| ranges.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
    let (sources, destinations) = ((half(0)?, half(2)?), (half(4)?, half(6)?));
    let every = (0, u16::MAX);
    let by_destination = match (destinations, packet.transport.port) {
        (all, _) if all == every && inverted & 2 == 0 => Some(true),
        ((from, to), Some(port)) => Some((from..=to).contains(&port) != (inverted & 2 != 0)),
        (_, None) => None,
    };
    match by_destination {
        Some(false) => Some(false),
        // Flags of TCP and source ports are not followed.
        Some(true) if sources == every && inverted & !2 == 0 && plain => Some(true),
        _ => None,
    }
}

/// linux/netfilter/xt_multiport.h, `xt_multiport_v1`: flags (1: destination), count, 15 ports, 15 marks of ranges, invert.
fn multiport(packet: &Packet, parameters: &[u8]) -> Option<bool> {
    let (count, port) = (usize::from(*parameters.get(1)?), packet.transport.port?);
    if *parameters.first()? != 1 {
        return None;
    }
    let at = |index: usize| parameters.get(2 + 2 * index..4 + 2 * index)?.try_into().ok().map(u16::from_ne_bytes);
    let (mut found, mut index) = (false, 0);
    while index < count {
        let from = at(index)?;
        let is_range = *parameters.get(32 + index)? != 0;
        let to = if is_range { at(index + 1)? } else { from };
        found |= (from..=to).contains(&port);
        index += if is_range { 2 } else { 1 };
    }
    Some(found != (*parameters.get(47)? != 0))
}
