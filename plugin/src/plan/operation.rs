//! One step of a plan: a change of one kernel object, with its name for people.

use netlink::{Address, Hardening, Link, LocalRoute, Neighbour, NeverGivenUp, Request, Route, SourceRule};

/// A change in one namespace. Each is asked for exclusively: what exists already is not ours to take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Hardens the host end, and writes the text for people on it.
    Harden {
        /// The link's index.
        device: u32,
        /// How.
        hardening: Hardening,
        /// The text, at most 255 bytes.
        alias: String,
    },
    /// Sets a link up.
    Up {
        /// The link's index.
        device: u32,
    },
    /// Sets the pod end up; from now on it announces a change of its MAC.
    UpAnnouncing {
        /// The link's index.
        device: u32,
    },
    /// Puts an address on a link.
    Address(Address),
    /// Has packets to an IPv6 address accepted from now on, before the kernel has done its part.
    Accept(LocalRoute),
    /// Keeps the kernel from giving up the neighbours of a link.
    Keep(NeverGivenUp),
    /// Makes a route.
    Route(Route),
    /// Makes a neighbour known from the start.
    Neighbour(Neighbour),
    /// Sends replies of one source address to a table.
    Rule(SourceRule),
}

impl Operation {
    /// The request that does it.
    pub(crate) fn request(&self) -> Request {
        match self {
            Self::Harden { device, hardening, alias } => Link::harden(*device, *hardening, alias),
            Self::Up { device } => Link::up(*device),
            Self::UpAnnouncing { device } => Link::up_announcing(*device),
            Self::Address(address) => address.add(),
            Self::Accept(route) => route.add(),
            Self::Keep(neighbours) => neighbours.set(),
            Self::Route(route) => route.add(),
            Self::Neighbour(neighbour) => neighbour.replace(),
            Self::Rule(rule) => rule.add(),
        }
    }
}

impl Operation {
    /// The operation in words that fit after "failed to"; `link` gives the name of a link.
    pub(crate) fn in_words(&self, link: &impl Fn(u32) -> String) -> String {
        match self {
            Self::Harden { device, .. } => format!("harden the link {} and set its alias", link(*device)),
            Self::Up { device } | Self::UpAnnouncing { device } => format!("set the link {} up", link(*device)),
            Self::Address(address) => format!("add address {} to the link {}", address.address, link(address.device)),
            Self::Accept(route) => format!("accept packets to {} on the link {}", route.address, link(route.device)),
            Self::Keep(neighbours) => {
                let NeverGivenUp { device, family } = neighbours;
                format!("set the probes of {family} neighbours on the link {}", link(*device))
            }
            Self::Route(route) => {
                let text = route.shown(|index| Some(link(index)));
                match route.source {
                    None => format!("add route {text}"),
                    // The kernel refuses a source that the node does not have ("Invalid prefsrc").
                    Some(source) => format!("add route {text} with the source address {source} (`hostSource`)"),
                }
            }
            Self::Neighbour(neighbour) => {
                format!("add neighbour {} to the link {}", neighbour.address, link(neighbour.device))
            }
            Self::Rule(rule) => format!("add rule from {} lookup {}", rule.from, rule.table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's answer to a source that the node lacks, "Invalid prefsrc", names neither the key nor the link.
    #[test]
    fn a_refused_operation_names_its_link_and_the_key_of_a_source_address() {
        let link = |index: u32| format!("podl{index}");
        let route = Route {
            device: Some(3),
            source: "172.31.0.9".parse().ok(),
            ..Route::to("10.244.1.2/32".parse().unwrap(), netlink::POD_ROUTE)
        };
        let words = Operation::Route(route).in_words(&link);
        assert_eq!(words, "add route 10.244.1.2/32 dev podl3 with the source address 172.31.0.9 (`hostSource`)");
        assert_eq!(Operation::Up { device: 3 }.in_words(&link), "set the link podl3 up");
    }
}
