//! A router: a thread that sends router advertisements until it is dropped.

use std::io::{self, IoSlice};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendmsg, setsockopt, socket, sockopt,
};
use podlan_conformance::lab::{Error, Node};

const EVERY_NODE: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The contents of an advertisement (RFC 4861, RFC 4191). Times are seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Advertisement {
    /// How long the sender is a default router; 0: it is no default router.
    pub(crate) router: u16,
    /// fd44::/64: how long it is valid, and whether hosts configure addresses of it.
    pub(crate) prefix: Option<(u32, bool)>,
    /// How long 2001:db8:44::/48 is reached by the sender.
    pub(crate) route: Option<u32>,
}

impl Advertisement {
    fn bytes(self, hop_limit: u8) -> Vec<u8> {
        let mut bytes = vec![134, 0, 0, 0, hop_limit, 0];
        bytes.extend(self.router.to_be_bytes());
        bytes.extend([0; 8]);
        if let Some((valid, makes_addresses)) = self.prefix {
            bytes.extend([3, 4, 64, if makes_addresses { 0xc0 } else { 0x80 }]);
            bytes.extend([valid.to_be_bytes(), valid.to_be_bytes(), [0; 4]].concat());
            bytes.extend(Ipv6Addr::new(0xfd44, 0, 0, 0, 0, 0, 0, 0).octets());
        }
        if let Some(valid) = self.route {
            bytes.extend([24, 2, 48, 0]);
            bytes.extend(valid.to_be_bytes());
            bytes.extend(&Ipv6Addr::new(0x2001, 0xdb8, 0x44, 0, 0, 0, 0, 0).octets()[..8]);
        }
        bytes
    }
}

/// The hop limit of the first advertisements.
const HOP_LIMIT: u8 = 64;

pub(crate) struct Router {
    over: Arc<AtomicBool>,
    hop_limit: Arc<AtomicU8>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Router {
    /// Has `node` advertise on the LAN several times a second.
    pub(crate) fn start(node: &Node, advertisement: Advertisement) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let hop_limit = Arc::new(AtomicU8::new(HOP_LIMIT));
        let (place, stop, hops) = (node.place().clone(), over.clone(), hop_limit.clone());
        let send = move || -> Result<(), String> {
            let sent = place.enter(|| advertise(advertisement, &hops, &stop)).map_err(|error| error.to_string())?;
            sent.map_err(|error| error.to_string())
        };
        Self { over, hop_limit, thread: Some(std::thread::spawn(send)) }
    }

    /// Advertises another hop limit from now on, and returns it: a host that has it has accepted a later advertisement.
    pub(crate) fn change_hop_limit(&self) -> u8 {
        self.hop_limit.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn stop(mut self) -> Result<(), Error> {
        self.over.store(true, Ordering::Relaxed);
        let sent = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(Ok(()));
        sent.map_err(|why| Error::System { doing: "advertise".into(), source: io::Error::other(why) })
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn advertise(advertisement: Advertisement, hop_limit: &AtomicU8, over: &AtomicBool) -> nix::Result<()> {
    let link = if_nametoindex("eth0")?;
    let raw = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::IcmpV6)?;
    // Hosts ignore advertisements with less, which came over a router.
    setsockopt(&raw, sockopt::Ipv6MulticastHops, &255)?;
    let to = SockaddrIn6::from(SocketAddrV6::new(EVERY_NODE, 0, 0, link));
    while !over.load(Ordering::Relaxed) {
        let bytes = advertisement.bytes(hop_limit.load(Ordering::Relaxed));
        sendmsg(raw.as_raw_fd(), &[IoSlice::new(&bytes)], &[], MsgFlags::empty(), Some(&to))?;
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
