//! The servers: TCP, UDP and an ear for ICMP, for both families, until they are killed.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;

use super::PATIENCE;
use super::echo::Echo;
use super::reply;
use super::socket::{any, datagrams, icmp, listener};

/// How many echo requests are remembered.
const MEMORY: usize = 100_000;
/// The longest question.
const QUESTION: u64 = 256;

/// Which token came from where, and a bell for news.
#[derive(Default)]
struct Pings {
    sources: Mutex<HashMap<Vec<u8>, IpAddr>>,
    news: Condvar,
}

impl Pings {
    fn note(&self, token: &[u8], source: IpAddr) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= MEMORY {
            sources.clear();
        }
        sources.insert(token.to_owned(), source);
        self.news.notify_all();
    }

    /// Waits a while for the ear: the kernel answers an echo before the server has heard of it.
    fn source(&self, token: &[u8]) -> Option<IpAddr> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let unheard = |sources: &mut HashMap<Vec<u8>, IpAddr>| !sources.contains_key(token);
        let waited = self.news.wait_timeout_while(sources, PATIENCE / 2, unheard);
        waited.unwrap_or_else(PoisonError::into_inner).0.get(token).copied()
    }
}

/// Serves on `port` until killed; says `ready` on `out` once it hears.
///
/// Protocol, for both transports: a line `who` is answered with the client's address; over TCP a line `ping TOKEN` with
/// the source of the echo request that carried the token, or `nobody`; after a line `hold` each further line comes back;
/// and an HTTP request is answered with the client's address too, for kubelet's probes.
///
/// # Errors
/// When a socket of IPv4 cannot be had; IPv6 is left out where the kernel has none.
pub fn serve(port: u16, out: &mut impl Write) -> io::Result<()> {
    let pings = Arc::new(Pings::default());
    for v6 in [false, true] {
        let at = SocketAddr::new(any(v6), port);
        let (tcp, udp, ear) = match (listener(at), datagrams(at), icmp(any(v6))) {
            (Err(error), _, _) if v6 && is_absent(&error) => continue,
            (tcp, udp, ear) => (tcp?, udp?, ear?),
        };
        let known = Arc::clone(&pings);
        thread::spawn(move || accept(&tcp, &known));
        reply::prepare(&udp, v6)?;
        thread::spawn(move || {
            loop {
                // A client that went meanwhile is its own trouble.
                reply::once(&udp, |client| client.to_string()).ok();
            }
        });
        let known = Arc::clone(&pings);
        thread::spawn(move || listen(v6, &ear, &known));
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
        // A client that breaks off is its own trouble.
        thread::spawn(move || converse(&client, &pings).ok());
    }
}

fn converse(client: &TcpStream, pings: &Pings) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut question = String::new();
    let mut heard = BufReader::new(client);
    heard.by_ref().take(QUESTION).read_line(&mut question)?;
    if question.trim_end() == "hold" {
        return give_back(heard, client);
    }
    let answer = match question.trim_end().split_once(' ') {
        Some(("GET", _)) => return over_http(heard, client),
        Some(("ping", token)) => {
            pings.source(token.as_bytes()).map_or_else(|| "nobody".to_owned(), |source| source.to_string())
        }
        _ => client.peer_addr()?.ip().to_string(),
    };
    let mut client = client;
    writeln!(client, "{answer}")
}

fn give_back(mut heard: BufReader<&TcpStream>, mut client: &TcpStream) -> io::Result<()> {
    let mut line = Vec::new();
    while heard.by_ref().take(QUESTION).read_until(b'\n', &mut line)? > 0 {
        client.write_all(&line)?;
        line.clear();
    }
    Ok(())
}

fn over_http(mut heard: BufReader<&TcpStream>, mut client: &TcpStream) -> io::Result<()> {
    let mut header = String::new();
    while heard.by_ref().take(QUESTION).read_line(&mut header)? > 0 && !header.trim_end().is_empty() {
        header.clear();
    }
    write!(client, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{}\n", client.peer_addr()?.ip())
}

fn listen(v6: bool, ear: &UdpSocket, pings: &Arc<Pings>) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, client)) = ear.recv_from(&mut buffer) else { continue };
        let Some(echo) = Echo::read(v6, &buffer[..length]).filter(|echo| echo.is_request) else { continue };
        pings.note(echo.token, client.ip());
    }
}
