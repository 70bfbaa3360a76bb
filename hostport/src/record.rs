//! The record of one attachment's host ports, as JSON: whose they are, what proves the owner dead, and the forwards. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;

use cni::{Attachment, Code, ContainerId, Fields, Ifname, NetworkName, Transport};
use ipam::{BootId, Proof};
use podlink::Identity;
use serde_json::{Value, json};

use crate::forward::Forward;

/// The version of the format.
const VERSION: u32 = 1;

/// Whose the forwards are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The network.
    pub network: NetworkName,
    /// The attachment.
    pub owner: Attachment,
    /// What proves it dead: the host end of its link, and its network namespace.
    pub proof: Proof,
    /// When it was made.
    pub boot: BootId,
    /// Whether its address is a lease of podlan's own IPAM, which exists for as long as the attachment does.
    pub leased: bool,
    /// The forwards.
    pub forwards: Vec<Forward>,
}

impl Record {
    /// By which the record and its elements are found: the host end's name, which no other attachment has.
    #[must_use]
    pub fn link(&self) -> String {
        Identity::of(&self.network, &self.owner).host_name
    }

    /// The owner for people: the pod where its name is known, the container, and the network.
    #[must_use]
    pub fn holder(&self) -> String {
        let Attachment { container_id, ifname } = &self.owner;
        let of = format!("container {container_id}, {ifname} in network {}", self.network);
        self.proof.pod.as_ref().map_or_else(|| of.clone(), |pod| format!("pod {pod} ({of})"))
    }

    /// The comment of each of its elements: the key first.
    pub(crate) fn comment(&self) -> String {
        let Attachment { container_id, ifname } = &self.owner;
        let pod = self.proof.pod.as_deref().unwrap_or("-");
        format!("{} {pod} {} {ifname} {container_id}", self.link(), self.network)
    }

    pub(crate) fn to_json(&self) -> String {
        let Self { network, owner: Attachment { container_id, ifname }, proof, boot, leased, forwards } = self;
        let Proof { host_link: _, netns, netns_id, pod } = proof;
        let forwards: Vec<Value> = forwards
            .iter()
            .map(|Forward { protocol, at, to }| {
                json!({ "protocol": protocol.as_str(), "at": at.to_string(), "to": to.to_string() })
            })
            .collect();
        let record = json!({
            "version": VERSION, "network": network.as_str(), "containerID": container_id.as_str(),
            "ifname": ifname.as_str(), "pod": pod, "netns": netns, "boot": boot.to_string(), "leased": leased,
            "netnsID": netns_id.map(|(device, inode)| [device, inode]), "forwards": forwards,
        });
        format!("{record}\n")
    }

    /// Reads a record, or says what is wrong with it.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let object = value.as_object().ok_or("it is no object")?;
        read(&Fields::new(object, "", Code::StoreDamaged)).map_err(|error| error.to_string())
    }
}

fn read(fields: &Fields<'_>) -> Result<Record, cni::Error> {
    let version = fields.unsigned("version")?;
    if version != Some(VERSION) {
        return Err(fields.invalid("version", "it is of another podlan"));
    }
    let text = |key| fields.string(key)?.ok_or_else(|| fields.missing(key));
    let network = NetworkName::parse(text("network")?)?;
    let container_id = ContainerId::parse(text("containerID")?)?;
    let owner = Attachment { container_id, ifname: Ifname::parse(text("ifname")?)? };
    let id: Vec<u64> = fields.list("netnsID")?.unwrap_or_default().iter().filter_map(Value::as_u64).collect();
    let host_link = Identity::of(&network, &owner).host_name;
    let proof = Proof {
        host_link: Some(host_link),
        netns: PathBuf::from(text("netns")?),
        netns_id: <[u64; 2]>::try_from(id).ok().map(|[device, inode]| (device, inode)),
        pod: fields.string("pod")?.map(str::to_owned),
    };
    let boot = BootId::parse(text("boot")?).ok_or_else(|| fields.invalid("boot", "it is no boot id"))?;
    let leased = fields.boolean("leased")?.unwrap_or_default();
    let forwards = fields.objects("forwards")?.unwrap_or_default();
    let forwards = forwards.iter().map(forward).collect::<Result<_, _>>()?;
    Ok(Record { network, owner, proof, boot, leased, forwards })
}

fn forward(fields: &Fields<'_>) -> Result<Forward, cni::Error> {
    let address = |key: &str| {
        fields
            .parsed(key, "address and port", |text| text.parse::<SocketAddr>().ok())?
            .ok_or_else(|| fields.missing(key))
    };
    let protocol = fields.parsed("protocol", "protocol", Transport::parse)?;
    let forward = Forward {
        protocol: protocol.ok_or_else(|| fields.missing("protocol"))?,
        at: address("at")?,
        to: address("to")?,
    };
    if forward.at.is_ipv4() != forward.to.is_ipv4() {
        return Err(fields.invalid("to", "it is of another family"));
    }
    Ok(forward)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(container: &str, at: &str) -> Record {
        let network = NetworkName::parse("podnet").unwrap();
        let container_id = ContainerId::parse(container).unwrap();
        let owner = Attachment { container_id, ifname: Ifname::parse("eth0").unwrap() };
        let proof = Proof {
            host_link: Some(Identity::of(&network, &owner).host_name),
            netns: "/run/netns/x".into(),
            netns_id: Some((4, 4_026_532_000)),
            pod: Some("default/web".into()),
        };
        let to = if at.starts_with('[') { "[fd00::2]:80" } else { "10.244.1.2:80" };
        let forward = Forward { protocol: Transport::Udp, at: at.parse().unwrap(), to: to.parse().unwrap() };
        Record { network, owner, proof, boot: BootId(7), leased: true, forwards: vec![forward] }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for at in ["0.0.0.0:53", "[::]:53"] {
            let mut record = record("c1", at);
            assert_eq!(Record::from_json(record.to_json().as_bytes()), Ok(record.clone()));
            (record.proof.pod, record.proof.netns_id) = (None, None);
            assert_eq!(Record::from_json(record.to_json().as_bytes()), Ok(record));
        }
    }

    #[test]
    fn what_is_no_record_says_what_is_wrong() {
        let good = record("c1", "0.0.0.0:53").to_json();
        for end in 0..good.len() - 2 {
            assert!(Record::from_json(&good.as_bytes()[..end]).is_err_and(|why| !why.is_empty()), "{end}");
        }
        let newer = good.replace("\"version\":1", "\"version\":2");
        assert!(Record::from_json(newer.as_bytes()).unwrap_err().contains("another podlan"));
        let mixed = good.replace("10.244.1.2:80", "[fd00::2]:80");
        assert!(Record::from_json(mixed.as_bytes()).unwrap_err().contains("another family"));
    }
}
