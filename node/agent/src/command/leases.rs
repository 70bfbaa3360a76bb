//! `podlan-node leases`: the owner of each address on this node. Read from the stores of the agent and of the
//! configurations; no agent is needed. Exit code 0: all stores were read; otherwise those that can be read are shown,
//! and the errors of the others.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use cni::NetworkName;
use ipam::{Lease, Liveness, Presence, Stamp};
use netlink::Socket;
use podlink::HostLinks;
use serde::Serialize;

use facts::observe::Places;
use pods::leases::{Read, Stores, VisibleNetns};
use state::{RUN_DIR, RunDir};

/// Where the leases are, and how to print them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A directory of leases, in addition to those that the configurations name [default: the agent's, else
    /// /run/podlan]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One lease for people and machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    network: String,
    address: String,
    container_id: String,
    ifname: String,
    /// `namespace/name`, "" when the runtime did not pass it.
    pod: String,
    /// "" when the caller made the link itself.
    host_link: String,
    netns: String,
    /// Seconds since it was created; absent when that was before this boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    /// live: its link is there; unlinked: its link is gone, but its namespace is not proved gone; gone: both are proved
    /// gone, so that the lease will be taken back; unknown: neither is proved.
    state: &'static str,
}

/// Prints the leases.
pub(crate) fn run(args: &Args) -> ExitCode {
    let (lines, unread) = lines(args);
    let printed = print(args, &lines).map_err(|error| error.to_string());
    let errors: Vec<String> = unread.into_iter().chain(printed.err()).collect();
    for error in &errors {
        // An error cannot be reported if stderr is closed too.
        let _ = writeln!(io::stderr(), "failed to show the leases: {error}");
    }
    if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All leases, and why some could not be read.
fn lines(args: &Args) -> (Vec<Line>, Vec<String>) {
    let places = Places::new(RunDir(args.run_dir.clone()), None, None, args.data_dir.clone());
    let now = match Stamp::now() {
        Ok(now) => now,
        Err(error) => return (Vec::new(), vec![error.to_string()]),
    };
    let stores: Vec<Stores> = places.data_dirs.into_iter().map(Stores::below).collect();
    let mut visible = VisibleNetns::default();
    stores.iter().for_each(|stores| stores.show(&mut visible));
    // Without a socket nothing is known of any link.
    let mut host = Socket::open().ok();
    let (mut lines, mut unread) = (Vec::new(), Vec::new());
    for stores in &stores {
        match stores.judged(&visible) {
            Ok(Read { leases, unread: errors }) => {
                let leases = leases.into_iter();
                lines.extend(leases.map(|(network, lease, there)| line(network, lease, there, now, host.as_mut())));
                unread.extend(errors.iter().map(ToString::to_string));
            }
            Err(error) => unread.push(error.to_string()),
        }
    }
    (lines, unread)
}

/// `link` is the presence of the host link, `whole` that of the owner by all its proofs.
fn state(link: Presence, whole: Presence) -> &'static str {
    match (link, whole) {
        (Presence::Present, _) => "live",
        (_, Presence::Gone) => "gone",
        (Presence::Gone, _) => "unlinked",
        (Presence::Unknown, Presence::Present) => "live",
        (Presence::Unknown, Presence::Unknown) => "unknown",
    }
}

/// In the two largest units.
fn shown(age: u64) -> String {
    let (days, hours, minutes) = (age / 86_400, age / 3600 % 24, age / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{age}s"),
        (0, 0, minutes) => format!("{minutes}m{}s", age % 60),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

fn line(network: NetworkName, lease: Lease, whole: Presence, now: Stamp, host: Option<&mut Socket>) -> Line {
    let link = host.map_or(Presence::Unknown, |host| HostLinks::new(host, &network).host_link(&lease));
    let state = state(link, whole);
    Line {
        network: network.to_string(),
        address: lease.address.ip().to_string(),
        container_id: lease.owner.container_id.to_string(),
        ifname: lease.owner.ifname.to_string(),
        pod: lease.proof.pod.unwrap_or_default(),
        host_link: lease.proof.host_link.unwrap_or_default(),
        netns: lease.proof.netns.display().to_string(),
        age_seconds: lease.since.age(&now).map(|age| age.as_secs()),
        state,
    }
}

fn print(args: &Args, lines: &[Line]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, lines)?;
        return writeln!(out);
    }
    let width =
        |text: fn(&Line) -> &str, least: usize| lines.iter().map(|line| text(line).len()).max().unwrap_or(0).max(least);
    let (network, address) = (width(|line| &line.network, 7), width(|line| &line.address, 7));
    let (owner, pod) = (width(|line| &line.container_id, 9), width(|line| &line.pod, 3));
    writeln!(
        out,
        "{:network$}  {:address$}  STATE     {:>8}  {:pod$}  {:owner$}  IFNAME",
        "NETWORK", "ADDRESS", "AGE", "POD", "CONTAINER"
    )?;
    for line in lines {
        let age = line.age_seconds.map_or_else(|| "old boot".to_owned(), shown);
        let Line { network: net, address: ip, state, pod: name, container_id, ifname, .. } = line;
        writeln!(
            out,
            "{net:network$}  {ip:address$}  {state:8}  {age:>8}  {name:pod$}  {container_id:owner$}  {ifname}"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_gone_only_when_all_that_proves_its_owner_alive_is() {
        use Presence::{Gone, Present, Unknown};
        for (link, whole, expected) in [
            (Present, Unknown, "live"),
            (Present, Gone, "live"),
            (Gone, Present, "unlinked"),
            (Gone, Unknown, "unlinked"),
            (Gone, Gone, "gone"),
            (Unknown, Gone, "gone"),
            (Unknown, Present, "live"),
            (Unknown, Unknown, "unknown"),
        ] {
            assert_eq!(state(link, whole), expected, "{link:?} {whole:?}");
        }
    }

    #[test]
    fn ages_are_told_in_the_two_largest_units() {
        let shown = [0, 59, 60, 3599, 3600, 86_399, 86_400, 950_400].map(shown);
        assert_eq!(shown, ["0s", "59s", "1m0s", "59m59s", "1h0m", "23h59m", "1d0h", "11d0h"]);
    }
}
