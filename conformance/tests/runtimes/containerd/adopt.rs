//! Pods that the reference's ptp made with host-local keep running under podlan, with their addresses, until their
//! normal end.
//!
//! ```text
//!   node1
//!     ├── old, older   made by ptp, leased by host-local; podlan-node adopt host-local
//!     └── new          made by podlan after the change
//! ```

use std::fs;
use std::net::IpAddr;

use podlan_conformance::lab::{Error, Lab, Node, binaries, within};
use serde_json::{Value, json};

use super::flat::{is_seen_as_itself, talker};
use super::parts::Parts;
use super::rig::{Rig, Worker, conflist};

const THEIRS: &str = "/var/lib/cni/networks/podnet";

/// The network as its users had it before.
fn ptp(node: &Node) -> Value {
    let mut config = node.podnet();
    config["type"] = json!("ptp");
    config["ipam"]["type"] = json!("host-local");
    config["ipam"]["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
    config
}

fn adopt(node: &Node, more: &[&str]) -> Result<Value, Error> {
    let command = node.command(binaries::find("podlan-node")?);
    let said = command.args(["adopt", "host-local", THEIRS, "--json"]).args(more).succeeds()?;
    Ok(serde_json::from_str(&said).unwrap())
}

fn addresses(lines: &Value) -> Vec<IpAddr> {
    let lines = lines.as_array().unwrap().iter();
    let mut all: Vec<IpAddr> = lines.map(|line| line["address"].as_str().unwrap().parse().unwrap()).collect();
    all.sort();
    all
}

/// The links of the node that ptp made.
fn veths(worker: &Worker<'_>) -> Result<usize, Error> {
    let network = worker.node.network()?;
    let names =
        network.lines(&["link"]).into_iter().filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned));
    Ok(names.filter(|name| name.starts_with("veth")).count())
}

#[test]
fn pods_of_ptp_and_host_local_keep_running_under_podlan_and_are_deleted_by_it() {
    let Some(parts) = Parts::find() else { return };
    within(|| {
        let lab = Lab::new(1)?;
        let rig = Rig::new(&lab, &parts)?;
        let [one] = rig.workers();
        let before = one.node.network()?;
        for name in ["ptp", "host-local"] {
            one.containerd.install_plugin(name, &parts.plugin(name));
        }
        one.containerd.use_conflist(&conflist(ptp(one.node)))?;
        let (old, older) = (one.pod("old"), one.pod("older"));
        let (at_old, at_older) = (old.addresses(), older.addresses());
        let in_old = talker(&old);
        let mut theirs = [at_old.clone(), at_older.clone()].concat();
        theirs.sort();
        // A lease for which host-local never got a DEL.
        let leaked: IpAddr = "10.244.1.200".parse().unwrap();
        one.node
            .place()
            .enter(|| fs::write(format!("{THEIRS}/{leaked}"), "long-gone-container\r\neth0"))
            .unwrap()
            .unwrap();
        let live = one.node.path("/run/live");
        fs::write(&live, format!("{}\n{}\n", old.sandbox, older.sandbox)).unwrap();

        let said = adopt(one.node, &["--live", "/run/live", "--dry-run"])?;
        assert_eq!((addresses(&said["adopted"]), one.leases()), (theirs.clone(), vec![]), "{said:#}");
        let said = adopt(one.node, &["--live", "/run/live"])?;
        assert_eq!(addresses(&said["adopted"]), theirs, "{said:#}");
        assert_eq!(addresses(&said["left"]), [leaked], "{said:#}");
        assert_eq!((said["refused"].clone(), one.leases()), (json!([]), theirs.clone()));
        assert!(said["adopted"].as_array().unwrap().iter().any(|line| line["pod"] == "lab/old"), "{said:#}");
        let again = adopt(one.node, &["--live", "/run/live"])?;
        assert_eq!((addresses(&again["adopted"]), addresses(&again["known"])), (vec![], theirs.clone()));

        one.containerd.use_conflist(&conflist(one.node.podnet()))?;
        let new_pods = [one.pod("new"), one.pod("newer")];
        let at_new_pods: Vec<IpAddr> = new_pods.iter().flat_map(super::pod::Pod::addresses).collect();
        assert!(at_new_pods.iter().all(|address| !theirs.contains(address)), "{at_new_pods:?} of {theirs:?}");
        let in_new = talker(&new_pods[0]);
        is_seen_as_itself(&in_new, &new_pods[0].addresses(), &at_old);
        is_seen_as_itself(&in_old, &at_old, &new_pods[0].addresses());

        // Each ends by a DEL of podlan: first its link is removed, then its lease.
        assert_eq!(veths(&one)?, 2);
        older.stop().unwrap();
        assert_eq!(veths(&one)?, 1);
        let del = &one.calls("podlan", &older.sandbox)[0];
        assert_eq!((&del["command"], &del["code"]), (&json!("DEL"), &json!(0)), "{del:#}");
        assert!(one.leases().iter().all(|address| !at_older.contains(address)), "{:?}", one.leases());
        is_seen_as_itself(&in_new, &new_pods[0].addresses(), &at_old);
        older.end();
        old.end();
        for pod in new_pods {
            pod.end();
        }
        one.is_empty_as(&before)
    });
}
