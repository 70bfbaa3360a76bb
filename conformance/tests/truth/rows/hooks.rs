//! Rules of other programs that drop pods' packets, at every hook.

use crate::row::{At, Fault, Row};
use crate::stage::{IN, OUT};

const DROPS: &str = "forward-drop";

rows! {
    forward_policy: Row {
        broken: "a forward chain drops by its policy",
        fault: Fault::on_node("nft add table inet x\nnft 'add chain inet x c { type filter hook forward priority 0; policy drop; }'", "nft delete table inet x"),
        kind: DROPS,
        names: &["inet x c", "policy"],
        harmed: OUT,
        ..Row::PLAIN
    };
    forward_rule: Row {
        broken: "a rule of a forward chain drops",
        fault: Fault::on_node(nft_rule!("ip", "filter hook forward priority 0", "ip saddr 10.244.0.0/16 drop"), "nft delete table ip x"),
        kind: DROPS,
        names: &["ip x c", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    forward_iptables: Row {
        broken: "iptables: DROP in FORWARD",
        fault: Fault::on_node(
            "iptables-nft -I FORWARD -s 10.244.0.0/16 -j DROP
             nft -a list chain ip filter FORWARD | sed -n 's/.*drop # handle //p'",
            "nft delete table ip filter",
        ),
        kind: DROPS,
        names: &["ip filter FORWARD", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    raw_prerouting: Row {
        broken: "nft: drop in prerouting, priority raw",
        fault: Fault::on_node(nft_rule!("ip", "filter hook prerouting priority raw", "iifname \"podl*\" ip daddr 10.244.2.0/24 drop"), "nft delete table ip x"),
        kind: DROPS,
        names: &["ip x c", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    raw_prerouting_iptables: Row {
        broken: "iptables -t raw: DROP in PREROUTING",
        fault: Fault::on_node(
            "iptables-nft -t raw -A PREROUTING -s 10.244.0.0/16 -d 10.244.2.0/24 -j DROP
             nft -a list chain ip raw PREROUTING | sed -n 's/.*drop # handle //p'",
            "nft delete table ip raw",
        ),
        kind: DROPS,
        names: &["ip raw PREROUTING", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    mangle_prerouting: Row {
        broken: "nft: drop in prerouting, priority mangle",
        fault: Fault::on_node(nft_rule!("inet", "filter hook prerouting priority mangle", "ip daddr 10.244.2.0/24 drop"), "nft delete table inet x"),
        kind: DROPS,
        names: &["inet x c", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    mangle_forward_iptables: Row {
        broken: "iptables -t mangle: DROP in FORWARD",
        fault: Fault::on_node(
            "iptables-nft -t mangle -A FORWARD -s 10.244.0.0/16 -j DROP
             nft -a list chain ip mangle FORWARD | sed -n 's/.*drop # handle //p'",
            "nft delete table ip mangle",
        ),
        kind: DROPS,
        names: &["ip mangle FORWARD", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    postrouting: Row {
        broken: "nft: drop in postrouting",
        fault: Fault::on_node(nft_rule!("inet", "filter hook postrouting priority 0", "ip saddr 10.244.0.0/16 oifname \"eth0\" drop"), "nft delete table inet x"),
        kind: DROPS,
        names: &["inet x c", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    netdev_ingress: Row {
        broken: "nft: drop at the uplink's ingress (netdev)",
        fault: Fault::on_node(nft_rule!("netdev", "filter hook ingress device \"eth0\" priority 0", "ip saddr 10.244.0.0/16 drop"), "nft delete table netdev x"),
        kind: DROPS,
        names: &["netdev x c", "handle $ID"],
        harmed: IN,
        ..Row::PLAIN
    };
    netdev_egress: Row {
        broken: "nft: drop at the uplink's egress (netdev)",
        fault: Fault::on_node(nft_rule!("netdev", "filter hook egress device \"eth0\" priority 0", "ip saddr 10.244.0.0/16 drop"), "nft delete table netdev x"),
        kind: DROPS,
        names: &["netdev x c", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    bridge_of_the_network: Row {
        broken: "nft: drop of one peer's pods in a bridge of the network (only probes can see it)",
        fault: Fault::at(
            At::Lan,
            nft_rule!("bridge", "filter hook forward priority 0", "ip daddr 10.244.2.0/24 drop"),
            "nft delete table bridge x",
        ),
        kind: "paths-lost",
        names: &["node2"],
        harmed: OUT,
        ..Row::PLAIN
    };
}
