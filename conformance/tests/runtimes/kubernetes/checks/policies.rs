//! NetworkPolicy with podlan: kube-network-policies, built from its Go module, denies and allows traffic by the
//! addresses of pods.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use podlan_conformance::lab::{Error, Node, SHARED};
use podlan_conformance::traffic::{Answer, Report};
use serde_json::json;

use crate::containerd_2::image::{self, File};
use crate::kubernetes::checks::pods::holds;
use crate::kubernetes::cluster::{Cluster, LAB};
use crate::kubernetes::objects::{self, PODS, PORT};
use crate::kubernetes::queries::Pod;
use crate::kubernetes::settings::POD_CIDRS;

/// The image's name in [`MANIFEST`].
const NAME: &str = "localhost/kube-network-policies:test";
const MANIFEST: &str = include_str!("policies.yaml");
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";

/// The queue in which packets wait for the enforcer's decision.
const QUEUE: &str = "98";

pub fn enforced(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    start(cluster)?;
    let [guarded, open] = [("guarded", "node2"), ("open", "node2")].map(|(name, node)| objects::serving(name, node));
    let [guarded, open] = [cluster.run(&guarded)?, cluster.run(&open)?];
    let [friend, stranger] = [objects::serving("friend", "node1"), objects::serving("stranger", "node3")];
    let [friend, stranger] = [cluster.run(&friend)?, cluster.run(&stranger)?];
    let both: Vec<IpAddr> = guarded.addresses.iter().chain(&open.addresses).copied().collect();
    for client in [&friend, &stranger] {
        reaches(cluster, client, &both)?;
    }

    let label = |name| json!({ "matchLabels": { "app": name } });
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "friends" },
        "spec": { "podSelector": label("guarded"), "policyTypes": ["Ingress"],
                  "ingress": [{ "from": [{ "podSelector": label("friend") }] }] },
    });
    cluster.create(POLICIES, &policy)?;
    cluster.until("the guarded pod is silent to a stranger", || {
        let answers = answers(cluster, &stranger, &guarded.addresses).map_err(|error| error.to_string())?;
        let denied = answers.iter().filter(|answer| matches!(answer, Answer::Silent(_))).count();
        if denied == 2 && answers.len() == 2 { Ok(()) } else { Err(format!("{answers:?}")) }
    })?;
    reaches(cluster, &friend, &both)?;
    reaches(cluster, &stranger, &open.addresses)?;

    cluster.delete(&format!("{POLICIES}/friends"))?;
    cluster.until("the stranger is answered again", || {
        reaches(cluster, &stranger, &both).map_err(|error| error.to_string())
    })?;
    for pod in [guarded, open, friend, stranger] {
        cluster.delete(&format!("{PODS}/{}", pod.name))?;
        cluster.ready(&pod.name, 0)?;
    }
    end(cluster)
}

/// Each server answers, and sees the client's own address.
fn reaches(cluster: &Cluster<'_>, client: &Pod, servers: &[IpAddr]) -> Result<(), Error> {
    let answers = answers(cluster, client, servers)?;
    let own = |answer: &Answer| matches!(answer, Answer::Saw(address) if client.addresses.contains(address));
    holds(answers.len() == servers.len() && answers.iter().all(own), "each sees it at its own address", &answers)
}

fn answers(cluster: &Cluster<'_>, client: &Pod, servers: &[IpAddr]) -> Result<Vec<Answer>, Error> {
    let targets = servers.iter().map(|server| format!("tcp={server}"));
    let probe = cluster.kubectl(&["exec", &client.name, "--", LAB, "probe", "--port", &PORT.to_string()]);
    let said = probe.args(targets).run()?;
    Ok(said.stdout.lines().filter_map(|line| line.parse::<Report>().ok()).map(|report| report.answer).collect())
}

fn start(cluster: &Cluster<'_>) -> Result<(), Error> {
    let program = cluster.server.programs.join("kube-network-policies");
    let file = File { target: "kube-network-policies", source: &program };
    let archive = image::archive_as(NAME, &[file], &[], &["/kube-network-policies"], &[]);
    cluster.import(&Path::new(SHARED).join("kube-network-policies.tar"), &archive)?;
    cluster.kubectl(&["apply", "-f", "-"]).stdin(MANIFEST).succeeds()?;
    let status = ["rollout", "status", "-n", "kube-system", "daemonset/kube-network-policies", "--timeout=170s"];
    cluster.kubectl(&status).succeeds()?;
    let mut own = 0;
    for machine in &cluster.machines {
        cluster.until("the enforcer listens", || {
            let queues =
                machine.node.place().enter(|| fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue"));
            let queues = queues.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            let is = |line: &str| line.split_whitespace().next() == Some(QUEUE);
            if queues.lines().any(is) { Ok(()) } else { Err(queues) }
        })?;
        match has_its_own_rules(&machine.node)? {
            true => own += 1,
            false => rules(&machine.node, "-A")?,
        }
    }
    let own_rules = "packets wait by the lab's own NFQUEUE rules: this kernel has no queue statement for nftables";
    crate::kubernetes::sequence::note(if own == 3 { "packets wait by the enforcer's own rules" } else { own_rules });
    Ok(())
}

fn end(cluster: &Cluster<'_>) -> Result<(), Error> {
    cluster.kubectl(&["delete", "-f", "-"]).stdin(MANIFEST).succeeds()?;
    for machine in &cluster.machines {
        if !has_its_own_rules(&machine.node)? {
            rules(&machine.node, "-D")?;
        }
    }
    Ok(())
}

/// Whether the kernel accepted them: without `CONFIG_NFT_QUEUE` it refuses the whole table.
fn has_its_own_rules(node: &Node) -> Result<bool, Error> {
    let table = node.command("nft").args(["list", "table", "inet", "kube-network-policies"]).run()?;
    Ok(table.status.is_some_and(|status| status.success()))
}

/// The same rules as the enforcer's own, by iptables, whose target for the queue the kernel has.
fn rules(node: &Node, act: &str) -> Result<(), Error> {
    for (iptables, cidr) in ["iptables", "ip6tables"].into_iter().zip(POD_CIDRS.split(',')) {
        let mut rules = vec![
            vec!["-m", "owner", "--uid-owner", "0", "-j", "ACCEPT"],
            vec!["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"],
            vec!["-s", cidr, "-j", "NFQUEUE", "--queue-num", QUEUE],
            vec!["-d", cidr, "-j", "NFQUEUE", "--queue-num", QUEUE],
        ];
        if iptables == "ip6tables" {
            rules.insert(0, vec!["-p", "icmpv6", "-j", "ACCEPT"]);
        }
        for rule in rules {
            node.command(iptables).args(["-t", "mangle", act, "POSTROUTING"]).args(rule).succeeds()?;
        }
    }
    Ok(())
}
