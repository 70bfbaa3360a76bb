//! The cluster's view of its pods and nodes, and requests between pods.

use std::net::IpAddr;

use podlan_conformance::lab::Error;
use podlan_conformance::traffic::{Answer, Report};
use serde_json::Value;

use crate::kubernetes::cluster::{Cluster, LAB};
use crate::kubernetes::objects::PODS;

/// A pod as the API server has it.
#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    pub node: String,
    pub addresses: Vec<IpAddr>,
    pub ready: bool,
    pub uid: String,
}

impl Pod {
    fn read(pod: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let addresses = pod["status"]["podIPs"].as_array().into_iter().flatten();
        Self {
            name: text(&pod["metadata"]["name"]),
            node: text(&pod["spec"]["nodeName"]),
            addresses: addresses.filter_map(|address| address["ip"].as_str()?.parse().ok()).collect(),
            ready: condition(&pod["status"], "Ready") && pod["metadata"]["deletionTimestamp"].is_null(),
            uid: text(&pod["metadata"]["uid"]),
        }
    }
}

/// Whether a condition of a status is `True`.
fn condition(status: &Value, kind: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
}

impl Cluster<'_> {
    /// The pods of namespace default with this label `app`.
    pub fn pods(&self, app: &str) -> Result<Vec<Pod>, Error> {
        let list = self.list(&format!("{PODS}?labelSelector=app%3D{app}"))?;
        Ok(list.iter().map(Pod::read).collect())
    }

    /// Waits until this number of pods of an app are ready, each with an address of both families, and there are no
    /// others.
    pub fn ready(&self, app: &str, count: usize) -> Result<Vec<Pod>, Error> {
        self.until(&format!("{count} pods of {app} are ready"), || {
            let pods = self.pods(app).map_err(|error| error.to_string())?;
            let up = pods.iter().filter(|pod| pod.ready && pod.addresses.len() == 2).count();
            let waiting = |pod: &&Pod| !pod.ready || pod.addresses.len() != 2;
            match up == count && pods.len() == count {
                true => Ok(pods),
                false => Err(format!("{up} of {}: {:?}", pods.len(), pods.iter().find(waiting))),
            }
        })
    }

    /// Creates a pod and waits until it is ready.
    pub fn run(&self, pod: &Value) -> Result<Pod, Error> {
        self.create(PODS, pod)?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        Ok(self.ready(name, 1)?.remove(0))
    }

    /// The nodes, and whether each is ready.
    pub fn nodes(&self) -> Result<Vec<(String, bool)>, Error> {
        let nodes = self.list("/api/v1/nodes")?;
        let name = |node: &Value| node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Ok(nodes.iter().map(|node| (name(node), condition(&node["status"], "Ready"))).collect())
    }

    /// Waits until these nodes and no others exist, all ready.
    pub fn nodes_are_ready(&self, names: &[&str]) -> Result<(), Error> {
        self.until(&format!("{names:?} are ready"), || {
            let nodes = self.nodes().map_err(|error| error.to_string())?;
            let expected: Vec<(String, bool)> = names.iter().map(|name| ((*name).to_owned(), true)).collect();
            if nodes == expected { Ok(()) } else { Err(format!("{nodes:?}")) }
        })
    }

    /// Runs a command in a pod, through the API server and the kubelet; it must succeed.
    pub fn exec(&self, pod: &str, command: &[&str]) -> Result<String, Error> {
        self.kubectl(&["exec", pod, "--"]).args(command).succeeds()
    }

    /// Sends requests from a pod to servers, over TCP; each answers with the address that it saw.
    pub fn connects(&self, pod: &Pod, port: u16, servers: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
        let port = port.to_string();
        let targets: Vec<String> = servers.iter().map(|server| format!("tcp={server}")).collect();
        let mut command = vec![LAB, "probe", "--port", &port];
        command.extend(targets.iter().map(String::as_str));
        saw(&self.exec(&pod.name, &command)?)
    }
}

/// The addresses in the report of `podlan-lab probe`.
pub fn saw(said: &str) -> Result<Vec<IpAddr>, Error> {
    let unreadable = |line: &str| Error::Unreadable { from: "podlan-lab probe".into(), said: line.to_owned() };
    said.lines()
        .map(|line| match line.parse::<Report>().map(|report| report.answer) {
            Ok(Answer::Saw(address)) => Ok(address),
            _ => Err(unreadable(line)),
        })
        .collect()
}
