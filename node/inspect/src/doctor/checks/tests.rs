//! Each check on facts that no test can produce with a kernel, or not separately: what is wrong is named, and nothing
//! else.

use cni::{Attachment, ContainerId, Ifname};
use ipam::{BootId, Lease, Presence, Proof, Stamp};
use netlink::{Family, InheritedMtu, Learned, Link, Loss, MtuOf, Route};

use super::super::finding::Finding;
use super::*;
use ::routes::here::Here;
use ::routes::{OWN_METRIC, PEER_METRIC, Target};
use facts::{AgentSaid, Configuration, Kernel, Leases, Plugin, PluginFile, Settings};
use filter::forward::{self, By};
use pods::forwarding;
use state::{HeldState, State, VerdictLine};

const NOW: Stamp = Stamp { boot: BootId(7), millis: 3_600_000 };
const ETH0: u32 = 2;

fn line(node: &str, cidr: &str, wanted: Target) -> VerdictLine {
    VerdictLine {
        node: node.into(),
        cidr: cidr.into(),
        text: "fits".into(),
        wanted: Some(wanted),
        ..VerdictLine::default()
    }
}

fn lease(address: &str, boot: u64, millis: u64) -> Lease {
    Lease {
        address: address.parse().unwrap(),
        gateway: None,
        owner: Attachment { container_id: ContainerId::parse("web").unwrap(), ifname: Ifname::parse("eth0").unwrap() },
        proof: Proof { pod: Some("default/web".into()), ..Proof::default() },
        reused_early: false,
        since: Stamp { boot: BootId(boot), millis },
    }
}

fn link(index: u32, name: &str, mtu: u32) -> Link {
    let (mac, alias) = (vec![2, 0, 0, 0, 0, 1], "podlan key podnet web eth0 default/web".into());
    Link {
        index,
        name: name.into(),
        mac,
        mtu,
        group: 0,
        up: true,
        carrier: true,
        operational: true,
        veth: true,
        peer: None,
        alias,
    }
}

/// A node on which all is well.
pub(crate) fn healthy() -> Facts {
    let hop = |via: &str| Target::Hop { via: via.parse().unwrap(), link: ETH0, onlink: false };
    let mut state = State::starting("node1", "file /etc/podlan/nodes.yaml");
    (state.pid, state.ready, state.reasons) = (42, true, Vec::new());
    state.pod_cidrs = vec!["10.244.1.0/24".into(), "fd00:10:244:1::/64".into()];
    state.addresses = vec!["172.31.0.1".parse().unwrap(), "fd31::1".parse().unwrap()];
    let verdicts = vec![
        line("node1", "10.244.1.0/24", Target::Unreachable),
        line("node1", "fd00:10:244:1::/64", Target::Unreachable),
        line("node2", "10.244.2.0/24", hop("172.31.0.2")),
        line("node2", "fd00:10:244:2::/64", hop("fd31::2")),
    ];
    let own = |cidr: &str| Route {
        kind: netlink::RouteKind::Unreachable,
        metric: OWN_METRIC,
        ..Route::to(cidr.parse().unwrap(), netlink::NODE_ROUTE)
    };
    let peer = |cidr: &str, via: &str| Route {
        gateway: Some(via.parse().unwrap()),
        device: Some(ETH0),
        metric: PEER_METRIC,
        ..Route::to(cidr.parse().unwrap(), netlink::NODE_ROUTE)
    };
    let conflist = r#"{"name":"podnet","plugins":[{"type":"podlan","agent":"/run/podlan/node.json","ipam":{"type":
        "podlan-ipam","ranges":[[{"subnet":"10.244.1.0/24"}],[{"subnet":"fd00:10:244:1::/64"}]]}}]}"#;
    Facts {
        agent: Ok(Some(AgentSaid { state, stale: false, verdicts })),
        kernel: Ok(Kernel {
            links: vec![link(ETH0, "eth0", 1500), link(9, "podlweb", 1500)],
            here: Here::default(),
            routes: vec![
                own("10.244.1.0/24"),
                own("fd00:10:244:1::/64"),
                peer("10.244.2.0/24", "172.31.0.2"),
                peer("fd00:10:244:2::/64", "fd31::2"),
            ],
            inherited_mtu: InheritedMtu { mtu: 1500, of: MtuOf::DefaultRoute("eth0".into()) },
            sources: vec![("10.244.1.2".parse().unwrap(), "172.31.0.1".parse().ok())],
        }),
        settings: Settings {
            forwarding: [Ok(forwards()), Ok(forwards())],
            losses: Ok(Vec::new()),
            kernel_has_v6: true,
            disable_v6: Ok(Some("0".into())),
            rp_filter_all: Ok(Some("0".into())),
            rp_filter: Ok(vec![("podlweb".into(), "1".into())]),
            neighbours: [Ok(Some("1024".into())), Ok(Some("1024".into()))],
        },
        packet_filter: Ok(vec![("source", true), ("ARP guard", true)]),
        forward: Ok(Some(Vec::new())),
        configurations: Ok(vec![Configuration::new("10-podlan.conflist".into(), conflist.into())]),
        plugins: Ok(vec![Plugin {
            name: "podlan".into(),
            path: "/opt/cni/bin/podlan".into(),
            file: PluginFile::Present { same: Some(true) },
        }]),
        leases: Ok(Leases {
            now: NOW,
            all: vec![("podnet".into(), lease("10.244.1.2/24", 7, 1000), Presence::Present)],
            unreadable: Vec::new(),
        }),
    }
}

