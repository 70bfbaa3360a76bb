use std::convert::Infallible;

use super::*;

const IN: Field = Field::IncomingLinkName;
const OUT: Field = Field::OutgoingLinkName;

fn packet() -> Packet {
    Packet {
        source: "10.244.1.2".parse().unwrap(),
        destination: "10.244.2.2".parse().unwrap(),
        incoming: "podl0".into(),
        outgoing: "eth0".into(),
        indexes: [Some(9), Some(2)],
        transport: Transport::default(),
    }
}

fn compare(what: Field, value: &[u8]) -> Vec<Step> {
    let compare = Step::Compare { register: 1, op: Cmp::Equal, value: value.to_vec() };
    vec![Step::Load { register: 1, what }, compare]
}

fn rule(steps: Vec<Step>, end: Step) -> ForeignRule {
    ForeignRule { steps: steps.into_iter().chain([Step::Neutral, end]).collect(), ..ForeignRule::default() }
}

fn to(chain: &str) -> Step {
    Step::End(End::Jump(chain.into()))
}

fn judged(chains: &[(&str, Vec<ForeignRule>)]) -> (Fate, bool) {
    judged_of(&packet(), chains)
}

fn judged_of(packet: &Packet, chains: &[(&str, Vec<ForeignRule>)]) -> (Fate, bool) {
    let mut ask = |name: &str| -> Result<_, Infallible> {
        let found = chains.iter().find(|(chain, _)| *chain == name);
        Ok(found.map(|(_, rules)| rules.clone()).unwrap_or_default().into())
    };
    let Ok(judgement) = judge(packet, "FORWARD", &mut ask);
    (judgement.fate, judgement.certain)
}

const ACCEPT: Step = Step::End(End::Accept);

/// `-m conntrack --ctstate RELATED,ESTABLISHED`, as the kernel has it.
fn established() -> Step {
    let mut parameters = vec![0; 160];
    parameters[146..148].copy_from_slice(&1u16.to_ne_bytes());
    parameters[150..152].copy_from_slice(&6u16.to_ne_bytes());
    Step::Extension { name: "conntrack".into(), parameters }
}

#[test]
fn docker_accepts_its_own_links_alone_and_leaves_pods_to_the_policy() {
    let chains = [
        ("FORWARD", vec![rule(vec![], to("DOCKER-USER")), rule(vec![], to("DOCKER-FORWARD"))]),
        ("DOCKER-USER", vec![rule(vec![], Step::End(End::Return))]),
        (
            "DOCKER-FORWARD",
            vec![
                rule([compare(OUT, b"docker0\0"), vec![established()]].concat(), ACCEPT),
                rule(vec![established()], ACCEPT),
                rule(compare(IN, b"docker0\0"), ACCEPT),
            ],
        ),
    ];
    assert_eq!(judged(&chains), (Fate::Undecided, true));
}

#[test]
fn who_accepts_the_pod_cidr_lets_it_pass() {
    let source = Field::NetworkHeader { offset: 12, length: 3 };
    assert_eq!(judged(&[("FORWARD", vec![rule(compare(source, &[10, 244, 1]), ACCEPT)])]), (Fate::Accepted, true));
    assert_eq!(judged(&[("FORWARD", vec![rule(compare(source, &[10, 244, 9]), ACCEPT)])]), (Fate::Undecided, true));
    let whole = Step::Load { register: 1, what: Field::NetworkHeader { offset: 16, length: 4 } };
    let masked = Step::Mask { from: 1, to: 1, mask: vec![255, 252, 0, 0], xor: vec![0; 4] };
    let compare = Step::Compare { register: 1, op: Cmp::Equal, value: vec![10, 244, 0, 0] };
    assert_eq!(judged(&[("FORWARD", vec![rule(vec![whole, masked, compare], ACCEPT)])]), (Fate::Accepted, true));
}

