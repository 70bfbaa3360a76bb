//! Any bytes as a datagram of the kernel: what is read is in them, is read once, and reads the same when it is written
//! again.

use std::ops::ControlFlow;

use ipnetwork::IpNetwork;

use super::dump::Part;
use super::message::NLMSG_DONE;
use super::{Attribute, Attributes, HEADER, KernelError, Message, NLMSG_ERROR, append, messages, write};
use crate::request::Request;
use crate::tolerant::decode;
use crate::{Address, Link, Neighbour, Route, SourceRule};

#[test]
fn fuzz_what_any_datagram_says_is_in_it_and_reads_the_same_once_written_again() {
    fuzz::run("netlink", |datagram| {
        let mut at = 0;
        for message in all_messages(datagram) {
            assert_eq!(datagram.get(at..at + message.bytes.len()), Some(message.bytes), "messages follow each other");
            at += message.bytes.len().next_multiple_of(4);
            attributes_end_wherever_they_begin(&message);
            message_reads_the_same(&message);
            attributes_read_the_same(&message);
            objects_read_the_same(&message);
            if let Err(refused) = message.verdict() {
                text_is_in_the_message(&message, &refused);
            }
        }
        every_object_of_a_dump_is_kept_or_counted(datagram);
    });
}

/// Each message takes a header at least.
fn all_messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    fuzz::bounded(messages(datagram), datagram.len() / HEADER)
}

/// Those of nested attributes and of acknowledgements begin anywhere. Each takes four bytes at least.
fn attributes_end_wherever_they_begin(message: &Message<'_>) {
    for begin in (HEADER..message.bytes.len()).step_by(4) {
        let bytes = &message.bytes[begin..];
        fuzz::bounded(Attributes(bytes), bytes.len() / 4).for_each(drop);
    }
}

fn message_reads_the_same(message: &Message<'_>) {
    let mut again = Vec::new();
    write(&mut again, message.kind, message.flags, message.sequence, &message.bytes[HEADER..], &[]);
    let read = messages(&again).next().expect("what is written is a message");
    assert_eq!((read.kind, read.flags, read.sequence), (message.kind, message.flags, message.sequence));
    assert_eq!(read.bytes[HEADER..], message.bytes[HEADER..]);
    // One of any length is padded to four bytes, and the next one is found behind it.
    again.resize(again.len().next_multiple_of(4), 0);
    write(&mut again, NLMSG_DONE, 0, 0, &[], &[]);
    assert_eq!(all_messages(&again).count(), 2);
}

/// Behind a fixed structure of each length that there is.
fn attributes_read_the_same(message: &Message<'_>) {
    for fixed in [0, 4, 8, 12, 16] {
        let attributes = message.attributes(fixed);
        let (mut again, mut longest) = (Vec::new(), 0);
        for (kind, value) in attributes {
            append(&mut again, kind, value);
            longest = longest.max(value.len());
            assert!(attributes.find(kind).is_some(), "an attribute that is there is not found");
        }
        assert!(Attributes(&again).eq(attributes));
        assert!(attributes.count() * 4 <= message.bytes.len() && longest <= message.bytes.len());
        let nested = Attribute::bytes(1, &again);
        assert!(Attributes(nested.encoded()).inside(1).eq(attributes));
    }
}

/// What podlan writes of the objects that it read is read as the same.
fn objects_read_the_same(message: &Message<'_>) {
    let Ok(object) = decode(message.bytes) else { return };
    let _ = Link::from_message(&object);
    let again = |request: Request| {
        let (mut request, mut bytes) = (request, Vec::new());
        request.write(7, &mut bytes);
        decode(&bytes).expect("what podlan writes is read")
    };
    if let Some(address) = Address::from_message(&object) {
        assert_eq!(Address::from_message(&again(address.add())), Some(address));
    }
    if let Some(neighbour) = Neighbour::from_message(&object) {
        assert_eq!(Neighbour::from_message(&again(neighbour.replace())), Some(neighbour));
    }
    if let Some(mut route) = Route::from_message(&object) {
        // The kernel shows no bits of a host.
        let whole = IpNetwork::new(route.destination.network(), route.destination.prefix());
        route.destination = whole.expect("the prefix of a subnet");
        assert_eq!(Route::from_message(&again(route.replace())), Some(route));
    }
    if let Some(rule) = SourceRule::from_message(&object) {
        assert_eq!(SourceRule::from_message(&again(rule.add())), Some(rule));
    }
}

fn text_is_in_the_message(message: &Message<'_>, refused: &KernelError) {
    let bytes = String::from_utf8_lossy(message.bytes);
    let is_in = refused.text.split(char::REPLACEMENT_CHARACTER).all(|part| bytes.contains(part));
    assert!(is_in && !refused.to_string().is_empty(), "{refused:?}");
}

fn every_object_of_a_dump_is_kept_or_counted(datagram: &[u8]) {
    let mut part = Part::new();
    let mut taken = 0;
    for message in all_messages(datagram) {
        match part.take(&message, &mut |message: &Message<'_>| decode(message.bytes).map(|_| Some(message.kind))) {
            ControlFlow::Continue(()) => taken += 1,
            ControlFlow::Break(_) => {
                assert!([NLMSG_ERROR, NLMSG_DONE].contains(&message.kind), "only the kernel ends a dump");
                break;
            }
        }
    }
    let kept = u64::try_from(part.dumped.objects.len()).expect("a small number");
    assert_eq!(kept + part.dumped.unreadable, taken, "an object is neither kept nor counted");
}