/// A family that is forwarded.
fn forwards() -> forwarding::Observed {
    forwarding::Observed { pods: true, all: Some(true), ..forwarding::Observed::default() }
}

/// Another program set net.ipv4.ip_forward to 0, and so the setting of each link.
pub(crate) fn forwards_no_v4(facts: &mut Facts) {
    let off = vec![(ETH0, "eth0".into()), (9, "podlweb".into())];
    facts.settings.forwarding[Family::V4.index()] = Ok(forwarding::Observed { all: Some(false), off, ..forwards() });
}

fn said(facts: &mut Facts) -> &mut AgentSaid {
    facts.agent.as_mut().unwrap().as_mut().unwrap()
}

fn kernel(facts: &mut Facts) -> &mut Kernel {
    facts.kernel.as_mut().unwrap()
}

fn leases(facts: &mut Facts) -> &mut Leases {
    facts.leases.as_mut().unwrap()
}

/// The checks that find something wrong, and their texts.
fn wrong(facts: &Facts) -> (Vec<&'static str>, String) {
    let (mut names, mut text) = (Vec::new(), String::new());
    for (check, outcome) in judge(facts) {
        if let Ok(Finding::Wrong(problems)) = outcome {
            names.push(check);
            problems
                .iter()
                .for_each(|problem| text += &format!("{} {} {}\n", problem.wrong, problem.why, problem.cure));
        }
    }
    (names, text)
}

#[test]
fn a_healthy_node_is_fine_by_every_check() {
    for (check, outcome) in judge(&healthy()) {
        assert!(matches!(outcome, Ok(Finding::Fine(_))), "{check}: {outcome:?}");
    }
}

/// The kernel does not take the route to node2.
fn refuse(facts: &mut Facts) {
    kernel(facts).routes.remove(2);
    let line = &mut said(facts).verdicts[2];
    line.reason = "refused-by-kernel".into();
    line.text =
        "direct via 172.31.0.2 on eth0, refused by the kernel: Nexthop has invalid gateway (ENETUNREACH)".into();
}

#[test]
fn a_route_that_the_kernel_refuses_is_not_promised_to_come_back() {
    let mut facts = healthy();
    refuse(&mut facts);
    let (_, text) = wrong(&facts);
    assert!(!text.contains("restore it") && !text.contains("WakeAgent"), "{text}");
}

