//! The network between the nodes, the uplink, and the peer.

use std::time::Duration;

use crate::row::{At, Cure, Fault, Row, Surface};
use crate::stage::{FROM_NODE, IN, OUT, OUT_46, Options};

const LOST: &str = "paths-lost";

rows! {
    the_network_drops_pod_addresses: Row {
        broken: "the network between the nodes drops pod addresses (source/destination check, port security)",
        fault: Fault::at(
            At::Lan,
            "nft add table bridge x
             nft 'add chain bridge x c { type filter hook forward priority 0; }'
             nft 'add rule bridge x c ip saddr 10.244.0.0/16 drop'
             nft 'add rule bridge x c ip6 saddr fd00:10:244::/48 drop'",
            "nft delete table bridge x",
        ),
        kind: LOST,
        names: &["node2"],
        harmed: OUT_46,
        ..Row::PLAIN
    };
    the_network_drops_pod_addresses_one_way: Row {
        broken: "the network between the nodes drops the pod addresses of the peer, not those of this node",
        fault: Fault::at(
            At::Lan,
            nft_rule!("bridge", "filter hook forward priority 0", "ip saddr 10.244.2.0/24 drop"),
            "nft delete table bridge x",
        ),
        kind: LOST,
        names: &["node2", "IPv4"],
        harmed: IN,
        ..Row::PLAIN
    };
    the_network_drops_large_packets: Row {
        broken: "the network between the nodes drops packets of 1500 bytes without an ICMP error",
        fault: Fault::at(At::Lan, "ip link set node2 mtu 1400", "ip link set node2 mtu 1500"),
        kind: "paths-too-big",
        names: &["node2", "1500"],
        ..Row::PLAIN
    };
    the_network_rejects_the_probes: Row {
        broken: "a firewall before the peer rejects the port of the path probes, both ways, and says so",
        fault: Fault::at(
            At::Peer,
            "nft add table inet x
             nft 'add chain inet x in { type filter hook prerouting priority -400; }'
             nft 'add rule inet x in iifname \"eth0\" udp dport 10111 reject with icmpx admin-prohibited'
             nft 'add chain inet x out { type filter hook postrouting priority 400; }'
             nft 'add rule inet x out oifname \"eth0\" udp dport 10111 drop'",
            "nft delete table inet x",
        ),
        kind: "probe-port-closed",
        names: &["node2", "10111"],
        not_by: &[Surface::Alert],
        ..Row::PLAIN
    };
    the_peer_is_dead: Row {
        broken: "the peer is dead: nothing answers at its address",
        fault: Fault::at(At::Lan, "ip link set node2 down", "ip link set node2 up"),
        kind: "peers-dead",
        names: &["node2", "172.31.0.2"],
        harmed: OUT,
        ..Row::PLAIN
    };
    a_next_hop_without_neighbour: Row {
        broken: "the peer's next hop does not answer for its link-layer address (its neighbour entry has failed)",
        fault: Fault::at(
            At::Lan,
            "nft add table bridge x
             nft 'add chain bridge x c { type filter hook forward priority 0; }'
             nft 'add rule bridge x c ether type arp drop'
             nsenter -t $AGENT -n ip neigh flush dev eth0",
            "nft delete table bridge x",
        ),
        kind: "next-hop-silent",
        names: &["172.31.0.2", "eth0"],
        harmed: OUT,
        ..Row::PLAIN
    };
    a_wrong_neighbour_entry: Row {
        broken: "a permanent neighbour entry has a wrong link-layer address of the peer",
        fault: Fault::on_node("ip neigh replace 172.31.0.2 lladdr 02:00:00:00:00:99 nud permanent dev eth0", "ip neigh del 172.31.0.2 dev eth0"),
        kind: LOST,
        names: &["node2"],
        harmed: OUT,
        ..Row::PLAIN
    };
    the_uplink_is_down: Row {
        broken: "the only uplink is set down (it keeps its IPv6 addresses)",
        options: Options { before: "sysctl -qw net.ipv6.conf.eth0.keep_addr_on_down=1", ..Options::PLAIN },
        fault: Fault::on_node("ip link set eth0 down", "ip link set eth0 up"),
        kind: "uplink-down",
        names: &["eth0"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    the_cable_is_out: Row {
        broken: "the only uplink has no carrier",
        fault: Fault::at(At::Lan, "ip link set node1 down", "ip link set node1 up"),
        kind: "uplink-down",
        names: &["eth0", "carrier"],
        harmed: OUT,
        ..Row::PLAIN
    };
    two_nodes_with_one_address: Row {
        broken: "two other nodes are listed with one InternalIP",
        options: Options { nodes: 3, ..Options::PLAIN },
        fault: Fault::at(At::Node, "sed -i 's/172.31.0.3/172.31.0.2/' /run/lab/nodes.json", "sed -i 's/172.31.0.2/172.31.0.3/2' /run/lab/nodes.json"),
        kind: "duplicate-address",
        names: &["172.31.0.2", "node2", "node3"],
        ..Row::PLAIN
    };
    the_uplink_has_a_small_mtu: Row {
        broken: "the uplink's MTU is smaller than the one that the configuration gives to pods",
        options: Options { agent: &["--mtu", "1500"], ..Options::PLAIN },
        fault: Fault::on_node("ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500"),
        kind: "uplink-mtu",
        names: &["eth0", "1400", "1500"],
        ..Row::PLAIN
    };
    the_neighbour_table_is_small: Row {
        broken: "the kernel's table has room for one neighbour (the setting is of the whole machine: files stand for it in the lab)",
        options: Options {
            before: "mount -t tmpfs tmpfs /proc/sys/net/ipv4/neigh
mkdir /proc/sys/net/ipv4/neigh/default
cd /proc/sys/net/ipv4/neigh/default
echo 128 > gc_thresh1
echo 512 > gc_thresh2
echo 1024 > gc_thresh3",
            ..Options::PLAIN
        },
        fault: Fault::on_node("sysctl -qw net.ipv4.neigh.default.gc_thresh3=1", ""),
        kind: "neighbour-table-small",
        names: &["net.ipv4.neigh.default.gc_thresh3 is 1", "2 nodes"],
        within: Duration::from_secs(10),
        cure: Cure::Command,
        ..Row::PLAIN
    };
    what_a_router_advertised_is_at_risk: Row {
        broken: "a link has a route by a router advertisement, which a node that forwards no longer accepts",
        fault: Fault::on_node(
            "sysctl -qw net.ipv6.conf.eth0.accept_ra=1
ip -6 route add fd77::/64 via fd31::2 dev eth0 proto ra",
            "",
        ),
        kind: "router-advertisement",
        names: &["eth0", "fd77::/64"],
        cure: Cure::Command,
        ..Row::PLAIN
    };
    ipv6_is_disabled: Row {
        broken: "net.ipv6.conf.all.disable_ipv6=1 is set on a running node",
        fault: Fault::on_node(
            "ip -6 addr save > /run/addresses
sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=0
ip -6 addr restore < /run/addresses 2>/dev/null || true",
        ),
        kind: "ipv6-off",
        names: &["net.ipv6.conf.all.disable_ipv6"],
        harmed: &OUT_46[1..],
        ..Row::PLAIN
    };
    the_node_sends_from_another_address: Row {
        broken: "the node got another address, from which the kernel sends to pods",
        fault: Fault::on_node("ip addr add 10.99.0.1/32 dev lo", "ip addr del 10.99.0.1/32 dev lo"),
        kind: "source-address",
        names: &["10.99.0.1", "172.31.0.1"],
        harmed: FROM_NODE,
        ..Row::PLAIN
    };
}
