//! Rules of other programs that drop packets between pods when a node forwards them: found, reported, and overridden on
//! request.
//!
//! ```text
//!   node1 (agent) ── lan ── node2 (agent; Docker's and firewalld's rules)
//!     └── web                 └── db
//! ```

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use podlan_conformance::agent::{status, stop};
use podlan_conformance::lab::{Error, Lab, Node, Pod, binaries, eventually, skip, within};
use podlan_conformance::traffic::{Answer, Protocol, Target};

const SOON: Duration = Duration::from_secs(20);

/// The programs that write such rules; without one the test is skipped.
fn programs() -> Option<[&'static str; 3]> {
    let all = ["/usr/sbin/iptables-nft", "/usr/sbin/ip6tables-nft", "/usr/sbin/nft"];
    if all.iter().all(|path| Path::new(path).exists()) {
        return Some(all);
    }
    skip("missing iptables or nft: apt-get install iptables nftables");
    None
}

/// Waits until the agent reports this number of chains that drop, with these words.
fn reports(node: &Node, drops: u64, words: &[&str]) -> Result<(), Error> {
    eventually(SOON, &format!("{drops} chains of {} drop: {words:?}", node.name()), || {
        let status = status(node).map_err(|error| error.to_string())?;
        let warnings = status["warnings"].to_string();
        let right = status["forwardDrops"] == drops && words.iter().all(|word| warnings.contains(word));
        if right { Ok(()) } else { Err(status.to_string()) }
    })
}

/// The rules that Docker adds to FORWARD.
fn docker(node: &Node, iptables: &[&str]) -> Result<(), Error> {
    for program in iptables {
        for rule in [
            "-N DOCKER-USER",
            "-A DOCKER-USER -j RETURN",
            "-A FORWARD -j DOCKER-USER",
            "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
            "-P FORWARD DROP",
        ] {
            node.command(program).args(rule.split(' ')).succeeds()?;
        }
    }
    Ok(())
}

/// The rules that firewalld adds to forward, in short.
const FIREWALLD: &str = "table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname \"lo\" accept
    ct state invalid drop
    jump filter_FORWARD_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD_ZONES { iifname \"eth0\" goto filter_FWD_public; goto filter_FWD_public; }
  chain filter_FWD_public { oifname \"virbr0\" accept; }
}";

/// Whether a pod gets no answer from an address; one protocol is enough.
fn is_cut_off(pod: &Pod<'_>, from: IpAddr) -> Result<bool, Error> {
    let reports = pod.place().ask(&[Target { protocol: Protocol::Tcp, address: from }])?;
    Ok(reports.iter().all(|report| matches!(report.answer, Answer::Silent(_))))
}

fn shown(node: &Node, iptables: &str) -> Result<Vec<String>, Error> {
    let said = node.command(iptables).args(["-S", "FORWARD"]).succeeds()?;
    Ok(said.lines().map(str::to_owned).collect())
}

#[test]
fn dockers_drop_policy_is_reported_and_overridden_on_request_and_explicit_drop_rules_still_apply() {
    let Some([iptables, ip6tables, _]) = programs() else { return };
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let (at_web, at_db) = (web.add(&one.podnet())?, db.add(&two.podnet())?);
        let _servers = [web.serve()?, db.serve()?];
        let _other = one.agent(&[])?;
        let agent = two.agent(&[])?;
        let connected = || web.reaches(&at_web, &at_db.ips()).and_then(|()| db.reaches(&at_db, &at_web.ips()));
        let soon_connected = |fact: &str| eventually(SOON, fact, || connected().map_err(|error| error.to_string()));
        soon_connected("pods reach each other")?;
        reports(two, 0, &[])?;

        docker(two, &[iptables, ip6tables])?;
        reports(two, 2, &["ip filter FORWARD drops", "ip6 filter FORWARD drops", "--accept-forward"])?;
        assert!(is_cut_off(&web, at_db.v4()?)?, "packets are dropped");

        stop(agent)?;
        let agent = two.agent(&["--accept-forward"])?;
        soon_connected("the policies are answered")?;
        reports(two, 0, &[])?;
        let rules = shown(two, iptables)?;
        let ours = "-s 10.244.2.0/24 -m comment --comment \"podlan: ";
        assert!(rules[rules.len() - 2].contains(ours), "last in the chain, as iptables shows it: {rules:?}");

        // A flushed chain gets them again; an explicit drop rule still applies.
        two.command(iptables).args(["-F", "FORWARD"]).succeeds()?;
        soon_connected("they come back")?;
        let forbid = format!("-I FORWARD -s {} -j DROP", at_web.v4()?);
        two.command(iptables).args(forbid.split(' ')).succeeds()?;
        assert!(is_cut_off(&web, at_db.v4()?)?, "a drop rule is not overridden");
        two.command(iptables).args(forbid.replace("-I", "-D").split(' ')).succeeds()?;

        // An agent without the option removes them, and so does cleanup.
        stop(agent)?;
        let agent = two.agent(&[])?;
        reports(two, 2, &["ip filter FORWARD drops"])?;
        assert!(!shown(two, iptables)?.join("\n").contains("podlan"));
        stop(agent)?;
        let agent = two.agent(&["--accept-forward"])?;
        reports(two, 0, &[])?;
        soon_connected("again")?;
        stop(agent)?;
        let said = two.command(binaries::find("podlan-node")?).arg("cleanup").succeeds()?;
        assert!(said.contains("rules in forward chains of other programs"), "{said}");
        assert!(!shown(two, iptables)?.join("\n").contains("podlan"));
        Ok(())
    });
}

#[test]
fn a_firewalld_zone_that_rejects_is_reported_with_its_fix_and_not_overridden() {
    let Some([_, _, nft]) = programs() else { return };
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let (web, db) = (one.pod("web")?, two.pod("db")?);
        let (at_web, at_db) = (web.add(&one.podnet())?, db.add(&two.podnet())?);
        let _server = db.serve()?;
        let _agents = [one.agent(&[])?, two.agent(&["--accept-forward"])?];
        let connected = || web.reaches(&at_web, &at_db.ips()).map_err(|error| error.to_string());
        eventually(SOON, "web reaches db", connected)?;
        two.command(nft).args(["-f", "-"]).stdin(FIREWALLD).succeeds()?;
        reports(
            two,
            1,
            &["inet firewalld filter_FORWARD drops traffic between pods by its rule with handle", "--zone=trusted"],
        )?;
        assert!(is_cut_off(&web, at_db.v4()?)?, "packets are dropped");
        // The rules that firewalld adds for its trusted zone.
        for rule in [
            "insert rule inet firewalld filter_FORWARD_ZONES ip saddr 10.244.0.0/16 accept",
            "insert rule inet firewalld filter_FORWARD_ZONES ip6 saddr fd00:10:244::/48 accept",
        ] {
            two.command(nft).args(rule.split(' ')).succeeds()?;
        }
        reports(two, 0, &[])?;
        eventually(SOON, "web reaches db again", connected)
    });
}
