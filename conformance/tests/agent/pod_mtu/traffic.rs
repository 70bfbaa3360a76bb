//! Full-size packets between two pods in both directions, and the drops of the links on their path.
//!
//! The sizes: datagrams of 3,000 bytes, which their sender fragments to its own MTU, and which need no answer; echoes
//! of 1,300 bytes fit every MTU of the test, and each must come back; a TCP connection carries bytes in both
//! directions.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use podlan_conformance::lab::{Added, Error, Place, Pod, Running, eventually};

use super::{SOON, failed};

const PAUSE: Duration = Duration::from_millis(2);
const ECHO: u16 = 4000;
const SINK: u16 = 4001;
const STREAM: u16 = 4002;

/// The packets in flight.
pub(super) struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    before: u64,
}

struct Shared {
    stop: AtomicBool,
    echoes: AtomicU64,
    carried: AtomicU64,
    lost: Mutex<Vec<String>>,
    places: [Place; 3],
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn lose(&self, what: String) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// The drops of the ends of pod links that transmit.
    fn dropped(&self) -> Result<u64, Error> {
        let mut sum = 0;
        for place in &self.places {
            let table = place.enter(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?;
            let table = table.map_err(failed("read what links dropped"))?;
            for line in table.lines() {
                let Some((name, fields)) = line.split_once(':') else { continue };
                let dropped = fields.split_whitespace().nth(11).and_then(|text| text.parse::<u64>().ok());
                let of_pods = name.trim().starts_with("podl") || place.name() != self.places[0].name();
                sum += dropped.filter(|_| of_pods).unwrap_or_default();
            }
        }
        Ok(sum)
    }
}

impl Traffic {
    /// Starts traffic between two pods of one node.
    pub(super) fn start(web: &Pod<'_>, client: &Pod<'_>, at_web: &Added) -> Result<Self, Error> {
        let places = [web.node().place().clone(), web.place().clone(), client.place().clone()];
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            echoes: AtomicU64::new(0),
            carried: AtomicU64::new(0),
            lost: Mutex::new(Vec::new()),
            places,
        });
        let before = shared.dropped()?;
        let mut traffic = Self { shared, threads: Vec::new(), before };
        for address in at_web.ips() {
            let bound = web.place().enter(|| -> std::io::Result<_> {
                let sockets = (UdpSocket::bind((address, ECHO))?, UdpSocket::bind((address, SINK))?);
                Ok((sockets, TcpListener::bind((address, STREAM))?))
            })?;
            let ((echo, sink), listener) = bound.map_err(failed("listen in a pod"))?;
            let dialled = client.place().enter(|| -> std::io::Result<_> {
                let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
                let echo = UdpSocket::bind((any, 0))?;
                echo.connect((address, ECHO))?;
                let flood = UdpSocket::bind((any, 0))?;
                flood.connect((address, SINK))?;
                let own = SocketAddr::new(echo.local_addr()?.ip(), SINK);
                let back = UdpSocket::bind(own)?;
                Ok((echo, flood, back, own, TcpStream::connect((address, STREAM))?))
            })?;
            let (asking, flood, back, own, stream) = dialled.map_err(failed("dial from a pod"))?;
            let (accepted, _) = listener.accept().map_err(failed("accept in a pod"))?;
            for stream in [&stream, &accepted] {
                stream.set_read_timeout(Some(SOON)).map_err(failed("set a timeout"))?;
                stream.set_write_timeout(Some(SOON)).map_err(failed("set a timeout"))?;
            }
            for socket in [&echo, &sink, &back] {
                socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(failed("set a timeout"))?;
            }
            asking.set_read_timeout(Some(SOON)).map_err(failed("set a timeout"))?;
            traffic.run(move |shared| answer(&shared, &echo));
            traffic.run(move |shared| ask(&shared, &asking));
            // Received packets are read, so that no buffer overflows.
            traffic.run(move |shared| pour(&shared, &flood, None));
            traffic.run(move |shared| pour(&shared, &sink, Some(own)));
            traffic.run(move |shared| {
                while shared.goes_on() {
                    let _ = back.recv(&mut [0; 4000]);
                }
            });
            traffic.run(move |shared| give_back(&shared, accepted));
            traffic.run(move |shared| carry(&shared, stream));
        }
        Ok(traffic)
    }

    fn run(&mut self, body: impl FnOnce(Arc<Shared>) + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        self.threads.push(spawn(move || body(shared)));
    }

    /// Waits until more of each kind of traffic has passed.
    pub(super) fn flows(&self, agent: &Running) -> Result<(), Error> {
        let count = || [&self.shared.echoes, &self.shared.carried].map(|count| count.load(Ordering::Relaxed));
        let [echoes, carried] = count();
        eventually(SOON, "traffic flows on", || {
            let lost = self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner);
            match count() {
                [now, _] if now < echoes + 50 => Err(format!("{} echoes, {lost:?}, {}", now - echoes, agent.stderr())),
                [_, now] if now < carried + 500_000 => Err(format!("{} bytes, {lost:?}", now - carried)),
                _ if lost.is_empty() => Ok(()),
                _ => Err(format!("{lost:?}")),
            }
        })
    }

    /// The number of packets dropped since the start.
    pub(super) fn dropped(&self) -> Result<u64, Error> {
        Ok(self.shared.dropped()? - self.before)
    }

    /// Ends it; returns how many packets were dropped.
    pub(super) fn stop(self) -> Result<u64, Error> {
        let dropped = self.dropped();
        let shared = Arc::clone(&self.shared);
        drop(self);
        let lost = shared.lost.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(lost.is_empty(), "{lost:?}");
        dropped
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has printed that already.
            let _ = thread.join();
        }
    }
}

