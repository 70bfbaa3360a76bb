//! Whether a network namespace forwards packets, by one question (`RTM_GETNETCONF`): a third of what its files cost.

use nix::errno::Errno;

use crate::reply::{HEADER, attribute, u32_at};
use crate::request::family;
use crate::socket::{Error, Socket};

const RTM_GETNETCONF: u16 = 82;
const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_FORWARDING: u16 = 2;
const NETCONFA_IFINDEX_ALL: i32 = -1;

/// Length of `struct netconfmsg` with what aligns it, bytes.
const NETCONFMSG: usize = 4;

/// Whether the namespace of the socket forwards packets of a family (`net.ipv4.ip_forward`,
/// `net.ipv6.conf.all.forwarding`); `None` where the kernel has no such family.
pub fn forwards(socket: &mut Socket, v6: bool) -> Result<Option<bool>, Error> {
    let mut question = vec![u8::from(family(v6)), 0, 0, 0];
    question.extend(8u16.to_ne_bytes());
    question.extend(NETCONFA_IFINDEX.to_ne_bytes());
    question.extend(NETCONFA_IFINDEX_ALL.to_ne_bytes());
    match socket.ask(RTM_GETNETCONF, &question)? {
        Ok(answer) => Ok(is_set(answer.bytes)),
        Err(refused) if refused.errno == Errno::EOPNOTSUPP => Ok(None),
        Err(refused) => Err(Error::Netconf(refused)),
    }
}

fn is_set(answer: &[u8]) -> Option<bool> {
    let forwarding = attribute(answer.get(HEADER + NETCONFMSG..)?, NETCONFA_FORWARDING)?;
    Some(u32_at(forwarding, 0)? != 0)
}
