//! Whether an operator may release a lease: never while its link or its namespace lives. Pure.

use std::path::PathBuf;

use ipam::{Lease, Presence};

/// Why a lease is not released.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The host link of its attachment is there.
    #[error("its link {link} is on this node; delete the pod (of container {container}) first")]
    Link {
        /// The link's name.
        link: String,
        /// The container id.
        container: String,
    },
    /// The pod's namespace is there.
    #[error("its network namespace {} exists; delete the pod (of container {container}) first, and then the namespace", netns.display())]
    Namespace {
        /// Its path.
        netns: PathBuf,
        /// The container id.
        container: String,
    },
    /// Nothing proves that the owner is gone.
    #[error("neither its link nor its network namespace {} can be seen from here; run this as root of the node", netns.display())]
    Unseen {
        /// The namespace's path.
        netns: PathBuf,
    },
}

impl Refusal {
    /// Whether the owner is known to live.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unseen { .. })
    }
}

/// Judges by the presence of the link that the lease names, and of its namespace. A lease without a link is one of another
/// plugin's attachment.
///
/// # Errors
/// The refusal.
pub fn judge(lease: &Lease, link: Presence, netns: Presence) -> Result<(), Refusal> {
    let (container, path) = (lease.owner.container_id.to_string(), lease.proof.netns.clone());
    match (link, netns, &lease.proof.host_link) {
        (Presence::Present, _, link) => Err(Refusal::Link { link: link.clone().unwrap_or_default(), container }),
        (_, Presence::Present, _) => Err(Refusal::Namespace { netns: path, container }),
        (Presence::Gone, _, _) | (Presence::Unknown, Presence::Gone, None) => Ok(()),
        (Presence::Unknown, _, _) => Err(Refusal::Unseen { netns: path }),
    }
}

#[cfg(test)]
mod tests {
    use cni::{Attachment, ContainerId, Ifname};
    use ipam::{Proof, Stamp};

    use super::*;

    fn lease(host_link: Option<&str>) -> Lease {
        Lease {
            address: std::net::IpAddr::from([10, 1, 0, 2]).into(),
            gateway: None,
            owner: Attachment {
                container_id: ContainerId::parse("c7").unwrap(),
                ifname: Ifname::parse("eth0").unwrap(),
            },
            proof: Proof {
                host_link: host_link.map(str::to_owned),
                netns: "/run/netns/web".into(),
                ..Proof::default()
            },
            reused_early: false,
            since: Stamp::now().unwrap(),
        }
    }

    #[test]
    fn a_lease_is_released_only_when_nothing_of_its_owner_is_there() {
        use Presence::{Gone, Present, Unknown};
        for (link, netns, with_link, without) in [
            (Present, Gone, false, false),
            (Present, Unknown, false, false),
            (Gone, Present, false, false),
            (Unknown, Present, false, false),
            (Gone, Gone, true, true),
            (Gone, Unknown, true, true),
            (Unknown, Gone, false, true),
            (Unknown, Unknown, false, false),
        ] {
            assert_eq!(judge(&lease(Some("podl1")), link, netns).is_ok(), with_link, "{link:?} {netns:?}");
            assert_eq!(judge(&lease(None), link, netns).is_ok(), without, "{link:?} {netns:?}, another plugin's");
        }
        let said = judge(&lease(Some("podl1")), Present, Gone).unwrap_err().to_string();
        assert!(said.contains("podl1") && said.contains("c7"), "{said}");
        let said = judge(&lease(None), Unknown, Present).unwrap_err().to_string();
        assert!(said.contains("/run/netns/web"), "{said}");
    }
}
