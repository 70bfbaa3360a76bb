//! A pod's link, route and addresses.

use crate::row::{At, Cure, Fault, Row};
use crate::stage::{FROM_NODE, OUT, OUT_46};

/// What a runtime does with a pod whose link is gone: DEL and ADD.
const AGAIN: &str = r#"for verb in DEL ADD; do
  echo '{"cniVersion":"1.0.0","name":"podnet","type":"podlan","ipam":{"type":"podlan-ipam","ranges":[[{"subnet":"10.244.1.0/24"}],[{"subnet":"fd00:10:244:1::/64"}]]},"args":{"cni":{"ips":["10.244.1.2","fd00:10:244:1::2"]}}}' |
    CNI_COMMAND=$verb CNI_CONTAINERID=web CNI_NETNS=/run/netns/web CNI_IFNAME=eth0 CNI_PATH=$PLUGINS CNI_ARGS='IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web' $PLUGINS/podlan
done"#;

rows! {
    the_host_route_is_deleted: Row {
        broken: "a living pod's host route is deleted",
        fault: Fault::on_node("ip route del $POD/32", ""),
        kind: "pod-route-missing",
        names: &["$POD", "$LINK"],
        cure: Cure::Agent,
        ..Row::PLAIN
    };
    the_host_link_is_down: Row {
        broken: "a living pod's host link is set down",
        fault: Fault::on_node("ip link set $LINK down", ""),
        kind: "pod-link-down",
        names: &["$LINK"],
        cure: Cure::Agent,
        ..Row::PLAIN
    };
    the_host_route_goes_elsewhere: Row {
        broken: "a foreign route takes a living pod's address",
        fault: Fault::on_node("ip route replace $POD/32 via 172.31.0.99 metric 0", "ip route del $POD/32 via 172.31.0.99"),
        kind: "foreign-route",
        names: &["$POD", "172.31.0.99"],
        harmed: FROM_NODE,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    the_host_link_is_gone: Row {
        broken: "a living pod's link is deleted",
        fault: Fault::on_node("ip link del $LINK", AGAIN),
        kind: "pod-link-missing",
        names: &["default/web", "$LINK"],
        harmed: FROM_NODE,
        ..Row::PLAIN
    };
    the_default_route_is_lost: Row {
        broken: "the default route is lost inside a pod",
        fault: Fault::at(At::Pod, "ip route del default", "ip route add default via 169.254.1.1 dev eth0 onlink"),
        kind: "pod-default-route-lost",
        names: &["default/web", "169.254.1.1"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    the_default_route_of_ipv6_is_lost: Row {
        broken: "the same, IPv6",
        fault: Fault::at(At::Pod, "ip -6 route del default", "ip -6 route add default via fe80::1 dev eth0"),
        kind: "pod-default-route-lost",
        names: &["default/web", "fe80::1"],
        harmed: &OUT_46[1..],
        cure: Cure::Command,
        ..Row::PLAIN
    };
    the_address_is_lost: Row {
        broken: "the address is lost inside a pod",
        fault: Fault::at(
            At::Pod,
            "ip addr del $POD/32 dev eth0",
            "ip addr add $POD/32 dev eth0\nip route replace 169.254.1.1 dev eth0 scope link\nip route replace default via 169.254.1.1 dev eth0",
        ),
        kind: "pod-address-lost",
        names: &["default/web", "$POD"],
        harmed: FROM_NODE,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    the_interface_is_down: Row {
        broken: "the interface is set down inside a pod",
        fault: Fault::at(
            At::Pod,
            "ip link set eth0 down",
            "ip link set eth0 up\nip route replace 169.254.1.1 dev eth0 scope link\nip route replace default via 169.254.1.1 dev eth0\nip -6 addr replace $POD6/128 dev eth0 nodad\nip -6 route replace fe80::1 dev eth0\nip -6 route replace default via fe80::1 dev eth0",
        ),
        kind: "pod-interface-down",
        names: &["default/web", "eth0"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    the_link_has_another_mtu: Row {
        broken: "a living pod's link gets another MTU",
        fault: Fault::on_node("ip link set $LINK mtu 1300", ""),
        kind: "pod-mtu",
        names: &["$LINK", "1300"],
        cure: Cure::Command,
        ..Row::PLAIN
    };
    the_reverse_path_filter_is_off: Row {
        broken: "rp_filter of a pod's link is switched off",
        fault: Fault::on_node("sysctl -qw net.ipv4.conf.$LINK.rp_filter=0", "sysctl -qw net.ipv4.conf.$LINK.rp_filter=1"),
        kind: "rp-filter-off",
        names: &["$LINK"],
        cure: Cure::Command,
        ..Row::PLAIN
    };
}