#[test]
fn firewalld_rejects_what_no_zone_took() {
    let state = |bits: u32| {
        vec![
            Step::Load { register: 1, what: Field::ConnectionState },
            Step::Mask { from: 1, to: 1, mask: bits.to_ne_bytes().to_vec(), xor: vec![0; 4] },
            Step::Compare { register: 1, op: Cmp::NotEqual, value: vec![0; 4] },
        ]
    };
    let states = |bits: &[u32]| {
        let values = bits.iter().map(|bits| bits.to_ne_bytes().to_vec()).collect();
        Step::Lookup { register: 1, op: Cmp::Equal, values }
    };
    let chains = [
        (
            "FORWARD",
            vec![
                rule(vec![state(0).remove(0), states(&[2, 4])], ACCEPT),
                rule(state(6), ACCEPT),
                rule(compare(IN, b"lo\0"), ACCEPT),
                rule(state(1), Step::End(End::Drop)),
                rule(vec![], to("ZONES")),
                rule(vec![], Step::End(End::Drop)),
            ],
        ),
        ("ZONES", vec![rule(vec![], Step::End(End::Goto("public".into())))]),
        ("public", vec![rule(compare(OUT, b"virbr0\0"), ACCEPT)]),
    ];
    assert_eq!(judged(&chains), (Fate::Dropped, true));
}

#[test]
fn an_accept_behind_something_unknown_makes_it_uncertain_and_a_drop_does_not() {
    let unknown = || vec![Step::Unknown];
    assert_eq!(judged(&[("FORWARD", vec![rule(unknown(), ACCEPT)])]), (Fate::Undecided, false));
    assert_eq!(judged(&[("FORWARD", vec![rule(unknown(), Step::End(End::Drop))])]), (Fate::Undecided, true));
    assert_eq!(judged(&[("FORWARD", vec![rule(vec![], Step::Unknown)])]), (Fate::Undecided, false), "a verdict map");
}

#[test]
fn chains_that_jump_in_a_circle_end() {
    assert_eq!(judged(&[("FORWARD", vec![rule(vec![], to("FORWARD"))])]).0, Fate::Undecided);
}

#[test]
fn who_translates_what_comes_from_a_subnet_and_goes_to_none_inside_spares_what_goes_between_pods() {
    let load = |offset| Step::Load { register: 1, what: Field::NetworkHeader { offset, length: 4 } };
    let within = |op, subnets: &[&str]| {
        let subnets = subnets.iter().map(|subnet| subnet.parse::<ipnetwork::IpNetwork>().unwrap()).collect();
        Step::Within { register: 1, op, subnets }
    };
    let masquerade = |inside: &[&str]| {
        let own = within(Cmp::Equal, &["10.244.1.0/24"]);
        let steps = vec![load(12), own, load(16), within(Cmp::NotEqual, inside)];
        judged(&[("FORWARD", vec![rule(steps, Step::End(End::Translate))])])
    };
    assert_eq!(masquerade(&["10.244.1.0/24", "10.244.2.0/24"]), (Fate::Undecided, true));
    assert_eq!(masquerade(&["10.244.1.0/24"]), (Fate::Translated, true), "a node that is missing in the set");
    let perhaps = rule(vec![Step::Unknown], Step::End(End::Translate));
    assert_eq!(judged(&[("FORWARD", vec![perhaps])]), (Fate::Undecided, false));
}

const DROP: Step = Step::End(End::Drop);

fn extension(name: &str, parameters: &[u8]) -> Vec<Step> {
    vec![Step::Extension { name: name.into(), parameters: parameters.to_vec() }]
}

