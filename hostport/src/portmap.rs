//! What the reference plugin portmap has left for a container: rules that lead a port of the node to its address. A runtime
//! calls DEL of the list that it has now, so that they stay where portmap is no longer in it, and lead to the address's next
//! owner. podlan removes them by portmap's own marks.
//!
//! - By iptables: a chain of the table `nat` that is named after a hash of network and container, and jumps to it from
//!   `CNI-HOSTPORT-DNAT`, whose comment has both names in full.
//! - By nft: rules of the tables `ip cni_hostport` and `ip6 cni_hostport`, whose comment is the container id.
//!
//! iptables is removed through nf_tables, which is where all but `iptables-legacy` keeps it.

use cni::{ContainerId, NetworkName};
use nftables::{End, ForeignRule, Nfnetlink, Step, TableFamily, chains, rules, withdraw};
use sha2::{Digest, Sha512};

use crate::error::Error;

/// The table of iptables, the chain that all chains of containers are entered from, and what their names begin with.
const NAT: &str = "nat";
const ENTRIES: &str = "CNI-HOSTPORT-DNAT";
const CHAIN: &str = "CNI-DN-";
/// The length of a container's chain's name.
const NAME: usize = 28;

/// The table of nft, and its chains that have rules of containers.
const TABLE: &str = "cni_hostport";
const CHAINS: [&str; 3] = ["hostports", "hostip_hostports", "masquerading"];

const FAMILIES: [TableFamily; 2] = [TableFamily::Ipv4, TableFamily::Ipv6];

/// The name of a container's chain: portmap's `MustFormatChainNameWithPrefix`.
fn chain_of(network: &NetworkName, container: &ContainerId) -> String {
    let digest = Sha512::digest(format!("{network}{container}").as_bytes());
    let mut name = CHAIN.to_owned();
    for byte in digest.iter().take(NAME / 2) {
        name.push_str(&format!("{byte:02x}"));
    }
    name.truncate(NAME);
    name
}

/// The tables that there are, whoever made them.
struct Tables(Vec<(u8, String)>);

impl Tables {
    /// They, and the socket that was asked; `None` where the kernel has no nf_tables.
    fn look() -> Result<Option<(Nfnetlink, Self)>, Error> {
        let Some(mut socket) = Nfnetlink::if_any()? else { return Ok(None) };
        let tables = nftables::tables(&mut socket)?;
        Ok(Some((socket, Self(tables))))
    }

    fn families(&self, table: &str) -> impl Iterator<Item = TableFamily> {
        let is_there =
            move |family: &TableFamily| self.0.iter().any(|(of, name)| *of == *family as u8 && name == table);
        FAMILIES.into_iter().filter(is_there)
    }
}

/// Removes what portmap has left for a container of a network; true where there was something. Where neither of its tables is
/// there, that is one message; else it asks for the rules of the few chains that portmap has, and no others.
///
/// # Errors
/// When the kernel cannot be asked or refuses.
pub fn forget(network: &NetworkName, container: &ContainerId) -> Result<bool, Error> {
    let Some((mut socket, tables)) = Tables::look()? else { return Ok(false) };
    let chain = chain_of(network, container);
    let mut found = false;
    for family in tables.families(NAT) {
        found |= of_iptables(&mut socket, family, &|name, _| name == chain)?;
    }
    for family in tables.families(TABLE) {
        found |= of_nft(&mut socket, family, &|rule| rule.comment == container.as_str())?;
    }
    Ok(found)
}