fn answer(shared: &Shared, socket: &UdpSocket) {
    let mut buffer = [0; 4000];
    // After the clients have ended: a request in flight is answered.
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => drop(socket.send_to(&buffer[..length], from)),
            Err(_quiet) if !shared.goes_on() => return,
            Err(_quiet) => {}
        }
    }
}

fn ask(shared: &Shared, socket: &UdpSocket) {
    let mut number = 0u64;
    while shared.goes_on() {
        number += 1;
        let mut datagram = [0; 1300];
        datagram[..8].copy_from_slice(&number.to_ne_bytes());
        let mut back = [0; 1300];
        let answered = socket.send(&datagram).and_then(|_| socket.recv(&mut back));
        match answered {
            Ok(_) if back == datagram => drop(shared.echoes.fetch_add(1, Ordering::Relaxed)),
            other => return shared.lose(format!("echo {number}: {other:?}")),
        }
        sleep(PAUSE);
    }
}

/// Sends to the connected peer, or to `to`, and reads what arrives.
fn pour(shared: &Shared, socket: &UdpSocket, to: Option<SocketAddr>) {
    while shared.goes_on() {
        // A datagram that is larger than a path that just shrank is refused, and the next one is fragmented to fit.
        let _ = match to {
            Some(to) => socket.send_to(&[0; 3000], to),
            None => socket.send(&[0; 3000]),
        };
        if to.is_some() {
            let _ = socket.recv(&mut [0; 4000]);
        }
        sleep(PAUSE);
    }
}

fn carry(shared: &Shared, mut stream: TcpStream) {
    let (sent, mut back) = (vec![7; 64 * 1024], vec![0; 64 * 1024]);
    while shared.goes_on() {
        match stream.write_all(&sent).and_then(|()| stream.read_exact(&mut back)) {
            Ok(()) => drop(shared.carried.fetch_add(sent.len() as u64, Ordering::Relaxed)),
            Err(error) => return shared.lose(format!("stream: {error}")),
        }
        sleep(PAUSE);
    }
}

fn give_back(shared: &Shared, mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                if let Err(error) = stream.write_all(&buffer[..length])
                    && shared.goes_on()
                {
                    return shared.lose(format!("stream back: {error}"));
                }
            }
            Err(error) => {
                if shared.goes_on() {
                    shared.lose(format!("stream back: {error}"));
                }
                return;
            }
        }
    }
}
