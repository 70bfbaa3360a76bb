//! Addresses and networks as CNI spells them. Netmasks, missing prefixes and zones are refused.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// Reads `10.1.2.3/24` or `fd00::3/64`, keeping the host bits. The prefix length must be there, in decimal.
pub fn parse_network(text: &str) -> Option<IpNetwork> {
    let (address, prefix) = text.split_once('/')?;
    if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    IpNetwork::new(address.parse().ok()?, prefix.parse().ok()?).ok()
}

/// Reads `10.1.2.3` or `10.1.2.3/24`; the prefix, if any, must be one and is then forgotten.
/// An IPv4-mapped IPv6 address is the IPv4 address.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let address = if text.contains('/') { parse_network(text)?.ip() } else { text.parse::<IpAddr>().ok()? };
    Some(address.to_canonical())
}

/// The network without its host bits: `10.1.2.3/24` becomes `10.1.2.0/24`.
pub(crate) fn canonical(network: IpNetwork) -> IpNetwork {
    // The prefix comes from a network of the same family, so it fits.
    IpNetwork::new(network.network(), network.prefix()).unwrap_or(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_keeps_its_host_bits_until_it_is_made_canonical() {
        // S-133, S-136
        for (text, network) in [("10.1.2.3/24", "10.1.2.0/24"), ("fd00::3/64", "fd00::/64"), ("0.0.0.0/0", "0.0.0.0/0")]
        {
            let parsed = parse_network(text).unwrap();
            assert_eq!(parsed.to_string(), text);
            assert_eq!(canonical(parsed).to_string(), network);
        }
    }

    #[test]
    fn what_is_no_cidr_is_no_network() {
        for text in [
            "",
            "10.1.2.3",
            "10.1.2.3/",
            "10.1.2.3/33",
            "10.1.2.3/255.255.255.0",
            "10.1.2.3/+8",
            "fd00::/129",
            "fe80::1%eth0/64",
            "10.1.2/24",
            "/24",
            "10.1.2.3/24/24",
            " 10.1.2.3/24",
        ] {
            assert_eq!(parse_network(text), None, "{text}");
        }
    }

    #[test]
    fn a_requested_address_may_carry_a_prefix() {
        // H-078
        for (text, address) in [
            ("10.1.2.10", "10.1.2.10"),
            ("10.1.2.11/24", "10.1.2.11"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:DB8::5", "2001:db8::5"),
        ] {
            assert_eq!(parse_address(text).map(|address| address.to_string()).as_deref(), Some(address));
        }
        for text in ["", "xyz", "10.1.2.10/", "10.1.2.10/40", "010.1.2.3"] {
            assert_eq!(parse_address(text), None, "{text}");
        }
    }
}
