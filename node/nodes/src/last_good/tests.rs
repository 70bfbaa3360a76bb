//! Which values a node keeps, and which it does not.

use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn snapshot(nodes: Vec<Node>) -> Snapshot {
    Snapshot::new(nodes, Instant::now())
}

fn whole() -> Node {
    Node::of("n2", &["10.0.0.2", "fd00::2"], &["10.244.2.0/24", "fd00:10:244:2::/64"])
}

/// The result of `after` following `before`: addresses, CIDRs, and the number of kept values.
fn kept(before: Node, after: Vec<Node>) -> (Vec<String>, Vec<String>, usize) {
    let mut after = snapshot(after);
    after.keep_last_good(&snapshot(vec![before]));
    let node = after.named("n2").unwrap();
    let texts = |values: &[String]| values.to_vec();
    let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
    let cidrs: Vec<String> = node.pod_cidrs.iter().map(ToString::to_string).collect();
    (texts(&addresses), texts(&cidrs), node.kept.len())
}

/// Listed addresses and CIDRs, the resulting ones, and how many of these are kept.
type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str], usize);

#[test]
fn what_is_missing_is_kept_by_family_and_what_is_sound_counts_at_once() {
    let both = ["10.244.2.0/24", "fd00:10:244:2::/64"];
    let table: [Row<'_>; 8] = [
        (&[], &both, &["10.0.0.2", "fd00::2"], &both, 2),
        (&["10.0.0.2"], &both, &["10.0.0.2", "fd00::2"], &both, 1),
        (&["10.0.0.9", "fd00::2"], &both, &["10.0.0.9", "fd00::2"], &both, 0),
        (&["10.0.0.9"], &both, &["10.0.0.9", "fd00::2"], &both, 1),
        (&["10.0.0.2", "fd00::2"], &[], &["10.0.0.2", "fd00::2"], &both, 2),
        (&["10.0.0.2", "fd00::2"], &["10.244.7.0/24"], &["10.0.0.2", "fd00::2"], &["10.244.7.0/24", both[1]], 1),
        // Invalid values neither keep nor hide anything.
        (&["10.0.0.9", "fe80::1", "::ffff:10.0.0.2", "127.0.0.1"], &both, &["10.0.0.9", "fd00::2"], &both, 1),
        (&["10.0.0.2", "fd00::2"], &["10.244.7.7/24", "x"], &["10.0.0.2", "fd00::2"], &both, 2),
    ];
    for (addresses, cidrs, expected, expected_cidrs, count) in table {
        let (got, got_cidrs, kept) = kept(whole(), vec![Node::of("n2", addresses, cidrs)]);
        assert_eq!(
            (&got[..], &got_cidrs[..], kept),
            (
                &expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                &expected_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                count,
            ),
            "{addresses:?} {cidrs:?}"
        );
    }
}

#[test]
fn what_another_node_lists_is_kept_by_none() {
    let lost = || Node::of("n2", &[], &[]);
    let other = |address: &str, cidr: &str| Node::of("n3", &[address], &[cidr]);
    assert_eq!(kept(whole(), vec![lost(), other("10.0.0.2", "10.244.3.0/24")]).0, ["fd00::2"]);
    for cidr in ["10.244.2.0/24", "10.244.2.128/25", "10.244.0.0/16"] {
        assert_eq!(kept(whole(), vec![lost(), other("10.0.0.3", cidr)]).1, ["fd00:10:244:2::/64"], "{cidr}");
    }
    for cidr in ["10.244.1.0/24", "10.244.3.0/24", "10.245.0.0/16"] {
        assert_eq!(kept(whole(), vec![lost(), other("10.0.0.3", cidr)]).1.len(), 2, "{cidr}");
    }
}

