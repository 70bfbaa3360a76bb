//! `podlan-lab`: enters a lab, makes nodes in it, and sends the traffic of its pods.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use podlan_conformance::lab::without::{self, Feature};
use podlan_conformance::lab::{self, confine, enter, init, refusal};
use podlan_conformance::traffic::{self, Answer, Target};

/// Several nodes on one machine, as any user, leaving nothing behind.
#[derive(Parser)]
#[command(name = "podlan-lab", version)]
enum Podlan {
    /// Runs a command as root of a new lab.
    ///
    /// The lab has user, network, mount, pid, uts and ipc namespaces of its own. The exit code is the command's; 77 where
    /// the machine refuses such namespaces.
    Enter {
        /// The command and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Makes nodes inside the current lab and holds them until killed.
    Hold {
        /// The number of nodes.
        #[arg(long, default_value_t = 2)]
        nodes: u8,
    },
    /// Answers over TCP, UDP and ICMP with the address that it saw.
    ///
    /// IPv4 and IPv6, until killed.
    Serve {
        /// The port of TCP and UDP.
        #[arg(long, default_value_t = 7777)]
        port: u16,
    },
    /// Asks servers which address they see.
    ///
    /// Prints a line for each target. Fails when one does not answer.
    Probe {
        /// The port of TCP and UDP.
        #[arg(long, default_value_t = 7777)]
        port: u16,
        /// The address to ask from.
        #[arg(long)]
        from: Option<IpAddr>,
        /// Such as tcp=10.244.1.2, udp=fd00::2, icmp=10.244.1.2.
        #[arg(required = true)]
        targets: Vec<Target>,
    },
    /// Asks servers again and again, and prints each failure.
    ///
    /// By new connections and by held ones, until killed; prints the sums too.
    Steady {
        /// Such as 10.244.1.2:7777, or `[fd00::2]:7777`.
        #[arg(required = true)]
        servers: Vec<SocketAddr>,
    },
    /// Sends echo requests until one is answered.
    Ping {
        /// The address to ask from.
        #[arg(long)]
        from: Option<IpAddr>,
        /// An address; a link-local one with the link's index, such as fe80::1%2.
        to: String,
    },
    /// Tries to bind a port, and closes it again.
    Bind {
        /// tcp or udp, with an address, such as tcp=0.0.0.0.
        at: Target,
        /// The port.
        port: u16,
    },
    /// Tries to remove a link of another network namespace.
    ///
    /// As root in a pod can try on the node's links.
    RemoveIn {
        /// The number that this namespace has for the other one: `link-netnsid` of a link whose far end is there.
        namespace: i32,
        /// The link's index there.
        link: u32,
    },
    /// Executes a command for which most mounts are read-only.
    ReadOnly {
        /// A folder that stays writable; may be given several times.
        #[arg(long)]
        but: Vec<PathBuf>,
        /// The command and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Executes a command with the system calls of a seccomp profile.
    ///
    /// Only with those; the profile is one of the OCI.
    Allow {
        /// The profile, as JSON.
        profile: PathBuf,
        /// The command and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Executes a command as on a kernel that lacks features.
    Without {
        /// What it lacks, such as strict-checking,nft-fib.
        #[arg(value_delimiter = ',', required = true)]
        features: Vec<Feature>,
        /// The command and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    #[command(flatten)]
    Inner(Inner),
}

/// What the lab starts itself.
#[derive(Subcommand)]
enum Inner {
    /// Runs as the lab's first process.
    #[command(hide = true)]
    Init {
        #[arg(long)]
        parent: u32,
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Maps every id into a new user namespace.
    #[command(hide = true)]
    MapIds { pid: u32 },
    /// Takes features out of what a process asks the kernel for.
    #[command(hide = true)]
    Edit { pid: i32, features: Vec<Feature> },
}

fn main() -> ExitCode {
    match Podlan::parse() {
        Podlan::Hold { nodes } => answer(hold(nodes)),
        Podlan::Serve { port } => answer(traffic::serve(port, &mut io::stdout())),
        Podlan::Probe { port, from, targets } => answer(probe(&targets, port, from)),
        Podlan::Steady { servers } => answer(traffic::steady(&servers, &mut io::stdout())),
        Podlan::Ping { from, to } => answer(ping(&to, from)),
        Podlan::Bind { at, port } => answer(traffic::try_bind(at.protocol, SocketAddr::new(at.address, port))),
        Podlan::RemoveIn { namespace, link } => answer(lab::remove_in(namespace, link)),
        Podlan::ReadOnly { but, command } => {
            confine::read_only(&but).map_or_else(|error| said(&error, 1), |()| turn_into(&command))
        }
        Podlan::Allow { profile, command } => {
            confine::allow_only(&profile).map_or_else(|error| said(&error, 1), |()| turn_into(&command))
        }
        Podlan::Without { features, command } => {
            without::without(&features).map_or_else(|error| said(&error, 1), |()| turn_into(&command))
        }
        Podlan::Enter { command } => match enter::enter(&command) {
            Ok(status) => enter::exit_code(status).into(),
            Err(error @ enter::Error::Refused(_)) => said(&error, refusal::EXIT_CODE),
            Err(error) => said(&error, 1),
        },
        Podlan::Inner(Inner::Init { parent, command }) => match init::run(parent, &command) {
            Ok(code) => code.into(),
            Err(error @ init::Error::Refused(_)) => said(&error, refusal::EXIT_CODE),
            Err(error) => said(&error, 1),
        },
        Podlan::Inner(Inner::MapIds { pid }) => match enter::map_ids(pid) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => said(&error, 1),
        },
        Podlan::Inner(Inner::Edit { pid, features }) => answer(without::edit(pid, &features, &mut io::stdout())),
    }
}

fn answer<E: std::error::Error>(done: Result<(), E>) -> ExitCode {
    done.map_or_else(|error| said(&error, 1), |()| ExitCode::SUCCESS)
}

/// Returns only when it fails.
fn turn_into(command: &[OsString]) -> ExitCode {
    match command.split_first() {
        Some((program, arguments)) => said(&std::process::Command::new(program).args(arguments).exec(), 1),
        None => ExitCode::FAILURE,
    }
}

fn hold(nodes: u8) -> Result<(), lab::Error> {
    let _lab = lab::Lab::new(nodes)?;
    writeln!(io::stdout(), "ready").ok();
    loop {
        std::thread::park();
    }
}

fn probe(targets: &[Target], port: u16, from: Option<IpAddr>) -> io::Result<()> {
    let mut silent = 0;
    for target in targets {
        let report = traffic::probe(*target, port, from);
        silent += usize::from(matches!(report.answer, Answer::Silent(_)));
        writeln!(io::stdout(), "{report}")?;
    }
    match silent {
        0 => Ok(()),
        _ => Err(io::Error::other(format!("{silent} of {} were silent", targets.len()))),
    }
}

fn ping(to: &str, from: Option<IpAddr>) -> io::Result<()> {
    let no = || io::Error::new(io::ErrorKind::InvalidInput, format!("{to:?} is no address"));
    let to = match to.split_once('%') {
        None => SocketAddr::new(to.parse().map_err(|_| no())?, 0),
        Some((address, link)) => {
            SocketAddrV6::new(address.parse().map_err(|_| no())?, 0, 0, link.parse().map_err(|_| no())?).into()
        }
    };
    let took = traffic::ping(to, from, format!("podlan-{}", std::process::id()).as_bytes())?;
    writeln!(io::stdout(), "{} answered within {took:?}", to.ip())
}

fn said(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("podlan-lab: {error}");
    ExitCode::from(code)
}
