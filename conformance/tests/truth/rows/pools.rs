//! Pools without free addresses.

use std::time::Duration;

use crate::row::{Fault, Row};
use crate::stage::{Conflist, Options};

/// The agent's network and a hand-written one of that name, dual stack: 13 IPv4 addresses for pods.
macro_rules! network {
    () => {
        r#"{"cniVersion":"1.0.0","name":"podnet","type":"podlan","ipam":{"type":"podlan-ipam","ranges":[[{"subnet":"10.244.1.0/28"}],[{"subnet":"fd00:10:244:1::/64"}]]}}"#
    };
}

/// Calls the plugin for the pod `m$n`.
macro_rules! plugin {
    ($verb:literal) => {
        concat!(
            "echo '",
            network!(),
            "' | CNI_COMMAND=",
            $verb,
            " CNI_CONTAINERID=m$n CNI_NETNS=/run/netns/m$n CNI_IFNAME=eth0 CNI_PATH=$PLUGINS $PLUGINS/podlan"
        )
    };
}

/// ADDs as many pods, or until an ADD fails.
macro_rules! adds {
    ($count:literal) => {
        concat!(
            "for n in $(seq ",
            $count,
            "); do touch /run/netns/m$n; unshare --net=/run/netns/m$n true; ",
            plugin!("ADD"),
            " > /run/said || break; done"
        )
    };
}

/// Another network of podlan's.
macro_rules! other_network {
    ($name:literal, $subnet:literal) => {
        Fault::on_node(
            concat!(
                r#"echo '{"cniVersion":"1.0.0","name":""#,
                $name,
                r#"","plugins":[{"type":"podlan","ipam":{"type":"podlan-ipam","ranges":[[{"subnet":""#,
                $subnet,
                r#""}]]}}]}' > /run/net.d/60-other.conflist"#
            ),
            "rm /run/net.d/60-other.conflist",
        )
    };
}

const DELS: &str = concat!(
    "for n in $(ls /run/netns | sed -n 's/^m//p'); do ",
    plugin!("DEL"),
    "; umount -l /run/netns/m$n; rm /run/netns/m$n; done"
);

/// Leases have no event of the kernel: the agent looks at the stores in this period.
const LOOK: Duration = Duration::from_secs(10);

const SMALL: Options = Options { cidr: "10.244.1.0/28", ..Options::PLAIN };

rows! {
    the_pool_is_exhausted: Row {
        broken: "the IPv4 pool is exhausted, in a network that the agent did not write; IPv6 has room",
        options: Options { conflist: Conflist::ByHand, ..SMALL },
        fault: Fault::on_node(adds!("20"), DELS),
        kind: "pool-exhausted",
        names: &["podnet", "IPv4"],
        within: LOOK,
        ..Row::PLAIN
    };
    the_agents_pool_is_exhausted: Row {
        broken: "the same, in the agent's own network",
        options: SMALL,
        fault: Fault::on_node(adds!("20"), DELS),
        kind: "pool-exhausted",
        names: &["podnet", "IPv4"],
        within: LOOK,
        ..Row::PLAIN
    };
    the_pool_is_nearly_exhausted: Row {
        broken: "the IPv4 pool has less than a tenth of its addresses left",
        options: SMALL,
        fault: Fault::on_node(adds!("10"), DELS),
        kind: "pool-nearly-exhausted",
        names: &["podnet", "IPv4"],
        within: LOOK,
        ..Row::PLAIN
    };
    two_networks_share_addresses: Row {
        broken: "two networks lease from one subnet",
        fault: other_network!("twin", "10.244.1.0/25"),
        kind: "pool-shared",
        names: &["twin", "10.244.1.0/25"],
        ..Row::PLAIN
    };
    a_pool_lies_outside: Row {
        broken: "a network leases from a subnet that is not this node's",
        fault: other_network!("out", "10.99.0.0/24"),
        kind: "pool-outside",
        names: &["10.99.0.0/24", "60-other.conflist"],
        within: LOOK,
        ..Row::PLAIN
    };
    a_pool_lies_outside_so_no_pod_starts: Row {
        broken: "the same: the agent is not ready for it",
        fault: other_network!("out", "10.99.0.0/24"),
        kind: "agent-not-ready",
        names: &["10.99.0.0/24", "60-other.conflist"],
        within: LOOK,
        ..Row::PLAIN
    };
}
