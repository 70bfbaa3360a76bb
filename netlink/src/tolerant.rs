//! Reads the kernel's objects tolerantly: of each, only the attributes that podlan looks at reach the library's decoder,
//! and text need not be UTF-8. Every other attribute is another program's or a newer kernel's, and is ignored.
//!
//! Owns the list of those attributes. An attribute that is to be read by a `from_message` must be named here.

use std::borrow::Cow;

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::packet_core::{DecodeError, NetlinkMessage, NetlinkPayload};

use crate::wire::{Attributes, HEADER, append, u16_at};

/// The kinds of `linux/rtnetlink.h` whose objects podlan reads: RTM_NEW and, one more, RTM_DEL.
const LINK: u16 = 16;
const ADDRESS: u16 = 20;
const ROUTE: u16 = 24;
const NEIGHBOUR: u16 = 28;
const RULE: u16 = 32;

const IFLA_INFO_KIND: u16 = 1;
const RTA_MULTIPATH: u16 = 9;

/// An attribute: its kind and its value.
type Attribute<'a> = (u16, &'a [u8]);

/// How the value of an attribute is handed to the decoder.
#[derive(Clone, Copy)]
enum Form {
    AsIs,
    /// What is no UTF-8 becomes U+FFFD.
    Text,
    /// `IFLA_LINKINFO`, of which the kind alone is read: what goes with a kind is as various as drivers are.
    LinkInfo,
}

/// An attribute that podlan looks at; `None` for all others.
fn form(object: u16, attribute: u16) -> Option<Form> {
    Some(match (object, attribute) {
        // IFLA_IFNAME, _QDISC, _IFALIAS; FRA_IIFNAME, _OIFNAME.
        (LINK, 3 | 6 | 20) | (RULE, 3 | 17) => Form::Text,
        (LINK, 18) => Form::LinkInfo,
        // IFLA_ADDRESS, _MTU, _LINK, _MASTER, _TXQLEN, _OPERSTATE, _GROUP, _CARRIER, _CARRIER_CHANGES, _LINK_NETNSID.
        (LINK, 1 | 4 | 5 | 10 | 13 | 16 | 27 | 33 | 35 | 37)
        // IFA_ADDRESS, _LOCAL, _CACHEINFO, _FLAGS, _PROTO.
        | (ADDRESS, 1 | 2 | 6 | 8 | 11)
        // RTA_DST, _SRC, _IIF, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _METRICS, _MULTIPATH, _TABLE, _MARK, _VIA, _PREF,
        // _ENCAP_TYPE, _EXPIRES, _NH_ID.
        | (ROUTE, 1..=9 | 15 | 16 | 18 | 20 | 21 | 23 | 30)
        // NDA_DST, _LLADDR, _CACHEINFO, _PROBES, _PROTOCOL, _FLAGS_EXT.
        | (NEIGHBOUR, 1..=4 | 12 | 15)
        // FRA_DST, _SRC, _GOTO, _PRIORITY, _FWMARK, _FLOW, _TABLE, _FWMASK, _L3MDEV, _UID_RANGE, _PROTOCOL, _IP_PROTO,
        // _SPORT_RANGE, _DPORT_RANGE, _DSCP.
        | (RULE, 1 | 2 | 4 | 6 | 10 | 11 | 13..=16 | 19..=26) => Form::AsIs,
        _ => return None,
    })
}

/// The object of a message that the kernel sent. A kind that podlan has no list for is the library's to read.
pub(crate) fn decode(message: &[u8]) -> Result<RouteNetlinkMessage, DecodeError> {
    let Some((object, fixed)) = u16_at(message, 4).and_then(object) else { return library(message) };
    let end = HEADER + fixed;
    let head = message.get(..end).ok_or_else(|| DecodeError::from("an object shorter than its header"))?;
    let wanted = || Attributes(&message[end..]).filter_map(|one| Some((one, form(object, one.0)?)));
    match library(&assembled(head, wanted())) {
        // Its index and its flags are in the header: a link that is there is never taken for one that is not.
        Err(_) if object == LINK => {
            library(&assembled(head, wanted().filter(|one| library(&assembled(head, [*one])).is_ok())))
        }
        // That there are several next hops is known all the same.
        Err(_) if object == ROUTE => library(&assembled(head, wanted().map(without_hops))),
        read => read,
    }
}

/// What kind of object a message has, and the length of the structure in front of its attributes, bytes.
fn object(kind: u16) -> Option<(u16, usize)> {
    // The third of each four asks, the fourth sets.
    let object = kind & !3;
    match (object, kind & 3) {
        (LINK, 0 | 1) => Some((object, 16)),
        (ADDRESS, 0 | 1) => Some((object, 8)),
        (ROUTE | NEIGHBOUR | RULE, 0 | 1) => Some((object, 12)),
        _ => None,
    }
}

