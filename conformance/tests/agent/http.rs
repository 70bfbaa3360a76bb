//! The agent's health and metrics: served at the configured address only, without secrets, and still served while other
//! clients only hold connections or send without end.
//!
//! ```text
//!   node1 (agent --listen 172.31.0.1:9900) ──┬── node2, which holds every connection it can
//!                                           lan
//! ```

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, Place, eventually, within};

const SOON: Duration = Duration::from_secs(10);

/// Twice as many connections as the agent serves at once.
const CROWD: usize = 150;

fn address(node: &Node) -> SocketAddr {
    SocketAddr::new(node.v4(), 9900)
}

fn connect(from: &Place, to: SocketAddr) -> Result<std::io::Result<TcpStream>, Error> {
    from.enter(|| {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        Ok(stream)
    })
}

/// The whole answer to one request.
fn ask(from: &Place, to: SocketAddr, path: &str) -> Result<String, String> {
    let mut stream = connect(from, to).map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let mut said = String::new();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .and_then(|()| stream.read_to_string(&mut said))
        .map_err(|error| error.to_string())?;
    Ok(said)
}

fn is_healthy(from: &Place, to: SocketAddr) -> Result<(), String> {
    let said = ask(from, to, "/healthz")?;
    if said.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(said) }
}

/// The agent's memory, KiB.
fn resident(agent: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{agent}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn with_an_agent(test: impl FnOnce(&Node, &Node, u32) -> Result<(), Error>) -> Result<(), Error> {
    let lab = Lab::new(2)?;
    let [one, two] = lab.these();
    let agent = one.agent(&["--listen", &address(one).to_string()])?;
    eventually(SOON, "the agent is well", || is_healthy(two.place(), address(one)))?;
    test(one, two, agent.id())
}

#[test]
fn the_agent_listens_at_its_configured_address_only_and_serves_no_pod_or_file_data() {
    within(|| {
        with_an_agent(|one, two, _| {
            let (port, own) = (address(one).port(), one.v6());
            for other in [SocketAddr::new(own, port), SocketAddr::from(([127, 0, 0, 1], port))] {
                assert!(connect(one.place(), other)?.is_err(), "{other}");
            }
            let secret = one.pod("secret-name")?;
            let added = secret.add(&one.podnet())?;
            for path in
                ["/metrics", "/readyz", "/healthz", "/", "/../run/podlan/node.json", "//metrics", "/metrics/../x"]
            {
                let said = ask(two.place(), address(one), path)
                    .map_err(|said| Error::Unreadable { from: path.into(), said })?;
                for word in ["secret-name", &added.v4()?.to_string(), "/run/"] {
                    assert!(!said.contains(word), "{path} has {word}: {said}");
                }
            }
            let mut stream =
                connect(two.place(), address(one))?.map_err(|source| Error::System { doing: "ask".into(), source })?;
            let mut said = String::new();
            let post = stream
                .write_all(b"POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            post.and_then(|()| stream.read_to_string(&mut said))
                .map_err(|source| Error::System { doing: "post".into(), source })?;
            assert!(said.starts_with("HTTP/1.1 405"), "{said}");
            secret.del(&one.podnet())
        })
    });
}

#[test]
fn health_is_served_while_many_clients_hold_connections_without_a_complete_request() {
    within(|| {
        with_an_agent(|one, two, agent| {
            let before = resident(agent);
            for half in ["", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-", "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"] {
                let mut crowd = Vec::new();
                for _ in 0..CROWD {
                    if let Ok(mut stream) = connect(two.place(), address(one))? {
                        stream.write_all(half.as_bytes()).ok();
                        crowd.push(stream);
                    }
                }
                assert!(crowd.len() > CROWD / 2, "{}", crowd.len());
                let said =
                    |said| Error::Unreadable { from: format!("the agent with many clients that sent {half:?}"), said };
                is_healthy(two.place(), address(one)).map_err(said)?;
                ask(two.place(), address(one), "/metrics").map_err(said)?;
            }
            assert!(resident(agent) < before + 8 * 1024, "{before} KiB before, {} KiB after", resident(agent));
            Ok(())
        })
    });
}

/// Endless headers and an endless request line, and a request sent byte by byte.
#[test]
fn a_client_that_sends_an_endless_request_is_disconnected() {
    within(|| {
        with_an_agent(|one, two, agent| {
            let before = resident(agent);
            for start in ["GET /", "GET /healthz HTTP/1.1\r\nx: "] {
                let connected = connect(two.place(), address(one))?;
                let mut stream = connected.map_err(|source| Error::System { doing: "connect".into(), source })?;
                stream.write_all(start.as_bytes()).ok();
                let mut written = 0usize;
                while written < 64 << 20 {
                    match stream.write(&[b'a'; 64 * 1024]) {
                        Ok(count) => written += count,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(_) => break,
                    }
                }
                assert!(written < 16 << 20, "{written} bytes of a request were read");
            }
            let connected = connect(two.place(), address(one))?;
            let mut drops = connected.map_err(|source| Error::System { doing: "connect".into(), source })?;
            // Between two bytes it waits for the end of the connection.
            drops.set_read_timeout(Some(Duration::from_millis(200))).ok();
            eventually(2 * SOON, "a client that sends byte by byte is disconnected", || {
                let read = drops.read(&mut [0; 512]);
                match read.map_err(|error| error.kind()) {
                    Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) if drops.write_all(b"G").is_ok() => {
                        Err("it is still connected".to_owned())
                    }
                    Ok(read) if read > 0 => Err("it got an answer".to_owned()),
                    _ => Ok(()),
                }
            })?;
            assert!(resident(agent) < before + 8 * 1024, "{before} KiB before, {} KiB after", resident(agent));
            is_healthy(two.place(), address(one)).map_err(|said| Error::Unreadable { from: "the agent".into(), said })
        })
    });
}
