//! What probes cost: `cargo run --release -p podlan-probes --example peers -- [SECONDS] [PEERS ...]` runs the agent's part with
//! its endpoint in the kernel and real sockets, among so many peers of both families that all answer, and prints packets a
//! second, the processor's share, memory and how often it woke. Needs unshare(1) and ip(8), no root.
//!
//! ```text
//!   namespace of the part: podprobe0 ══ podlprobe ── forwarded ── eth0 ══ eth0: namespace of the peers, all addresses local,
//!                                                                         one socket for each family answers
//! ```
#![expect(clippy::print_stdout, reason = "the figures")]

use std::error::Error;
use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netlink::Family;
use nix::sys::socket::sockopt::{IpTransparent, Ipv4PacketInfo, Ipv6RecvPacketInfo, Ipv6V6Only};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrIn6,
    SockaddrStorage, bind, recvmsg, sendmsg, setsockopt, socket,
};
use parts::{Activity, Output};
use probes::machine::{OwnAddress, Peer, Wanted};
use probes::wire::{Datagram, Message, Opinion, Standing};
use probes::{Options, PORT, Probed};
use tokio::sync::{Notify, watch};

type Outcome = Result<(), Box<dyn Error>>;

/// The default of `--probe-rate`.
const RATE: u32 = 200;
/// A minute for the first round of 5,000 peers and both families, and one that is measured.
const SECONDS: u64 = 65;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("inside") => inside(arguments[1].parse()?, arguments[2].parse()?),
        Some("answer") => answer(),
        _ => {
            let seconds = arguments.first().map_or(Ok(SECONDS), |seconds| seconds.parse())?;
            let peers: Vec<u32> = arguments.iter().skip(1).map(|peers| peers.parse()).collect::<Result<_, _>>()?;
            println!(
                "| peers | all judged after | requests a second | answers a second | most in one | of a core | resident | wakes a second |"
            );
            println!("|---|---|---|---|---|---|---|---|");
            for peers in if peers.is_empty() { vec![2, 400, 5000] } else { peers } {
                let mut unshare = Command::new("unshare");
                unshare.args(["--user", "--map-root-user", "--net"]).arg(std::env::current_exe()?);
                let status = unshare.args(["inside", &seconds.to_string(), &peers.to_string()]).status()?;
                if !status.success() {
                    return Err(format!("{peers} peers: {status}").into());
                }
            }
            Ok(())
        }
    }
}

fn shell(script: &str) -> Outcome {
    let done = Command::new("sh").args(["-ec", script]).output()?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into()) }
}

/// The end of a child process.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn inside(seconds: u64, peers: u32) -> Outcome {
    let child = Command::new("unshare").arg("--net").arg(std::env::current_exe()?).arg("answer").spawn()?;
    let _ended = Ended(child);
    let pid = _ended.0.id();
    shell(&format!(
        "until [ $(readlink /proc/{pid}/ns/net) != $(readlink /proc/self/ns/net) ]; do sleep 0.05; done
         ip link set lo up
         ip link add eth0 type veth peer name eth0 netns {pid}
         sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.eth0.accept_dad=0
         ip addr add 172.31.0.1/24 dev eth0; ip -6 addr add fd31::1/64 dev eth0 nodad; ip link set eth0 up
         ip route add 10.0.0.0/8 via 172.31.0.2; ip -6 route add fd10::/16 via fd31::2"
    ))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(seconds, peers))
}

fn v4(node: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0001 + (node << 8)).into()
}

fn v6(node: u32) -> IpAddr {
    Ipv6Addr::new(0xfd10, 0, u16::try_from(node).unwrap_or_default(), 0, 0, 0, 0, 1).into()
}

fn wanted(peers: u32) -> Wanted {
    let name = |node: u32| -> Arc<str> { format!("node{node:05}").into() };
    let of = |node: u32| {
        [(Family::V4, v4(node)), (Family::V6, v6(node))].map(|(family, probe)| {
            Arc::new(Peer { name: name(node), probe: Some(probe), family, node: None, mtu: 1500, on_link: false })
        })
    };
    Wanted {
        me: name(0),
        own: [OwnAddress::At(v4(0)), OwnAddress::At(v6(0))],
        node: [Some([172, 31, 0, 1].into()), None],
        peers: Arc::new((1..=peers).flat_map(of).collect()),
    }
}

async fn measure(seconds: u64, peers: u32) -> Outcome {
    let request = Datagram {
        nonce: 1,
        standing: Standing::Open,
        opinion: Opinion::None,
        message: Message::Request { about: None },
    };
    for (own, peer) in [("172.31.0.1:0", v4(1)), ("[fd31::1]:0", v6(1))] {
        let socket = std::net::UdpSocket::bind(own)?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let until = Instant::now() + Duration::from_secs(30);
        while socket.send_to(&request.write(64), (peer, PORT)).and_then(|_| socket.recv(&mut [0; 64])).is_err() {
            if Instant::now() > until {
                return Err(format!("{peer} does not answer").into());
            }
        }
    }
    let (_sender, wanted) = watch::channel(Some(wanted(peers)));
    let (output, probed) = Output::new(Probed::default(), Arc::new(Notify::new()));
    let answered = Arc::new(AtomicU64::new(0));
    let counted = answered.clone();
    let sample = Arc::new(move |_: Duration| _ = counted.fetch_add(1, Ordering::Relaxed));
    let options = Options { on: true, port: PORT, rate: RATE, wanted, sample, output };
    let part = probes::keep(options, Activity::default());
    let figures = figures(seconds, peers, probed, answered);
    tokio::select! {
        why = part => Err(why.into()),
        done = figures => done,
    }
}

