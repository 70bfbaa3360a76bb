//! podlan installed and removed by Helm, from the packed chart.

use podlan_conformance::lab::{Command, Error};

use crate::kubernetes::checks::agents::{NODES, agents, left_on, no_pod_is_left, uninstall};
use crate::kubernetes::checks::pods::{self, holds};
use crate::kubernetes::cluster::{Cluster, WHILE};
use crate::kubernetes::objects::{self, DEPLOYMENTS};
use crate::kubernetes::sequence::note;
use crate::kubernetes::server::FRONT;

/// Name helm and the packed chart; scripts/test-kubernetes sets both.
const HELM: &str = "PODLAN_HELM";
const CHART: &str = "PODLAN_CHART";

/// helm, as the admin on the first node, with a folder of its own for what it keeps.
fn helm(cluster: &Cluster<'_>, program: &str, words: &[&str]) -> Command {
    let helm = cluster.server.node.command(program).env("KUBECONFIG", "/run/kubernetes/admin.conf").env("HOME", "/run");
    helm.args(words).args(["--namespace", "kube-system"]).deadline(WHILE)
}

/// The API server is given by its address: the checks before may have ended kube-proxy.
pub fn installs_and_removes(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let (Ok(program), Ok(chart)) = (std::env::var(HELM), std::env::var(CHART)) else {
        note(&format!("not run: {HELM} and {CHART} name no helm and no chart"));
        return Ok(());
    };
    if !agents(cluster)?.is_empty() {
        uninstall(cluster)?;
    }
    let server = format!("apiServer={}:{FRONT}", cluster.server.node.v4());
    helm(cluster, &program, &["install", "podlan", &chart, "--set", &server, "--wait", "--timeout", "170s"])
        .succeeds()?;
    cluster.nodes_are_ready(&NODES)?;
    cluster.create(DEPLOYMENTS, &objects::deployment("web", 3, true))?;
    pods::pod_to_pod(cluster)?;
    cluster.delete(&format!("{DEPLOYMENTS}/web?propagationPolicy=Background"))?;
    no_pod_is_left(cluster)?;

    let values = ["--reuse-values", "--set", "cleanup=true", "--wait", "--timeout", "170s"];
    helm(cluster, &program, &["upgrade", "podlan", &chart]).args(values).succeeds()?;
    let logs = ["logs", "-n", "kube-system", "--prefix", "--tail=-1", "-l", "app.kubernetes.io/name=podlan-cleanup"];
    let logs = cluster.kubectl(&logs).succeeds()?;
    helm(cluster, &program, &["uninstall", "podlan", "--wait"]).succeeds()?;
    for machine in &cluster.machines {
        let left = left_on(&machine.node)?;
        holds(left.iter().all(|what| what == "/run/podlan"), "nothing is left but an empty folder", &(left, &logs))?;
    }
    Ok(())
}
