//! Whether each pod of the smoke test reaches the others at their own addresses and is seen with its own. Pure.

use std::net::IpAddr;

use serde::Serialize;

/// A pod of the test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pod {
    /// Its name.
    pub(crate) name: String,
    /// Its node.
    pub(crate) node: String,
    /// Its addresses.
    pub(crate) addresses: Vec<IpAddr>,
}

/// One request: pod `from` asks pod `to` at one of its addresses, or the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The place of the pod that asks.
    pub(crate) from: usize,
    /// The pod that is asked; `None` for the service.
    pub(crate) to: Option<usize>,
    /// The address.
    pub(crate) at: IpAddr,
}

/// The requests, and how many all would be. Every pair of pods where those are no more than `most`; of more pods each asks itself
/// and so many others that follow it, at distances that double: every pod asks and is asked, near and far.
pub(crate) fn requests(pods: &[Pod], services: &[IpAddr], most: usize) -> (Vec<Request>, usize) {
    let count = pods.len();
    let all = count.saturating_mul(count);
    let distances: Vec<usize> = if all <= most {
        (0..count).collect()
    } else {
        let doubled = std::iter::successors(Some(1_usize), |distance| distance.checked_mul(2));
        let each = (most / count.max(1)).max(1);
        std::iter::once(0).chain(doubled.take_while(|distance| *distance < count)).take(each + 1).collect()
    };
    let mut requests = Vec::new();
    for from in 0..count {
        for distance in &distances {
            let to = (from + distance) % count;
            requests.extend(pods[to].addresses.iter().map(|at| Request { from, to: Some(to), at: *at }));
        }
        requests.extend(services.iter().map(|at| Request { from, to: None, at: *at }));
    }
    (requests, all)
}

/// The URL that answers with the address of who asks.
pub(crate) fn url(at: IpAddr, is_service: bool) -> String {
    let port = if is_service { 80 } else { 8080 };
    match at {
        IpAddr::V4(at) => format!("http://{at}:{port}/clientip"),
        IpAddr::V6(at) => format!("http://[{at}]:{port}/clientip"),
    }
}

/// The address in `10.244.1.2:4711` or `[fd00::2]:4711`.
pub(crate) fn seen(answer: &str) -> Option<IpAddr> {
    let socket: std::net::SocketAddr = answer.trim().parse().ok()?;
    Some(socket.ip())
}

/// The result of the test.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Smoke {
    /// The release of this program.
    pub(crate) client: String,
    /// Each request was answered, and each pod was seen with its own address.
    pub(crate) ok: bool,
    /// The pods.
    pub(crate) pods: Vec<Pod>,
    /// Nodes of the cluster that have no pod of the test, and why, where that is known.
    pub(crate) without_pod: Vec<String>,
    /// The number of requests.
    pub(crate) requests: usize,
    /// The number of pairs of pods, and how many of them were asked.
    pub(crate) pairs: usize,
    pub(crate) pairs_asked: usize,
    /// What went wrong, in the order of the requests.
    pub(crate) failures: Vec<Failure>,
}

/// A request that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    from: String,
    from_node: String,
    to: String,
    to_node: String,
    address: IpAddr,
    why: String,
}

/// How many failures are shown, unless all are asked for.
const SHOWN: usize = 20;

/// What is wrong with the answer to a request; `None` where nothing is.
pub(crate) fn judge(pods: &[Pod], request: &Request, answer: &Result<String, String>) -> Option<Failure> {
    let from = &pods[request.from];
    let why = match (answer, request.to) {
        (Err(why), _) => why.clone(),
        // kube-proxy may translate what a pod asks of a service.
        (Ok(_), None) => return None,
        (Ok(said), Some(_)) => match seen(said) {
            Some(seen) if from.addresses.contains(&seen) => return None,
            Some(seen) => format!("it was seen as {seen}, not at its own address"),
            None => format!("the answer is not an address: {said:?}"),
        },
    };
    let to = request.to.map(|to| &pods[to]);
    Some(Failure {
        from: from.name.clone(),
        from_node: from.node.clone(),
        to: to.map_or_else(|| "the service".to_owned(), |to| to.name.clone()),
        to_node: to.map_or_else(String::new, |to| to.node.clone()),
        address: request.at,
        why,
    })
}

impl Smoke {
    /// The exit code: 1: a request went wrong; 2: a node has no pod, or there are fewer than two; 0: all is well.
    pub(crate) fn code(&self) -> u8 {
        crate::cluster::code(!self.failures.is_empty(), !self.without_pod.is_empty() || self.pods.len() < 2)
    }

