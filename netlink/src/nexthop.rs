//! Nexthop objects (`ip nexthop`): the next hop of an object to which a route refers by number.

use crate::fib::{Hop, Onward};
use crate::socket::{Error, Socket};
use crate::wire::{Attribute, Message, address, u32_at};

pub(crate) const RTM_NEWNEXTHOP: u16 = 104;
pub(crate) const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETNEXTHOP: u16 = 106;

/// Length of `struct nhmsg`, bytes.
const NHMSG: usize = 8;
/// Length of `struct nexthop_grp`, bytes.
const MEMBER: usize = 8;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_ENCAP_TYPE: u16 = 7;
const NHA_ENCAP: u16 = 8;

/// `RTNH_F_ONLINK`.
const ONLINK: u32 = 4;

/// What an object is.
enum Object {
    Onward(Onward),
    /// A group with one member: the member's number.
    Alias(u32),
}

/// The next hop of the object `id`; [`Onward::Unread`] for one that is missing or cannot be read.
pub(crate) fn onward(socket: &mut Socket, id: u32) -> Result<Onward, Error> {
    match ask(socket, id)? {
        Object::Onward(onward) => Ok(onward),
        // The kernel allows no group in a group.
        Object::Alias(member) => match ask(socket, member)? {
            Object::Onward(onward) => Ok(onward),
            Object::Alias(_) => Ok(Onward::Unread),
        },
    }
}

fn ask(socket: &mut Socket, id: u32) -> Result<Object, Error> {
    Ok(match socket.ask(RTM_GETNEXTHOP, &[0; NHMSG], &[Attribute::u32(NHA_ID, id)], read)? {
        Ok(object) => object,
        // It was removed a moment ago. The kernel removes its routes too, and sends an event.
        Err(_gone) => Object::Onward(Onward::Unread),
    })
}

fn read(message: &Message<'_>) -> Object {
    let (fixed, attributes) = message.split(NHMSG);
    let onlink = u32_at(fixed, 4).unwrap_or_default() & ONLINK != 0;
    let mut hop = Hop { onlink, ..Hop::default() };
    for (kind, value) in attributes {
        match kind {
            NHA_GROUP if value.len() > MEMBER => return Object::Onward(Onward::Several),
            NHA_GROUP => return u32_at(value, 0).map_or(Object::Onward(Onward::Unread), Object::Alias),
            NHA_OIF => hop.device = u32_at(value, 0),
            NHA_GATEWAY => hop.via(address(value)),
            NHA_ENCAP | NHA_ENCAP_TYPE => hop.encapsulated = true,
            _ => {}
        }
    }
    Object::Onward(hop.onward())
}
