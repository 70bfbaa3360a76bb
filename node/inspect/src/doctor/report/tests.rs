//! The report as an operator sees it.

use super::*;
use crate::doctor::checks::{self, healthy};
use crate::doctor::fix;
use conditions::Fix;

fn printed(report: &Report) -> String {
    let mut out = Vec::new();
    report.print(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_healthy_node_is_shown_line_by_line() {
    let report = Report { done: Vec::new(), fixed: false, outcomes: checks::judge(&healthy()) };
    assert_eq!(report.code(), 0);
    assert_eq!(printed(&report), include_str!("healthy.txt"));
}

#[test]
fn a_broken_node_is_shown_with_what_is_wrong_why_it_matters_and_how_to_fix_it() {
    let mut facts = healthy();
    checks::forwards_no_v4(&mut facts);
    facts.kernel.as_mut().unwrap().routes[2].protocol = 3;
    facts.kernel.as_mut().unwrap().links[1].mtu = 1450;
    facts.leases.as_mut().unwrap().all[0].2 = ipam::Presence::Gone;
    facts.plugins = Err("failed to read /etc/cni/net.d: Permission denied (os error 13)".into());
    let other = facts::Configuration::new("05-flannel.conflist".into(), "{}".into());
    facts.configurations.as_mut().unwrap().insert(0, other);
    let done = vec![Ok("switched IPv6 forwarding on".into()), Err("failed to wake the agent".into())];
    let report = Report { done, fixed: true, outcomes: checks::judge(&facts) };
    assert_eq!(report.code(), 1);
    assert_eq!(printed(&report), include_str!("broken.txt"));
    let due = fix::due(report.outcomes.iter().map(|(_, outcome)| outcome));
    assert_eq!(
        due.into_iter().collect::<Vec<_>>(),
        [Fix::ForwardV4, Fix::TakeBackLeases, Fix::PodMtu],
        "a stolen route is another's"
    );
    assert!(!report.answer("").ok);
    let states: Vec<String> = report.answer("").checks.into_iter().map(|check| check.state).collect();
    assert_eq!(states.iter().filter(|state| *state == "wrong").count(), 5);
    assert_eq!(states.iter().filter(|state| *state == "unknown").count(), 1);
}

#[test]
fn what_a_fix_leaves_to_the_operator_is_shown_with_the_reason_and_only_when_a_fix_was_asked_for() {
    use filter::forward::{By, ForwardDrop};
    let mut facts = healthy();
    let (chain, cure) = ("ip filter FORWARD".to_owned(), "add --accept-forward".to_owned());
    facts.forward =
        Ok(Some(vec![ForwardDrop { chain, hook: "forward", rule: None, by: By::Policy, certain: true, cure }]));
    for fixed in [false, true] {
        let report = Report { done: Vec::new(), fixed, outcomes: checks::judge(&facts) };
        let text = printed(&report);
        let line = text.lines().find(|line| line.starts_with("not fixed: forward-policy: "));
        assert_eq!(line.is_some(), fixed, "{text}");
        assert!(
            line.is_none_or(|line| line.contains("belongs to another program") && line.contains("--accept-forward"))
        );
        let why = report.answer("").left.first().map(|left| left.why.clone());
        assert_eq!(why.as_ref().is_some_and(|why| why.contains("--accept-forward")), fixed, "{why:?}");
    }
}
