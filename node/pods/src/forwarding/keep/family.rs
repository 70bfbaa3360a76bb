//! What follows from how one family stands: a change, a warning, and when to look again. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use netlink::Family;

use super::super::peace::Peace;
use super::super::{Change, ForwardingState, Observed, Off, judge};

/// How soon what could not be switched on is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// What is known of one family.
#[derive(Debug)]
pub(super) struct OneFamily {
    pub(super) family: Family,
    peace: Peace,
    /// Links known to carry packets of pods.
    pub(super) carriers: BTreeSet<u32>,
    pub(super) is_off: bool,
    pub(super) warning: Option<String>,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is to be changed now; the instant is when to look again.
    Leave {
        warning: Option<String>,
        due: Option<Instant>,
    },
    Switch(Off, Change),
}

impl OneFamily {
    pub(super) fn new(family: Family) -> Self {
        let (peace, carriers) = (Peace::default(), BTreeSet::new());
        Self { family, peace, carriers, is_off: false, warning: None }
    }

    /// Takes in how the family stands.
    pub(super) fn observed(&mut self, seen: Observed, carriers: BTreeSet<u32>, keeps: bool, now: Instant) -> Verdict {
        self.carriers = carriers;
        let state = judge(self.family, seen);
        self.is_off = matches!(state, ForwardingState::Off(_));
        let ForwardingState::Off(off) = state else {
            return Verdict::Leave { warning: self.peace.many(now).map(|times| self.at_war(times)), due: None };
        };
        let due = self.peace.due(now);
        let (warning, due) = match off.change() {
            _ if !keeps => (left(&off), None),
            Err(loss) => {
                let learned = format!("{off}, and with it on the node would lose {} of {}", loss.learned, loss.link);
                (format!("{learned}: {}", off.cure()), Some(now + RETRY))
            }
            Ok(_) if due > now => (format!("{off}: {}", self.at_war(self.peace.many(now).unwrap_or(2))), Some(due)),
            Ok(change) => return Verdict::Switch(off, change),
        };
        Verdict::Leave { warning: Some(warning), due }
    }

    /// It was switched on; what to log.
    pub(super) fn switched(&mut self, off: &Off, now: Instant) -> String {
        self.peace.put_back(now);
        format!("{off}: another program switched it off; it is on again")
    }

    fn at_war(&self, times: u32) -> String {
        let (family, name) = match self.family {
            Family::V4 => ("IPv4", "net.ipv4.ip_forward"),
            Family::V6 => ("IPv6", "net.ipv6.conf.all.forwarding"),
        };
        format!(
            "another program switches {family} forwarding off again and again ({times} times lately), and it is switched on \
             more and more slowly: find it, grep -rs {name} /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d /usr/lib/sysctl.d"
        )
    }
}

fn left(off: &Off) -> String {
    format!("{off}, and pods are cut off; --no-keep-forwarding leaves it so: {}", off.cure())
}

/// The warning where it could not be switched on.
pub(super) fn refused(off: &Off, error: &str) -> String {
    let why = match off {
        Off::V6(_) => "; the next ADD of a pod with IPv6 switches it on, or on the node",
        Off::NodeV4(_) | Off::LinksV4(_) => "; on the node",
    };
    format!("{off}, and pods are cut off: failed to {error}{why}: {}", off.cure())
}
