//! The servers: TCP, UDP and an ICMP receiver, for both families, until they are killed.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;

use super::echo::Echo;
use super::patience;
use super::reply;
use super::socket::{any, datagrams, icmp, listener};

/// How many echo requests are remembered.
const MEMORY: usize = 100_000;
/// The longest request.
const REQUEST: u64 = 256;

/// The source of each token, and a condition variable for new ones.
#[derive(Default)]
struct Pings {
    sources: Mutex<HashMap<Vec<u8>, IpAddr>>,
    changed: Condvar,
}

impl Pings {
    fn note(&self, token: &[u8], source: IpAddr) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= MEMORY {
            sources.clear();
        }
        sources.insert(token.to_owned(), source);
        self.changed.notify_all();
    }

    /// Waits for the ICMP receiver: the kernel answers an echo before the receiver has the request.
    fn source(&self, token: &[u8]) -> Option<IpAddr> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |sources: &mut HashMap<Vec<u8>, IpAddr>| !sources.contains_key(token);
        let waited = self.changed.wait_timeout_while(sources, patience() / 2, missing);
        waited.unwrap_or_else(PoisonError::into_inner).0.get(token).copied()
    }
}

/// Serves on `port` until killed; writes `ready` to `out` once the sockets are open.
///
/// Protocol, for both transports: a line `who` is answered with the client's address; over TCP a line `ping TOKEN` with
/// the source of the echo request that carried the token, or `nobody`; after a line `hold` each further line is sent
/// back; an HTTP request is answered with the client's address too, for kubelet's probes.
///
/// # Errors
/// When an IPv4 socket cannot be opened; IPv6 is left out where the kernel has none.
pub fn serve(port: u16, out: &mut impl Write) -> io::Result<()> {
    let pings = Arc::new(Pings::default());
    for v6 in [false, true] {
        let at = SocketAddr::new(any(v6), port);
        let (tcp, udp, socket) = match (listener(at), datagrams(at), icmp(any(v6))) {
            (Err(error), _, _) if v6 && is_absent(&error) => continue,
            (tcp, udp, socket) => (tcp?, udp?, socket?),
        };
        let known = Arc::clone(&pings);
        thread::spawn(move || accept(&tcp, &known));
        reply::prepare(&udp, v6)?;
        thread::spawn(move || {
            loop {
                // A client that has left meanwhile is no error of the server.
                reply::once(&udp, |client| client.to_string()).ok();
            }
        });
        let known = Arc::clone(&pings);
        thread::spawn(move || listen(v6, &socket, &known));
    }
    writeln!(out, "ready")?;
    out.flush()?;
    loop {
        thread::park();
    }
}

fn is_absent(error: &io::Error) -> bool {
    let absent = [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| absent.contains(&Errno::from_raw(code)))
}

fn accept(listener: &TcpListener, pings: &Arc<Pings>) {
    for client in listener.incoming().flatten() {
        let pings = Arc::clone(pings);
        // A client that disconnects early is no error of the server.
        thread::spawn(move || converse(&client, &pings).ok());
    }
}

fn converse(client: &TcpStream, pings: &Pings) -> io::Result<()> {
    client.set_read_timeout(Some(patience()))?;
    client.set_write_timeout(Some(patience()))?;
    let mut request = String::new();
    let mut reader = BufReader::new(client);
    reader.by_ref().take(REQUEST).read_line(&mut request)?;
    if request.trim_end() == "hold" {
        return send_back(reader, client);
    }
    let answer = match request.trim_end().split_once(' ') {
        Some(("GET", _)) => return over_http(reader, client),
        Some(("ping", token)) => {
            pings.source(token.as_bytes()).map_or_else(|| "nobody".to_owned(), |source| source.to_string())
        }
        _ => client.peer_addr()?.ip().to_string(),
    };
    let mut client = client;
    writeln!(client, "{answer}")
}

fn send_back(mut reader: BufReader<&TcpStream>, mut client: &TcpStream) -> io::Result<()> {
    let mut line = Vec::new();
    while reader.by_ref().take(REQUEST).read_until(b'\n', &mut line)? > 0 {
        client.write_all(&line)?;
        line.clear();
    }
    Ok(())
}

fn over_http(mut reader: BufReader<&TcpStream>, mut client: &TcpStream) -> io::Result<()> {
    let mut header = String::new();
    while reader.by_ref().take(REQUEST).read_line(&mut header)? > 0 && !header.trim_end().is_empty() {
        header.clear();
    }
    write!(client, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{}\n", client.peer_addr()?.ip())
}

fn listen(v6: bool, socket: &UdpSocket, pings: &Arc<Pings>) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
        let Some(echo) = Echo::read(v6, &buffer[..length]).filter(|echo| echo.is_request) else { continue };
        pings.note(echo.token, client.ip());
    }
}
