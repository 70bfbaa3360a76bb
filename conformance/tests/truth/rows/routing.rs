//! Routes and rules of other programs.

use crate::row::{Cure, Fault, Row};
use crate::stage::{FROM_NODE, OUT, OUT_46};

const WINS: &str = "foreign-route";
const RULE: &str = "policy-rule";

rows! {
    a_better_route: Row {
        broken: "a foreign route of a better metric wins over the agent's",
        fault: Fault::on_node("ip route add 10.244.2.0/24 via 172.31.0.99 metric 5", ""),
        kind: WINS,
        names: &["10.244.2.0/24", "172.31.0.99", "metric 5"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    a_blackhole: Row {
        broken: "a foreign blackhole wins over the agent's route",
        fault: Fault::on_node("ip route add blackhole 10.244.2.0/24 metric 5", ""),
        kind: WINS,
        names: &["10.244.2.0/24", "blackhole"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    a_narrower_route: Row {
        broken: "a foreign route to a part of a peer's pods wins",
        fault: Fault::on_node("ip route add 10.244.2.0/25 via 172.31.0.99 proto static", ""),
        kind: WINS,
        names: &["10.244.2.0/25", "172.31.0.99"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    a_narrower_route_of_ipv6: Row {
        broken: "the same, IPv6",
        fault: Fault::on_node("ip -6 route add fd00:10:244:2::/65 via fd31::99 dev eth0 proto static", ""),
        kind: WINS,
        names: &["fd00:10:244:2::/65", "fd31::99"],
        harmed: &OUT_46[1..],
        cure: Cure::Command,
        ..Row::PLAIN
    };
    no_route_to_the_peer: Row {
        broken: "the peer's own address is unreachable by a route",
        fault: Fault::on_node("ip route add unreachable 172.31.0.2/32", "ip route del unreachable 172.31.0.2/32"),
        kind: "node-unusable",
        names: &["node2", "172.31.0.2"],
        harmed: OUT,
        ..Row::PLAIN
    };
    a_rule_for_pods: Row {
        broken: "an `ip rule` sends pods' packets to a table without pods",
        fault: Fault::on_node(
            "ip route add blackhole default table 52\nip rule add from 10.244.1.0/24 lookup 52 pref 50",
            "ip rule del pref 50\nip route flush table 52",
        ),
        kind: RULE,
        names: &["50", "52"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    a_rule_for_pods_of_ipv6: Row {
        broken: "the same, IPv6",
        fault: Fault::on_node(
            "ip -6 route add blackhole default table 52\nip -6 rule add from fd00:10:244:1::/64 lookup 52 pref 50",
            "ip -6 rule del pref 50\nip -6 route flush table 52",
        ),
        kind: RULE,
        names: &["50", "52", "fd00:10:244:1::/64"],
        harmed: &OUT_46[1..],
        cure: Cure::Command,
        ..Row::PLAIN
    };
    a_rule_for_one_pod_link: Row {
        broken: "an `ip rule` of one pod's link drops",
        fault: Fault::on_node("ip rule add iif $LINK blackhole pref 51", "ip rule del pref 51"),
        kind: RULE,
        names: &["51", "$LINK"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    a_rule_for_the_node: Row {
        broken: "an `ip rule` sends the node's own packets to a table without pods (several NICs, cloud-init)",
        fault: Fault::on_node(
            "ip route add 172.31.0.0/24 dev eth0 table 100\nip route add default via 172.31.0.254 dev eth0 table 100\nip rule add from 172.31.0.1 lookup 100 pref 50",
            "ip rule del pref 50\nip route flush table 100",
        ),
        kind: RULE,
        names: &["50", "100", "172.31.0.1"],
        harmed: FROM_NODE,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    our_route_is_deleted: Row {
        broken: "the route to a peer's pods is deleted",
        fault: Fault::on_node("ip route del 10.244.2.0/24 proto 110", ""),
        kind: "route-missing",
        names: &["10.244.2.0/24"],
        cure: Cure::Agent,
        ..Row::PLAIN
    };
    our_route_is_replaced: Row {
        broken: "a foreign route takes the place of the agent's",
        fault: Fault::on_node("ip route replace 10.244.2.0/24 via 172.31.0.99 dev eth0 metric 110 proto static", ""),
        kind: "route-replaced",
        names: &["10.244.2.0/24", "172.31.0.99"],
        harmed: OUT,
        cure: Cure::Command,
        ..Row::PLAIN
    };
}
