//! Forwarding, switched off by somebody after the pods came.

use crate::row::{Cure, Fault, Row};
use crate::stage::{IN, OUT, OUT_46, Options};

const OFF: &str = "forwarding-off";

rows! {
    forwarding_is_switched_off: Row {
        broken: "net.ipv4.ip_forward=0 is set on a running node, whose agent may not set it (--no-keep-forwarding)",
        options: Options::NOT_KEPT,
        fault: Fault::on_node("sysctl -qw net.ipv4.ip_forward=0", ""),
        kind: OFF,
        names: &["net.ipv4.ip_forward"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    forwarding_of_ipv6_is_switched_off: Row {
        broken: "net.ipv6.conf.all.forwarding=0 is set on such a node",
        options: Options::NOT_KEPT,
        fault: Fault::on_node("sysctl -qw net.ipv6.conf.all.forwarding=0", ""),
        kind: OFF,
        names: &["net.ipv6.conf.all.forwarding"],
        harmed: &OUT_46[1..],
        cure: Cure::Command,
        ..Row::PLAIN
    };
    forwarding_of_the_uplink_is_switched_off: Row {
        broken: "forwarding is switched off on the uplink alone (--no-keep-forwarding)",
        options: Options::NOT_KEPT,
        fault: Fault::on_node("sysctl -qw net.ipv4.conf.eth0.forwarding=0", ""),
        kind: OFF,
        names: &["net.ipv4.conf.eth0.forwarding"],
        harmed: IN,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    forwarding_of_a_pod_link_is_switched_off: Row {
        broken: "forwarding is switched off on a pod's link alone (--no-keep-forwarding)",
        options: Options::NOT_KEPT,
        fault: Fault::on_node("sysctl -qw net.ipv4.conf.$LINK.forwarding=0", ""),
        kind: OFF,
        names: &["net.ipv4.conf.$LINK.forwarding"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    forwarding_is_kept: Row {
        broken: "net.ipv4.ip_forward=0 is set on a running node",
        fault: Fault::on_node("sysctl -qw net.ipv4.ip_forward=0", ""),
        kind: OFF,
        names: &["IPv4 forwarding"],
        cure: Cure::Agent,
        ..Row::PLAIN
    };
}
