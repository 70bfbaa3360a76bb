//! Has the kernel what podlan asks of it? By parts too, for `doctor --kernel`, before anything is installed.

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;
use facts::parts::{Part, Parts};

/// What becomes of podlan without a part.
enum Without {
    /// Something is lost.
    Lost {
        kind: Kind,
        /// The module, by which the kernel's own answers and the agent's warnings name the part too.
        module: &'static str,
        /// What is lost, and what remains.
        so: &'static str,
    },
    /// Nothing is lost.
    Instead(&'static str),
}

/// A part's name in `doctor --kernel`.
fn name(part: Part) -> &'static str {
    match part {
        Part::Veth => "veth",
        Part::Ipv6 => "ipv6",
        Part::NfTables => "nf_tables",
        Part::NftFib => "nft_fib",
        Part::NftArp => "nft-arp",
        Part::Nat => "nat",
        Part::InetNat => "inet-nat",
        Part::StrictChecking => "strict-checking",
        Part::LinkWatch => "link-watch",
    }
}

/// The options of the kernel and the modules, or the release that brought a part.
fn called(part: Part) -> &'static str {
    match part {
        Part::Veth => "CONFIG_VETH (module veth)",
        Part::Ipv6 => "CONFIG_IPV6, and not ipv6.disable=1 in /proc/cmdline",
        Part::NfTables => "CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET (module nf_tables)",
        Part::NftFib => "CONFIG_NFT_FIB_INET, _IPV4 and _IPV6 (module nft_fib_inet)",
        Part::NftArp => "CONFIG_NF_TABLES_ARP",
        Part::Nat => "CONFIG_NFT_NAT and CONFIG_NFT_MASQ (modules nft_chain_nat, nft_nat and nft_masq)",
        Part::InetNat => "NAT in nf_tables' family inet, Linux 5.2",
        Part::StrictChecking => "NETLINK_GET_STRICT_CHK, Linux 4.20",
        Part::LinkWatch => "a link's overdue work before RTM_GETLINK, Linux 6.8",
    }
}

fn without(part: Part) -> Without {
    let lost = |kind, module, so| Without::Lost { kind, module, so };
    match part {
        Part::Veth => lost(Kind::KernelPartMissing, "veth", "no pod can start: each ADD fails"),
        Part::NfTables => lost(
            Kind::KernelPartMissing,
            "nf_tables",
            "a pod can send with the address of another pod or node, as far as rp_filter of its link lets it (IPv6 has \
             none); the node answers ARP requests for the pods' gateway; pods have no host ports, and egress is not \
             masqueraded; paths are not probed, and rules of other programs are not judged",
        ),
        Part::NftFib => lost(
            Kind::KernelPartMissing,
            "nft_fib",
            "a pod can send with the address of another pod or node, as far as rp_filter of its link lets it (IPv6 has \
             none); pods have no host ports",
        ),
        Part::NftArp => lost(Kind::ArpGuardMissing, "", Kind::ArpGuardMissing.why()),
        Part::Nat => lost(Kind::KernelNatMissing, "nft_chain_nat", Kind::KernelNatMissing.why()),
        Part::Ipv6 => Without::Instead("pods can have IPv4 alone"),
        Part::InetNat => Without::Instead("tables of the families ip and ip6 do the same"),
        Part::StrictChecking => Without::Instead("podlan selects the objects of dumps itself"),
        Part::LinkWatch => Without::Instead("ADD waits for the kernel's own link watch"),
    }
}

/// The condition of a part that is missing; `None` where nothing is lost by it.
fn missing(part: Part) -> Option<Condition> {
    let Without::Lost { kind, module, so } = without(part) else { return None };
    let called = called(part);
    let load = match part {
        Part::NftFib => "modprobe nft_fib_inet, or ",
        Part::NftArp => "",
        Part::Nat => "modprobe -a nft_chain_nat nft_nat nft_masq, or ",
        _ => "modprobe it, or ",
    };
    let cure = format!("{load}a kernel with {called}; a running agent then does its part within seconds");
    Some(Condition::new(kind, module, format!("the kernel lacks {called}")).because(so).decided_by_a_person(cure))
}

/// Whether another part that is missing says it already.
fn is_implied(part: Part, parts: &Parts) -> bool {
    matches!(part, Part::NftFib | Part::NftArp | Part::Nat | Part::InetNat)
        && parts.contains(&(Part::NfTables, Ok(false)))
        || part == Part::InetNat && parts.contains(&(Part::Nat, Ok(false)))
}

pub(super) fn judge(facts: &Facts) -> Outcome {
    let absent = |seen: &facts::Seen<bool>| *seen == Ok(false);
    let all = || facts.parts.iter().filter(|(part, _)| !is_implied(*part, &facts.parts));
    let wrong: Vec<Condition> = all().filter(|(_, seen)| absent(seen)).filter_map(|(part, _)| missing(*part)).collect();
    let unknown: Vec<String> =
        all().filter_map(|(part, seen)| Some(format!("{}: {}", name(*part), seen.as_ref().err()?))).collect();
    if !unknown.is_empty() && wrong.is_empty() {
        return Err(unknown.join("; "));
    }
    let done_without: Vec<String> = all()
        .filter(|(_, seen)| absent(seen))
        .filter_map(|(part, _)| match without(*part) {
            Without::Instead(instead) => Some(format!("{} ({instead})", name(*part))),
            Without::Lost { .. } => None,
        })
        .collect();
    let fine = match done_without.as_slice() {
        [] => "it has all that podlan asks of it".to_owned(),
        some => format!("it has all that podlan needs; it lacks {}", some.join(", ")),
    };
    Ok(Finding::of(wrong, fine))
}

