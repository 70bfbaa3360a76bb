//! The source address of this node's own traffic to its pods. Probes and policies expect the InternalIP; the kernel may
//! choose a virtual address on `lo` or of a second uplink instead. Pure.

use std::net::IpAddr;

use netlink::Family;

/// The source addresses that the plugin must set, at most one for each family: one of `internal`, the node's addresses
/// in the cluster, where the node has it and the kernel would choose another of `own`, its global addresses in the
/// kernel's order.
///
/// IPv4 takes the first address of the first link (`inet_select_addr`). IPv6 chooses for each pod among all (RFC 6724),
/// so that only a single address is certain. It is set only where needed: IPv4 removes a route along with its source
/// address.
pub(crate) fn host_source(internal: &[IpAddr], own: &[IpAddr]) -> Vec<IpAddr> {
    let mut sources = Vec::new();
    for family in Family::BOTH {
        let of_family = |address: &&IpAddr| family.holds(**address);
        let choices: Vec<&IpAddr> = own.iter().filter(of_family).collect();
        let Some(wanted) = internal.iter().filter(of_family).find(|address| choices.contains(address)) else {
            continue;
        };
        let certain = choices.first() == Some(&wanted) && (family == Family::V4 || choices.len() == 1);
        sources.extend((!certain).then_some(*wanted));
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(internal: &[&str], own: &[&str]) -> Vec<String> {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        host_source(&parse(internal), &parse(own)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_internal_address_that_the_kernel_takes_anyhow_is_left_to_it() {
        assert_eq!(source(&["172.31.0.1", "fd31::1"], &["172.31.0.1", "10.0.0.1", "fd31::1"]), [""; 0]);
    }

    #[test]
    fn where_another_comes_first_the_internal_one_is_named() {
        assert_eq!(source(&["172.31.0.1"], &["10.99.0.1", "172.31.0.1"]), ["172.31.0.1"]);
        assert_eq!(source(&["fd31::1"], &["fd31::1", "2001:db8::1"]), ["fd31::1"]);
    }

    #[test]
    fn an_address_that_the_node_does_not_have_is_never_named() {
        assert_eq!(source(&["203.0.113.9"], &["172.31.0.1"]), [""; 0]);
        assert_eq!(source(&["203.0.113.9", "172.31.0.1"], &["10.99.0.1", "172.31.0.1"]), ["172.31.0.1"]);
    }
}
