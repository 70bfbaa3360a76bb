//! Entries as bytes: what the kernel sends, what a newer one may send, and what is cut off.

use super::*;
use crate::wire::{Attribute, sample};

/// A route message of the main table with these attributes; the link scope, one bit a flag.
fn message(kind: u8, flags: u32, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let fixed = [&[2, 24, 0, 0, 254, 4, 0, kind][..], &flags.to_ne_bytes()].concat();
    let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
    sample(24, &fixed, &attributes)
}

fn oif(device: u32) -> (u16, Vec<u8>) {
    (RTA_OIF, device.to_ne_bytes().to_vec())
}

fn hop(device: u32, flags: u8, gateway: u8) -> Vec<u8> {
    let inner = Attribute::bytes(RTA_GATEWAY, &[10, 0, 0, gateway]);
    let length = u16::try_from(RTNEXTHOP + inner.encoded().len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([flags, 0]);
    bytes.extend(device.to_ne_bytes());
    bytes.extend(inner.encoded());
    bytes
}

fn onward(attributes: &[(u16, Vec<u8>)]) -> Onward {
    Read::of(&message(1, 0, attributes)).entry.onward
}

fn to(gateway: &str, device: u32, onlink: bool) -> Onward {
    Onward::Hop { gateway: Some(gateway.parse().unwrap()), device, onlink }
}

#[test]
fn every_shape_of_a_next_hop_is_read_for_what_it_is() {
    let via6 = |octets: [u8; 16]| [10u16.to_ne_bytes().as_slice(), &octets].concat();
    let mut router = [0; 16];
    (router[0], router[1], router[15]) = (0xfe, 0x80, 9);
    let gateway = (RTA_GATEWAY, vec![10, 0, 0, 9]);
    assert_eq!(onward(&[oif(2)]), Onward::Hop { gateway: None, device: 2, onlink: false });
    assert_eq!(onward(&[gateway.clone(), oif(2)]), to("10.0.0.9", 2, false));
    assert_eq!(onward(&[(RTA_VIA, via6(router)), oif(3)]), to("fe80::9", 3, false));
    assert_eq!(onward(&[(RTA_VIA, vec![17, 0, 1, 2, 3]), oif(3)]), Onward::Unread, "a gateway of no IP family");
    assert_eq!(onward(&[gateway.clone(), oif(2), (RTA_ENCAP_TYPE, vec![2, 0])]), Onward::Encapsulated);
    assert_eq!(onward(&[gateway, oif(2), (4242, vec![1, 2, 3])]), to("10.0.0.9", 2, false), "a newer kernel's");
    assert_eq!(onward(&[(RTA_MULTIPATH, [hop(2, 0, 9), hop(3, 0, 8)].concat())]), Onward::Several);
    assert_eq!(onward(&[(RTA_MULTIPATH, hop(2, 4, 9))]), to("10.0.0.9", 2, true), "a list of one");
    assert_eq!(onward(&[(RTA_NH_ID, vec![7, 0, 0, 0])]), Onward::Unread, "the object must be asked");
    assert_eq!(onward(&[]), Onward::Unread);
}

#[test]
fn the_header_and_the_table_are_read_and_onlink_is_a_flag() {
    let read = Read::of(&message(6, 4, &[oif(2), (RTA_TABLE, 1000u32.to_ne_bytes().to_vec())])).entry;
    assert_eq!((read.prefix, read.kind, read.table, read.protocol), (24, RouteKind::Other(6), 1000, 4));
    assert_eq!(read.onward, Onward::Hop { gateway: None, device: 2, onlink: true });
}

#[test]
fn a_message_cut_anywhere_is_read_without_a_panic() {
    let whole = message(1, 0, &[(RTA_MULTIPATH, [hop(2, 0, 9), hop(3, 0, 8)].concat()), oif(2)]);
    for end in 0..whole.len() {
        let _ = Read::of(&whole[..end]);
    }
    (0..=u16::MAX).step_by(251).for_each(|length| {
        let mut list = hop(2, 0, 9);
        list[..2].copy_from_slice(&length.to_ne_bytes());
        let _ = Hop::of_multipath(&list).onward();
    });
}
