//! NAT of other programs that takes pods' addresses.

use crate::row::{At, Fault, Row};
use crate::stage::OUT;

const TRANSLATED: &str = "address-translated";

rows! {
    masquerade: Row {
        broken: "a NAT rule comes to a running node: masquerade of all that leaves the uplink",
        fault: Fault::on_node(nft_rule!("inet", "nat hook postrouting priority 100", "oifname \"eth0\" masquerade"), "nft delete table inet x"),
        kind: TRANSLATED,
        names: &["inet x c", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    masquerade_iptables: Row {
        broken: "iptables: MASQUERADE of pods towards other nodes",
        fault: Fault::on_node(
            "iptables-nft -t nat -A POSTROUTING -s 10.244.0.0/16 -o eth0 -j MASQUERADE
             nft -a list chain ip nat POSTROUTING | sed -n 's/.*masquerade *# handle //p'",
            "nft delete table ip nat",
        ),
        kind: TRANSLATED,
        names: &["ip nat POSTROUTING", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    masquerade_by_fib: Row {
        broken: "masquerade of what does not come from the node itself",
        fault: Fault::on_node(nft_rule!("ip", "nat hook postrouting priority 100", "ip saddr 10.244.0.0/16 oifname \"eth0\" fib saddr type != local masquerade"), "nft delete table ip x"),
        kind: TRANSLATED,
        names: &["ip x c", "handle $ID"],
        harmed: OUT,
        ..Row::PLAIN
    };
    source_nat_of_the_peer: Row {
        broken: "the peer translates what comes to its pods",
        fault: Fault::at(At::Peer, nft_rule!("ip", "nat hook postrouting priority 100", "oifname \"podl*\" ip saddr 10.244.1.0/24 masquerade"), "nft delete table ip x"),
        kind: "paths-translated",
        names: &["node2"],
        harmed: OUT,
        ..Row::PLAIN
    };
}
