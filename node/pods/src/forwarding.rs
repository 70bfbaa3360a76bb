//! Whether this node forwards its pods' packets, and what switches forwarding on again. Pure; [`observe`] queries the
//! kernel, and [`keep`] is the part of the agent that keeps it on.
//!
//! IPv4 is forwarded by the setting of the link on which a packet arrives; `net.ipv4.ip_forward` sets those of all
//! links, and where /proc/sys is read-only each can be set by netlink. IPv6 is forwarded by the setting of the node,
//! which no netlink message changes; it is never switched on where the node would lose what it has by router
//! advertisements.

pub mod carry_out;
pub mod keep;
pub mod observe;
mod peace;

use std::fmt;

use netlink::{Family, Loss};

/// The kernel's state of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Whether pods of this node have addresses of it.
    pub pods: bool,
    /// The setting of the node; `None` where the kernel has no such family.
    pub all: Option<bool>,
    /// Those of the links that carry pods' packets that do not forward: index and name. IPv4 only.
    pub off: Vec<(u32, String)>,
    /// What the node loses when it forwards. IPv6 only.
    pub losses: Vec<Loss>,
}

/// The state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ForwardingState {
    /// No pod needs it.
    #[default]
    Moot,
    /// It is on where pods need it.
    On,
    /// It is off where pods need it.
    Off(Off),
}

/// What does not forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Off {
    /// IPv4, by the node's setting, which switched these links off.
    NodeV4(Vec<(u32, String)>),
    /// IPv4, on these links only.
    LinksV4(Vec<(u32, String)>),
    /// IPv6, and what is lost when it is switched on.
    V6(Vec<Loss>),
}

/// What switches it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The node's setting; where that cannot be written, that of these links.
    NodeV4(Vec<u32>),
    /// IPv4, on the links of these indexes.
    LinksV4(Vec<u32>),
    /// IPv6, on all links.
    NodeV6,
}

/// Judges one family.
pub fn judge(family: Family, seen: Observed) -> ForwardingState {
    let Observed { pods, all, off, losses } = seen;
    match (pods, family, all) {
        (false, ..) | (_, Family::V6, None) => ForwardingState::Moot,
        (true, Family::V6, Some(true)) => ForwardingState::On,
        (true, Family::V6, Some(false)) => ForwardingState::Off(Off::V6(losses)),
        (true, Family::V4, _) if off.is_empty() => ForwardingState::On,
        (true, Family::V4, Some(false)) => ForwardingState::Off(Off::NodeV4(off)),
        (true, Family::V4, _) => ForwardingState::Off(Off::LinksV4(off)),
    }
}

impl Off {
    /// What switches it on, or the loss that forbids it.
    pub fn change(&self) -> Result<Change, &Loss> {
        let indices = |links: &[(u32, String)]| links.iter().map(|(index, _)| *index).collect();
        match self {
            Self::NodeV4(links) => Ok(Change::NodeV4(indices(links))),
            Self::LinksV4(links) => Ok(Change::LinksV4(indices(links))),
            Self::V6(losses) => losses.first().map_or(Ok(Change::NodeV6), Err),
        }
    }

    /// The part of it that affects packets that arrive on one link; `None` where that link forwards.
    pub fn at(self, incoming: Option<u32>) -> Option<Self> {
        let here = |links: &[(u32, String)]| {
            let concerns = |(index, _): &&(u32, String)| incoming.is_none_or(|incoming| *index == incoming);
            Some(links.iter().filter(concerns).cloned().collect::<Vec<_>>()).filter(|links| !links.is_empty())
        };
        match self {
            Self::NodeV4(links) => here(&links).map(|_| Self::NodeV4(links)),
            Self::LinksV4(links) => here(&links).map(Self::LinksV4),
            Self::V6(losses) => Some(Self::V6(losses)),
        }
    }

    /// The settings that are 0, in the notation of sysctl(8).
    pub fn settings(&self) -> Vec<String> {
        let of_link = |(_, link): &(u32, String)| match link.contains('.') {
            true => format!("net/ipv4/conf/{link}/forwarding"),
            false => format!("net.ipv4.conf.{link}.forwarding"),
        };
        match self {
            Self::NodeV4(_) => vec!["net.ipv4.ip_forward".to_owned()],
            Self::LinksV4(links) => links.iter().map(of_link).collect(),
            Self::V6(_) => vec!["net.ipv6.conf.all.forwarding".to_owned()],
        }
    }

    /// The command that switches it on, including what must be set first.
    pub fn cure(&self) -> String {
        let before = match self {
            Self::V6(losses) => losses.iter().map(|loss| format!("{}=2", loss.setting())).collect(),
            Self::NodeV4(_) | Self::LinksV4(_) => Vec::new(),
        };
        let settings = before.into_iter().chain(self.settings().into_iter().map(|setting| format!("{setting}=1")));
        format!("sysctl -w {}", settings.collect::<Vec<_>>().join(" "))
    }
}

/// A sentence without its end.
impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let settings = self.settings();
        let family = if matches!(self, Self::V6(_)) { "IPv6" } else { "IPv4" };
        write!(f, "{family} forwarding is off ({} = 0", settings[..settings.len().min(SHOWN)].join(", "))?;
        match settings.len().checked_sub(SHOWN) {
            None | Some(0) => f.write_str(")"),
            Some(more) => write!(f, ", and {more} more)"),
        }
    }
}

#[cfg(test)]
mod tests;