/// Judges each part by itself.
pub fn judge_parts(parts: &Parts) -> Vec<(&'static str, Outcome)> {
    let outcome = |(part, seen): &(Part, facts::Seen<bool>)| {
        let called = called(*part);
        let outcome = match (seen, without(*part)) {
            (Err(why), _) => Err(format!("{why} ({called})")),
            (Ok(true), _) => Ok(Finding::Fine(called.to_owned())),
            (Ok(false), Without::Instead(instead)) => {
                Ok(Finding::Moot(format!("the kernel lacks {called}: {instead}")))
            }
            (Ok(false), Without::Lost { .. }) if is_implied(*part, parts) => {
                Ok(Finding::Moot(format!("{called}: not without nf_tables")))
            }
            (Ok(false), Without::Lost { .. }) => Ok(Finding::Wrong(missing(*part).into_iter().collect())),
        };
        (name(*part), outcome)
    };
    parts.iter().map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    const ALL: [Part; 9] = [
        Part::Veth,
        Part::Ipv6,
        Part::NfTables,
        Part::NftFib,
        Part::NftArp,
        Part::Nat,
        Part::InetNat,
        Part::StrictChecking,
        Part::LinkWatch,
    ];

    fn lacking(absent: &[Part]) -> Parts {
        ALL.map(|part| (part, Ok(!absent.contains(&part)))).into()
    }

    fn kinds(outcome: Outcome) -> Vec<(Kind, String)> {
        match outcome {
            Ok(Finding::Wrong(problems)) => problems.into_iter().map(|one| (one.kind, one.subject)).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn each_part_that_is_lost_is_one_condition_that_names_its_option_and_what_is_not_defended() {
        for (absent, kind, subject, option, lost) in [
            (Part::Veth, Kind::KernelPartMissing, "veth", "CONFIG_VETH", "no pod can start"),
            (Part::NftFib, Kind::KernelPartMissing, "nft_fib", "CONFIG_NFT_FIB_INET", "the address of another pod"),
            (Part::NfTables, Kind::KernelPartMissing, "nf_tables", "CONFIG_NF_TABLES", "the address of another pod"),
            (Part::NftArp, Kind::ArpGuardMissing, "", "CONFIG_NF_TABLES_ARP", "169.254.1.1"),
            (Part::Nat, Kind::KernelNatMissing, "nft_chain_nat", "CONFIG_NFT_NAT", "no host ports"),
        ] {
            let facts = Facts { parts: lacking(&[absent]), ..healthy() };
            assert_eq!(kinds(judge(&facts)), [(kind, subject.to_owned())], "{absent:?}");
            let Ok(Finding::Wrong(problems)) = judge(&facts) else { panic!("{absent:?}") };
            assert!(problems[0].wrong.contains(option) && problems[0].why.contains(lost), "{:?}", problems[0]);
        }
    }

    #[test]
    fn what_hangs_on_a_missing_part_is_not_reported_beside_it() {
        let facts = Facts { parts: lacking(&[Part::NfTables, Part::NftFib, Part::NftArp, Part::Nat]), ..healthy() };
        assert_eq!(kinds(judge(&facts)), [(Kind::KernelPartMissing, "nf_tables".to_owned())]);
        let wrong =
            judge_parts(&facts.parts).into_iter().filter(|(_, outcome)| matches!(outcome, Ok(Finding::Wrong(_))));
        assert_eq!(wrong.map(|(name, _)| name).collect::<Vec<_>>(), ["nf_tables"]);
    }

    #[test]
    fn a_kernel_that_is_only_older_is_well_and_says_what_is_done_instead() {
        let older = [Part::InetNat, Part::StrictChecking, Part::LinkWatch, Part::Ipv6];
        let facts = Facts { parts: lacking(&older), ..healthy() };
        let Ok(Finding::Fine(text)) = judge(&facts) else { panic!("nothing is lost") };
        assert!(["inet-nat", "strict-checking", "link-watch", "ipv6"].iter().all(|name| text.contains(name)), "{text}");
        assert!(
            judge_parts(&facts.parts).iter().all(|(_, one)| matches!(one, Ok(Finding::Fine(_) | Finding::Moot(_))))
        );
    }

    #[test]
    fn a_part_that_cannot_be_asked_for_is_unknown() {
        let mut parts = lacking(&[]);
        parts[0].1 = Err("Operation not permitted".into());
        let facts = Facts { parts, ..healthy() };
        assert!(judge(&facts).is_err_and(|why| why.contains("veth: Operation not permitted")));
    }
}
