//! Whether a network namespace, or one link of it, forwards packets, by one question (`RTM_GETNETCONF`: a third of what its
//! files cost), and the kernel's event when that changes.
//!
//! IPv4 is forwarded by the setting of the link that a packet came in by; `net.ipv4.ip_forward` sets those of all links.
//! IPv6 is forwarded by the setting of the namespace; a link's own setting decides whether it accepts router advertisements.

use nix::errno::Errno;

use crate::Family;
use crate::socket::{Error, Socket};
use crate::wire::{Attribute, Message};

const RTM_NEWNETCONF: u16 = 80;
const RTM_GETNETCONF: u16 = 82;
const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_FORWARDING: u16 = 2;
const NETCONFA_IFINDEX_ALL: i32 = -1;

/// Length of `struct netconfmsg` with what aligns it, bytes.
const NETCONFMSG: usize = 4;

/// That forwarding was switched on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    /// Of this family.
    pub family: Family,
    /// Of this link; `None` for the namespace.
    pub link: Option<u32>,
    /// It is on now.
    pub on: bool,
}

/// Whether the namespace of the socket forwards packets of a family (`net.ipv4.ip_forward`,
/// `net.ipv6.conf.all.forwarding`); `None` where the kernel has no such family.
pub fn forwards(socket: &mut Socket, family: Family) -> Result<Option<bool>, Error> {
    ask(socket, family, NETCONFA_IFINDEX_ALL)
}

/// The same setting of one link; `None` where there is no such link, or it has no such family.
pub fn link_forwards(socket: &mut Socket, family: Family, link: u32) -> Result<Option<bool>, Error> {
    let Ok(index) = i32::try_from(link) else { return Ok(None) };
    ask(socket, family, index)
}

fn ask(socket: &mut Socket, family: Family, index: i32) -> Result<Option<bool>, Error> {
    let fixed = [family.number(), 0, 0, 0];
    let question = [Attribute::u32(NETCONFA_IFINDEX, index.cast_unsigned())];
    match socket.ask(RTM_GETNETCONF, &fixed, &question, is_set)? {
        Ok(is_set) => Ok(is_set),
        Err(refused) if refused.errno == Errno::EOPNOTSUPP => Ok(None),
        // Older kernels say EINVAL for a link that is not there.
        Err(refused) if index > 0 && [Errno::EINVAL, Errno::ENODEV].contains(&refused.errno) => Ok(None),
        Err(refused) => Err(Error::Netconf(refused)),
    }
}

fn is_set(message: &Message<'_>) -> Option<bool> {
    Some(message.attributes(NETCONFMSG).u32(NETCONFA_FORWARDING)? != 0)
}

/// Reads the kernel's event; `None` for another one, and for that of another setting or of the defaults of new links.
pub(crate) fn switched(message: &Message<'_>) -> Option<Switched> {
    if message.kind != RTM_NEWNETCONF {
        return None;
    }
    let (fixed, attributes) = message.split(NETCONFMSG);
    let link = match attributes.u32(NETCONFA_IFINDEX)?.cast_signed() {
        NETCONFA_IFINDEX_ALL => None,
        index => Some(u32::try_from(index).ok()?),
    };
    let family = if *fixed.first()? == Family::V6.number() { Family::V6 } else { Family::V4 };
    Some(Switched { family, link, on: is_set(message)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{messages, sample};

    fn event(family: u8, attributes: &[(u16, i32)]) -> Vec<u8> {
        let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, value.to_ne_bytes())).collect();
        let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
        sample(RTM_NEWNETCONF, &[family, 0, 0, 0], &attributes)
    }

    #[test]
    fn an_event_of_forwarding_names_its_family_and_link_and_no_cut_makes_it_panic() {
        let read = |bytes: &[u8]| messages(bytes).next().as_ref().and_then(switched);
        let of_link = event(2, &[(1, 7), (2, 0), (3, 1)]);
        assert_eq!(read(&of_link), Some(Switched { family: Family::V4, link: Some(7), on: false }));
        assert_eq!(read(&event(10, &[(1, -1), (2, 1)])), Some(Switched { family: Family::V6, link: None, on: true }));
        assert_eq!(read(&event(2, &[(1, -2), (2, 0)])), None, "the default of new links");
        assert_eq!(read(&event(2, &[(1, 7), (3, 0)])), None, "another setting");
        for end in 0..of_link.len() {
            assert_eq!(read(&of_link[..end]), None);
        }
    }
}
