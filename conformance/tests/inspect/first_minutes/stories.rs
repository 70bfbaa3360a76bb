//! The outages: how each is made, what an operator runs, and how the node is restored.

use std::time::Duration;

use nix::sys::signal::Signal;
use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually};
use serde_json::{Value, json};

use super::page::{Page, masked};
use crate::doctor::rig::Rig;

const SOON: Duration = Duration::from_secs(60);

/// How long an output must not change to be recorded: twice that is longer than the agent and the probes take.
const SETTLES: Duration = Duration::from_secs(3);

type Change = fn(&Shell<'_>, &mut Rig<'_>) -> Result<(), Error>;

/// One outage.
pub(super) struct Story {
    pub(super) title: &'static str,
    pub(super) cause: &'static str,
    pub(super) fault: Change,
    pub(super) steps: &'static [Step],
    pub(super) heal: Change,
}

/// A command on node1.
pub(super) enum Step {
    /// Repeated until its output has the words.
    Look(&'static str, &'static str),
    /// It changes something: it is run once, and its output has the words.
    Act(&'static str, &'static str),
}

use Step::{Act, Look};

/// A shell on node1.
pub(super) struct Shell<'a> {
    lab: &'a Lab,
    one: &'a Node,
    two: &'a Node,
    programs: String,
}

impl<'a> Shell<'a> {
    pub(super) fn new(lab: &'a Lab, one: &'a Node, two: &'a Node) -> Result<Self, Error> {
        let program = binaries::find("podlan-node")?;
        let programs = program.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        Ok(Self { lab, one, two, programs })
    }

    fn run(&self, node: &Node, line: &str) -> Result<String, Error> {
        let script = format!("export PATH={}:/usr/sbin:/sbin:$PATH; exec 2>&1; {line}", self.programs);
        Ok(node.command("sh").args(["-c", &script]).run()?.stdout)
    }

    /// The command and its output, once that has the words and is as on the page: what the agent finds by itself follows
    /// some seconds later. A recording waits until the output changes no more.
    pub(super) fn step(&self, step: &Step, page: &Page) -> Result<String, Error> {
        let (run, until) = match step {
            Look(run, until) => (run, until),
            Act(run, until) => {
                let output = self.run(self.one, run)?;
                assert!(output.contains(until), "`{run}` does not say {until:?}: {output}");
                return Ok(format!("node1# {run}\n{}", masked(&output)));
            }
        };
        let mut before = String::new();
        eventually(SOON, &format!("`{run}` says {until:?} and what is on the page"), || {
            let output = self.run(self.one, run).map_err(|error| error.to_string())?;
            let step = format!("node1# {run}\n{}", masked(&output));
            let settled = if Page::is_recorded_now() {
                std::thread::sleep(SETTLES);
                std::mem::replace(&mut before, step.clone()) == step
            } else {
                page.has(&step)
            };
            if output.contains(until) && settled { Ok(step) } else { Err(step) }
        })
    }

    fn list(&self, items: &[Value]) -> Result<(), Error> {
        self.lab.write_nodes(&json!({ "kind": "NodeList", "items": items }).to_string())
    }

    fn both(&self) -> Result<(), Error> {
        self.list(&[self.one.as_kubernetes(), self.two.as_kubernetes()])
    }
}

fn nothing(_: &Shell<'_>, _: &mut Rig<'_>) -> Result<(), Error> {
    Ok(())
}

const WRONG: &str = "podlan-node doctor | grep -v '^ok\\|^-'";

