//! Any store, any directory of host-local's: refused, or read, in bounded time.

use super::*;
use ipam::on::select;
use store::testing::LINE as SIZE;
use store::testing::{KILLED, SETTLED, store};

/// A store of a released version in which lines are replaced, their checksums right: each line of the input is a number
/// and the words that stand there. A first line `killed` takes the store of a killed writer, `cut N` leaves N bytes.
fn forged(input: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(input);
    let mut bytes = store(if text.starts_with("killed\n") { KILLED } else { SETTLED });
    for line in text.lines() {
        let Some((place, words)) = line.split_once(' ') else { continue };
        if place == "cut" {
            bytes.truncate(words.parse().unwrap_or(usize::MAX));
        } else if let Ok(number) = place.parse::<usize>()
            && let Some(place) = bytes.chunks_exact_mut(SIZE).nth(number)
        {
            let fits = (0..=words.len().min(485)).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
            let line = format!("{}{}line={number:08x} crc=", &words[..fits], " ".repeat(485 - fits));
            place.copy_from_slice(format!("{line}{:08x}\n", crc32fast::hash(line.as_bytes())).as_bytes());
        }
    }
    bytes
}

/// Only root can write this file: nothing is promised of what a forged store yields, but that everything ends, and
/// that an address is not given to one owner while the store names another.
fn ends(input: &[u8]) {
    let node = Node::of(Memory::with_store(forged(input)));
    let known = select(&node.memory, |_| true);
    let _ = (node.try_audit(), node.owned(&owner(0)));
    let want = want(&[&["10.244.1.0/29"], &["fd00:10:244:1::/125"]]);
    if let (Ok(given), Ok((leases, None))) = (node.add(&want, &owner(20)), known) {
        for lease in given {
            let address = lease.address.ip();
            let other = leases.iter().find(|known| known.address.ip() == address && known.owner != lease.owner);
            // A lease of an earlier boot may be void.
            assert!(other.is_none_or(|other| other.since.boot != node.now.boot), "{address} is {other:?}'s");
        }
    }
    let _ = (node.scavenge().map(drop), node.del(&owner(20)).map(drop), node.gc(&[]).map(drop));
    let _ = node.add(&want, &owner(21));
}

#[test]
fn fuzz_any_store_is_read_or_refused() {
    fuzz::run("store", ends);
}

/// Files apart by NUL, each a name, a newline and what it holds.
fn is_imported(input: &[u8]) {
    let read = || {
        let mut found = Found::default();
        for file in input.split(|byte| *byte == 0) {
            let end = file.iter().position(|byte| *byte == b'\n').unwrap_or(file.len());
            let name = String::from_utf8_lossy(&file[..end]).into_owned();
            found.add(name.into(), |_| Ok(file.get(end + 1..).unwrap_or_default().to_vec()));
        }
        Ok(found)
    };
    let node = Node::new();
    let want = want(&[&["10.0.0.0/27"], &["2001:db8::/123"]]);
    let wanted = Wanted { want: &want, vouch: &|_| Some(Proof::default()), read: &read };
    let import = || import_in(&node.memory, "test", &wanted, &Fate::default(), node.now).unwrap();
    let (first, again) = (import(), import());
    assert!(again.leases.is_empty(), "done again it changes nothing");
    assert_eq!(again.known.len(), first.leases.len() + first.known.len());
    if !first.leases.is_empty() {
        assert_eq!(node.audit().leases.len(), first.leases.len(), "the store has what was taken over and nothing else");
    }
}

#[test]
fn fuzz_any_host_local_directory_is_imported() {
    fuzz::run("host-local", is_imported);
}