fn without_hops(((kind, value), form): (Attribute<'_>, Form)) -> (Attribute<'_>, Form) {
    ((kind, if kind == RTA_MULTIPATH { &[] } else { value }), form)
}

/// A message of this head and these attributes.
fn assembled<'a>(head: &[u8], attributes: impl IntoIterator<Item = (Attribute<'a>, Form)>) -> Vec<u8> {
    let mut message = Vec::with_capacity(256);
    message.extend(head);
    for ((kind, value), form) in attributes {
        match form {
            Form::AsIs => append(&mut message, kind, value),
            Form::Text => append(&mut message, kind, lossy(value).as_bytes()),
            Form::LinkInfo => {
                let mut info = Vec::new();
                if let Some(kind) = Attributes(value).find(IFLA_INFO_KIND) {
                    append(&mut info, IFLA_INFO_KIND, lossy(kind).as_bytes());
                }
                append(&mut message, kind, &info);
            }
        }
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

fn lossy(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text)
}

fn library(message: &[u8]) -> Result<RouteNetlinkMessage, DecodeError> {
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message)?.payload {
        NetlinkPayload::InnerMessage(message) => Ok(message),
        _ => Err(DecodeError::from("a control message where an object was due")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sample as message;
    use crate::{Address, Link, Neighbour, Route, SourceRule};

    /// `struct ifinfomsg` of link 7, up.
    const SEVEN_UP: [u8; 16] = [0, 0, 1, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn text_of_a_link_that_is_no_utf8_is_read_and_foreign_attributes_say_nothing() {
        let odd = [
            (3, &b"eth\xff0\0"[..]),
            (20, b"caf\xe9\0"),
            // IFLA_STATS, IFLA_AF_SPEC, IFLA_PROP_LIST and one that no kernel has yet, each with an unexpected value.
            (7, b"x"),
            (26, &[9, 0, 2]),
            (52, &[0xff; 5]),
            (4000, &[]),
            (4, &1400u32.to_ne_bytes()),
            // A kind of link, and what goes with it as no driver writes it.
            (18, &[9, 0, 1, 0, b'v', b'e', b't', b'h', 0, 0, 0, 0, 5, 0, 2, 0, 1, 0, 0, 0]),
        ];
        let link = Link::from_message(&decode(&message(16, &SEVEN_UP, &odd)).unwrap()).unwrap();
        assert_eq!((link.index, link.name.as_str(), link.alias.as_str()), (7, "eth\u{fffd}0", "caf\u{fffd}"));
        assert_eq!((link.mtu, link.veth, link.up), (1400, true, true));
    }

    #[test]
    fn a_link_is_there_whatever_is_wrong_with_its_attributes() {
        let odd = [(4, &b"x"[..]), (27, &[1, 2]), (3, b"eth0\0"), (18, b"zz")];
        let link = Link::from_message(&decode(&message(17, &SEVEN_UP, &odd)).unwrap()).unwrap();
        assert_eq!((link.index, link.name.as_str(), link.mtu), (7, "eth0", 0));
    }

    #[test]
    fn foreign_attributes_of_every_object_say_nothing() {
        let odd: (u16, &[u8]) = (700, &[1]);
        let ten = [10u8, 0, 0, 9];
        let address = message(20, &[2, 24, 0, 0, 7, 0, 0, 0], &[odd, (2, &ten), (3, b"\xff\0"), (7, b"x")]);
        let address = Address::from_message(&decode(&address).unwrap()).unwrap();
        assert_eq!(address.address.to_string(), "10.0.0.9/24");
        // An unknown encapsulation.
        let route = [2, 32, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        let device: &[u8] = &7u32.to_ne_bytes();
        let read = decode(&message(24, &route, &[(22, &[7]), odd, (1, &ten), (4, device), (12, b"x")])).unwrap();
        assert_eq!(Route::from_message(&read).unwrap().device, Some(7));
        // Next hops that cannot be read.
        let read = decode(&message(24, &route, &[(9, &[40, 0, 0, 0, 1, 0, 0, 0]), (1, &ten)])).unwrap();
        assert_eq!(Route::from_message(&read).unwrap().destination.to_string(), "10.0.0.9/32");
        let rule = message(32, &[2, 0, 32, 0, 254, 0, 0, 1, 0, 0, 0, 0], &[(2, &ten), (3, b"\xff\0"), odd]);
        assert_eq!(SourceRule::from_message(&decode(&rule).unwrap()).unwrap().table, 254);
        let neighbour = [2, 0, 0, 0, 7, 0, 0, 0, 0x80, 0, 0, 0];
        let neighbour = message(28, &neighbour, &[odd, (1, &ten), (2, &[2; 6]), (14, b"x")]);
        assert_eq!(Neighbour::from_message(&decode(&neighbour).unwrap()).unwrap().mac, [2; 6]);
    }

    #[test]
    fn an_address_that_cannot_be_read_is_an_error_and_nothing_is_made_up() {
        let route = [2, 32, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        assert!(decode(&message(24, &route, &[(5, &[10, 0])])).is_err(), "a gateway of two bytes");
        assert!(decode(&message(20, &[2, 24], &[])).is_err());
    }
}
