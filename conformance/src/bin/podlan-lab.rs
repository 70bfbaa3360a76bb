//! The lab from the command line: the way in, and the traffic that its pods send.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use podlan_conformance::lab::{self, confine, enter, init, refusal};
use podlan_conformance::traffic::{self, Answer, Target};

/// Several nodes on one machine, as any user, leaving nothing behind.
#[derive(Parser)]
#[command(version)]
enum Podlan {
    /// Runs a command as root of a new lab: user, network, mount, pid, uts and ipc namespaces of its own.
    ///
    /// Its exit code is the command's; 77 where the machine refuses such namespaces.
    Enter {
        /// The command and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Makes a lab of nodes inside the current one and holds it until killed.
    Hold {
        /// How many.
        #[arg(long, default_value_t = 2)]
        nodes: u8,
    },
    /// Answers everyone over TCP, UDP and ICMP, IPv4 and IPv6, with the address that it saw; until killed.
    Serve {
        #[arg(long, default_value_t = 7777)]
        port: u16,
    },
    /// Asks servers whom they see: one line of answer for each target. Fails when one is silent.
    Probe {
        #[arg(long, default_value_t = 7777)]
        port: u16,
        /// The address to ask from.
        #[arg(long)]
        from: Option<IpAddr>,
        /// Such as tcp=10.244.1.2, udp=fd00::2, icmp=10.244.1.2.
        #[arg(required = true)]
        targets: Vec<Target>,
    },
    /// Asks servers over and over, by new connections and by held ones, until killed; tells each failure and the sums.
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
    /// Tries to take a port, and gives it back.
    Bind {
        /// tcp or udp, with an address, such as tcp=0.0.0.0.
        at: Target,
        port: u16,
    },
    /// Tries to remove a link of another network namespace, as whoever is root in a pod can try it on the node's.
    RemoveIn {
        /// The number that this namespace has for the other one: `link-netnsid` of a link whose far end is there.
        namespace: i32,
        /// The link's name there.
        link: String,
    },
    /// Becomes a command to which every mount is read-only but for some folders.
    ReadOnly {
        #[arg(long)]
        but: Vec<PathBuf>,
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Becomes a command that has no system calls but those of a seccomp profile of the OCI.
    Allow {
        profile: PathBuf,
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    #[command(flatten)]
    Inner(Inner),
}

/// What the lab starts itself.
#[derive(Subcommand)]
enum Inner {
    /// The lab's first process.
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
}

fn main() -> ExitCode {
    match Podlan::parse() {
        Podlan::Hold { nodes } => answer(hold(nodes)),
        Podlan::Serve { port } => answer(traffic::serve(port, &mut io::stdout())),
        Podlan::Probe { port, from, targets } => answer(probe(&targets, port, from)),
        Podlan::Steady { servers } => answer(traffic::steady(&servers, &mut io::stdout())),
        Podlan::Ping { from, to } => answer(ping(&to, from)),
        Podlan::Bind { at, port } => answer(traffic::try_bind(at.protocol, SocketAddr::new(at.address, port))),
        Podlan::RemoveIn { namespace, link } => answer(lab::remove_in(namespace, &link)),
        Podlan::ReadOnly { but, command } => {
            confine::read_only(&but).map_or_else(|error| said(&error, 1), |()| turn_into(&command))
        }
        Podlan::Allow { profile, command } => {
            confine::allow_only(&profile).map_or_else(|error| said(&error, 1), |()| turn_into(&command))
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
    }
}

fn answer<E: std::error::Error>(done: Result<(), E>) -> ExitCode {
    done.map_or_else(|error| said(&error, 1), |()| ExitCode::SUCCESS)
}

/// Ends only when it cannot.
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
