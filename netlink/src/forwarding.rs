//! Forwarding of a node: switched on only for a family that pods have, and never where the node would lose by it what it has
//! by router advertisements.

use crate::{Error, Family, Learned, Link, Loss, Procfs, Socket, Sysctl, SysctlError, forwards, lost_by_forwarding};

/// Why forwarding was not switched on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ForwardingError {
    #[error("{0}")]
    Sysctl(#[from] SysctlError),
    #[error("{0}")]
    Netlink(#[from] Error),
    #[error("give the pod an IPv6 address: the kernel has no IPv6 (is it booted with ipv6.disable=1?)")]
    NoV6,
    #[error(
        "switch on IPv6 forwarding: {learned} of {link} was learned from a router advertisement and would be lost, and the \
         node with it; set {setting}=2 first"
    )]
    WouldCutOff { link: String, learned: Learned, setting: String },
}

impl From<Loss> for ForwardingError {
    fn from(loss: Loss) -> Self {
        let setting = loss.setting();
        Self::WouldCutOff { link: loss.link, learned: loss.learned, setting }
    }
}

/// Switches forwarding on for a family where it is off.
pub fn ensure_forwarding(host: &mut Socket, procfs: &Procfs, family: Family) -> Result<(), ForwardingError> {
    match (may_forward(host, procfs, family)?, family) {
        (true, _) => Ok(()),
        (false, Family::V4) => forward_v4(host, procfs),
        (false, Family::V6) => Ok(Sysctl::forwarding(family).write(procfs, "1")?),
    }
}

/// Whether a family is forwarded already. An error where it is not, and switching it on would cost the node something, or
/// the kernel has no such family.
pub fn may_forward(host: &mut Socket, procfs: &Procfs, family: Family) -> Result<bool, ForwardingError> {
    match (forwards(host, family)?, family) {
        (Some(true), _) => Ok(true),
        (_, Family::V4) => Ok(false),
        (None, Family::V6) => Err(ForwardingError::NoV6),
        (Some(false), Family::V6) => match lost_by_forwarding(host, procfs)?.into_iter().next() {
            Some(loss) => Err(loss.into()),
            None => Ok(false),
        },
    }
}

/// Where /proc/sys cannot be written, the links that there are forward all the same; a later one is its maker's to switch on.
fn forward_v4(host: &mut Socket, procfs: &Procfs) -> Result<(), ForwardingError> {
    let Err(refused) = Sysctl::forwarding(Family::V4).write(procfs, "1") else { return Ok(()) };
    let links = host.dump(Link::dump(), |message| Link::from_message(&message))?;
    let mut requests: Vec<_> = links.iter().map(|link| Link::forward_v4(link.index)).collect();
    let verdicts = host.request(&mut requests)?;
    // A link without IPv4 refuses, or one that is gone by now; without the right to change links all do.
    if verdicts.iter().any(Result::is_ok) { Ok(()) } else { Err(refused.into()) }
}
