//! The flows: a TCP stream, requests and answers, connections, small datagrams. A client and a server, each on a thread
//! in its pod, for a slice of time.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podlan_conformance::lab::Place;

use crate::Failure;

const PORT: u16 = 5201;

/// A write of the stream.
const CHUNK: usize = 128 * 1024;

/// The payload of a small datagram.
const SMALL: usize = 64;

/// How long a peer may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// One kind of traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flow {
    /// As many bytes as one connection carries.
    Stream,
    /// One byte there, one byte back, again and again.
    Requests,
    /// Connections opened and closed, one after another.
    Connections,
    /// Datagrams of 64 bytes, as many as arrive.
    Datagrams,
}

/// All of them.
pub(crate) const ALL: [Flow; 4] = [Flow::Stream, Flow::Requests, Flow::Connections, Flow::Datagrams];

/// The case, its unit, and the value.
pub(crate) type Measured = (&'static str, &'static str, f64);

impl Flow {
    /// Sends from a client's place to a server's for a while.
    pub(crate) fn measure(
        self,
        client: &Place,
        server: &Place,
        to: IpAddr,
        slice: Duration,
    ) -> Result<Vec<Measured>, Failure> {
        let at = SocketAddr::new(to, PORT);
        match self {
            Self::Stream => {
                let listener = server.enter(|| TcpListener::bind(at))??;
                let received = beside(|| sink(&listener), || client.enter(|| pour(at, slice))?)?;
                Ok(vec![("TCP stream", "Gbit/s", received * 8.0 / 1e9)])
            }
            Self::Requests => {
                let listener = server.enter(|| TcpListener::bind(at))??;
                let times = beside_first(|| echo(&listener), || client.enter(|| ask(at, slice))?)?;
                Ok(answers(times))
            }
            Self::Connections => {
                let listener = server.enter(|| TcpListener::bind(at))??;
                let stop = AtomicBool::new(false);
                let rate = beside_first(
                    || welcome(&listener, &stop),
                    || {
                        let rate = client.enter(|| knock(at, slice));
                        stop.store(true, Ordering::Relaxed);
                        // Wakes the listener.
                        client.enter(|| TcpStream::connect(at))??;
                        rate?
                    },
                )?;
                Ok(vec![("TCP connections", "1/s", rate)])
            }
            Self::Datagrams => {
                let socket = server.enter(|| UdpSocket::bind(at))??;
                let received = beside(|| count(&socket, slice), || client.enter(|| flood(at, slice))?)?;
                Ok(vec![("UDP, 64 bytes", "1/s", received)])
            }
        }
    }
}

/// Runs both at once; returns the server's value.
fn beside<T: Send>(
    server: impl FnOnce() -> Result<T, Failure> + Send,
    client: impl FnOnce() -> Result<(), Failure>,
) -> Result<T, Failure> {
    thread::scope(|scope| {
        let server = scope.spawn(server);
        let sent = client();
        let received = server.join().map_err(|_| "the server panicked")?;
        sent?;
        received
    })
}

/// Runs both at once; returns the client's value.
fn beside_first<T>(
    server: impl FnOnce() -> Result<(), Failure> + Send,
    client: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut value = None;
    beside(server, || {
        value = Some(client()?);
        Ok(())
    })?;
    value.ok_or_else(|| "no value".into())
}

fn accept(listener: &TcpListener) -> Result<TcpStream, Failure> {
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Bytes a second, from the first to the last.
fn sink(listener: &TcpListener) -> Result<f64, Failure> {
    let mut stream = accept(listener)?;
    let mut buffer = vec![0; CHUNK];
    let began = Instant::now();
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            more => bytes += more,
        }
    }
    Ok(rate(bytes, began.elapsed()))
}

fn pour(at: SocketAddr, slice: Duration) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(at)?;
    let chunk = vec![0; CHUNK];
    let began = Instant::now();
    while began.elapsed() < slice {
        stream.write_all(&chunk)?;
    }
    Ok(())
}

fn echo(listener: &TcpListener) -> Result<(), Failure> {
    let mut stream = accept(listener)?;
    stream.set_nodelay(true)?;
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 {
        stream.write_all(&byte)?;
    }
    Ok(())
}

/// The time of each request and answer, microseconds, sorted.
fn ask(at: SocketAddr, slice: Duration) -> Result<Vec<f64>, Failure> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut times, mut byte, began) = (Vec::new(), [0], Instant::now());
    while began.elapsed() < slice {
        let sent = Instant::now();
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        times.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn answers(times: Vec<f64>) -> Vec<Measured> {
    let total: f64 = times.iter().sum();
    let at = |hundredth: usize| times.get(times.len() * hundredth / 100).copied().unwrap_or(f64::NAN);
    vec![
        ("TCP requests", "1/s", rate(times.len(), Duration::from_secs_f64(total / 1e6))),
        ("TCP request, median", "us", at(50)),
        ("TCP request, p99", "us", at(99)),
    ]
}

fn welcome(listener: &TcpListener, stop: &AtomicBool) -> Result<(), Failure> {
    while !stop.load(Ordering::Relaxed) {
        drop(listener.accept()?);
    }
    Ok(())
}

/// Connections a second. The server closes first: the client's ports are free again at once.
fn knock(at: SocketAddr, slice: Duration) -> Result<f64, Failure> {
    let began = Instant::now();
    let mut opened = 0;
    while began.elapsed() < slice {
        let mut stream = TcpStream::connect(at)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // The end of the connection.
        match stream.read(&mut [0]) {
            Ok(_) => opened += 1,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => opened += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rate(opened, began.elapsed()))
}

/// Datagrams a second, while they arrive.
fn count(socket: &UdpSocket, slice: Duration) -> Result<f64, Failure> {
    socket.set_read_timeout(Some(slice + PATIENCE))?;
    let mut buffer = [0; SMALL];
    socket.recv(&mut buffer)?;
    let (began, mut received) = (Instant::now(), 0);
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    while began.elapsed() < slice && socket.recv(&mut buffer).is_ok() {
        received += 1;
    }
    Ok(rate(received, began.elapsed()))
}

fn flood(at: SocketAddr, slice: Duration) -> Result<(), Failure> {
    let any: IpAddr =
        if at.is_ipv6() { std::net::Ipv6Addr::UNSPECIFIED.into() } else { std::net::Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(at)?;
    let (datagram, began) = ([0; SMALL], Instant::now());
    // A little longer than they are counted.
    while began.elapsed() < slice + slice / 10 {
        // A datagram without room or without a receiver is lost, as datagrams are.
        let _ = socket.send(&datagram);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
