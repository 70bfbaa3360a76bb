//! The leases of this node, each with the state of its owner, as text and as JSON. Pure.

pub mod release;

use std::borrow::Cow;

use cni::NetworkName;
use ipam::{Lease, Presence, Stamp};
use serde::{Deserialize, Serialize};
use state::ago::shown;

/// One lease for people and machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The network's name.
    pub network: String,
    /// The address, without a prefix length.
    pub address: String,
    /// The container id of its owner.
    pub container_id: String,
    /// The interface in the pod.
    pub ifname: String,
    /// `namespace/name`, "" when the runtime did not pass it.
    pub pod: String,
    /// "" when the caller made the link itself.
    pub host_link: String,
    /// The path of the pod's network namespace.
    pub netns: String,
    /// Seconds since it was created; absent when that was before this boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// live: its link is there; unlinked: its link is gone, but its namespace is not proved gone; gone: both are proved
    /// gone, so that the lease will be taken back; unknown: neither is proved.
    pub state: Cow<'static, str>,
}

impl Line {
    /// A lease of `network` at `now`. `link` is the presence of the host link, `whole` that of the owner by all its proofs.
    pub fn new(network: &NetworkName, lease: Lease, link: Presence, whole: Presence, now: Stamp) -> Self {
        Self {
            network: network.to_string(),
            address: lease.address.ip().to_string(),
            container_id: lease.owner.container_id.to_string(),
            ifname: lease.owner.ifname.to_string(),
            pod: lease.proof.pod.unwrap_or_default(),
            host_link: lease.proof.host_link.unwrap_or_default(),
            netns: lease.proof.netns.display().to_string(),
            age_seconds: lease.since.age(&now).map(|age| age.as_secs()),
            state: state(link, whole).into(),
        }
    }
}

fn state(link: Presence, whole: Presence) -> &'static str {
    match (link, whole) {
        (Presence::Present, _) => "live",
        (_, Presence::Gone) => "gone",
        (Presence::Gone, _) => "unlinked",
        (Presence::Unknown, Presence::Present) => "live",
        (Presence::Unknown, Presence::Unknown) => "unknown",
    }
}

/// The leases for people: a head, then a line each.
pub fn text(lines: &[Line]) -> String {
    let width =
        |text: fn(&Line) -> &str, least: usize| lines.iter().map(|line| text(line).len()).max().unwrap_or(0).max(least);
    let (network, address) = (width(|line| &line.network, 7), width(|line| &line.address, 7));
    let (owner, pod) = (width(|line| &line.container_id, 9), width(|line| &line.pod, 3));
    let head = format!(
        "{:network$}  {:address$}  STATE     {:>8}  {:pod$}  {:owner$}  IFNAME\n",
        "NETWORK", "ADDRESS", "AGE", "POD", "CONTAINER"
    );
    let rows = lines.iter().map(|line| {
        let age = line.age_seconds.map_or_else(|| "old boot".to_owned(), shown);
        let Line { network: net, address: ip, state, pod: name, container_id, ifname, .. } = line;
        format!("{net:network$}  {ip:address$}  {state:8}  {age:>8}  {name:pod$}  {container_id:owner$}  {ifname}\n")
    });
    [head].into_iter().chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_gone_only_when_all_that_proves_its_owner_alive_is() {
        use Presence::{Gone, Present, Unknown};
        for (link, whole, expected) in [
            (Present, Unknown, "live"),
            (Present, Gone, "live"),
            (Gone, Present, "unlinked"),
            (Gone, Unknown, "unlinked"),
            (Gone, Gone, "gone"),
            (Unknown, Gone, "gone"),
            (Unknown, Present, "live"),
            (Unknown, Unknown, "unknown"),
        ] {
            assert_eq!(state(link, whole), expected, "{link:?} {whole:?}");
        }
    }
}
