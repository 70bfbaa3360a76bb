//! A process whose kernel lacks a feature, as kernels of the field do. What a program asks the kernel for is refused, or is
//! changed on its way into the kernel so that the kernel is asked for something of an unknown name: then it answers as one
//! without the feature does.

mod editor;

use std::io;

use clap::ValueEnum;
use nix::errno::Errno;
use seccompiler::{apply_filter, compile_from_json};
use serde_json::{Value, json};

use super::confine::architecture;
use super::{Command, binaries};

pub use editor::edit;

/// What a kernel may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Feature {
    /// `NETLINK_GET_STRICT_CHK`, which came with Linux 4.20.
    StrictChecking,
    /// Netfilter's netlink family (`CONFIG_NETFILTER_NETLINK`), and so nf_tables and the rest of it.
    Nfnetlink,
    /// nf_tables (`CONFIG_NF_TABLES`).
    NfTables,
    /// nf_tables' expression `fib` (`CONFIG_NFT_FIB_INET`).
    NftFib,
    /// Chains of the type `nat` in nf_tables (`CONFIG_NFT_NAT`).
    Nat,
    /// Chains of the type `nat` in the family inet, which came with Linux 5.2.
    InetNat,
    /// Links of the kind `veth` (`CONFIG_VETH`).
    Veth,
    /// IPv6 (`CONFIG_IPV6`), for sockets and for rtnetlink's addresses, routes, rules and neighbours. The files below /proc/sys
    /// stay.
    Ipv6,
}

