//! A table of the family inet on a kernel that makes no NAT chain there (before Linux 5.2): one table of the family `ip` and one of
//! `ip6` do the same on every kernel. Both have the table's name. Pure but for [`ensure_in`] and [`leave`].

use netlink::Family;

use super::expression::{Cmp, Expression};
use super::map::Kind;
use super::nfnetlink::{Error, Nfnetlink};
use super::table::{Rule, Table, TableFamily};
use super::{ensure, remove, tables};

/// How a table is laid out in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// As one table of the family inet.
    #[default]
    Whole,
    /// As two tables, of the families `ip` and `ip6`.
    Split,
}

impl Shape {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Whole, Self::Split];

    /// The families of the kernel's tables.
    pub fn families(self) -> &'static [TableFamily] {
        match self {
            Self::Whole => &[TableFamily::Inet],
            Self::Split => &[TableFamily::Ipv4, TableFamily::Ipv6],
        }
    }

    /// The kernel's tables for `table`, which is of the family inet.
    pub fn of(self, table: &Table) -> Vec<Table> {
        match self {
            Self::Whole => vec![table.clone()],
            Self::Split => Family::BOTH.map(|family| part(table, family)).into(),
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Whole => Self::Split,
            Self::Split => Self::Whole,
        }
    }
}

/// What of a table concerns one family.
fn part(table: &Table, of: Family) -> Table {
    let (family, foreign) = match of {
        Family::V4 => (TableFamily::Ipv4, Kind::Ipv6),
        Family::V6 => (TableFamily::Ipv6, Kind::Ipv4),
    };
    let mut part = Table { family, ..table.clone() };
    part.sets.retain(|set| set.family == of);
    part.maps.retain(|map| !map.key.iter().chain(map.value).any(|kind| *kind == foreign));
    for chain in &mut part.chains {
        chain.rules = chain.rules.iter().filter_map(|rule| for_family(rule, of)).collect();
    }
    part
}

/// A rule without its questions for the family, which nft(8) cannot read in a table that has only one; `None` where it asks for
/// another.
fn for_family(rule: &Rule, of: Family) -> Option<Rule> {
    let mut expressions = Vec::new();
    let mut rest = rule.expressions.iter().peekable();
    while let Some(expression) = rest.next() {
        match (expression, rest.peek()) {
            (Expression::AddressFamily, Some(Expression::Compare(Cmp::Equal, family))) => {
                if family.as_slice() != [of.number()] {
                    return None;
                }
                rest.next();
            }
            _ => expressions.push(expression.clone()),
        }
    }
    Some(Rule { purpose: rule.purpose, expressions })
}

/// Changes the kernel's tables to `table`, which is of the family inet, in the shape `first`, or in two tables where the kernel
/// refuses the one for lack of a part. True where there was something to change, and the shape that it has now. What is held in
/// the other shape is for [`leave`] to remove, afterwards: a connection gets its addresses from the first chain that gives it
/// some.
pub fn ensure_in(socket: &mut Nfnetlink, table: &Table, first: Shape) -> Result<(bool, Shape), Error> {
    let put = |socket: &mut Nfnetlink, shape: Shape| {
        shape.of(table).iter().try_fold(false, |changed, one| Ok::<_, Error>(ensure(socket, one)? || changed))
    };
    match put(socket, first) {
        Err(error) if first == Shape::Whole && error.is_of_a_lack() => Ok((put(socket, Shape::Split)?, Shape::Split)),
        changed => Ok((changed?, first)),
    }
}

/// Removes the tables of this name that are there in a shape; the families of those that were.
pub fn leave(socket: &mut Nfnetlink, name: &str, shape: Shape) -> Result<Vec<TableFamily>, Error> {
    let there = tables(socket)?;
    let mut removed = Vec::new();
    for family in shape.families() {
        if there.iter().any(|(of, held)| *of == *family as u8 && held == name) && remove(socket, *family, name)? {
            removed.push(*family);
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Hook, Map, Set};

    fn table() -> Table {
        let of = |family: Family| Expression::Compare(Cmp::Equal, vec![family.number()]);
        let rule = |purpose, expressions| Rule { purpose, expressions };
        let set = |name, family| Set { name, family, subnets: crate::Subnets::default() };
        Table {
            family: TableFamily::Inet,
            name: "podlan-test",
            sets: vec![set("own4", Family::V4), set("own6", Family::V6)],
            maps: vec![
                Map { name: "any4", key: &[Kind::Port], value: &[Kind::Ipv4] },
                Map { name: "node6", key: &[Kind::Ipv6, Kind::Port], value: &[Kind::Ipv6] },
                Map { name: "ports", key: &[Kind::Port], value: &[] },
            ],
            chains: vec![Chain {
                name: "egress",
                hook: Hook { kind: "nat", number: 4, priority: 100 },
                rules: vec![
                    rule("four", vec![Expression::AddressFamily, of(Family::V4), Expression::Masquerade]),
                    rule("six", vec![Expression::Counter, Expression::AddressFamily, of(Family::V6)]),
                    rule("both", vec![Expression::Counter]),
                ],
            }],
        }
    }

    #[test]
    fn each_part_has_what_concerns_its_family_and_together_they_have_everything() {
        let names = |table: &Table| -> Vec<&'static str> {
            let sets = table.sets.iter().map(|set| set.name).chain(table.maps.iter().map(|map| map.name));
            sets.chain(table.chains[0].rules.iter().map(|rule| rule.purpose)).collect()
        };
        let [four, six] = &Shape::Split.of(&table())[..] else { panic!("two tables") };
        assert_eq!((four.family, names(four)), (TableFamily::Ipv4, vec!["own4", "any4", "ports", "four", "both"]));
        assert_eq!((six.family, names(six)), (TableFamily::Ipv6, vec!["own6", "node6", "ports", "six", "both"]));
        assert_eq!((four.name, &four.chains[0].rules[0].expressions), ("podlan-test", &vec![Expression::Masquerade]));
        assert_eq!(six.chains[0].rules[0].expressions, [Expression::Counter], "the family is not asked for twice");
        assert_eq!(Shape::Whole.of(&table()), [table()]);
    }
}