/// Whether portmap's rules lead ports to a container of a network. Changes nothing.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn maps(network: &NetworkName, container: &ContainerId) -> Result<bool, Error> {
    let Some((mut socket, tables)) = Tables::look()? else { return Ok(false) };
    let chain = chain_of(network, container);
    for family in tables.families(NAT) {
        if rules(&mut socket, family, NAT, ENTRIES)?.iter().any(|rule| jump(rule) == Some(&chain)) {
            return Ok(true);
        }
    }
    for family in tables.families(TABLE) {
        for of_containers in CHAINS {
            let rules = rules(&mut socket, family, TABLE, of_containers)?;
            if rules.iter().any(|rule| rule.comment == container.as_str()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Removes what portmap has left by iptables for containers of a network that `keep` does not have; true where there was some.
/// Its rules by nft do not name their network, so that [`forget`] alone removes them.
///
/// # Errors
/// When the kernel cannot be asked or refuses.
pub fn collect(network: &NetworkName, keep: &dyn Fn(&str) -> bool) -> Result<bool, Error> {
    let Some((mut socket, tables)) = Tables::look()? else { return Ok(false) };
    let mut found = false;
    for family in tables.families(NAT) {
        found |= of_iptables(&mut socket, family, &|_, comment| {
            container_in(comment, network).is_some_and(|container| !keep(container))
        })?;
    }
    Ok(found)
}

/// The container of a jump's comment, `dnat name: "NETWORK" id: "CONTAINER"`. One that was cut is not known.
fn container_in<'a>(comment: &'a str, network: &NetworkName) -> Option<&'a str> {
    let rest = comment.strip_prefix("dnat name: \"")?.strip_prefix(network.as_str())?;
    rest.strip_prefix("\" id: \"")?.strip_suffix('"')
}

/// Removes the chains that `is_stale` says are, with the jumps to them. It is given a chain's name and the comment of a jump.
fn of_iptables(
    socket: &mut Nfnetlink,
    family: TableFamily,
    is_stale: &dyn Fn(&str, &str) -> bool,
) -> Result<bool, Error> {
    let mut jumps: Vec<(&str, u64)> = Vec::new();
    let mut stale: Vec<String> = Vec::new();
    for rule in rules(socket, family, NAT, ENTRIES)? {
        let Some(chain) = jump(&rule).filter(|chain| chain.starts_with(CHAIN)) else { continue };
        if is_stale(chain, &comment(&rule)) {
            jumps.push((ENTRIES, rule.handle));
            if !stale.iter().any(|known| known == chain) {
                stale.push(chain.to_owned());
            }
        }
    }
    if stale.is_empty() {
        return Ok(false);
    }
    let there = chains(socket, family, NAT)?;
    let stale: Vec<&str> =
        stale.iter().map(String::as_str).filter(|chain| there.iter().any(|one| one == chain)).collect();
    withdraw(socket, family, NAT, &jumps, &stale)?;
    Ok(true)
}

fn of_nft(socket: &mut Nfnetlink, family: TableFamily, is_stale: &dyn Fn(&ForeignRule) -> bool) -> Result<bool, Error> {
    let mut stale = Vec::new();
    for chain in CHAINS {
        let rules = rules(socket, family, TABLE, chain)?;
        stale.extend(rules.iter().filter(|rule| is_stale(rule)).map(|rule| (chain, rule.handle)));
    }
    withdraw(socket, family, TABLE, &stale, &[])?;
    Ok(!stale.is_empty())
}

fn jump(rule: &ForeignRule) -> Option<&str> {
    rule.steps.iter().find_map(|step| match step {
        Step::End(End::Jump(chain) | End::Goto(chain)) => Some(chain.as_str()),
        _ => None,
    })
}

/// The comment of a rule of iptables: an extension's parameters, text up to the first zero byte, or the rule's own.
fn comment(rule: &ForeignRule) -> String {
    let of_extension = rule.steps.iter().find_map(|step| match step {
        Step::Extension { name, parameters } if name == "comment" => {
            Some(String::from_utf8_lossy(parameters.split(|byte| *byte == 0).next()?).into_owned())
        }
        _ => None,
    });
    of_extension.unwrap_or_else(|| rule.comment.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str) -> NetworkName {
        NetworkName::parse(name).unwrap()
    }

    #[test]
    fn a_chain_has_the_name_that_portmap_gives_it() {
        // Of the reference project's own test of portmap.
        let container = ContainerId::parse("icee6giejonei6sohng6ahngee7laquohquee9shiGo7fohferakah3Feiyoolu2pei7ciPhoh7shaoX6vai3vuf0ahfaeng8yohb9ceu0daez5hashee8ooYai5wa3y").unwrap();
        assert_eq!(chain_of(&network("test"), &container), "CNI-DN-67e92b96e692a494b6b85");
    }

    #[test]
    fn the_container_of_a_jump_is_read_from_its_comment_for_its_own_network_alone() {
        let comment = "dnat name: \"podnet\" id: \"c1\"";
        assert_eq!(container_in(comment, &network("podnet")), Some("c1"));
        assert_eq!(container_in(comment, &network("pod")), None);
        assert_eq!(container_in(&comment[..comment.len() - 3], &network("podnet")), None, "it was cut");
    }
}