#[test]
fn another_node_of_the_same_name_keeps_nothing() {
    let of = |uid: Option<&str>, node: Node| Node { uid: uid.map(Into::into), ..node };
    let lost = |uid| vec![of(uid, Node::of("n2", &[], &[]))];
    assert_eq!(kept(of(Some("u1"), whole()), lost(Some("u2"))).2, 0, "it was made again");
    assert_eq!(kept(of(Some("u1"), whole()), lost(Some("u1"))).2, 4);
    assert_eq!(kept(of(Some("u1"), whole()), lost(None)).2, 4, "not known is not another");
    let mut after = snapshot(vec![Node::of("n3", &[], &[])]);
    after.keep_last_good(&snapshot(vec![whole()]));
    assert!(after.named("n2").is_none(), "a node that left the list is gone");
}

#[test]
fn it_is_kept_through_any_number_of_lists_until_it_comes_back_or_is_forgotten() {
    let lost = || snapshot(vec![Node::of("n2", &["10.0.0.2"], &["10.244.2.0/24"])]);
    let mut before = snapshot(vec![whole()]);
    for _ in 0..3 {
        let mut after = lost();
        after.keep_last_good(&before);
        assert_eq!((after.nodes[0].addresses.len(), after.nodes[0].kept.len()), (2, 2));
        before = after;
    }
    let mut back = snapshot(vec![whole()]);
    back.keep_last_good(&before);
    assert!(back.nodes[0].kept.is_empty());
    assert!(before.forget_kept() && !before.forget_kept());
    let mut after = lost();
    after.keep_last_good(&before);
    assert_eq!((after.nodes[0].addresses.len(), after.nodes[0].kept.len()), (1, 0));
}

#[test]
fn on_a_part_of_a_list_no_node_is_gone() {
    let mut part = Snapshot { partial: true, ..snapshot(vec![Node::of("n1", &[], &[])]) };
    part.keep_last_good(&snapshot(vec![whole(), Node::of("n3", &[], &[])]));
    let names: Vec<_> = part.nodes.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
}

fn any_node() -> impl Strategy<Value = Node> {
    const ADDRESSES: &[&str] =
        &["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2", "fe80::1", "127.0.0.1", "::ffff:10.0.0.1", "x", ""];
    const CIDRS: &[&str] = &[
        "10.244.1.0/24",
        "10.244.2.0/24",
        "10.244.0.0/16",
        "fd00:1::/64",
        "fd00:2::/64",
        "10.244.1.1/24",
        "y",
        "0.0.0.0/0",
    ];
    let texts = |of| prop::collection::vec(prop::sample::select(of), 0..4);
    let name = prop::sample::select(&["n1", "n2", "n3", ""][..]);
    (name, texts(ADDRESSES), texts(CIDRS)).prop_map(|(name, addresses, cidrs)| Node::of(name, &addresses, &cidrs))
}

proptest! {
    /// The module's law, for any two lists.
    #[test]
    fn any_list_after_any_other(before in prop::collection::vec(any_node(), 0..5), after in prop::collection::vec(any_node(), 0..5)) {
        let (before, listed) = (snapshot(before), snapshot(after));
        let mut now = listed.clone();
        now.keep_last_good(&before);
        prop_assert_eq!(now.nodes.len(), listed.nodes.len(), "no node comes or goes");
        for (node, listed) in now.nodes.iter().zip(&listed.nodes) {
            prop_assert!(node.addresses.starts_with(&listed.addresses), "what is listed counts first");
            prop_assert!(node.pod_cidrs.starts_with(&listed.pod_cidrs));
            let added = node.addresses.len() - listed.addresses.len() + node.pod_cidrs.len() - listed.pod_cidrs.len();
            prop_assert_eq!(added, node.kept.len(), "each kept value is flagged");
            for kept in &node.kept {
                let Kept::Address(address) = kept else { continue };
                prop_assert!(!has(&listed.addresses, address.is_ipv4()), "none beside a sound one of its family");
                prop_assert!(before.named(&node.name).is_some_and(|before| before.addresses.contains(address)));
            }
        }
    }
}
