//! The agent itself.

use std::time::Duration;

use crate::row::{Cure, Fault, Row, Surface};
use crate::stage::OUT;

const SILENT: &[Surface] = &[Surface::NodeJson, Surface::Metrics, Surface::Log];

/// Of a node whose agent is dead only doctor tells what else is wrong.
const DEAD: &[Surface] = &[Surface::NodeJson, Surface::Status, Surface::Metrics, Surface::Log, Surface::Alert];

/// One pod, which ends without a DEL.
const ENDED: &str = r#"kill -9 $AGENT
touch /run/netns/m1; unshare --net=/run/netns/m1 true
echo '{"cniVersion":"1.0.0","name":"podnet","type":"podlan","ipam":{"type":"podlan-ipam","ranges":[[{"subnet":"10.244.1.0/24"}]]}}' |
  CNI_COMMAND=ADD CNI_CONTAINERID=m1 CNI_NETNS=/run/netns/m1 CNI_IFNAME=eth0 CNI_PATH=$PLUGINS $PLUGINS/podlan > /run/said
umount -l /run/netns/m1; rm /run/netns/m1"#;

/// One pod with a host port, which lives on.
const FORWARDED: &str = r#"kill -9 $AGENT
touch /run/netns/m1; unshare --net=/run/netns/m1 true
echo '{"cniVersion":"1.0.0","name":"podnet","type":"podlan","ipam":{"type":"podlan-ipam","ranges":[[{"subnet":"10.244.1.0/24"}]]},
  "runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}}' |
  CNI_COMMAND=ADD CNI_CONTAINERID=m1 CNI_NETNS=/run/netns/m1 CNI_IFNAME=eth0 CNI_PATH=$PLUGINS $PLUGINS/podlan > /run/said
nft delete table inet podlan-hostport"#;

rows! {
    the_agent_is_killed: Row {
        broken: "the agent is killed",
        fault: Fault::on_node("kill -9 $AGENT", ""),
        kind: "agent-gone",
        names: &["$AGENT"],
        not_by: SILENT,
        ..Row::PLAIN
    };
    the_agent_hangs: Row {
        broken: "the agent is stopped, or hangs",
        fault: Fault::on_node("kill -STOP $AGENT", "kill -CONT $AGENT"),
        kind: "agent-gone",
        names: &["$AGENT"],
        not_by: SILENT,
        within: Duration::from_secs(40),
        ..Row::PLAIN
    };
    a_route_is_lost_without_the_agent: Row {
        broken: "the agent is dead, and the route to a peer's pods is deleted",
        fault: Fault::on_node("kill -9 $AGENT\nip route del 10.244.2.0/24 proto 110", ""),
        kind: "route-missing",
        names: &["10.244.2.0/24", "node2"],
        harmed: OUT,
        not_by: DEAD,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    the_own_route_is_lost_without_the_agent: Row {
        broken: "the agent is dead, and the unreachable route of the own pod CIDR is deleted",
        fault: Fault::on_node("kill -9 $AGENT\nip route del unreachable 10.244.1.0/24 proto 110", ""),
        kind: "own-route-missing",
        names: &["10.244.1.0/24"],
        not_by: DEAD,
        cure: Cure::Command,
        ..Row::PLAIN
    };
    the_rules_are_lost_without_the_agent: Row {
        broken: "the agent is dead, and another program flushes all rules",
        fault: Fault::on_node("kill -9 $AGENT\nnft flush ruleset", ""),
        kind: "source-rule-missing",
        names: &["`source`"],
        not_by: DEAD,
        ..Row::PLAIN
    };
    the_arp_guard_is_lost_without_the_agent: Row {
        broken: "the same: the rule that keeps the node from answering ARP for the gateway",
        fault: Fault::on_node("kill -9 $AGENT\nnft flush ruleset", ""),
        kind: "arp-guard-missing",
        names: &["`ARP guard`"],
        not_by: DEAD,
        ..Row::PLAIN
    };
    the_host_ports_are_lost_without_the_agent: Row {
        broken: "the agent is dead, and another program removes the host port of a pod",
        fault: Fault::on_node(FORWARDED, ""),
        kind: "host-ports-missing",
        names: &["`host ports`"],
        not_by: DEAD,
        ..Row::PLAIN
    };
    a_lease_is_dead_without_the_agent: Row {
        broken: "the agent is dead, and a pod ends without a DEL",
        fault: Fault::on_node(ENDED, ""),
        kind: "lease-dead",
        names: &["podnet"],
        not_by: DEAD,
        cure: Cure::Command,
        ..Row::PLAIN
    };
}
