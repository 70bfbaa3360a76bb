//! Which hosts reach each other, and the address at which the other side sees the client.

use std::net::IpAddr;
use std::time::Duration;

use super::{Command, Error, Place, Running, binaries};
use crate::traffic::{Answer, Protocol, Report, Target};

/// The port of the lab's servers.
pub const PORT: u16 = 7777;

/// Targets at these addresses, by every protocol.
#[must_use]
pub fn every(addresses: &[IpAddr]) -> Vec<Target> {
    let by_all = |address: &IpAddr| Protocol::ALL.map(|protocol| Target { protocol, address: *address });
    addresses.iter().flat_map(by_all).collect()
}

impl Place {
    /// Starts servers here that answer with the client's address: TCP, UDP and ICMP, both families.
    ///
    /// # Errors
    /// When they do not start, as when the port is in use.
    pub fn serve(&self, port: u16) -> Result<Running, Error> {
        let command = Command::new(self.clone(), binaries::lab()?);
        let mut server = command.args(["serve", "--port", &port.to_string()]).spawn()?;
        server.prints("ready", Duration::from_secs(5))?;
        Ok(server)
    }

    /// Connects to the servers on [`PORT`] of these targets, which answer with the address that they see.
    ///
    /// # Errors
    /// When the client itself fails. A server without an answer is no error here.
    pub fn ask(&self, targets: &[Target]) -> Result<Vec<Report>, Error> {
        let output = asking(self, targets)?.run()?;
        let reports: Result<Vec<Report>, _> = output.stdout.lines().map(str::parse).collect();
        match reports {
            Ok(reports) if reports.len() == targets.len() => Ok(reports),
            _ => Err(output.but("it should have said a line for each target")),
        }
    }

    /// Connects to the servers on [`PORT`] of `to`, by every protocol: each must have seen this place at its address of
    /// that family, one of `own`.
    ///
    /// # Errors
    /// [`Error::Command`] when one did not answer or saw another address.
    pub fn reaches(&self, own: &[IpAddr], to: &[IpAddr]) -> Result<(), Error> {
        let output = asking(self, &every(to))?.run()?;
        let kept = |line: &str| {
            line.parse::<Report>().is_ok_and(|report| match report.answer {
                Answer::Saw(address) => own.contains(&address),
                Answer::Silent(_) => false,
            })
        };
        let lines = output.stdout.lines().count();
        match output.success() && lines == to.len() * Protocol::ALL.len() && output.stdout.lines().all(kept) {
            true => Ok(()),
            false => Err(output
                .but(&format!("{} should have been seen everywhere at its own address, one of {own:?}", self.name()))),
        }
    }
}

fn asking(place: &Place, targets: &[Target]) -> Result<Command, Error> {
    let command = Command::new(place.clone(), binaries::lab()?);
    let patience = Duration::from_secs(10) + crate::traffic::patience() * 3 * u32::try_from(targets.len()).unwrap_or(1);
    let command = command.args(["probe", "--port", &PORT.to_string()]).deadline(patience);
    Ok(command.args(targets.iter().map(Target::to_string)))
}
