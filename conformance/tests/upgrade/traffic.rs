//! What goes on while builds change: connections that must not be lost, and forged datagrams that must not pass.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use podlan_conformance::lab::{Error, Place, Pod, Running, binaries, eventually};

use crate::build::SOON;
use crate::runtime::Attached;
use crate::sockets::{PORT, Sockets, steal};

/// Between two rounds of forged datagrams.
const PAUSE: Duration = Duration::from_millis(1);

/// Clients that hold one connection to each server, and open a new one every 10 ms.
pub(crate) struct Steady {
    name: String,
    running: Running,
}

/// What clients have done so far: connections opened, lines carried by held ones, failures of either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) asked: u64,
    pub(crate) carried: u64,
    pub(crate) failed: u64,
}

impl Steady {
    pub(crate) fn start(name: &str, from: &Pod<'_>, servers: &[(IpAddr, u16)]) -> Result<Self, Error> {
        let servers = servers.iter().map(|server| SocketAddr::from(*server).to_string());
        let running = from.command(binaries::lab()?).arg("steady").args(servers).spawn()?;
        Ok(Self { name: name.to_owned(), running })
    }

    /// By its last report: `asked 100, carried 100, failed 0, slowest 3 ms`.
    pub(crate) fn sums(&self) -> Sums {
        let said = self.running.stdout();
        let last = said.lines().rev().find(|line| line.starts_with("asked ")).unwrap_or_default();
        let number = |of: &str| last.split(", ").find_map(|part| part.strip_prefix(of)?.trim().parse().ok());
        let number = |of: &str| number(of).unwrap_or_default();
        Sums { asked: number("asked "), carried: number("carried "), failed: number("failed ") }
    }

    /// Goes on after this moment, and has failed at nothing.
    pub(crate) fn goes_on(&self) -> Result<(), Error> {
        let before = self.sums();
        eventually(SOON, &format!("{} goes on", self.name), || {
            let now = self.sums();
            let enough = now.asked > before.asked + 20 && now.carried > before.carried + 20;
            if enough { Ok(()) } else { Err(format!("{before:?}, then {now:?}")) }
        })?;
        assert_eq!(self.sums().failed, 0, "{}:\n{}", self.name, self.running.stdout());
        Ok(())
    }
}

/// A pod that sends with the addresses of another all the time.
pub(crate) struct Forger {
    sent: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    stolen: Vec<IpAddr>,
    receivers: Vec<Sockets>,
}

impl Forger {
    /// `thief` sends to each of `targets` as `victim`.
    pub(crate) fn start(thief: &Attached<'_>, victim: &Attached<'_>, targets: &[&Attached<'_>]) -> Result<Self, Error> {
        let stolen = victim.added.ips();
        steal(&thief.pod, &stolen)?;
        let receiver = |target: &&Attached<'_>| Sockets::bind(&target.pod, &target.added.ips(), PORT);
        let receivers = targets.iter().map(receiver).collect::<Result<Vec<_>, _>>()?;
        let (forged, to) = (Sockets::bind(&thief.pod, &stolen, 0)?, targets.iter().map(|one| one.added.ips()));
        let (sent, ended, to) = (Arc::default(), Arc::<AtomicBool>::default(), to.collect::<Vec<_>>());
        let counters = (Arc::clone(&sent), Arc::clone(&ended));
        let send = move || {
            let (sent, ended): (Arc<AtomicUsize>, Arc<AtomicBool>) = counters;
            while !ended.load(Ordering::Relaxed) {
                let now: usize = to.iter().map(|target| forged.send(target)).sum();
                sent.fetch_add(now, Ordering::Relaxed);
                thread::sleep(PAUSE);
            }
        };
        Ok(Self { sent, ended, thread: Some(thread::spawn(send)), stolen, receivers })
    }

    /// How many were sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends after this moment, and none of its datagrams has arrived anywhere.
    pub(crate) fn is_stopped(&self) -> Result<(), Error> {
        let before = self.sent();
        eventually(SOON, "forged datagrams are sent", || match self.sent() {
            now if now > before + 50 => Ok(()),
            now => Err(format!("{before}, then {now}")),
        })?;
        for receiver in &self.receivers {
            let passed: Vec<SocketAddr> = receiver.received()?;
            assert_eq!(passed, [], "{} were sent as {:?}, and these passed", self.sent(), self.stolen);
        }
        Ok(())
    }

    /// That the receivers would have seen them: what the victim itself sends arrives.
    pub(crate) fn would_be_seen(&self, victim: &Attached<'_>, targets: &[&Attached<'_>]) -> Result<(), Error> {
        let honest = Sockets::bind(&victim.pod, &self.stolen, 0)?;
        for (target, receiver) in targets.iter().zip(&self.receivers) {
            eventually(SOON, "what the victim sends arrives in both families", || {
                honest.send(&target.added.ips());
                let received = receiver.received().map_err(|error| error.to_string())?;
                let families = [true, false].map(|v4| received.iter().any(|from| from.is_ipv4() == v4));
                if families == [true; 2] { Ok(()) } else { Err(format!("{received:?}")) }
            })?;
        }
        // What is still on its way.
        eventually(SOON, "nothing more arrives", || {
            let more = self.receivers.iter().map(Sockets::received).collect::<Result<Vec<_>, _>>();
            let more: usize = more.map_err(|error| error.to_string())?.iter().map(Vec::len).sum();
            if more == 0 { Ok(()) } else { Err(more.to_string()) }
        })
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// One connection, with both of its ends in the hands of the test.
pub(crate) struct Held {
    client: TcpStream,
    server: TcpStream,
}

impl Held {
    /// A server at `port` of a place, and a client elsewhere that reaches it at `address`.
    pub(crate) fn open(server: &Place, port: u16, client: &Place, address: SocketAddr) -> Result<Self, Error> {
        let failed = || Error::system(format!("connect from {} to {address}", client.name()));
        let listener = server.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))?.map_err(failed())?;
        let client_end = client.enter(|| TcpStream::connect_timeout(&address, SOON))?.map_err(failed())?;
        let (server_end, _) = listener.accept().map_err(failed())?;
        for end in [&client_end, &server_end] {
            end.set_read_timeout(Some(SOON)).map_err(failed())?;
        }
        Ok(Self { client: client_end, server: server_end })
    }

    /// A byte passes each way.
    pub(crate) fn carries(&self) -> Result<(), Error> {
        for (mut from, mut to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            let passed = from.write_all(b"x").and_then(|()| to.read_exact(&mut [0]));
            passed.map_err(Error::system("send by the connection that is held"))?;
        }
        Ok(())
    }
}
