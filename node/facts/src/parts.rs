//! What podlan asks of a kernel, part by part, and whether this one has it.

use std::collections::BTreeSet;
use std::fs;

use filter::KernelParts;
use netlink::Socket;

use crate::Seen;

/// A part of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Links of the kind `veth`.
    Veth,
    /// IPv6.
    Ipv6,
    /// nf_tables.
    NfTables,
    /// nf_tables' expression `fib`.
    NftFib,
    /// nf_tables' family `arp`.
    NftArp,
    /// NAT in nf_tables.
    Nat,
    /// NAT in nf_tables' family inet, since Linux 5.2.
    InetNat,
    /// Dumps whose objects the kernel selects, since Linux 4.20.
    StrictChecking,
    /// A link's overdue work is done before its state is reported, since Linux 6.8.
    LinkWatch,
}

/// Parts, each with whether the kernel has it.
pub type Parts = Vec<(Part, Seen<bool>)>;

/// The first release that does a link's overdue work before it reports the link's state.
const LINK_WATCH: (u32, u32) = (6, 8);

/// The parts that the kernel was found to have: they are not asked for again, because what was there can be loaded again.
#[derive(Clone, Debug, Default)]
pub struct Known(BTreeSet<Part>);

impl Known {
    /// Asks for the parts that are not known to be there; for NAT only where it is wanted. Those of NAT are left out otherwise.
    pub fn observe(&mut self, with_nat: bool) -> Parts {
        use Part::{InetNat, Ipv6, LinkWatch, Nat, NfTables, NftArp, NftFib, StrictChecking, Veth};
        let mut parts = Vec::new();
        let mut see = |part: Part, ask: &mut dyn FnMut() -> Seen<bool>| {
            let seen = if self.0.contains(&part) { Ok(true) } else { ask() };
            if seen == Ok(true) {
                self.0.insert(part);
            }
            parts.push((part, seen));
        };
        see(Veth, &mut || by_route(netlink::makes_veth));
        see(Ipv6, &mut || Ok(netlink::kernel_has_v6()));
        let mut filter = None;
        let mut of_filter =
            |which: fn(&KernelParts) -> Seen<bool>| which(filter.get_or_insert_with(|| KernelParts::look(with_nat)));
        see(NfTables, &mut || of_filter(|parts| text(&parts.tables)));
        see(NftFib, &mut || of_filter(|parts| text(&parts.fib)));
        see(NftArp, &mut || of_filter(|parts| text(&parts.arp)));
        if with_nat {
            see(Nat, &mut || of_filter(|parts| nat(parts, 0)));
            see(InetNat, &mut || of_filter(|parts| nat(parts, 1)));
        }
        see(StrictChecking, &mut || by_route(netlink::selects));
        see(LinkWatch, &mut link_watch);
        parts
    }
}

fn text(has: &filter::Has) -> Seen<bool> {
    has.as_ref().copied().map_err(ToString::to_string)
}

fn nat(parts: &KernelParts, place: usize) -> Seen<bool> {
    parts.nat.as_ref().map_or_else(|| Err("it was not asked for".to_owned()), |nat| text(&nat[place]))
}

fn by_route(ask: fn(&mut Socket) -> Result<bool, netlink::Error>) -> Seen<bool> {
    Socket::open().and_then(|mut socket| ask(&mut socket)).map_err(|error| format!("failed to {error}"))
}

/// By the release: the kernel cannot be asked.
fn link_watch() -> Seen<bool> {
    const PATH: &str = "/proc/sys/kernel/osrelease";
    let text = fs::read_to_string(PATH).map_err(|error| format!("failed to read {PATH}: {error}"))?;
    let release = release(&text).ok_or_else(|| format!("{PATH} has no release: {text:?}"))?;
    Ok(release >= LINK_WATCH)
}

/// Of `6.1.0-28-amd64` the first two numbers.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_compared_by_its_numbers() {
        for (text, later) in
            [("6.1.0-28-amd64\n", false), ("6.8.0\n", true), ("6.12.41+deb13", true), ("7.0-rc1", true)]
        {
            assert_eq!(release(text).unwrap() >= LINK_WATCH, later, "{text}");
        }
        assert_eq!(release("Linux"), None);
    }
}
