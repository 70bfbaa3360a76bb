//! Rules of podlan, after those of another program, in a forward chain whose policy is drop: packets from and to this
//! node's pods are accepted where no other rule decided. Each is marked by its comment, by which it is found again.

use ipnetwork::IpNetwork;
use nftables::{
    BaseChain, Cmp, Error, Expression, Family, Nfnetlink, Rule, Verdict, base_chains, change, octets, rules,
};

use super::FORWARD;

/// The prefix of each rule's comment.
const SAYS: &str = "podlan: forward for the pods of this node";

/// Appends them to every such chain and removes those that are no longer wanted. True when something was changed.
pub(crate) fn accept(socket: &mut Nfnetlink, own: &[IpNetwork]) -> Result<bool, Error> {
    let mut changed = false;
    for chain in base_chains(socket, FORWARD)? {
        let wanted = if chain.drops { wanted(chain.family, own) } else { Vec::new() };
        changed |= put(socket, &chain, &wanted)?;
    }
    Ok(changed)
}

/// Removes all of them.
pub(crate) fn withdraw(socket: &mut Nfnetlink) -> Result<bool, Error> {
    let mut changed = false;
    for chain in base_chains(socket, FORWARD)? {
        changed |= put(socket, &chain, &[])?;
    }
    Ok(changed)
}

fn put(socket: &mut Nfnetlink, chain: &BaseChain, wanted: &[Rule]) -> Result<bool, Error> {
    let held = rules(socket, chain.family, &chain.table, &chain.name)?;
    let ours = || held.iter().filter(|rule| rule.comment.starts_with(SAYS));
    let wants = |comment: &str| wanted.iter().any(|rule| rule.comment() == comment);
    let remove: Vec<u64> = ours().filter(|rule| !wants(&rule.comment)).map(|rule| rule.handle).collect();
    let missing = wanted.iter().filter(|rule| ours().all(|held| held.comment != rule.comment()));
    let add: Vec<Rule> = missing.cloned().collect();
    change(socket, chain, &add, &remove)?;
    Ok(!(add.is_empty() && remove.is_empty()))
}

fn wanted(family: Family, own: &[IpNetwork]) -> Vec<Rule> {
    let sees = |cidr: &&IpNetwork| match family {
        Family::Ipv4 => cidr.is_ipv4(),
        Family::Ipv6 => cidr.is_ipv6(),
        _ => true,
    };
    own.iter().filter(sees).flat_map(|cidr| [true, false].map(|is_source| rule(family, *cidr, is_source))).collect()
}

/// In the shape in which iptables writes `-s CIDR -j ACCEPT`, so that iptables shows it.
fn rule(family: Family, cidr: IpNetwork, is_source: bool) -> Rule {
    let mut expressions = Vec::new();
    if family == Family::Inet {
        expressions.push(Expression::AddressFamily);
        expressions.push(Expression::Compare(Cmp::Equal, vec![if cidr.is_ipv6() { 10 } else { 2 }]));
    }
    // RFC 791, RFC 8200.
    let offset = match (cidr.is_ipv6(), is_source) {
        (false, true) => 12,
        (false, false) => 16,
        (true, true) => 8,
        (true, false) => 24,
    };
    let network = octets(cidr.network());
    let whole = usize::from(cidr.prefix() / 8);
    if cidr.prefix().is_multiple_of(8) {
        expressions.push(Expression::NetworkHeader { offset, length: u32::from(cidr.prefix() / 8) });
        expressions.push(Expression::Compare(Cmp::Equal, network[..whole].to_vec()));
    } else {
        let length = if cidr.is_ipv6() { 16 } else { 4 };
        expressions.push(Expression::NetworkHeader { offset, length });
        expressions.push(Expression::Mask(octets(cidr.mask())));
        expressions.push(Expression::Compare(Cmp::Equal, network));
    }
    expressions.push(Expression::Counter);
    expressions.push(Expression::Decide(Verdict::Accept));
    Rule { says: SAYS, expressions }
}
