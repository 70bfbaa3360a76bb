//! `kubectl podlan smoke`: a pod on each node asks the others who it is.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Ran;
use crate::answer;
use crate::ask::Asker;
use crate::each::each;
use crate::kubernetes::{self, List};
use crate::print;
use crate::view::smoke::{Pod, Request, Smoke, judge, requests, url};

/// The objects: those of scripts/smoke.
const OBJECTS: &str = include_str!("../../../deploy/smoke/smoke.yaml");

/// The image in them.
const IMAGE: &str = "registry.k8s.io/e2e-test-images/agnhost:2.53";

const SELECTOR: &str = "app=podlan-smoke";

/// kube-proxy learns of pods a moment after they are ready, and rejects connections until then.
const SERVICE: Duration = Duration::from_secs(30);

/// What to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask no Service, for a cluster without kube-proxy
    #[arg(long)]
    no_service: bool,
    /// The image of the pods: agnhost, with curl
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    image: String,
    /// How long the pods may take to become ready
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// How many pairs of pods are asked at most; of more pods each asks some others
    #[arg(long, value_name = "COUNT", default_value = "2500")]
    pairs: usize,
    /// Show each failure
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Service {
    spec: ServiceSpec,
}

#[derive(Deserialize)]
struct ServiceSpec {
    #[serde(default, rename = "clusterIPs")]
    cluster_ips: Vec<String>,
}

#[derive(Deserialize)]
struct Named {
    metadata: Name,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

/// kubectl in the namespace of the pods.
struct Kubectl<'a> {
    asker: &'a Asker,
    namespace: Vec<&'a str>,
}

impl Kubectl<'_> {
    fn run(&self, words: &[&str], stdin: &[u8], limit: Duration) -> Result<String, String> {
        answer::text(&self.asker.kubectl.run(&[words, &self.namespace].concat(), stdin, limit))
    }
}

/// Tests the network.
pub(crate) fn run(args: &Args, asker: &Asker, namespace: Option<&str>) -> Ran {
    let has_image = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if args.image.is_empty() || !args.image.chars().all(has_image) {
        return Err(format!("{:?} is not the name of an image", args.image));
    }
    let kubectl = Kubectl { asker, namespace: namespace.map(|name| vec!["--namespace", name]).unwrap_or_default() };
    let objects = OBJECTS.replace(IMAGE, &args.image);
    kubectl
        .run(&["apply", "--filename", "-"], objects.as_bytes(), asker.limit)
        .map_err(|why| format!("failed to start the pods: {why}"))?;
    print::error("started the DaemonSet and the Service podlan-smoke; they are deleted at the end");
    let smoke = test(args, &kubectl);
    let gone = kubectl.run(
        &["delete", "--filename", "-", "--ignore-not-found", "--wait=false"],
        objects.as_bytes(),
        asker.limit,
    );
    if let Err(why) = gone {
        print::error(&format!("failed to delete them: {why}; kubectl delete daemonset,service podlan-smoke"));
    }
    let smoke = smoke?;
    print::report(args.json, &smoke, || smoke.text(args.all))?;
    Ok(smoke.code())
}

fn test(args: &Args, kubectl: &Kubectl<'_>) -> Result<Smoke, String> {
    let wait = format!("--timeout={}s", args.wait.as_secs().max(1));
    let limit = args.wait.saturating_add(kubectl.asker.limit);
    // Those that are ready are asked; why the others are not is said of each.
    let _ = kubectl.run(&["rollout", "status", "daemonset/podlan-smoke", &wait], b"", limit);
    let list = kubectl.run(&["get", "pods", "--selector", SELECTOR, "--output", "json"], b"", kubectl.asker.limit)?;
    let list: List<kubernetes::Pod> = serde_json::from_str(&list).map_err(|error| error.to_string())?;
    let (mut pods, mut without_pod) = (Vec::new(), Vec::new());
    for pod in list.items.iter().filter(|pod| !pod.is_leaving()) {
        match pod.why_not_ready() {
            None => pods.push(Pod {
                name: pod.short_name().to_owned(),
                node: pod.node().to_owned(),
                addresses: pod.addresses(),
            }),
            Some(why) => without_pod.push(format!("{}: its pod {} is not ready: {why}", pod.node(), pod.short_name())),
        }
    }
    without_pod.extend(nodes_without(kubectl, &list.items));
    pods.sort_by(|one, other| crate::order::natural(&one.node, &other.node).then_with(|| one.name.cmp(&other.name)));
    let services = if args.no_service { Vec::new() } else { services(kubectl)? };
    let (requests, pairs) = requests(&pods, &services, args.pairs);
    let answers = each(&requests, kubectl.asker.at_once, |request| ask(kubectl, &pods, request));
    let failures = requests.iter().zip(&answers).filter_map(|(request, answer)| judge(&pods, request, answer));
    let asked: BTreeSet<_> = requests.iter().filter_map(|request| Some((request.from, request.to?))).collect();
    let mut smoke = Smoke {
        client: state::release::version().to_owned(),
        ok: false,
        requests: requests.len(),
        pairs,
        pairs_asked: asked.len(),
        failures: failures.collect(),
        without_pod,
        pods,
    };
    smoke.ok = smoke.code() == 0;
    Ok(smoke)
}

/// Nodes on which no pod was made.
fn nodes_without(kubectl: &Kubectl<'_>, pods: &[kubernetes::Pod]) -> Vec<String> {
    let nodes = kubectl.asker.get::<List<Named>>(&["get", "nodes", "--output", "json"]);
    match nodes {
        Err(why) => vec![format!("whether each node has a pod: the list of nodes cannot be read: {why}")],
        Ok(list) => {
            let has = |name: &str| pods.iter().any(|pod| pod.node() == name);
            let names = list.items.into_iter().map(|node| node.metadata.name).filter(|name| !has(name));
            names.map(|name| format!("{name}: no pod of the test is on this node")).collect()
        }
    }
}

fn services(kubectl: &Kubectl<'_>) -> Result<Vec<std::net::IpAddr>, String> {
    let text = kubectl.run(&["get", "service", "podlan-smoke", "--output", "json"], b"", kubectl.asker.limit)?;
    let service: Service = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(service.spec.cluster_ips.iter().filter_map(|text| text.parse().ok()).collect())
}

fn ask(kubectl: &Kubectl<'_>, pods: &[Pod], request: &Request) -> Result<String, String> {
    let url = url(request.at, request.to.is_none());
    let name = pods[request.from].name.as_str();
    let mut words = vec!["exec", name];
    words.extend(&kubectl.namespace);
    words.extend(["--", "curl", "--silent", "--show-error", "--max-time", "5", &url]);
    let once = || answer::text(&kubectl.asker.kubectl(&words));
    let until = Instant::now() + SERVICE;
    loop {
        match once() {
            Err(_) if request.to.is_none() && Instant::now() < until => thread::sleep(Duration::from_millis(500)),
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_have_the_image_that_may_be_replaced_and_the_label_that_is_looked_for() {
        assert_eq!(OBJECTS.matches(IMAGE).count(), 1);
        assert!(OBJECTS.contains("labels: {app: podlan-smoke}"));
    }
}
