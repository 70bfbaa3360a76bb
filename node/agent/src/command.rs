//! The command line. Each command is a file; this one parses the arguments and calls it.

mod adopt;
mod cleanup;
mod doctor;
mod leases;
mod release;
mod report;
mod run;
mod status;
mod trace;

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ipnetwork::IpNetwork;

use state::release::version;

/// podlan's node agent.
#[derive(Debug, Parser)]
#[command(name = "podlan-node", version = version(), about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the agent: install and maintain this node's routes to the pod subnets of the other nodes.
    Run(Box<run::Args>),
    /// Show the state of the running agent: whether it is ready, and its verdict on each peer.
    Status(status::Args),
    /// List the leases of this node: each address and its owner.
    Leases(leases::Args),
    /// Check this node: show what is wrong, why it matters and how to fix it; needs no agent.
    Doctor(doctor::Args),
    /// Trace packets between two pods in both directions: each hop on this node, what is wrong there, and whether the
    /// addresses are kept.
    Trace(trace::Args),
    /// Take over the leases of another IPAM plugin, so that its pods keep running with their addresses.
    Adopt(adopt::Args),
    /// Write one archive with what is needed to understand this node from elsewhere, without secrets; needs no agent.
    Report(report::Args),
    /// Apply a large route withdrawal that the running agent holds, and forget the values that it keeps for nodes whose
    /// list entry lacks them.
    ReleaseWithdrawal(release::Args),
    /// Remove what the agent created, after it has stopped, and show what is left.
    Cleanup(cleanup::Args),
}

impl Cli {
    /// Runs the command; its exit code says whether all is well.
    pub(crate) fn run(self) -> ExitCode {
        match self.command {
            Command::Run(args) => run::run(*args),
            Command::Status(args) => status::run(&args),
            Command::Leases(args) => leases::run(&args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Trace(args) => trace::run(&args),
            Command::Adopt(args) => adopt::run(&args),
            Command::Report(args) => report::run(&args),
            Command::ReleaseWithdrawal(args) => release::run(&args),
            Command::Cleanup(args) => cleanup::run(&args),
        }
    }
}

/// The longest duration: a clock holds no more than some centuries.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Parses a duration that is not zero, for intervals.
fn period(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("{text:?} is zero (try 60s)")),
        period => Ok(period),
    }
}

/// Reads `60s`, `500ms`, `2m`, `1h 30m`. More than a century is read as a century.
fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) => Ok(duration.min(FOR_EVER)),
        // It does not fit into its nanoseconds.
        Err(humantime::DurationError::NumberOverflow) => Ok(FOR_EVER),
        Err(error) => Err(format!("{text:?} is not a duration: {error} (try 60s, 500ms, 2m)")),
    }
}

/// Reads a subnet whose host bits are zero. An address without a prefix length is refused: it would be one host, and is
/// usually a subnet whose mask was forgotten.
fn subnet(text: &str) -> Result<IpNetwork, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let host = IpNetwork::from(address);
        let example = if address.is_ipv4() { "10.0.0.0/8" } else { "fd00::/8" };
        return Err(format!(
            "{text} has no prefix length (a subnet has one, such as {example}; this address alone is {host})"
        ));
    }
    let subnet: IpNetwork = text.parse().map_err(|_| format!("{text:?} is not a subnet (try 192.0.2.0/24)"))?;
    let network = IpNetwork::new(subnet.network(), subnet.prefix()).map_err(|error| error.to_string())?;
    if network == subnet { Ok(subnet) } else { Err(format!("{text} has host bits set (did you mean {network}?)")) }
}

/// Reads a share: a number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{text} is not between 0 and 1")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_subnet_has_a_prefix_length_and_no_host_bits() {
        assert_eq!(subnet("192.0.2.0/24"), Ok("192.0.2.0/24".parse().unwrap()));
        assert_eq!(subnet("fd00::1/128"), Ok("fd00::1/128".parse().unwrap()));
        for (text, alone) in [("10.0.0.0", "10.0.0.0/32"), ("fd00::1", "fd00::1/128")] {
            let error = subnet(text).unwrap_err();
            assert!(error.contains("has no prefix length") && error.contains(alone), "{error}");
        }
        for text in ["", "192.0.2.1/24", "192.0.2.0/33", "fd00::/129", "outside"] {
            assert!(subnet(text).is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn durations_have_units_and_shares_have_bounds() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for text in ["", "60", "s", "-1s", "1parsec"] {
            assert!(duration(text).is_err(), "{text:?} must be refused");
        }
        for text in ["18446744073709551615s", "18446744073709551615ms", "5124095576030431h", "99999999999999999999s"] {
            assert_eq!(duration(text), Ok(FOR_EVER), "{text}");
            assert!(std::time::Instant::now().checked_add(FOR_EVER).is_some());
        }
        assert_eq!((duration("0s"), period("1ms")), (Ok(Duration::ZERO), Ok(Duration::from_millis(1))));
        assert!(period("0s").is_err() && period("0h").is_err());
        assert_eq!(share("0.5"), Ok(0.5));
        for text in ["1.1", "-0.1", "half", "NaN"] {
            assert!(share(text).is_err(), "{text:?} must be refused");
        }
    }
}
