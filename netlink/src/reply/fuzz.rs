//! Any bytes as a datagram of the kernel's: refused, or read, without a panic and without end.

use super::{attribute, messages};
use crate::tolerant::decode;
use crate::{Address, Link, Neighbour, Route, SourceRule};

fn is_read(datagram: &[u8]) {
    let mut seen = 0;
    for raw in messages(datagram) {
        seen += raw.bytes.len();
        let _ = attribute(raw.bytes, 2);
        if let Err(refused) = raw.verdict() {
            let _ = refused.to_string();
        }
        if let Ok(message) = decode(raw.bytes) {
            let _ = Address::from_message(&message);
            let _ = Link::from_message(&message);
            let _ = Neighbour::from_message(&message);
            let _ = Route::from_message(&message);
            let _ = SourceRule::from_message(&message);
        }
    }
    assert!(seen <= datagram.len(), "no byte is read twice");
}

#[test]
fn fuzz_any_datagram_is_read() {
    fuzz::run("netlink", is_read);
}
