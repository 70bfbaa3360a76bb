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
    let mut ask = |name: &str| -> Result<_, Infallible> {
        let found = chains.iter().find(|(chain, _)| *chain == name);
        Ok(found.map(|(_, rules)| rules.clone()).unwrap_or_default())
    };
    let Ok(judgement) = judge(&packet(), "FORWARD", &mut ask);
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
