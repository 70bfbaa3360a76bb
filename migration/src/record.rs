//! libcni's record of an ADD (`/var/lib/cni/results`, kind `cniCacheV1`): where the pod's network namespace is and which
//! link leads to it. The runtime that made the pod wrote it; this crate only reads it.

use std::path::PathBuf;

use cni::{Attachment, ContainerId, Ifname};
use ipam::Proof;
use serde_json::Value;

/// The fields that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) netns: PathBuf,
    /// The link on the node that the plugin made last before the pod's.
    pub(crate) host_link: Option<String>,
    /// `namespace/name`.
    pub(crate) pod: Option<String>,
}

impl Record {
    /// Reads the record of an attachment to `network`; `None` for any other text.
    pub(crate) fn read(text: &str, network: &str) -> Option<(Attachment, Self)> {
        let record: Value = serde_json::from_str(text).ok()?;
        let word = |key: &str| record[key].as_str();
        if word("kind") != Some("cniCacheV1") || word("networkName") != Some(network) {
            return None;
        }
        let ifname = word("ifName")?;
        let owner = Attachment {
            container_id: ContainerId::parse(word("containerId")?).ok()?,
            ifname: Ifname::parse(ifname).ok()?,
        };
        let argument = |name: &str| {
            let pairs = record["cniArgs"].as_array()?;
            pairs.iter().find(|pair| pair[0] == name)?[1].as_str()
        };
        let pod = argument("K8S_POD_NAMESPACE").zip(argument("K8S_POD_NAME"));
        let (host_link, sandbox) = ends(&record["result"], ifname);
        // libcni names the namespace only since 1.2.
        let netns = word("netns").map(str::to_owned).or(sandbox)?.into();
        let pod = pod.map(|(namespace, name)| format!("{namespace}/{name}"));
        Some((owner, Self { netns, host_link, pod }))
    }

    /// What proves the pod alive.
    pub(crate) fn proof(&self, netns_id: Option<(u64, u64)>) -> Proof {
        let Self { netns, host_link, pod } = self.clone();
        Proof { host_link, netns, netns_id, pod }
    }
}

/// The link that leads to the pod's, and the network namespace in which that one is.
fn ends(result: &Value, ifname: &str) -> (Option<String>, Option<String>) {
    let interfaces = result["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sandbox = |interface: &Value| interface["sandbox"].as_str().filter(|path| !path.is_empty()).map(str::to_owned);
    let pods = interfaces.iter().position(|interface| sandbox(interface).is_some() && interface["name"] == ifname);
    let before = interfaces[..pods.unwrap_or_default()].iter().rev();
    let host_link = before.filter(|interface| sandbox(interface).is_none()).find_map(|one| one["name"].as_str());
    (host_link.map(str::to_owned), pods.and_then(|position| sandbox(&interfaces[position])))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(interfaces: &Value) -> Value {
        json!({
            "kind": "cniCacheV1", "containerId": "c1", "ifName": "eth0", "networkName": "podnet",
            "netns": "/run/netns/c1",
            "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAME", "web"], ["K8S_POD_NAMESPACE", "default"]],
            "result": { "interfaces": interfaces },
        })
    }

    fn link(interfaces: &Value) -> Option<String> {
        Record::read(&record(interfaces).to_string(), "podnet").unwrap().1.host_link
    }

    #[test]
    fn the_link_that_leads_to_the_pod_is_the_last_one_before_the_pods() {
        let pods = json!({"name": "eth0", "sandbox": "/run/netns/c1"});
        assert_eq!(link(&json!([{"name": "veth1"}, pods])).unwrap(), "veth1");
        assert_eq!(link(&json!([{"name": "cni0", "sandbox": ""}, {"name": "veth1"}, pods])).unwrap(), "veth1");
        assert_eq!(link(&json!([pods, {"name": "ifb0"}])), None);
        assert_eq!(link(&json!(null)), None);
    }

    #[test]
    fn a_record_is_of_one_network_and_names_its_pod() {
        let text = record(&json!([])).to_string();
        let (owner, record) = Record::read(&text, "podnet").unwrap();
        assert_eq!((owner.container_id.as_str(), record.pod.as_deref()), ("c1", Some("default/web")));
        assert_eq!(Record::read(&text, "cbr0"), None);
        assert_eq!(Record::read("{}", "podnet"), None);
    }

    #[test]
    fn a_record_of_an_older_libcni_names_the_namespace_in_its_result() {
        let mut old = record(&json!([{"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/c2"}]));
        old.as_object_mut().unwrap().remove("netns");
        assert_eq!(Record::read(&old.to_string(), "podnet").unwrap().1.netns, PathBuf::from("/run/netns/c2"));
        old["result"] = json!({});
        assert_eq!(Record::read(&old.to_string(), "podnet"), None);
    }
}
