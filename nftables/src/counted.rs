//! What rules have counted: the counters in a chain.

use netlink::wire::{Attribute, Attributes};

use super::nfnetlink::{self, Error, Nfnetlink};
use super::observed::comment;
use super::table::TableFamily;

/// The packets that each rule of a chain has counted, by its comment; nothing for a rule without a counter.
pub fn counted(
    socket: &mut Nfnetlink,
    family: TableFamily,
    table: &str,
    chain: &str,
) -> Result<Vec<(String, u64)>, Error> {
    let of_chain = [Attribute::text(1, table), Attribute::text(2, chain)];
    let all = socket.dump(family as u8, nfnetlink::GET_RULE, &of_chain)?;
    let rules = all.iter().map(|(_, rule)| Attributes(rule));
    // Old kernels do not filter by chain.
    let rules = rules.filter(|rule| rule.text(1) == Some(table) && rule.text(2) == Some(chain));
    Ok(rules.filter_map(|rule| Some((comment(rule)?.to_owned(), packets(rule)?))).collect())
}

/// NFTA_RULE_EXPRESSIONS 4 {NFTA_EXPR_NAME 1, _DATA 2 {NFTA_COUNTER_BYTES 1, _PACKETS 2}}.
fn packets(rule: Attributes<'_>) -> Option<u64> {
    let mut expressions = rule.inside(4).map(|(_, expression)| Attributes(expression));
    expressions.find(|expression| expression.text(1) == Some("counter"))?.inside(2).be64(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_with_a_counter_has_its_packets_and_one_without_has_none() {
        let expression = |name: &str, data: &[Attribute]| {
            Attribute::nested(1, &[Attribute::text(1, name), Attribute::nested(2, data)])
        };
        let counter = expression("counter", &[Attribute::be64(1, 840), Attribute::be64(2, 7)]);
        let drop = expression("immediate", &[Attribute::be32(1, 0)]);
        let with = Attribute::nested(4, &[drop.clone(), counter]);
        assert_eq!(packets(Attributes(with.encoded())), Some(7));
        assert_eq!(packets(Attributes(Attribute::nested(4, &[drop]).encoded())), None);
    }
}