/// Why a feature could not be taken away.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("filter system calls: {0}")]
    Filter(#[from] seccompiler::Error),
    #[error("start the editor of messages: {0}")]
    Editor(#[source] io::Error),
    #[error("trace process {process}: {errno}")]
    Trace { process: i32, errno: Errno },
}

/// Takes these features away from this process, and from what it executes.
///
/// # Errors
/// When the kernel takes no filter, or allows no tracing.
pub fn without(features: &[Feature]) -> Result<(), Error> {
    let edits = features.iter().any(|feature| feature.is_in_messages());
    if edits {
        editor::start(features)?;
    }
    let refusals = features.iter().filter_map(|feature| feature.refusal());
    for (errno, calls) in refusals {
        filter(&json!({ "errno": errno as i32 }), &calls)?;
    }
    // What is sent by a netlink socket is looked at.
    if edits { filter(&json!({ "trace": 0 }), &json!([{ "syscall": "sendto" }])) } else { Ok(()) }
}

fn filter(action: &Value, calls: &Value) -> Result<(), Error> {
    let filter = json!({ "all": { "mismatch_action": "allow", "match_action": action, "filter": calls } });
    let compiled = compile_from_json(filter.to_string().as_bytes(), architecture())?;
    compiled.values().try_for_each(|filter| Ok(apply_filter(filter)?))
}

impl Command {
    /// Has it run as on a kernel that lacks features, by their names for podlan-lab, such as `strict-checking,nft-fib`.
    ///
    /// # Errors
    /// When podlan-lab was not built.
    pub fn lacking(self, features: &str) -> Result<Self, super::Error> {
        Ok(self.under(&binaries::lab()?.display().to_string(), ["without", features, "--"]))
    }
}

impl Feature {
    /// Whether a kernel without it refuses messages, or answers them in another way.
    fn is_in_messages(self) -> bool {
        !matches!(self, Self::StrictChecking | Self::Nfnetlink)
    }

    /// The calls that a kernel without the feature refuses, and how.
    fn refusal(self) -> Option<(Errno, Value)> {
        let argument = |index: u8, value: u32| json!({ "index": index, "type": "dword", "op": "eq", "val": value });
        match self {
            // SOL_NETLINK 270, NETLINK_GET_STRICT_CHK 12.
            Self::StrictChecking => {
                let arguments = [argument(1, 270), argument(2, 12)];
                Some((Errno::ENOPROTOOPT, json!([{ "syscall": "setsockopt", "args": arguments }])))
            }
            // AF_NETLINK 16, NETLINK_NETFILTER 12.
            Self::Nfnetlink => {
                let arguments = [argument(0, 16), argument(2, 12)];
                Some((Errno::EPROTONOSUPPORT, json!([{ "syscall": "socket", "args": arguments }])))
            }
            // AF_INET6 10.
            Self::Ipv6 => Some((Errno::EAFNOSUPPORT, json!([{ "syscall": "socket", "args": [argument(0, 10)] }]))),
            _ => None,
        }
    }

    /// Changes a netlink message so that the kernel is asked for what it does not have.
    fn take_out_of(self, message: &mut [u8]) {
        let (kind, family) = (u16::from_ne_bytes([message[4], message[5]]), message[16]);
        let is_route = (16..128).contains(&kind);
        match self {
            Self::NfTables => self.take_subsystem_out_of(message),
            Self::NftFib => unname(message, &[8, 0, 1, 0, b'f', b'i', b'b', 0]),
            // NFT_MSG_NEWCHAIN; NFTA_CHAIN_TYPE 7.
            Self::Nat if kind == 0x0a03 => unname(message, NAT),
            Self::InetNat if kind == 0x0a03 && family == 1 => unname(message, NAT),
            // RTM_NEWLINK; IFLA_INFO_KIND 1, with and without a zero byte.
            Self::Veth if kind == 16 => {
                unname(message, &[8, 0, 1, 0, b'v', b'e', b't', b'h']);
                unname(message, &[9, 0, 1, 0, b'v', b'e', b't', b'h']);
            }
            // All but links begin with their family. AF_INET6 10; AF_X25 9, which has no routes.
            Self::Ipv6 if is_route && kind >= 20 && family == 10 => message[16] = 9,
            _ => {}
        }
    }

    /// `NFNL_SUBSYS_NFTABLES` 10 becomes the number of a subsystem that there is not.
    fn take_subsystem_out_of(self, message: &mut [u8]) {
        const BATCH: [u16; 2] = [16, 17];
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        if kind >> 8 == 10 {
            message[4..6].copy_from_slice(&(kind & 0xff | NO_SUBSYSTEM << 8).to_ne_bytes());
        } else if BATCH.contains(&kind) && message.len() == 20 && message[19] == 10 {
            message[19] = NO_SUBSYSTEM.to_le_bytes()[0];
        }
    }
}

/// `NFNL_SUBSYS_HOOK`: where the kernel has it, it has one message and no transactions, and so answers all others as none does.
const NO_SUBSYSTEM: u16 = 12;

const NAT: &[u8] = &[8, 0, 7, 0, b'n', b'a', b't', 0];

/// Makes the name in an attribute one that nothing has.
fn unname(message: &mut [u8], attribute: &[u8]) {
    let places = message.windows(attribute.len()).enumerate().filter(|(at, found)| at % 4 == 0 && *found == attribute);
    for at in places.map(|(at, _)| at).collect::<Vec<_>>() {
        message[at + 5] = b'?';
    }
}

/// Takes the features out of each netlink message of a datagram; false where it is none of netlink's, or nothing is in it.
fn take_out(features: &[Feature], datagram: &mut [u8]) -> bool {
    let Some(bounds) = bounds(datagram) else { return false };
    let before = datagram.to_vec();
    for (begin, end) in bounds {
        features.iter().for_each(|feature| feature.take_out_of(&mut datagram[begin..end]));
    }
    before != datagram
}

/// Where the messages of a netlink datagram begin and end; `None` where it is none.
fn bounds(datagram: &[u8]) -> Option<Vec<(usize, usize)>> {
    let (mut at, mut all) = (0, Vec::new());
    while at < datagram.len() {
        let length = datagram.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)?;
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        // A header and the first byte of what follows it; NLM_F_REQUEST.
        if end < at + 17 || end > datagram.len() || datagram[at + 6] & 1 == 0 {
            return None;
        }
        all.push((at, end));
        at = end.next_multiple_of(4);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + body.len()).unwrap();
        let mut message = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[1, 0], &[0; 8], body].concat();
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn taken(feature: Feature, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut datagram = datagram.to_vec();
        take_out(&[feature], &mut datagram).then_some(datagram)
    }

    #[test]
    fn a_name_is_changed_in_each_message_that_has_it_and_nothing_else_is() {
        let fib = message(0x0a06, &[1, 0, 0, 0, 8, 0, 1, 0, b'f', b'i', b'b', 0]);
        let other = message(0x0a06, &[1, 0, 0, 0, 8, 0, 1, 0, b'c', b'm', b'p', 0]);
        let both = [other.clone(), fib].concat();
        let edited = taken(Feature::NftFib, &both).unwrap();
        assert_eq!(edited.iter().zip(&both).filter(|(one, other)| one != other).count(), 1);
        assert_eq!(taken(Feature::NftFib, &other), None);
        assert_eq!(taken(Feature::NftFib, b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn nat_is_taken_from_the_family_inet_alone_or_from_all() {
        let chain = |family| message(0x0a03, &[&[family, 0, 0, 0][..], NAT].concat());
        assert!(taken(Feature::InetNat, &chain(1)).is_some() && taken(Feature::InetNat, &chain(2)).is_none());
        assert!(taken(Feature::Nat, &chain(1)).is_some() && taken(Feature::Nat, &chain(2)).is_some());
    }

    #[test]
    fn a_subsystem_a_kind_of_link_and_a_family_are_taken_away() {
        let batch = [message(16, &[0, 0, 0, 10]), message(0x0a00, &[1, 0, 0, 0]), message(17, &[0, 0, 0, 10])].concat();
        let edited = taken(Feature::NfTables, &batch).unwrap();
        assert_eq!([edited[19], edited[25], edited[59]], [12, 12, 12]);
        let link = message(16, &[&[0; 16][..], &[8, 0, 1, 0, b'v', b'e', b't', b'h']].concat());
        assert!(taken(Feature::Veth, &link).is_some() && taken(Feature::NfTables, &link).is_none());
        let route = |family| message(26, &[family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(taken(Feature::Ipv6, &route(10)).is_some() && taken(Feature::Ipv6, &route(2)).is_none());
    }
}
