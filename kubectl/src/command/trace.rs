//! `kubectl podlan trace`.

use std::net::IpAddr;

use inspect::status::Status;
use inspect::trace::way::Answer;

use super::Ran;
use crate::answer;
use crate::ask::{Asker, Sites};
use crate::cluster::{self, Answers};
use crate::each::each;
use crate::kubernetes::{self, Agent, Site};
use crate::print;
use crate::view::trace::{Half, Pod, pairs, trace};

/// The two pods.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pod: NAME, NAMESPACE/NAME, or its address
    #[arg(value_name = "POD")]
    one: String,
    /// The other
    #[arg(value_name = "POD")]
    other: String,
    /// Follow a TCP connection to this port of the second pod: rules by port count too
    #[arg(long, value_name = "PORT", conflicts_with = "udp")]
    tcp: Option<u16>,
    /// Follow UDP packets to this port of the second pod: rules by port count too
    #[arg(long, value_name = "PORT")]
    udp: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Traces packets between two pods.
pub(crate) fn run(args: &Args, asker: &Asker, namespace: Option<&str>) -> Ran {
    let sites = asker.sites()?;
    let [from, to] = [&args.one, &args.other].map(|name| find(name, asker, namespace, &sites));
    let (from, to) = (from?, to?);
    if from.addresses.iter().any(|address| to.addresses.contains(address)) {
        return Err(format!(
            "{} and {} are the same pod: its packets to itself do not leave its namespace",
            args.one, args.other
        ));
    }
    let pairs = pairs(&from, &to);
    if pairs.is_empty() {
        return Err(format!("{} and {} have no addresses of the same family", args.one, args.other));
    }
    let mut answers = ask(args, asker, &sites, [&from.node, &to.node], &pairs);
    answers.client = state::release::version().to_owned();
    let trace = trace(from, to, &answers);
    print::report(args.json, &trace, || trace.text())?;
    Ok(trace.code())
}

/// The pod of this name, or with this address.
fn find(text: &str, asker: &Asker, namespace: Option<&str>, sites: &Sites) -> Result<Pod, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let has = |site: &&Site| site.pod_cidrs.iter().any(|cidr| cidr.contains(address));
        let site = sites.all.iter().find(has).ok_or_else(|| match &sites.unlisted {
            Some(why) => format!("on which node {address} is cannot be told without the list of nodes: {why}"),
            None => format!("{address} is not a pod of this cluster: it is in no node's pod CIDR"),
        })?;
        return Ok(Pod { name: text.to_owned(), node: site.node.clone(), addresses: vec![address] });
    }
    let (space, name) = match text.split_once('/') {
        Some((space, name)) => (Some(space), name),
        None => (namespace, text),
    };
    // A name that begins with a dash would be a flag of kubectl's.
    let is_name = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
            && !text.starts_with('-')
    };
    if !is_name(name) || !space.is_none_or(is_name) {
        return Err(format!("{text:?} is not a pod: give NAME, NAMESPACE/NAME or an address"));
    }
    let mut words = vec!["get", "pod", name, "--output", "json"];
    if let Some(space) = space {
        words.extend(["--namespace", space]);
    }
    let pod: kubernetes::Pod = asker.get(&words).map_err(|why| format!("failed to find the pod {text}: {why}"))?;
    match pod.unusable() {
        Some(why) => Err(format!("the pod {} cannot be traced: {why}", pod.name())),
        None => Ok(Pod { name: pod.name(), node: pod.node().to_owned(), addresses: pod.addresses() }),
    }
}

/// Asks the nodes of both pods; one node once.
fn ask(args: &Args, asker: &Asker, sites: &Sites, nodes: [&str; 2], pairs: &[(IpAddr, IpAddr)]) -> Answers<Half> {
    let is_asked = |site: &&Site| nodes.contains(&site.node.as_str());
    let asked: Vec<&Site> = sites.all.iter().filter(is_asked).collect();
    let said = each(&asked, asker.at_once, |site| match &site.agent {
        Agent::Runs { pod, container } => half(args, asker, pod, container, pairs),
        Agent::Absent(why) | Agent::NotExpected(why) => Err(why.clone()),
    });
    Answers {
        client: String::new(),
        nodes: asked.iter().map(|site| site.node.clone()).zip(said).collect(),
        not_expected: Vec::new(),
        unlisted: None,
    }
}

/// What one node says. The state is asked for its paths; a node that says nothing at all is one that does not answer.
fn half(
    args: &Args,
    asker: &Asker,
    pod: &str,
    container: &str,
    pairs: &[(IpAddr, IpAddr)],
) -> Result<cluster::Answer<Half>, String> {
    let state = asker.one(pod, container, &["status", "--json"], |status: Status<'static>| {
        (!status.stale).then(|| status.state.into_owned().paths).flatten()
    });
    let port = match (args.tcp, args.udp) {
        (Some(port), _) => Some(("--tcp", port.to_string())),
        (None, Some(port)) => Some(("--udp", port.to_string())),
        (None, None) => None,
    };
    let ways: Vec<Result<Answer, String>> = pairs
        .iter()
        .map(|(one, other)| {
            let (one, other) = (one.to_string(), other.to_string());
            let mut words = vec!["trace", &one, &other, "--json"];
            words.extend(port.iter().flat_map(|(flag, port)| [*flag, port.as_str()]));
            answer::json(&asker.run(pod, container, &words))
        })
        .collect();
    match (state, ways.iter().any(Result::is_ok)) {
        (Ok(state), _) => {
            Ok(cluster::Answer { release: state.release, value: Half { ways, paths: state.value }, complaint: None })
        }
        (Err(_), true) => {
            let release = ways.iter().flatten().map(|way| way.release.clone()).next().unwrap_or_default();
            Ok(cluster::Answer { release: Ok(release), value: Half { ways, paths: None }, complaint: None })
        }
        (Err(why), false) => Err(why),
    }
}
