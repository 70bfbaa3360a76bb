//! Damage: every byte of a small store flipped, the store cut at every length. Never a wrong answer.

use store::testing::LINE;

use super::*;

const DUAL: &[&[&str]] = &[&["10.0.0.0/28"], &["2001:db8::/124"]];

/// A store with some of everything.
fn sample() -> Node {
    let node = Node::new();
    (0..8).for_each(|number| drop(node.address(&want(DUAL), number)));
    [1, 4, 2].into_iter().for_each(|number| drop(node.del(&owner(number)).unwrap()));
    node
}

/// What an undamaged store answers.
struct Truth {
    owned: Vec<Vec<Lease>>,
    given: Vec<IpAddr>,
}

fn given(leases: &[Lease]) -> Vec<IpAddr> {
    leases.iter().map(|lease| lease.address.ip()).collect()
}

impl Truth {
    fn of(node: &Node) -> Self {
        let owned = (0..8).map(|number| node.owned(&owner(number)).unwrap()).collect();
        let given = given(&node.copy().add(&want(DUAL), &owner(20)).unwrap());
        Self { owned, given }
    }

    /// I8: refused by name, or right. Returns whether anything was refused.
    fn holds(&self, node: &Node, context: &str) -> bool {
        let mut refused = false;
        let mut refuse = |error: Error| {
            let known = matches!(
                error,
                Error::Store(StoreError::Damaged { .. }) | Error::Store(StoreError::NewerFormat { .. })
            );
            assert!(known, "{context}: {error}");
            refused = true;
        };
        let truth = self.owned.iter().enumerate();
        for (number, truth) in truth.clone() {
            match node.owned(&owner(number)) {
                Ok(owned) => assert_eq!(&owned, truth, "{context}: owner {number}"),
                Err(error) => refuse(error),
            }
        }
        match node.add(&want(DUAL), &owner(20)) {
            Ok(leases) => assert_eq!(given(&leases), self.given, "{context}"),
            Err(error) => refuse(error),
        }
        for (number, truth) in truth {
            match node.del(&owner(number)) {
                Ok(released) => assert_eq!(given(&released).len(), truth.len(), "{context}: DEL {number}"),
                Err(error) => refuse(error),
            }
        }
        refused
    }
}

fn flip(bytes: &[u8], at: usize, mask: u8) -> Node {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= mask;
    Node::of(Memory::with_store(bytes))
}

/// A sample of the bytes of lines that say something, and one of each blank line. `PODLAN_LONG`: every bit of the ones,
/// every byte of the others, which are many and alike.
#[test]
fn a_flipped_byte_is_harmless_or_refused_by_name() {
    let node = sample();
    let truth = Truth::of(&node);
    let bytes = node.memory.bytes().unwrap();
    let long = std::env::var_os("PODLAN_LONG").is_some();
    let (mut refused, mut all) = (0, 0);
    for at in 0..bytes.len() {
        let blank = bytes[at - at % LINE..].starts_with(b"blank");
        let masks: &[u8] = match (long, blank) {
            (true, false) => &[1, 2, 4, 8, 16, 32, 64, 128, 0xff],
            (true, true) => &[0xff],
            (false, true) if at % LINE != 77 => &[],
            // Padding is under the checksum like everything else.
            (false, false) if bytes[at] == b' ' && at % 7 != 0 => &[],
            (false, _) => &[[1, 0x10, 0x80, 0xff][at % 4]],
        };
        for mask in masks {
            let line = at / LINE + 1;
            all += 1;
            refused +=
                usize::from(truth.holds(&flip(&bytes, at, *mask), &format!("byte {at} (line {line}) ^ {mask:#x}")));
        }
    }
    println!("{all} flips, {refused} refused, none wrong");
    assert!(refused > 0 && refused < all);
}

/// Damage to the newest commit must not look like a commit that was never made.
#[test]
fn the_commit_before_is_never_taken_for_the_newest() {
    let node = sample();
    node.add(&want(DUAL), &owner(10)).unwrap();
    node.add(&want(DUAL), &owner(11)).unwrap();
    let truth = Truth::of(&node);
    let bytes = node.memory.bytes().unwrap();
    let mut refused = 0;
    for first in store::testing::REDO {
        let first = first as usize * LINE;
        let used = bytes[first..].chunks(LINE).take(20).position(|line| line.starts_with(b"blank")).unwrap_or(20);
        for at in (first..first + used * LINE).step_by(5) {
            refused += usize::from(truth.holds(&flip(&bytes, at, 1), &format!("byte {at} of a redo record")));
        }
    }
    assert!(refused > 100, "the newest record was not needed");
}

#[test]
fn a_store_cut_short_is_refused_at_every_length() {
    let node = sample();
    let truth = Truth::of(&node);
    let bytes = node.memory.bytes().unwrap();
    let used = LINE * bytes.chunks(LINE).rposition(|line| !line.starts_with(b"blank")).unwrap() + LINE;
    for length in 0..bytes.len() {
        let edge = length % LINE;
        if !(edge < 2 || edge == LINE - 1 || length % 97 == 0) {
            continue;
        }
        let cut = Node::of(Memory::with_store(bytes[..length].to_vec()));
        let before = cut.memory.bytes();
        let refused = truth.holds(&cut, &format!("cut at {length}"));
        assert_eq!(refused, length < used, "cut at {length} of {used}");
        if refused {
            assert_eq!(cut.memory.bytes(), before, "a damaged store was written to");
        }
    }
}

#[test]
fn a_zeroed_line_or_two_swapped_lines_are_noticed() {
    let node = sample();
    let truth = Truth::of(&node);
    let bytes = node.memory.bytes().unwrap();
    for line in 0..bytes.len() / LINE {
        let mut zeroed = bytes.clone();
        zeroed[line * LINE..(line + 1) * LINE].fill(0);
        truth.holds(&Node::of(Memory::with_store(zeroed)), &format!("line {line} zeroed"));
        if line > 0 {
            let mut swapped = bytes.clone();
            let (one, other) = swapped[(line - 1) * LINE..(line + 1) * LINE].split_at_mut(LINE);
            one.swap_with_slice(other);
            truth.holds(&Node::of(Memory::with_store(swapped)), &format!("lines {} and {line} swapped", line - 1));
        }
    }
}

/// I13, E-75.
#[test]
fn a_newer_format_is_refused_without_a_write() {
    let node = sample();
    let mut bytes = node.memory.bytes().unwrap();
    bytes[..LINE].copy_from_slice(&store::testing::superblock_of(2));
    let newer = Node::of(Memory::with_store(bytes.clone()));
    let error = newer.add(&want(DUAL), &owner(20)).unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::NewerFormat { version: 2, newest: 1, .. })), "{error}");
    assert_eq!(cni::Error::from(error).code, cni::Code::StoreDamaged);
    assert!(newer.del(&owner(1)).is_err() && newer.gc(&[]).is_err());
    assert_eq!(newer.memory.bytes().unwrap(), bytes);
}

/// E-71.
#[test]
fn one_damaged_lease_does_not_stop_gc_for_the_others() {
    let node = sample();
    let bytes = node.memory.bytes().unwrap();
    let place = bytes.windows(10).rposition(|window| window == b" id=c5 if=").unwrap();
    let hurt = flip(&bytes, place + 4, 1);
    // Settled stores read lines from their places, and records cover only the last commits.
    let error = hurt.gc(&[]).unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::Damaged { .. })), "{error}");
    let left: Vec<_> =
        (0..8).filter(|number| hurt.owned(&owner(*number)).map_or(true, |owned| !owned.is_empty())).collect();
    assert!(left.len() < 4, "{left:?}");
}
