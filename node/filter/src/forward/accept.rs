//! Rules of podlan, after those of another program, in a forward chain whose policy is drop: packets from and to this
//! node's pods are accepted where no other rule decided. Each is marked by its comment, by which it is found again.

use ipnetwork::IpNetwork;
use netlink::Family;
use nftables::{
    BaseChain, Cmp, Error, Expression, Nfnetlink, Rule, TableFamily, Verdict, base_chains, change, octets, rules,
};

use super::FORWARD;

/// The prefix of each rule's comment.
const PURPOSE: &str = "podlan: forward for the pods of this node";

/// Appends them to every such chain and removes those that are no longer wanted. True when something was changed.
pub(crate) fn accept(socket: &mut Nfnetlink, own: &[IpNetwork]) -> Result<bool, Error> {
    let mut changed = false;
    for chain in base_chains(socket, FORWARD)? {
        let wanted = if chain.drops { wanted(chain.family, own) } else { Vec::new() };
        changed |= ensure(socket, &chain, &wanted)?;
    }
    Ok(changed)
}

/// Removes all of them.
pub(crate) fn withdraw(socket: &mut Nfnetlink) -> Result<bool, Error> {
    let mut changed = false;
    for chain in base_chains(socket, FORWARD)? {
        changed |= ensure(socket, &chain, &[])?;
    }
    Ok(changed)
}

fn ensure(socket: &mut Nfnetlink, chain: &BaseChain, wanted: &[Rule]) -> Result<bool, Error> {
    let held = rules(socket, chain.family, &chain.table, &chain.name)?;
    let ours = || held.iter().filter(|rule| rule.comment.starts_with(PURPOSE));
    let wants = |comment: &str| wanted.iter().any(|rule| rule.comment() == comment);
    let remove: Vec<u64> = ours().filter(|rule| !wants(&rule.comment)).map(|rule| rule.handle).collect();
    let missing = wanted.iter().filter(|rule| ours().all(|held| held.comment != rule.comment()));
    let add: Vec<Rule> = missing.cloned().collect();
    change(socket, chain, &add, &remove)?;
    Ok(!(add.is_empty() && remove.is_empty()))
}

fn wanted(family: TableFamily, own: &[IpNetwork]) -> Vec<Rule> {
    let sees = |cidr: &&IpNetwork| family.sees(Family::of(cidr.ip()));
    own.iter().filter(sees).flat_map(|cidr| [true, false].map(|is_source| rule(family, *cidr, is_source))).collect()
}

/// In the shape in which iptables writes `-s CIDR -j ACCEPT`, so that iptables shows it.
fn rule(family: TableFamily, cidr: IpNetwork, is_source: bool) -> Rule {
    let mut expressions = Vec::new();
    let of = Family::of(cidr.ip());
    if family == TableFamily::Inet {
        expressions.push(Expression::AddressFamily);
        expressions.push(Expression::Compare(Cmp::Equal, vec![of.number()]));
    }
    // RFC 791, RFC 8200.
    let offset = match (of, is_source) {
        (Family::V4, true) => 12,
        (Family::V4, false) => 16,
        (Family::V6, true) => 8,
        (Family::V6, false) => 24,
    };
    let network = octets(cidr.network());
    let whole = usize::from(cidr.prefix() / 8);
    if cidr.prefix().is_multiple_of(8) {
        expressions.push(Expression::NetworkHeader { offset, length: u32::from(cidr.prefix() / 8) });
        expressions.push(Expression::Compare(Cmp::Equal, network[..whole].to_vec()));
    } else {
        expressions.push(Expression::NetworkHeader { offset, length: u32::from(of.bits() / 8) });
        expressions.push(Expression::Mask(octets(cidr.mask())));
        expressions.push(Expression::Compare(Cmp::Equal, network));
    }
    expressions.push(Expression::Counter);
    expressions.push(Expression::Decide(Verdict::Accept));
    Rule { purpose: PURPOSE, expressions }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent of another release finds its rules by these comments.
    #[test]
    fn the_comments_of_our_rules_are_the_same_in_each_release() {
        // Prefixes that end at a byte, and such that do not: these are masked.
        let own = ["10.244.1.0/24", "10.200.0.0/13", "fd00:10:244:1::/64", "fd00:20::/29"];
        let own = own.map(|cidr| cidr.parse().unwrap());
        let of_v4 = ["703e17ba", "4a351056", "77969bb7", "409e7bc3"];
        let of_v6 = ["2d5a186c", "f0085f60", "3ca80eaf", "07bc0833"];
        let of_both = ["a0ca4f8e", "bb9ebd52", "0d3d028b", "80617b1f", "90462893", "67485289", "f109b6dc", "de691676"];
        for (family, digests) in
            [(TableFamily::Ipv4, &of_v4[..]), (TableFamily::Ipv6, &of_v6), (TableFamily::Inet, &of_both)]
        {
            let comments: Vec<String> = wanted(family, &own).iter().map(Rule::comment).collect();
            let text = "podlan: forward for the pods of this node";
            let expected: Vec<String> = digests.iter().map(|digest| format!("{text} [{digest}]")).collect();
            assert_eq!(comments, expected, "{family:?}");
        }
    }
}