#[test]
fn each_damage_is_found_by_its_own_check_alone() {
    type Damage = fn(&mut Facts);
    let table: [(&str, &str, Damage); 31] = [
        ("agent", "has not updated node.json", |facts| said(facts).stale = true),
        ("agent", "no node is called node1", |facts| {
            let state = &mut said(facts).state;
            (state.ready, state.reasons) = (false, vec!["no node is called node1".into()]);
        }),
        ("agent", "nodes.yaml:2", |facts| said(facts).state.source.error = "nodes.yaml:2: no".into()),
        ("agent", "release-withdrawal", |facts| {
            said(facts).state.held = Some(HeldState { withdraws: 9, of: 10, until: 0 });
        }),
        ("nodes", "node2 has the same CIDR", |facts| {
            let text = "skipped: node2 has the same CIDR".into();
            let (node, cidr, reason) = ("twin".into(), "10.244.2.0/24".into(), "duplicate-cidr".into());
            said(facts).verdicts.push(VerdictLine { node, cidr, reason, text, ..VerdictLine::default() });
        }),
        ("routes", "missing", |facts| kernel(facts).routes.retain(|route| route.metric != PEER_METRIC)),
        ("routes", "may come back", |facts| kernel(facts).routes.retain(|route| route.metric != OWN_METRIC)),
        ("routes", "ip route del 10.244.2.0/24 metric 110 proto 3", |facts| kernel(facts).routes[2].protocol = 3),
        ("routes", "via 172.31.0.9", |facts| kernel(facts).routes[2].gateway = "172.31.0.9".parse().ok()),
        ("routes", "the kernel refuses it: Nexthop has invalid gateway (ENETUNREACH)", refuse),
        ("foreign-routes", "ip -6 route del fd00:10:244:2::/64 proto 12", |facts| {
            let route = Route::to("fd00:10:244:2::/64".parse().unwrap(), 12);
            kernel(facts).routes.push(Route { metric: 32, ..route });
        }),
        ("foreign-routes", "cni0", |facts| kernel(facts).routes.push(Route::to("10.244.1.0/24".parse().unwrap(), 2))),
        ("forwarding", "net.ipv6.conf.all.forwarding", |facts| {
            facts.settings.forwarding[Family::V6.index()] = Ok(forwarding::Observed { all: Some(false), ..forwards() });
        }),
        ("forwarding", "net.ipv4.ip_forward", forwards_no_v4),
        ("forwarding", "net.ipv4.conf.eth0.forwarding=1", |facts| {
            facts.settings.forwarding[Family::V4.index()] =
                Ok(forwarding::Observed { off: vec![(ETH0, "eth0".into())], ..forwards() });
        }),
        ("router-advertisement", "net.ipv6.conf.eth0.accept_ra=2", |facts| {
            facts.settings.losses = Ok(vec![Loss { link: "eth0".into(), learned: Learned::DefaultRoute }]);
        }),
        ("router-advertisement", "the address fd31::7/64 of eth0.100", |facts| {
            let learned = Learned::Address("fd31::7/64".parse().unwrap());
            facts.settings.losses = Ok(vec![Loss { link: "eth0.100".into(), learned }]);
        }),
        ("ipv6", "ipv6.disable=1", |facts| facts.settings.kernel_has_v6 = false),
        ("ipv6", "disable_ipv6=0", |facts| facts.settings.disable_v6 = Ok(Some("1".into()))),
        ("rp-filter", "net.ipv4.conf.podlweb.rp_filter=1", |facts| {
            facts.settings.rp_filter = Ok(vec![("podlweb".into(), "0".into())]);
        }),
        ("source-rule", "`source`", |facts| facts.packet_filter.as_mut().unwrap()[0].1 = false),
        ("source-rule", "169.254.1.1", |facts| facts.packet_filter.as_mut().unwrap()[1].1 = false),
        ("forward-policy", "ip filter FORWARD drops traffic between pods by its policy", |facts| {
            let (chain, by, cure) = ("ip filter FORWARD".into(), By::Policy, "--accept-forward".into());
            facts.forward = Ok(Some(vec![forward::ForwardDrop { chain, by, certain: true, cure }]));
        }),
        ("mtu", "podlweb has 1450 (default/web)", |facts| kernel(facts).links[1].mtu = 1450),
        ("mtu", "--mtu 1400", |facts| kernel(facts).links[0].mtu = 1400),
        ("neighbours", "gc_thresh3=8", |facts| facts.settings.neighbours[1] = Ok(Some("1".into()))),
        ("source-address", "172.31.0.9", |facts| kernel(facts).sources[0].1 = "172.31.0.9".parse().ok()),
        ("pools", "10.99.0.9 lies outside", |facts| {
            leases(facts).all.push(("podnet".into(), lease("10.99.0.9/24", 7, 1000), Presence::Present));
        }),
        ("plugins", "is not executable", |facts| {
            facts.plugins.as_mut().unwrap()[0].file = PluginFile::NotExecutable;
        }),
        ("leases", "10.244.1.2 of default/web (podnet)", |facts| leases(facts).all[0].2 = Presence::Gone),
        ("store", "future of this boot's clock: 10.244.1.2", |facts| {
            leases(facts).all[0].1 = lease("10.244.1.2/24", 7, NOW.millis + 120_000);
        }),
    ];
    for (check, word, damage) in table {
        let mut facts = healthy();
        damage(&mut facts);
        let (names, text) = wrong(&facts);
        assert_eq!(names, [check], "{word}: {text}");
        assert!(text.contains(word), "{word} is missing in: {text}");
    }
}

