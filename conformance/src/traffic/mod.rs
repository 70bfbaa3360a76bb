//! The traffic between pods: servers that answer with the address of their client, and clients that connect to them.
//!
//! A server answers with the source address that it saw, which is what a flat network preserves. TCP and UDP servers
//! answer themselves; an echo request is answered by the server's kernel, so the server receives a copy, and the client
//! asks it afterwards, over TCP, for the source of the request with its token.

mod echo;
mod probe;
mod reply;
mod serve;
mod socket;
mod steady;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

pub use echo::ping;
pub use probe::probe;
pub use serve::serve;
pub use socket::try_bind;
pub use steady::steady;

use crate::lab::patient;

/// How long a client waits for an answer, and at most, however slow the machine is: many clients ask what must not answer.
const PATIENCE: Duration = Duration::from_secs(2);
const AT_MOST: Duration = Duration::from_secs(10);

/// How long a client waits for an answer on this machine.
#[must_use]
pub fn patience() -> Duration {
    patient(PATIENCE).min(AT_MOST)
}

/// The protocols that the tests of a flat network cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP for IPv4, ICMPv6 for IPv6: an echo.
    Icmp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];

    /// `tcp`, `udp` or `icmp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// A server to connect to: `tcp=10.244.1.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The protocol.
    pub protocol: Protocol,
    /// The address.
    pub address: IpAddr,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.protocol.as_str(), self.address)
    }
}

/// The error for a text that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no target such as tcp=10.244.1.2 (tcp, udp, icmp)")]
pub struct NoTarget(String);

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let no = || NoTarget(text.to_owned());
        let (protocol, address) = text.split_once('=').ok_or_else(no)?;
        let protocol = Protocol::ALL.into_iter().find(|known| known.as_str() == protocol).ok_or_else(no)?;
        Ok(Self { protocol, address: address.parse().map_err(|_| no())? })
    }
}

/// The outcome of a request to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The server answered, and saw the client at this address.
    Saw(IpAddr),
    /// No answer, and why.
    Silent(String),
}

/// One line of a client's report: `tcp=10.244.1.2 saw 10.244.2.2`, `icmp=fd00::2 silent: timed out`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The server.
    pub target: Target,
    /// The outcome.
    pub answer: Answer,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer {
            Answer::Saw(address) => write!(f, "{} saw {address}", self.target),
            Answer::Silent(why) => write!(f, "{} silent: {why}", self.target),
        }
    }
}

impl FromStr for Report {
    type Err = NoTarget;

    fn from_str(line: &str) -> Result<Self, NoTarget> {
        let no = || NoTarget(line.to_owned());
        let (target, rest) = line.split_once(' ').ok_or_else(no)?;
        let answer = match (rest.strip_prefix("saw "), rest.strip_prefix("silent: ")) {
            (Some(address), _) => Answer::Saw(address.parse().map_err(|_| no())?),
            (None, Some(why)) => Answer::Silent(why.to_owned()),
            (None, None) => return Err(no()),
        };
        Ok(Self { target: target.parse()?, answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_as_it_was_written() {
        for line in ["tcp=10.244.1.2 saw 10.244.2.2", "icmp=fd00::2 silent: timed out", "udp=::1 saw ::1"] {
            assert_eq!(line.parse::<Report>().unwrap().to_string(), line);
        }
        for line in ["tcp=10.244.1.2", "tcp=x saw ::1", "sctp=::1 saw ::1", "tcp=::1 heard ::1"] {
            line.parse::<Report>().unwrap_err();
        }
    }
}
