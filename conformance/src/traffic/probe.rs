//! The client: asks a server which address it sees.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime};

use super::echo::ping;
use super::socket::{any, connection, datagrams};
use super::{Answer, Protocol, Report, Target, patience};

/// Asks the server on `port` of the target which address it sees, from the address `from` where that is given. Always
/// returns within a few times [`patience`].
#[must_use]
pub fn probe(target: Target, port: u16, from: Option<IpAddr>) -> Report {
    let to = SocketAddr::new(target.address, port);
    let seen = match target.protocol {
        Protocol::Tcp => ask(to, from, "who"),
        Protocol::Udp => datagram(to, from),
        Protocol::Icmp => echo(to, from),
    };
    let seen = seen.and_then(|text| {
        text.parse().map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("the server answered {text:?}")))
    });
    Report { target, answer: seen.map_or_else(|error| Answer::Silent(error.to_string()), Answer::Saw) }
}

pub(super) fn ask(to: SocketAddr, from: Option<IpAddr>, question: &str) -> io::Result<String> {
    let mut server = connection(to, from)?;
    writeln!(server, "{question}")?;
    let mut answer = String::new();
    BufReader::new(server.take(256)).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

fn datagram(to: SocketAddr, from: Option<IpAddr>) -> io::Result<String> {
    let socket = datagrams(SocketAddr::new(from.unwrap_or_else(|| any(to.is_ipv6())), 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(patience() / 4))?;
    let mut buffer = [0; 256];
    let until = Instant::now() + patience();
    loop {
        socket.send(b"who")?;
        match socket.recv(&mut buffer) {
            Ok(length) => return Ok(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {}
            Err(error) => return Err(error),
        }
    }
}

/// The kernel answers an echo request; the server beside it is then asked for the request's source.
fn echo(to: SocketAddr, from: Option<IpAddr>) -> io::Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let token = format!("{now:x}-{:x}-{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    ping(SocketAddr::new(to.ip(), 0), from, token.as_bytes())?;
    ask(to, from, &format!("ping {token}"))
}
