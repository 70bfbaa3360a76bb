//! Who an attachment is in the kernel: the host end's name, both MACs and the link group, all derived from
//! (network, container id, ifname), so that DEL and GC find and prove a link with no state and no network namespace.

use cni::{Attachment, MacAddress, NetworkName};
use netlink::{HOST_LINK_PREFIX, Link};
use sha2::{Digest, Sha256};

/// The digits of a host end's name: RFC 4648 base32 in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Digits after the prefix: 11 * 5 = 55 bits of the hash, and with the prefix the 15 bytes that a name can have.
const DIGITS: usize = 11;

/// What an attachment's link looks like in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The host end's name.
    pub host_name: String,
    /// The host end's MAC.
    pub host_mac: MacAddress,
    /// The pod end's MAC, unless one is asked for.
    pub pod_mac: MacAddress,
    /// The host end's link group: one for all attachments of a network.
    pub group: u32,
    /// The hash itself, in base32, for people who look for it.
    pub key: String,
}

impl Identity {
    /// The identity of one attachment of one network.
    #[must_use]
    pub fn of(network: &NetworkName, attachment: &Attachment) -> Self {
        // The separator occurs in none of the three, so that no two attachments are spelled alike.
        let spelled = [network.as_str(), attachment.container_id.as_str(), attachment.ifname.as_str()].join("\0");
        let hash: [u8; 32] = Sha256::digest(spelled.as_bytes()).into();
        let key = base32(&hash[..20]);
        Self {
            host_name: format!("{HOST_LINK_PREFIX}{}", &key[..DIGITS]),
            host_mac: local_mac(&hash[20..26]),
            pod_mac: local_mac(&hash[26..32]),
            group: group(network),
            key,
        }
    }

    /// Whether this is the host end of the attachment: name, MAC and group all say so.
    #[must_use]
    pub fn is(&self, link: &Link) -> bool {
        link.name == self.host_name && self.is_but_for_its_name(link)
    }

    /// Whether MAC and group say so.
    pub(crate) fn is_but_for_its_name(&self, link: &Link) -> bool {
        link.veth && link.group == self.group && link.mac == self.host_mac.octets()
    }

    /// Whether any one of name, MAC and alias is the attachment's: the others may have been changed, and the link of
    /// another attachment has none of the three.
    #[must_use]
    pub fn is_named_by(&self, link: &Link) -> bool {
        let mut words = link.alias.split(' ');
        let by_alias = words.next() == Some(ALIAS) && words.next() == Some(&self.key);
        link.veth && (by_alias || link.name == self.host_name || link.mac == self.host_mac.octets())
    }
}

/// Whether a link's own text says that it is a host end of this network, and its name agrees. The group alone
/// does not: another network's name can be chosen so that 31 bits of its hash are the same.
pub(crate) fn is_of_network(link: &Link, network: &NetworkName) -> bool {
    let mut words = link.alias.split(' ');
    let (Some(ALIAS), Some(key), Some(network_word)) = (words.next(), words.next(), words.next()) else { return false };
    let cut = words.next().is_none();
    let of_network = network_word == network.as_str() || cut && network.as_str().starts_with(network_word);
    let digits = link.name.strip_prefix(HOST_LINK_PREFIX);
    link.veth && of_network && digits.is_some_and(|digits| digits.len() == DIGITS && key.starts_with(digits))
}

/// The first word of each host end's alias; the key is the second.
pub const ALIAS: &str = "podlan";

/// The link group of a network's host ends. Never 0, the group of everybody's links.
#[must_use]
pub(crate) fn group(network: &NetworkName) -> u32 {
    let hash: [u8; 32] = Sha256::digest(network.as_str().as_bytes()).into();
    let [a, b, c, d, ..] = hash;
    // iproute2 reads a group as a signed number.
    (u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff).max(1)
}

/// A locally administered unicast MAC (IEEE 802 U/L bit set, I/G bit clear).
fn local_mac(bits: &[u8]) -> MacAddress {
    let mut octets = [0; 6];
    octets.copy_from_slice(bits);
    octets[0] = octets[0] & 0xfc | 0x02;
    MacAddress::from(octets)
}

fn base32(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 8 / 5);
    for five in bytes.chunks_exact(5) {
        let number = five.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let digit = usize::try_from(number >> (place * 5) & 31).unwrap_or(0);
            digits.push(char::from(BASE32[digit]));
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(network: &str, container_id: &str, ifname: &str) -> Identity {
        let attachment = Attachment {
            container_id: cni::ContainerId::parse(container_id).unwrap(),
            ifname: cni::Ifname::parse(ifname).unwrap(),
        };
        Identity::of(&NetworkName::parse(network).unwrap(), &attachment)
    }

    #[test]
    fn a_name_fits_a_link_and_carries_the_prefix() {
        let name = of("podnet", "c1", "eth0").host_name;
        assert_eq!(name.len(), 15);
        assert!(name.starts_with(HOST_LINK_PREFIX));
    }

    #[test]
    fn names_of_released_versions_never_change() {
        // A node is upgraded under living pods: their links must still be found.
        let identity = of("podnet", "c1", "eth0");
        assert_eq!(
            (identity.host_name.as_str(), identity.host_mac.to_string(), identity.pod_mac.to_string(), identity.group),
            ("podlvp7x7j62ghk", "3e:84:00:d3:92:c0".to_owned(), "ba:93:73:19:19:c7".to_owned(), 983_589_503)
        );
    }

    #[test]
    fn attachments_that_join_to_the_same_text_differ() {
        assert_ne!(of("a", "bc", "eth0").host_name, of("ab", "c", "eth0").host_name);
        assert_ne!(of("a", "b", "eth0").host_name, of("a", "b", "eth1").host_name);
    }

    #[test]
    fn macs_are_local_and_unicast_and_unlike() {
        for number in 0..200 {
            let identity = of("podnet", &format!("c{number}"), "eth0");
            assert_eq!(identity.host_mac.octets()[0] & 3, 2);
            assert_eq!(identity.pod_mac.octets()[0] & 3, 2);
            assert_ne!(identity.host_mac, identity.pod_mac);
        }
    }

    #[test]
    fn one_network_is_one_group() {
        assert_eq!(of("podnet", "c1", "eth0").group, of("podnet", "c2", "net1").group);
        assert_ne!(of("podnet", "c1", "eth0").group, of("storage", "c1", "eth0").group);
    }
}
