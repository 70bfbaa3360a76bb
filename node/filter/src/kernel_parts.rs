//! Which parts of the packet filter the kernel has that podlan's tables need. Each is tried with podlan's own rules, and nothing is
//! changed; a module that the kernel has on disk is loaded.

use nftables::{Chain, Error, Expression, Hook, Nfnetlink, Shape, Table, TableFamily, rehearse};

use super::masquerade::{self, Sides};
use super::{arp_guard, source_rule};

/// The name under which tables are tried.
const TRIAL: &str = "podlan-trial";

/// Whether the kernel has a part; an error where it could not be asked.
pub type Has = Result<bool, Error>;

/// The parts.
#[derive(Debug)]
pub struct KernelParts {
    /// nf_tables.
    pub tables: Has,
    /// The expression `fib`, of the source rule.
    pub fib: Has,
    /// The family `arp`, of the ARP guard.
    pub arp: Has,
    /// NAT, of the masquerade and the host ports: in any family, and in the family inet. `None` where nobody asks: to try it has the
    /// kernel load connection tracking.
    pub nat: Option<[Has; 2]>,
}

impl KernelParts {
    /// Asks the kernel.
    pub fn look(with_nat: bool) -> Self {
        let mut socket = Nfnetlink::requests();
        let mut has = |tables: &[Table]| match &mut socket {
            Ok(socket) => tables.iter().try_fold(true, |all, table| Ok(all && answer(rehearse(socket, table, TRIAL))?)),
            Err(_) => answer(Nfnetlink::requests().map(drop)),
        };
        let nat = [masquerade::table(&Sides::default()), without_fib(hostport::table())];
        let split: Vec<Table> =
            nat.iter().flat_map(|table| Shape::Split.of(table)).filter(|one| one.family == TableFamily::Ipv4).collect();
        Self {
            tables: has(&[empty()]),
            fib: has(&[source_rule::table()]),
            arp: has(&[arp_guard::table()]),
            nat: with_nat.then(|| [has(&split), has(&nat)]),
        }
    }
}

/// NAT alone: `fib` is a part of its own.
fn without_fib(mut table: Table) -> Table {
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        // With what it is compared to.
        if let Some(at) = rule.expressions.iter().position(|expression| *expression == Expression::DestinationKind) {
            rule.expressions.drain(at..at + 2);
        }
    }
    table
}

fn answer(tried: Result<(), Error>) -> Has {
    match tried {
        Ok(()) => Ok(true),
        Err(error) if error.is_of_a_lack() || error.is_without_tables() => Ok(false),
        Err(error) => Err(error),
    }
}

/// A table for which nf_tables itself suffices.
fn empty() -> Table {
    let hook = Hook { kind: "filter", number: 0, priority: 0 };
    Table {
        family: TableFamily::Inet,
        name: TRIAL,
        sets: Vec::new(),
        maps: Vec::new(),
        chains: vec![Chain { name: "empty", hook, rules: Vec::new() }],
    }
}