#[test]
fn what_could_not_be_looked_at_is_unknown_and_never_fine() {
    let mut blind = healthy();
    let why = || "no permission".to_owned();
    blind.agent = Err(why());
    blind.kernel = Err(why());
    blind.configurations = Err(why());
    blind.plugins = Err(why());
    blind.forward = Err(why());
    blind.packet_filter = Err(why());
    blind.leases = Err(why());
    let settings = &mut blind.settings;
    (settings.rp_filter, settings.rp_filter_all) = (Err(why()), Err(why()));
    for (check, outcome) in judge(&blind) {
        let families_unknown = matches!(check, "forwarding" | "router-advertisement" | "ipv6");
        assert!(outcome.is_err() || families_unknown, "{check}: {outcome:?}");
        assert!(!matches!(outcome, Ok(Finding::Fine(_))), "{check}: {outcome:?}");
    }
    let mut facts = healthy();
    facts.settings.forwarding[Family::V4.index()] = Err(why());
    assert!(judge(&facts).iter().any(|(check, outcome)| *check == "forwarding" && outcome.is_err()));
}

#[test]
fn a_lease_of_which_nothing_is_known_is_not_called_dead() {
    let mut facts = healthy();
    leases(&mut facts).all[0].2 = Presence::Unknown;
    assert_eq!(wrong(&facts).0, [""; 0]);
    leases(&mut facts).unreadable = vec!["lease store /run/podlan/podnet/store is damaged at line 7: checksum".into()];
    assert_eq!(wrong(&facts).0, ["store"]);
}

#[test]
fn a_node_without_an_agent_is_judged_by_what_needs_none() {
    let mut facts = healthy();
    facts.agent = Ok(None);
    assert_eq!(wrong(&facts).0, ["agent"], "its conflist needs one");
    let alone =
        r#"{"name":"podnet","plugins":[{"type":"podlan","ipam":{"type":"podlan-ipam","subnet":"10.244.1.0/24"}}]}"#;
    facts.configurations = Ok(vec![Configuration::new("10-podlan.conflist".into(), alone.into())]);
    assert_eq!(wrong(&facts).0, [""; 0]);
    forwards_no_v4(&mut facts);
    kernel(&mut facts).links[1].mtu = 1400;
    assert_eq!(wrong(&facts).0, ["forwarding", "mtu"]);
}

#[test]
fn a_route_beside_the_pod_subnets_is_nobodys_business() {
    let mut facts = healthy();
    for (cidr, protocol) in [("0.0.0.0/0", 16), ("10.0.0.0/8", 4), ("10.244.0.0/16", 12), ("10.245.2.0/24", 12)] {
        kernel(&mut facts).routes.push(Route::to(cidr.parse().unwrap(), protocol));
    }
    kernel(&mut facts).routes.push(Route::to("10.244.1.2/32".parse().unwrap(), netlink::POD_ROUTE));
    assert_eq!(wrong(&facts).0, [""; 0]);
}