/// How many paths are open, as was reported last.
fn opened(probed: &watch::Receiver<Probed>) -> usize {
    let probed = probed.borrow();
    let of = |family: &str| probed.paths.as_ref().and_then(|paths| paths.counts.get(family)?.get("open").copied());
    ["ipv4", "ipv6"].into_iter().filter_map(of).sum()
}

/// The requests that were sent until the next report, and its time. Reports come each 10 s at the latest.
async fn requests(probed: &mut watch::Receiver<Probed>) -> Result<(u64, Instant), Box<dyn Error>> {
    probed.borrow_and_update();
    probed.changed().await?;
    Ok((probed.borrow_and_update().counts.requests, Instant::now()))
}

/// What the process took so far: ticks of 10 ms, memory in kB, and how often it slept.
fn taken() -> Result<(u64, u64, u64), Box<dyn Error>> {
    let (status, stat) = (fs::read_to_string("/proc/self/status")?, fs::read_to_string("/proc/self/stat")?);
    let of =
        |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok((ticks, of("VmRSS:").unwrap_or(0), of("voluntary_ctxt_switches:").unwrap_or(0)))
}

async fn figures(seconds: u64, peers: u32, mut probed: watch::Receiver<Probed>, answered: Arc<AtomicU64>) -> Outcome {
    let begun = Instant::now();
    let all = usize::try_from(2 * peers)?;
    while opened(&probed) < all {
        if begun.elapsed() > Duration::from_secs(300) {
            return Err(format!("{} of {all} paths are open: {:?}", opened(&probed), probed.borrow().paths).into());
        }
        let _late = tokio::time::timeout(Duration::from_secs(1), probed.changed()).await;
        probed.borrow_and_update();
    }
    let first = begun.elapsed();
    let (sent, from) = requests(&mut probed).await?;
    let before = taken()?;
    let (came, mut most, mut last) = (answered.load(Ordering::Relaxed), 0.0_f64, Instant::now());
    let mut until_now = came;
    while from.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = answered.load(Ordering::Relaxed);
        most = most.max((now - until_now) as f64 / last.elapsed().as_secs_f64());
        (until_now, last) = (now, Instant::now());
    }
    let (after, took) = (taken()?, from.elapsed().as_secs_f64());
    let came = (until_now - came) as f64 / took;
    let (sent_later, later) = requests(&mut probed).await?;
    let sent = (sent_later - sent) as f64 / later.duration_since(from).as_secs_f64();
    println!(
        "| {peers} | {:.1} s | {sent:.1} | {came:.1} | {most:.0} | {:.2} % | {:.1} MB | {:.1} |",
        first.as_secs_f64(),
        (after.0 - before.0) as f64 / took, // 100 ticks are a second of a core.
        after.1 as f64 / 1024.0,
        (after.2 - before.2) as f64 / took - 1.0, // One is this function's.
    );
    Ok(())
}

/// Answers as the agents of all peers.
fn answer() -> Outcome {
    shell(
        "until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
         ip link set lo up; ip link set eth0 up
         ip addr add 172.31.0.2/24 dev eth0; ip -6 addr add fd31::2/64 dev eth0 nodad
         ip route add 10.0.0.1/32 via 172.31.0.1 table local; ip -6 route add fd10::1/128 via fd31::1 table local
         ip route add local 10.0.0.0/8 dev lo; ip -6 route add local fd10::/16 dev lo",
    )?;
    let v4 = thread::spawn(|| serve(AddressFamily::Inet).map_err(|error| error.to_string()));
    serve(AddressFamily::Inet6)?;
    v4.join().map_err(|_| "a thread ended")??;
    Ok(())
}

fn serve(family: AddressFamily) -> Outcome {
    let fd: OwnedFd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // It answers from addresses that no link has.
    setsockopt(&fd, IpTransparent, &true)?;
    if family == AddressFamily::Inet {
        setsockopt(&fd, Ipv4PacketInfo, &true)?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)))?;
    } else {
        setsockopt(&fd, Ipv6RecvPacketInfo, &true)?;
        setsockopt(&fd, Ipv6V6Only, &true)?;
        bind(fd.as_raw_fd(), &SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0)))?;
    }
    let mut buffer = vec![0; 65_535];
    loop {
        let mut control = nix::cmsg_space!(nix::libc::in6_pktinfo);
        let (from, length, to) = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let got = recvmsg::<SockaddrStorage>(fd.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
            (got.address, got.bytes, got.cmsgs()?.next())
        };
        let (Some(from), Some(to)) = (from, to) else { continue };
        let seen = from.as_sockaddr_in().map(|from| IpAddr::V4(from.ip()));
        let Some(seen) = seen.or_else(|| from.as_sockaddr_in6().map(|from| IpAddr::V6(from.ip()))) else { continue };
        let Some(Datagram { nonce, .. }) = Datagram::read(&buffer[..length]) else { continue };
        let message = Message::Answer { seen, earlier: None };
        let bytes = Datagram { nonce, standing: Standing::Open, opinion: Opinion::Open, message }.write(length);
        let parts = [IoSlice::new(&bytes)];
        let sent = match to {
            ControlMessageOwned::Ipv4PacketInfo(mut info) => {
                // The address that was asked answers.
                info.ipi_spec_dst = info.ipi_addr;
                info.ipi_ifindex = 0;
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(fd.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&from))
            }
            ControlMessageOwned::Ipv6PacketInfo(mut info) => {
                info.ipi6_ifindex = 0;
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(fd.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&from))
            }
            _ => continue,
        };
        sent?;
    }
}
