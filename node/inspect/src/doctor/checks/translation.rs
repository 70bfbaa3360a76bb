//! Does a rule of another program give packets between pods other addresses?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;
use filter::translation::Side;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let found = facts.translated.as_ref().map_err(Clone::clone)?;
    let Some(found) = found else { return Ok(Finding::moot("no agent knows the pod CIDRs")) };
    let problems = found.iter().filter(|found| found.certain).map(|found| {
        let side = match found.side {
            Side::Source => "source",
            Side::Destination => "destination",
        };
        let listed = found.rule.as_ref().map_or_else(String::new, |rule| {
            let table = found.chain.rsplit_once(' ').map_or(found.chain.as_str(), |(table, _)| table);
            format!("; nft -a list chain {table} {} shows it (handle {})", rule.chain, rule.handle)
        });
        Condition::new(
            Kind::AddressTranslated,
            found.chain.as_str(),
            format!("packets between pods get another {side} address in {}", found.place()),
        )
        .decided_by_a_person(format!(
            "except the pod CIDRs of all nodes from that rule, where it is configured{listed}"
        ))
        .left_because("the rule is another program's")
    });
    Ok(Finding::of(problems.collect(), "no rule translates traffic between pods"))
}
