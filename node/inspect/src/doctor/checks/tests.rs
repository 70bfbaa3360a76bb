//! Each check on facts that no test can produce with a kernel, or not separately: what is wrong is named, and nothing
//! else.

use cni::{Attachment, ContainerId, Ifname};
use ipam::{BootId, Lease, Presence, Proof, Stamp};
use netlink::{
    Family, FibEntry, InheritedMtu, Learned, Link, Looked, Loss, MtuOf, Onward, PolicyRule, Route, RuleAct, Unanswered,
};
use std::sync::Arc;

use super::super::finding::Finding;
use super::*;
use ::routes::here::Here;
use ::routes::{OWN_METRIC, PEER_METRIC, Target};
use facts::attached::{Attached, Inside};
use facts::decisions::{Asked, Decisions, Wanted};
use facts::machine::{Holder, Loopback, Space};
use facts::{AgentSaid, Configuration, Kernel, Leases, Plugin, PluginFile, Settings};
use filter::forward::{self, By};
use filter::translation::{Side, Translation};
use pods::forwarding;
use state::{HeldState, State, VerdictLine};

const NOW: Stamp = Stamp { boot: BootId(7), millis: 3_600_000 };
const ETH0: u32 = 2;
const POD_LINK: u32 = 9;

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
        proof: Proof {
            pod: Some("default/web".into()),
            host_link: Some("podlweb".into()),
            netns: "/run/netns/web".into(),
            ..Proof::default()
        },
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
        bridge: false,
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
    let open = |family: &str| (family.to_owned(), [("open".to_owned(), 1)].into());
    let counts = [open("ipv4"), open("ipv6")].into();
    state.paths = Some(state::paths::Paths { probed: true, counts, ..state::paths::Paths::default() });
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
    let to_pod =
        |address: &str| Route { device: Some(POD_LINK), ..Route::to(address.parse().unwrap(), netlink::POD_ROUTE) };
    let web = lease("10.244.1.2/24", 7, 1000);
    let pod = Attached {
        network: "podnet".into(),
        lease: web.clone(),
        presence: Presence::Present,
        link: Some(link(POD_LINK, "podlweb", 1500)),
        inside: Some(Ok(Inside { there: true, up: true, addresses: vec![web.address.ip()], routed: true })),
    };
    let conflist = r#"{"name":"podnet","plugins":[{"type":"podlan","agent":"/run/podlan/node.json","ipam":{"type":
        "podlan-ipam","ranges":[[{"subnet":"10.244.1.0/24"}],[{"subnet":"fd00:10:244:1::/64"}]]}}]}"#;
    Facts {
        agent: Ok(Some(AgentSaid { state, stale: false, starting: false, gone: false, verdicts: Arc::new(verdicts) })),
        kernel: Ok(Kernel {
            links: vec![link(ETH0, "eth0", 1500), link(9, "podlweb", 1500)],
            here: Here::default(),
            unanswered: Vec::new(),
            routes: vec![
                own("10.244.1.0/24"),
                own("fd00:10:244:1::/64"),
                peer("10.244.2.0/24", "172.31.0.2"),
                peer("fd00:10:244:2::/64", "fd31::2"),
                to_pod("10.244.1.2/32"),
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
        parts: Vec::new(),
        packet_filter: Ok(vec![("source", true), ("ARP guard", true)]),
        forward: Ok(Some(Vec::new())),
        translated: Ok(Some(Vec::new())),
        decisions: Ok(Some(decisions())),
        pods: Ok(vec![pod]),
        space: Ok(vec![Space {
            directory: "/run/podlan".into(),
            free: 1 << 30,
            size: 1 << 31,
            free_files: Some(100_000),
        }]),
        holders: Vec::new(),
        loopback: None,
        has_conf_dir: true,
        configurations: Ok(vec![Configuration::new("10-podlan.conflist".into(), conflist.into())]),
        plugins: Ok(vec![Plugin {
            name: "podlan".into(),
            path: "/opt/cni/bin/podlan".into(),
            file: PluginFile::Present { same: Some(true) },
        }]),
        leases: Ok(Leases { now: NOW, all: vec![("podnet".into(), web, Presence::Present)], unreadable: Vec::new() }),
    }
}

/// The rules that each node has, and a packet to node2's pods and to this node's, which take podlan's routes.
fn decisions() -> Decisions {
    let table = |priority, table| PolicyRule::by_addresses(Family::V4, priority, RuleAct::Table(table), None, None);
    let peer = Wanted { gateway: "172.31.0.2".parse().ok(), device: ETH0 };
    let asked = vec![
        asked("10.244.2.2", "node2", peer, None),
        asked("10.244.2.2", "node2", peer, Some(POD_LINK)),
        asked("10.244.1.2", "default/web", Wanted { gateway: None, device: POD_LINK }, None),
    ];
    Decisions { rules: vec![table(0, 255), table(32766, 254), table(32767, 253)], tables: Vec::new(), asked }
}

fn asked(to: &str, name: &str, wanted: Wanted, incoming: Option<u32>) -> Asked {
    let source = if incoming.is_some() { "10.244.1.2" } else { "172.31.0.1" };
    Asked {
        packet: Looked { destination: to.parse().unwrap(), source: source.parse().ok(), incoming },
        incoming: incoming.map(|_| "podlweb".to_owned()),
        to: name.to_owned(),
        wanted,
        answer: Ok(entry(254, netlink::NODE_ROUTE, wanted.gateway, wanted.device)),
    }
}

fn entry(table: u32, protocol: u8, gateway: Option<std::net::IpAddr>, device: u32) -> FibEntry {
    FibEntry {
        family: Family::V4,
        prefix: 24,
        kind: netlink::RouteKind::Unicast,
        table,
        protocol,
        scope: netlink::Scope::Global,
        by_object: false,
        onward: Onward::Hop { gateway, device, onlink: false },
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

fn verdicts(facts: &mut Facts) -> &mut Vec<VerdictLine> {
    Arc::make_mut(&mut said(facts).verdicts)
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

fn pod(facts: &mut Facts) -> &mut Attached {
    &mut facts.pods.as_mut().unwrap()[0]
}

fn inside(facts: &mut Facts) -> &mut Inside {
    pod(facts).inside.as_mut().unwrap().as_mut().unwrap()
}

/// cloud-init gave a second interface a table of its own, by source address.
fn lead_astray(facts: &mut Facts) {
    let decisions = facts.decisions.as_mut().unwrap().as_mut().unwrap();
    let (act, from) = (RuleAct::Table(100), "172.31.0.1/32".parse().ok());
    decisions.rules.insert(1, PolicyRule::by_addresses(Family::V4, 50, act, from, None));
    let (gateway, device) = ("172.31.0.254".parse().ok(), Some(ETH0));
    let default = Route::to("0.0.0.0/0".parse().unwrap(), 4);
    decisions.tables.push(Route { table: 100, gateway, device, ..default });
    decisions.asked[2].answer = Ok(entry(100, 4, gateway, ETH0));
}

/// So many leases in the IPv4 pool.
fn fill(facts: &mut Facts, count: u8) {
    let others = (3..=254).take(usize::from(count) - 1);
    let all = others.map(|last| {
        let lease = lease(&format!("10.244.1.{last}/24"), 7, 1000);
        ("podnet".to_owned(), lease, Presence::Present)
    });
    leases(facts).all.extend(all);
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
    let line = &mut verdicts(facts)[2];
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
    let table: [(&str, &str, Damage); 56] = [
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
            verdicts(facts).push(VerdictLine { node, cidr, reason, text, ..VerdictLine::default() });
        }),
        ("routes", "missing", |facts| kernel(facts).routes.retain(|route| route.metric != PEER_METRIC)),
        ("routes", "may come back", |facts| kernel(facts).routes.retain(|route| route.metric != OWN_METRIC)),
        ("routes", "ip route del 10.244.2.0/24 via 172.31.0.2 dev eth0 metric 110 proto 3", |facts| {
            kernel(facts).routes[2].protocol = 3;
        }),
        ("routes", "via 172.31.0.9", |facts| kernel(facts).routes[2].gateway = "172.31.0.9".parse().ok()),
        ("routes", "the kernel refuses it: Nexthop has invalid gateway (ENETUNREACH)", refuse),
        ("foreign-routes", "made by BIRD", |facts| {
            let route = Route::to("fd00:10:244:2::/64".parse().unwrap(), 12);
            kernel(facts).routes.push(Route { metric: 32, gateway: "fd31::fe".parse().ok(), ..route });
        }),
        ("foreign-routes", "ip route del blackhole 10.244.2.2/32 proto 4", |facts| {
            let route = Route::to("10.244.2.2/32".parse().unwrap(), 4);
            kernel(facts).routes.push(Route { kind: netlink::RouteKind::Other(6), ..route });
        }),
        ("foreign-routes", "ip route del 10.244.2.0/24 via 172.31.0.9 dev eth0 proto 3", |facts| {
            let route = Route::to("10.244.2.0/24".parse().unwrap(), 3);
            kernel(facts).routes.push(Route { gateway: "172.31.0.9".parse().ok(), device: Some(ETH0), ..route });
        }),
        (
            "policy-rules",
            "`50: from 172.31.0.1 lookup 100` sends packets of this node to default/web by `0.0.0.0/0 via \
          172.31.0.254 dev eth0 table 100",
            |facts| {
                lead_astray(facts);
            },
        ),
        ("policy-rules", "ip rule add to 10.244.1.0/24 lookup main priority 49", lead_astray),
        (
            "policy-rules",
            "`7: from all to 10.244.2.0/24 prohibit` sends packets of this node to node2 nowhere",
            |facts| {
                let (family, to) = (Family::V4, "10.244.2.0/24".parse().ok());
                let rule = PolicyRule::by_addresses(family, 7, RuleAct::Nowhere("prohibit"), None, to);
                let decisions = facts.decisions.as_mut().unwrap().as_mut().unwrap();
                decisions.rules.insert(1, rule);
                decisions.asked[0].answer = Err(nix::errno::Errno::EACCES);
            },
        ),
        (
            "next-hops",
            "172.31.0.2, the next hop to node2, does not answer on eth0: its neighbour entry is FAILED",
            |facts| {
                let address = "172.31.0.2".parse().unwrap();
                kernel(facts).unanswered.push(Unanswered { address, device: ETH0, failed: true });
            },
        ),
        ("next-hops", "eth0 has no carrier, and node2 is reached by it", |facts| {
            kernel(facts).links[0].carrier = false
        }),
        ("next-hops", "ip link set eth0 up", |facts| {
            kernel(facts).links[0].up = false;
            let down = "skipped: 172.31.0.2 is on eth0, which is down";
            for line in &mut verdicts(facts)[2..] {
                (line.wanted, line.reason, line.text) = (None, "link-down".into(), down.into());
            }
            kernel(facts).routes.retain(|route| route.metric != PEER_METRIC);
        }),
        ("pods", "ip route replace 10.244.1.2 dev podlweb proto 112 scope global", |facts| {
            kernel(facts).routes.retain(|route| route.protocol != netlink::POD_ROUTE);
        }),
        ("pods", "podlweb of default/web (10.244.1.2) is gone", |facts| {
            (pod(facts).link, pod(facts).inside) = (None, None);
            kernel(facts).routes.retain(|route| route.protocol != netlink::POD_ROUTE);
        }),
        ("pods", "ip link set podlweb up && ip route replace 10.244.1.2", |facts| {
            pod(facts).link.as_mut().unwrap().up = false;
            kernel(facts).routes.retain(|route| route.protocol != netlink::POD_ROUTE);
        }),
        ("pods", "has lost its address 10.244.1.2", |facts| inside(facts).addresses.clear()),
        ("pods", "nsenter --net=/run/netns/web ip route replace default via 169.254.1.1", |facts| {
            inside(facts).routed = false;
        }),
        ("pods", "eth0 of default/web (in /run/netns/web) is down", |facts| inside(facts).up = false),
        ("translation", "another source address in ip nat POSTROUTING by its rule with handle 7", |facts| {
            let rule = Some(forward::RulePlace { chain: "POSTROUTING".into(), handle: 7 });
            let (chain, side) = ("ip nat POSTROUTING".into(), Side::Source);
            facts.translated = Ok(Some(vec![Translation { chain, rule, side, certain: true }]));
        }),
        ("pool-room", "the IPv4 pool of podnet (10.244.1.0/24, 10-podlan.conflist) is exhausted: all 253", |facts| {
            fill(facts, 253);
        }),
        ("pool-room", "nearly exhausted: 20 of 253", |facts| fill(facts, 233)),
        ("space", "is full: 0 KiB", |facts| facts.space.as_mut().unwrap()[0].free = 0),
        ("space", "another file", |facts| facts.space.as_mut().unwrap()[0].free_files = Some(0)),
        ("space", "nearly full", |facts| facts.space.as_mut().unwrap()[0].free = 1 << 20),
        ("store", "the process 77 (`/opt/cni/bin/podlan`), which is stopped, has held the lock", |facts| {
            let (lock, command) = ("/run/podlan/podnet/lock".into(), "/opt/cni/bin/podlan".into());
            facts.holders.push(Holder { lock, pid: 77, command, stopped: true });
        }),
        ("plugins", "loopback is missing, and containerd listens", |facts| {
            let (socket, path) = ("/run/containerd/containerd.sock".into(), "/opt/cni/bin/loopback".into());
            facts.loopback = Some(Loopback { socket, path, there: false });
        }),
        ("agent", "has ended: nothing holds node.lock", |facts| said(facts).gone = true),
        ("nodes", "node2 and node3 have the same InternalIP 172.31.0.2", |facts| {
            verdicts(facts)[2].verdict = "direct".into();
            let twin = VerdictLine { node: "node3".into(), cidr: "10.244.3.0/24".into(), ..verdicts(facts)[2].clone() };
            verdicts(facts).push(twin);
            let route = Route { destination: "10.244.3.0/24".parse().unwrap(), ..kernel(facts).routes[2].clone() };
            kernel(facts).routes.push(route);
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
        ("source-rule", "`host ports`", |facts| facts.packet_filter.as_mut().unwrap().push(("host ports", false))),
        ("source-rule", "169.254.1.1", |facts| facts.packet_filter.as_mut().unwrap()[1].1 = false),
        ("forward-policy", "ip filter FORWARD drops traffic between pods by its policy", |facts| {
            let (chain, by, cure) = ("ip filter FORWARD".into(), By::Policy, "--accept-forward".into());
            let (hook, rule) = ("forward", None);
            facts.forward = Ok(Some(vec![forward::ForwardDrop { chain, hook, rule, by, certain: true, cure }]));
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
        assert_commands_are_printed(&facts);
    }
}

/// An operator copies the command from the text. A second agent would not start beside the first.
fn assert_commands_are_printed(facts: &Facts) {
    for (_, outcome) in judge(facts) {
        let Ok(Finding::Wrong(problems)) = outcome else { continue };
        for conditions::Condition { cure, command, .. } in problems {
            assert!(command.as_ref().is_none_or(|command| cure.contains(command)), "{command:?} is not in: {cure}");
            assert!(!cure.contains("podlan-node run"), "{cure}");
        }
    }
}

#[test]
fn a_command_that_names_many_links_or_subnets_is_printed_whole() {
    let mut facts = healthy();
    facts.settings.rp_filter = Ok((0..9).map(|number| (format!("podl{number}"), "0".to_owned())).collect());
    lead_astray(&mut facts);
    for asked in &mut facts.decisions.as_mut().unwrap().as_mut().unwrap().asked {
        if asked.packet.destination.is_ipv4() {
            asked.answer = Ok(entry(100, 4, "172.31.0.254".parse().ok(), ETH0));
        }
    }
    let (names, text) = wrong(&facts);
    assert_eq!(names, ["policy-rules", "rp-filter"], "{text}");
    assert!(text.contains("podl8.rp_filter=1") && text.contains(" && ip rule add to "), "{text}");
    assert_commands_are_printed(&facts);
}

#[test]
fn a_node_is_named_once_wherever_its_verdicts_stand() {
    let mut facts = healthy();
    let node3 = line("node3", "10.244.3.0/24", verdicts(&mut facts)[2].wanted.unwrap());
    verdicts(&mut facts).insert(3, node3);
    kernel(&mut facts).links[0].carrier = false;
    let problems = super::next_hops::judge(&facts).unwrap();
    let Finding::Wrong(problems) = problems else { panic!("{problems:?}") };
    assert_eq!(problems[0].wrong, "eth0 has no carrier, and node2, node3 is reached by it");
    kernel(&mut facts).links[0].carrier = true;
    let Finding::Fine(fine) = super::nodes::judge(&facts).unwrap() else { panic!() };
    assert!(fine.starts_with("3 nodes"), "{fine}");
}

#[test]
fn why_the_agent_leaves_forwarding_off_is_part_of_the_condition() {
    let mut facts = healthy();
    forwards_no_v4(&mut facts);
    let why = "IPv4 forwarding is off (net.ipv4.ip_forward = 0), and pods are cut off: failed to write";
    said(&mut facts).state.warnings = vec![format!("{why}: sysctl -w net.ipv4.ip_forward=1")];
    let Finding::Wrong(problems) = super::forwarding::judge(&facts).unwrap() else { panic!() };
    assert_eq!(problems[0].wrong, why);
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
    blind.translated = Err(why());
    blind.decisions = Err(why());
    blind.pods = Err(why());
    blind.space = Err(why());
    blind.leases = Err(why());
    blind.parts = vec![(facts::parts::Part::Veth, Err(why()))];
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
fn what_cannot_be_looked_at_from_a_container_is_unknown_and_no_alarm() {
    let mut facts = healthy();
    pod(&mut facts).inside = Some(Err("failed to look into /run/netns/web: Operation not permitted".into()));
    let outcome = judge(&facts).into_iter().find(|(check, _)| *check == "pods").unwrap().1;
    let Ok(Finding::Partly { unknown, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(unknown.contains("the insides of 1 pods") && unknown.contains("as root of the node"), "{unknown}");
    pod(&mut facts).link.as_mut().unwrap().up = false;
    assert_eq!(wrong(&facts).0, ["pods"], "what is seen from outside counts");
}

#[test]
fn rules_that_cannot_be_read_are_unknown_and_an_alarm_only_where_no_probe_passes() {
    let mut facts = healthy();
    let (chain, cure) =
        ("FORWARD of iptables-legacy".to_owned(), "check it with iptables-legacy -S FORWARD".to_owned());
    facts.forward = Ok(Some(vec![forward::ForwardDrop {
        chain,
        hook: "forward",
        rule: None,
        by: By::Legacy,
        certain: false,
        cure,
    }]));
    let outcome = |facts: &Facts| judge(facts).into_iter().find(|(check, _)| *check == "forward-policy").unwrap().1;
    let Ok(Finding::Partly { unknown, .. }) = outcome(&facts) else { panic!("{:?}", outcome(&facts)) };
    assert!(unknown.contains("iptables-legacy -S FORWARD"), "{unknown}");
    let paths = said(&mut facts).state.paths.as_mut().unwrap();
    paths.counts.insert("ipv6".into(), [("port-closed-by-peer-firewall".to_owned(), 1)].into());
    assert!(outcome(&facts).is_err(), "{:?}", outcome(&facts));
}

#[test]
fn a_family_that_is_not_probed_is_named_with_its_reason_although_the_other_one_is_open() {
    let mut facts = healthy();
    let paths = said(&mut facts).state.paths.as_mut().unwrap();
    paths.counts.insert("ipv4".into(), [("not-probed".to_owned(), 1)].into());
    paths.not_probed.insert("ipv4".into(), "the chain ip filter FORWARD drops probes".into());
    let outcome = judge(&facts).into_iter().find(|(check, _)| *check == "paths").unwrap().1;
    let Ok(Finding::Fine(text)) = outcome else { panic!("{outcome:?}") };
    assert!(text.ends_with("not probed: IPv4: the chain ip filter FORWARD drops probes"), "{text}");
}

#[test]
fn an_agent_that_starts_is_no_alarm_and_one_that_stays_unready_is() {
    let mut facts = healthy();
    let state = &mut said(&mut facts).state;
    (state.ready, state.reasons) = (false, vec!["the first complete list of nodes has not been read yet".into()]);
    said(&mut facts).starting = true;
    assert_eq!(wrong(&facts).0, [""; 0]);
    said(&mut facts).starting = false;
    assert_eq!(wrong(&facts).0, ["agent"]);
}

#[test]
fn a_node_whose_pods_others_make_needs_no_configuration_of_podlans() {
    let mut facts = healthy();
    facts.configurations = Ok(vec![Configuration::new("10-other.conflist".into(), "{}".into())]);
    assert_eq!(wrong(&facts).0, ["conflist"], "it has pods of podlan");
    facts.has_conf_dir = false;
    assert_eq!(wrong(&facts).0, [""; 0], "the runtime has another directory");
    facts.has_conf_dir = true;
    leases(&mut facts).all.clear();
    assert_eq!(wrong(&facts).0, [""; 0]);
    said(&mut facts).state.configured_paths.cni_conf_dir = Some("/etc/cni/net.d".into());
    assert_eq!(wrong(&facts).0, ["conflist"], "the agent was to write one");
}

#[test]
fn two_stores_and_two_pools_that_are_wrong_are_two_conditions_each() {
    let mut facts = healthy();
    leases(&mut facts).unreadable = ["podnet", "other"]
        .map(|name| format!("failed to read the leases: lease store /run/podlan/{name}/store is damaged at line 7"))
        .into();
    let pools = r#"{"name":"podnet","plugins":[{"type":"podlan","ipam":{"type":"podlan-ipam","ranges":[[{"subnet":"10.9.0.0/24"}],[{"subnet":"10.8.0.0/24"}]]}}]}"#;
    facts.configurations = Ok(vec![Configuration::new("20-two.conflist".into(), pools.into())]);
    let outcomes = judge(&facts).into_iter().filter(|(check, _)| ["store", "pools"].contains(check));
    let subjects: Vec<String> = outcomes
        .filter_map(|(_, outcome)| match outcome {
            Ok(Finding::Wrong(conditions)) => Some(conditions),
            _ => None,
        })
        .flatten()
        .map(|condition| condition.subject)
        .collect();
    let pool = |subnet: &str| format!("pool {subnet} of 20-two.conflist");
    let stores = ["podnet", "other"].map(|name| format!("/run/podlan/{name}/store"));
    assert_eq!(subjects, [pool("10.9.0.0/24"), pool("10.8.0.0/24"), stores[0].clone(), stores[1].clone()]);
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

/// The rows of the table "no false alarm": each is a node on which all is well.
#[test]
fn other_programs_that_let_pods_pass_are_no_alarm() {
    type Program = fn(&mut Facts);
    let table: [(&str, Program); 9] = [
        ("BIRD, within the segment, by a higher metric", |facts| {
            let (gateway, device) = ("172.31.0.254".parse().ok(), Some(ETH0));
            let route = Route::to("10.244.2.0/24".parse().unwrap(), 12);
            kernel(facts).routes.push(Route { metric: 200, gateway, device, ..route });
        }),
        ("BIRD or FRR, to another segment, to which podlan wants no route", |facts| {
            let (node, cidr) = ("node3".into(), "10.244.3.0/24".into());
            let (verdict, reason) = ("skipped".into(), "other-segment".into());
            verdicts(facts).push(VerdictLine { node, cidr, verdict, reason, ..VerdictLine::default() });
            let (gateway, device) = ("172.31.0.254".parse().ok(), Some(ETH0));
            let route = Route::to("10.244.3.0/24".parse().unwrap(), 186);
            kernel(facts).routes.push(Route { metric: 20, gateway, device, ..route });
        }),
        ("FRR, by podlan's own next hop", |facts| {
            let (gateway, device) = ("172.31.0.2".parse().ok(), Some(ETH0));
            let route = Route::to("10.244.2.0/24".parse().unwrap(), 186);
            kernel(facts).routes.push(Route { metric: 20, gateway, device, ..route });
        }),
        ("an adopted pod's own route", |facts| {
            adopt(facts, "10.244.1.7/24", Some("veth0a1b"));
            let route = Route::to("10.244.1.7/32".parse().unwrap(), 3);
            kernel(facts).routes.push(Route { device: Some(12), ..route });
        }),
        ("the bridge of adopted pods", |facts| {
            adopt(facts, "10.244.1.7/24", Some("veth0a1b"));
            let route = Route::to("10.244.1.0/24".parse().unwrap(), 2);
            kernel(facts).routes.push(Route { device: Some(12), ..route });
        }),
        ("tailscale, whose table has no pods", |facts| {
            let decisions = facts.decisions.as_mut().unwrap().as_mut().unwrap();
            let rule = |priority, act| PolicyRule::by_addresses(Family::V4, priority, act, None, None);
            let marked = |priority, act| {
                let mut rule = rule(priority, act);
                rule.by_more = true;
                rule
            };
            let rules = [
                marked(5210, RuleAct::Table(254)),
                marked(5230, RuleAct::Table(253)),
                marked(5250, RuleAct::Nowhere("unreachable")),
                rule(5270, RuleAct::Table(52)),
            ];
            decisions.rules.splice(1..1, rules);
            decisions.tables.push(Route { table: 52, ..Route::to("100.64.0.9/32".parse().unwrap(), 3) });
        }),
        ("a rule whose table goes podlan's way", |facts| {
            lead_astray(facts);
            let decisions = facts.decisions.as_mut().unwrap().as_mut().unwrap();
            decisions.asked[2].answer = Ok(entry(100, 4, None, POD_LINK));
        }),
        ("a chain of kube-proxy's that translates services only", |facts| {
            let (chain, side) = ("ip nat PREROUTING".into(), Side::Destination);
            facts.translated = Ok(Some(vec![Translation { chain, rule: None, side, certain: false }]));
        }),
        ("a node without a host that answers, to which nothing is routed", |facts| {
            let address = "172.31.0.77".parse().unwrap();
            kernel(facts).unanswered.push(Unanswered { address, device: ETH0, failed: true });
        }),
    ];
    for (program, install) in table {
        let mut facts = healthy();
        install(&mut facts);
        let (names, text) = wrong(&facts);
        assert_eq!(names, [""; 0], "{program}: {text}");
        let unknown: Vec<_> = judge(&facts).into_iter().filter(|(_, outcome)| outcome.is_err()).collect();
        assert!(unknown.is_empty(), "{program}: {unknown:?}");
    }
}

/// A pod that another plugin made.
fn adopt(facts: &mut Facts, address: &str, host_link: Option<&str>) {
    let mut lease = lease(address, 7, 1000);
    lease.proof.host_link = host_link.map(str::to_owned);
    lease.owner.container_id = ContainerId::parse("adopted").unwrap();
    leases(facts).all.push(("podnet".into(), lease.clone(), Presence::Present));
    let (network, presence) = ("podnet".into(), Presence::Present);
    facts.pods.as_mut().unwrap().push(Attached { network, lease, presence, link: None, inside: None });
}

#[test]
fn multus_in_front_is_fine_where_it_hands_pods_to_podlan() {
    let multus = |more: &str| {
        let text = format!(r#"{{"cniVersion":"0.3.1","name":"multus-cni-network",{more}}}"#);
        Configuration::new("00-multus.conf".into(), text)
    };
    let judged = |more: &str| {
        let mut facts = healthy();
        facts.configurations.as_mut().unwrap().insert(0, multus(more));
        wrong(&facts)
    };
    let own = healthy().configurations.unwrap()[0].text.clone();
    let fine = [
        r#""type":"multus-shim","clusterNetwork":"/host/etc/cni/net.d/10-podlan.conflist""#.to_owned(),
        r#""type":"multus-shim""#.to_owned(),
        r#""type":"multus","clusterNetwork":"podnet""#.to_owned(),
        format!(r#""type":"multus","kubeconfig":"/etc/cni/net.d/multus.d/multus.kubeconfig","delegates":[{own}]"#),
    ];
    for multus in fine {
        assert_eq!(judged(&multus).0, [""; 0], "{multus}: {}", judged(&multus).1);
    }
    for multus in [
        r#""type":"multus-shim","clusterNetwork":"/host/etc/cni/net.d/20-flannel.conflist""#,
        r#""type":"multus","delegates":[{"name":"cbr0","plugins":[{"type":"flannel"}]}]"#,
    ] {
        let (names, text) = judged(multus);
        assert_eq!(names, ["conflist"]);
        assert!(text.contains("default network is not that of 10-podlan.conflist"), "{text}");
        assert!(!text.contains("move 00-multus.conf away"), "{text}");
    }
}

#[test]
fn a_pool_is_full_by_its_own_family_alone_whoever_wrote_its_configuration() {
    let mut facts = healthy();
    let two = r#"{"name":"mine","plugins":[{"type":"podlan","ipam":{"type":"podlan-ipam","ranges":[[{"subnet":
        "10.244.1.0/29"}],[{"subnet":"fd00:10:244:1::/64"}]]}}]}"#;
    facts.configurations = Ok(vec![Configuration::new("20-mine.conflist".into(), two.into())]);
    leases(&mut facts).all.clear();
    for last in 2..=6 {
        leases(&mut facts).all.push(("mine".into(), lease(&format!("10.244.1.{last}/29"), 7, 1000), Presence::Present));
    }
    let (names, text) = wrong(&facts);
    assert_eq!(names, ["pool-room"]);
    assert!(text.contains("the IPv4 pool of mine (10.244.1.0/29, 20-mine.conflist) is exhausted: all 5"), "{text}");
    assert!(!text.contains("IPv6"), "{text}");
}

#[test]
fn what_a_fix_did_not_fix_is_not_recommended_again() {
    let mut facts = healthy();
    forwards_no_v4(&mut facts);
    kernel(&mut facts).routes.remove(2);
    let left = crate::doctor::fix::left(judge(&facts));
    let problems = left.iter().filter_map(|(_, outcome)| match outcome {
        Ok(Finding::Wrong(problems)) => Some(problems),
        _ => None,
    });
    let problems: Vec<_> = problems.flatten().collect();
    assert_eq!(problems.len(), 2);
    for problem in problems {
        assert!(!problem.cure.contains("doctor --fix"), "{}", problem.cure);
        assert!(problem.cure.contains("as root of the node"), "{}", problem.cure);
        assert!(problem.command.as_ref().is_some_and(|command| problem.cure.contains(command)), "{problem:?}");
    }
}

#[test]
fn a_route_beside_the_pod_subnets_is_nobodys_business() {
    let mut facts = healthy();
    for (cidr, protocol) in [("0.0.0.0/0", 16), ("10.0.0.0/8", 4), ("10.244.0.0/16", 12), ("10.245.2.0/24", 12)] {
        kernel(&mut facts).routes.push(Route::to(cidr.parse().unwrap(), protocol));
    }
    assert_eq!(wrong(&facts).0, [""; 0]);
}