    /// The result for people.
    pub(crate) fn text(&self, all: bool) -> String {
        let shown = if all { self.failures.len() } else { SHOWN };
        let mut text = String::new();
        for failure in self.failures.iter().take(shown) {
            let Failure { from, from_node, to, to_node, address, why } = failure;
            let place = if to_node.is_empty() { String::new() } else { format!(" on {to_node}") };
            text += &format!("WRONG     {from} on {from_node} asked {to}{place} at {address}: {why}\n");
        }
        if let Some(more @ 1..) = self.failures.len().checked_sub(shown) {
            text += &format!("and {more} more (--all)\n");
        }
        text.extend(self.without_pod.iter().map(|why| format!("unknown   {why}\n")));
        if self.pods.len() < 2 {
            text += &format!("unknown   paths between pods: only {} pod ran\n", self.pods.len());
        }
        let Self { pods, requests, pairs, pairs_asked, .. } = self;
        let word = if self.failures.is_empty() { "flat" } else { "NOT flat" };
        text += &format!("{word}: {} pods, {requests} requests", pods.len());
        if pairs_asked < pairs {
            text += &format!(", {pairs_asked} of {pairs} pairs asked (--pairs)");
        }
        text + if self.failures.is_empty() { ", each seen with the pod's own address\n" } else { "\n" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: usize) -> Vec<Pod> {
        let addresses = |number: usize| {
            let [low, high, ..] = number.to_le_bytes();
            vec![IpAddr::from([10, 244, high, low]), format!("fd00::{number:x}").parse().unwrap()]
        };
        (0..count).map(|n| Pod { name: format!("p{n}"), node: format!("n{n}"), addresses: addresses(n) }).collect()
    }

    #[test]
    fn few_pods_ask_all_and_of_many_each_asks_and_is_asked() {
        let (all, pairs) = requests(&pods(3), &["10.96.0.1".parse().unwrap()], 1000);
        assert_eq!((all.len(), pairs), (3 * 3 * 2 + 3, 9));
        let (some, pairs) = requests(&pods(1000), &[], 4000);
        assert_eq!(pairs, 1_000_000);
        assert_eq!(some.len(), 1000 * 5 * 2, "itself and four others, both families");
        for pod in 0..1000 {
            assert!(some.iter().any(|request| request.to == Some(pod) && request.from != pod));
        }
        assert_eq!(requests(&[], &[], 10), (Vec::new(), 0));
    }

    #[test]
    fn a_pod_must_be_seen_with_an_address_of_its_own() {
        let pods = pods(2);
        let request = Request { from: 1, to: Some(0), at: pods[0].addresses[0] };
        let judged = |answer: Result<&str, &str>| {
            judge(&pods, &request, &answer.map(str::to_owned).map_err(str::to_owned)).map(|failure| failure.why)
        };
        assert_eq!(judged(Ok("10.244.0.1:4711")), None);
        assert_eq!(judged(Ok("[fd00::1]:4711\n")), None);
        assert_eq!(judged(Ok("172.31.0.2:1")).unwrap(), "it was seen as 172.31.0.2, not at its own address");
        assert!(judged(Ok("<html>")).unwrap().contains("not an address"));
        assert_eq!(judged(Err("timed out")).unwrap(), "timed out");
        let service = Request { to: None, ..request };
        assert_eq!(judge(&pods, &service, &Ok("172.31.0.2:1".into())), None);
        assert_eq!(url("fd00::1".parse().unwrap(), false), "http://[fd00::1]:8080/clientip");
        assert_eq!(url("10.96.0.1".parse().unwrap(), true), "http://10.96.0.1:80/clientip");
    }

    #[test]
    fn a_cluster_with_one_pod_or_a_node_without_one_is_not_said_to_be_flat_by_the_code() {
        let smoke = |count, without: &[&str], failures: Vec<Failure>| Smoke {
            client: "c".into(),
            ok: true,
            pods: pods(count),
            without_pod: without.iter().map(|&text| text.to_owned()).collect(),
            requests: 1,
            pairs: 1,
            pairs_asked: 1,
            failures,
        };
        assert_eq!(smoke(2, &[], vec![]).code(), 0);
        assert_eq!(smoke(1, &[], vec![]).code(), 2);
        assert_eq!(smoke(2, &["node3"], vec![]).code(), 2);
        let pods = pods(2);
        let failure = judge(&pods, &Request { from: 0, to: Some(1), at: pods[1].addresses[0] }, &Err("x".into()));
        let failed = smoke(2, &["node3"], failure.into_iter().collect());
        assert_eq!(failed.code(), 1);
        assert!(failed.text(false).contains("WRONG     p0 on n0 asked p1 on n1 at 10.244.0.1: x\n"));
        assert!(failed.text(false).contains("NOT flat"));
    }
}