/// The ten.
pub(super) fn all() -> [Story; 10] {
    [
        Story {
            title: "The network between the nodes drops pod addresses",
            cause: "Pods of two nodes do not reach each other, the nodes do: a cloud's source/destination check or port \
                    security, or a firewall between them.",
            fault: |shell, _| {
                let rule = "nft add table ip lan; nft add chain ip lan pre '{ type filter hook prerouting priority -300; }'; \
                            nft add rule ip lan pre iifname eth0 ip saddr 10.244.1.0/24 drop";
                shell.run(shell.two, rule).map(drop)
            },
            steps: &[Look("podlan-node status | grep ^paths", "IPv4: 1 lost-there"), Look(WRONG, "do not arrive")],
            heal: |shell, _| shell.run(shell.two, "nft delete table ip lan").map(drop),
        },
        Story {
            title: "Another program switched forwarding off",
            cause: "No pod of the node reaches another node: a hardening script set the sysctl, and the agent runs with \
                    `--no-keep-forwarding`. By default it switches forwarding on again by itself; IPv6 in the manifest's \
                    container needs the printed sysctl on the node.",
            fault: |_, rig| rig.write("/proc/sys/net/ipv4/ip_forward", "0"),
            steps: &[
                Look(WRONG, "forwarding is off"),
                Act("podlan-node doctor --fix | grep '^fixed'", "switched IPv4 forwarding on"),
            ],
            heal: nothing,
        },
        Story {
            title: "Docker or a firewall drops what the node forwards",
            cause: "A forward chain of another program has the policy drop.",
            fault: |shell, _| {
                let rule = "nft add table ip docker; nft add chain ip docker FORWARD \
                            '{ type filter hook forward priority 0; policy drop; }'";
                shell.run(shell.one, rule).map(drop)
            },
            steps: &[Look(WRONG, "drops traffic between pods by its policy")],
            heal: |shell, _| shell.run(shell.one, "nft delete table ip docker").map(drop),
        },
        Story {
            title: "Another program took the route to a node's pods",
            cause: "Pods of one node are unreachable from this one only.",
            fault: |shell, rig| {
                let route = netlink::Route {
                    gateway: "172.31.0.99".parse().ok(),
                    metric: 110,
                    ..netlink::Route::to(shell.two.pod_cidrs()[0], 4)
                };
                rig.replace(&route)
            },
            steps: &[Look(WRONG, "in its place is")],
            heal: |shell, _| shell.one.place().remove_route(shell.two.pod_cidrs()[0]),
        },
        Story {
            title: "The agent does not run",
            cause: "Its process was stopped, or hangs: after 35 s its last report counts as outdated.",
            fault: |_, rig| {
                rig.agent.signal(Signal::SIGSTOP)?;
                rig.silence()
            },
            steps: &[Look("podlan-node status | head -3; podlan-node doctor | grep -A2 'WRONG.*agent'", "WRONG")],
            heal: |_, rig| rig.agent.signal(Signal::SIGCONT),
        },
        Story {
            title: "The list of nodes cannot be read",
            cause: "New nodes are unreachable: the file, or the answer of the API server, is damaged.",
            fault: |shell, _| shell.lab.write_nodes("{\"kind\": \"NodeList\", \"items\": [{\"metadata\": 7}"),
            steps: &[Look("podlan-node status | grep -A1 ^source", "stays in force")],
            heal: |shell, _| shell.both(),
        },
        Story {
            title: "A list of nodes lost most of its nodes",
            cause: "Usually a mistake: restore the list. The agent keeps the routes for 60 s (`--withdraw-hold`); then it reads \
                    the list again, and withdraws the routes if the nodes are still missing. Only if the nodes are really \
                    gone, apply the list at once:",
            fault: |shell, _| shell.list(&[shell.one.as_kubernetes()]),
            steps: &[
                Look("podlan-node status | grep ^held", "would withdraw"),
                Act("podlan-node release-withdrawal", "released"),
            ],
            heal: |shell, _| shell.both(),
        },
        Story {
            title: "Two nodes have the same pod CIDR",
            cause: "Pods of one of them are unreachable: a Node object was copied, or a controller assigned the CIDR twice. Give \
                    one of the nodes a CIDR of its own: in the nodes file; in Kubernetes, where a podCIDR cannot change, drain \
                    the node, delete its Node object, and restart its kubelet, which registers it again.",
            fault: |shell, _| {
                let mut twin = shell.two.as_kubernetes();
                twin["metadata"]["name"] = json!("twin");
                twin["status"]["addresses"] = json!([{ "type": "InternalIP", "address": "172.31.0.77" }]);
                shell.list(&[shell.one.as_kubernetes(), shell.two.as_kubernetes(), twin])
            },
            steps: &[Look("podlan-node status | grep skipped", "has the same CIDR")],
            heal: |shell, _| shell.both(),
        },
        Story {
            title: "The runtime takes another network",
            cause: "Pods get addresses that are not of the node's pod CIDR: another configuration comes first by name.",
            fault: |_, rig| rig.put("net.d/05-flannel.conflist", r#"{"name":"old","plugins":[{"type":"bridge"}]}"#),
            steps: &[Look(WRONG, "05-flannel.conflist")],
            heal: |_, rig| rig.remove("net.d/05-flannel.conflist"),
        },
        Story {
            title: "Connections open and then hang",
            cause: "The node's end of a pod's link has a smaller MTU (1400) than the pod's end (1500): another program changed it.",
            fault: |_, rig| {
                let link = rig.pod_link()?;
                rig.write(&format!("/sys/class/net/{link}/mtu"), "1400")
            },
            steps: &[Look(WRONG, "the MTU of pod links"), Act("podlan-node doctor --fix | grep '^fixed'", "MTU 1500")],
            heal: nothing,
        },
    ]
}