/// Numbers of 16 bits as the kernel has them in a structure.
fn halves(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

#[test]
fn a_rule_by_a_port_counts_only_where_the_port_is_known() {
    let of = |protocol, port| Packet { transport: Transport { protocol, port }, ..packet() };
    let port = |number: u16| {
        let load = Step::Load { register: 1, what: Field::TransportHeader { offset: 2, length: 2 } };
        let value = number.to_be_bytes().to_vec();
        let tcp = compare(Field::TransportProtocol, &[6]);
        rule([tcp, vec![load, Step::Compare { register: 1, op: Cmp::Equal, value }]].concat(), DROP)
    };
    let judged = |packet: &Packet, rule: ForeignRule| judged_of(packet, &[("FORWARD", vec![rule])]).0;
    assert_eq!(judged(&packet(), port(8080)), Fate::Undecided, "which port is not said");
    assert_eq!(judged(&of(Protocol::Tcp, Some(8080)), port(8080)), Fate::Dropped);
    assert_eq!(judged(&of(Protocol::Tcp, Some(80)), port(8080)), Fate::Undecided);
    assert_eq!(judged(&of(Protocol::Udp, Some(8080)), port(8080)), Fate::Undecided);
    let load = Step::Load { register: 1, what: Field::TransportHeader { offset: 2, length: 2 } };
    let (from, to) = (1000u16.to_be_bytes().to_vec(), 2000u16.to_be_bytes().to_vec());
    let range = || {
        rule(vec![load.clone(), Step::Range { register: 1, op: Cmp::Equal, from: from.clone(), to: to.clone() }], DROP)
    };
    assert_eq!(judged(&of(Protocol::Tcp, Some(2000)), range()), Fate::Dropped);
    assert_eq!(judged(&of(Protocol::Tcp, Some(2001)), range()), Fate::Undecided);
    // iptables -p tcp --dport 8080: spts, dpts, option, flg_mask, flg_cmp, invflags.
    let tcp = |to: u16, inverted: u8| {
        let parameters = [halves(&[0, u16::MAX, to, to]), vec![0, 0, 0, inverted]].concat();
        rule(extension("tcp", &parameters), DROP)
    };
    assert_eq!(judged(&of(Protocol::Tcp, Some(8080)), tcp(8080, 0)), Fate::Dropped);
    assert_eq!(judged(&of(Protocol::Tcp, Some(8080)), tcp(8080, 2)), Fate::Undecided, "! --dport");
    assert_eq!(judged(&of(Protocol::Tcp, Some(80)), tcp(8080, 2)), Fate::Dropped);
    assert_eq!(judged(&of(Protocol::Udp, Some(8080)), tcp(8080, 0)), Fate::Undecided);
    assert_eq!(judged(&packet(), tcp(8080, 0)), Fate::Undecided);
    // -m multiport --dports 80,1000:2000
    let mut parameters = vec![1, 3];
    parameters.extend(halves(&[80, 1000, 2000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    parameters.extend([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (port, fate) in [(80, Fate::Dropped), (1500, Fate::Dropped), (81, Fate::Undecided), (2001, Fate::Undecided)] {
        let found = judged(&of(Protocol::Tcp, Some(port)), rule(extension("multiport", &parameters), DROP));
        assert_eq!(found, fate, "{port}");
    }
}

/// `iptables -t nat -S` of kube-proxy, as iptables-nft has it.
#[test]
fn kube_proxy_translates_services_and_no_packet_between_pods() {
    let service = |last: u8| compare(Field::NetworkHeader { offset: 16, length: 4 }, &[10, 96, 0, last]);
    let translate = || Step::End(End::Translate);
    // -m addrtype --dst-type LOCAL: `1 << RTN_LOCAL`.
    let local = [halves(&[0, 4]), vec![0; 4]].concat();
    let unmarked = [0x4000u32.to_ne_bytes(), 0x4000u32.to_ne_bytes(), 1u32.to_ne_bytes()].concat();
    let chains = [
        ("FORWARD", vec![rule(vec![], to("KUBE-SERVICES")), rule(vec![], to("KUBE-POSTROUTING"))]),
        (
            "KUBE-SERVICES",
            vec![
                rule(service(1), to("KUBE-SVC-1")),
                rule(service(10), to("KUBE-SVC-2")),
                rule(extension("addrtype", &local), to("KUBE-NODEPORTS")),
            ],
        ),
        ("KUBE-SVC-1", vec![rule(vec![Step::Unknown], translate())]),
        ("KUBE-SVC-2", vec![rule(vec![Step::Unknown], translate())]),
        ("KUBE-NODEPORTS", vec![rule(vec![Step::Unknown], translate())]),
        (
            "KUBE-POSTROUTING",
            vec![rule(extension("mark", &unmarked), Step::End(End::Return)), rule(vec![], translate())],
        ),
    ];
    assert_eq!(judged(&chains), (Fate::Undecided, true));
}

/// `ufw default deny routed` with a route rule for the cluster, as iptables-nft has it.
#[test]
fn ufw_with_a_route_rule_for_the_cluster_lets_pods_pass_and_without_one_its_policy_drops() {
    let icmp = || compare(Field::TransportProtocol, &[1]);
    let cluster = || compare(Field::NetworkHeader { offset: 12, length: 2 }, &[10, 244]);
    let ufw = |user: Vec<ForeignRule>| {
        judged(&[
            (
                "FORWARD",
                vec![
                    rule(vec![], to("ufw-before-logging-forward")),
                    rule(vec![], to("ufw-before-forward")),
                    rule(vec![], to("ufw-after-logging-forward")),
                ],
            ),
            ("ufw-before-logging-forward", vec![]),
            (
                "ufw-before-forward",
                vec![rule(vec![established()], ACCEPT), rule(icmp(), ACCEPT), rule(vec![], to("ufw-user-forward"))],
            ),
            ("ufw-user-forward", user),
            // -m limit --limit 3/min -j LOG
            ("ufw-after-logging-forward", vec![rule(extension("limit", &[0; 40]), Step::Neutral)]),
        ])
    };
    assert_eq!(ufw(vec![rule(cluster(), ACCEPT)]), (Fate::Accepted, true));
    assert_eq!(ufw(vec![]), (Fate::Undecided, true), "its policy decides");
}

/// `nft list table ip kube-proxy`: verdict maps by service and port.
#[test]
fn kube_proxy_in_nftables_mode_drops_nothing_between_pods() {
    let map = || rule(vec![], Step::Unknown);
    let chains = [
        ("FORWARD", vec![rule(vec![], to("firewall-check")), rule(vec![], to("no-endpoints-check"))]),
        ("firewall-check", vec![map()]),
        ("no-endpoints-check", vec![map()]),
    ];
    assert_eq!(judged(&chains).0, Fate::Undecided, "and its policy is accept");
}

#[test]
fn the_rule_that_decides_is_named_by_its_chain_and_handle() {
    let mut drop = rule(compare(Field::NetworkHeader { offset: 16, length: 3 }, &[10, 244, 2]), DROP);
    drop.handle = 7;
    let mut ask = |name: &str| -> Result<Rc<[ForeignRule]>, Infallible> {
        Ok(if name == "FORWARD" { vec![rule(vec![], to("inner"))] } else { vec![drop.clone()] }.into())
    };
    let Ok(judgement) = judge(&packet(), "FORWARD", &mut ask);
    assert_eq!(judgement.rule, Some(RulePlace { chain: "inner".into(), handle: 7 }));
}

/// Calico's policy-only mode: each pod's chain accepts by a mark, and what no chain is for is dropped.
#[test]
fn calico_lets_a_pod_pass_by_its_own_link_and_some_pod_is_not_said_to_be_dropped() {
    let set = |value, mask| rule(vec![], Step::SetMark { value, mask });
    // -m mark --mark 0x10000/0x10000
    let marked = || extension("mark", &[0x10000u32.to_ne_bytes(), 0x10000u32.to_ne_bytes(), [0; 4]].concat());
    let goto = |chain: &str| Step::End(End::Goto(chain.into()));
    let calico = |profile: Vec<ForeignRule>| {
        let own = rule(compare(IN, b"podl0\0\0\0\0\0\0\0\0\0\0\0"), goto("cali-fw-podl0"));
        vec![
            ("FORWARD", vec![rule(vec![], to("cali-FORWARD")), rule(marked(), ACCEPT)]),
            ("cali-FORWARD", vec![set(0, 0xe0000), rule(compare(IN, b"podl"), to("cali-from-wl-dispatch"))]),
            ("cali-from-wl-dispatch", vec![own, rule(vec![], DROP)]),
            (
                "cali-fw-podl0",
                vec![
                    rule(vec![established()], ACCEPT),
                    set(0, 0x10000),
                    rule(vec![], to("cali-pro")),
                    rule(marked(), Step::End(End::Return)),
                    rule(vec![], DROP),
                ],
            ),
            ("cali-pro", profile),
        ]
    };
    let accepts = || vec![set(0x10000, 0x10000)];
    assert_eq!(judged(&calico(accepts())), (Fate::Accepted, true));
    assert_eq!(judged(&calico(vec![])), (Fate::Dropped, true), "a policy that selects it and lets nothing pass");
    let some_pod = Packet { incoming: HOST_LINK_PREFIX.into(), ..packet() };
    assert_eq!(judged_of(&some_pod, &calico(accepts())), (Fate::Dropped, false), "it may be a pod that has a chain");
    let mut without_pods = calico(accepts());
    without_pods[2].1.remove(0);
    assert_eq!(judged_of(&some_pod, &without_pods), (Fate::Dropped, false), "a pod that comes gets a chain");
    assert_eq!(judged(&without_pods), (Fate::Dropped, true), "a pod that is there has none");
    let all = vec![rule(compare(IN, b"podl"), DROP)];
    assert_eq!(judged_of(&some_pod, &[("FORWARD", all)]), (Fate::Dropped, true), "it drops whatever comes");
}
