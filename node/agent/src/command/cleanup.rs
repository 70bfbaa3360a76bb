//! `podlan-node cleanup`: removes what the agent created, and prints what it leaves and why.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::agent::Stop;
use hostport::Ports;
use install::conflist;
use ipam::DEFAULT_LOCK_TIMEOUT;
use pods::leases::{Read, Stores, VisibleNetns};
use routes::kernel::{Kernel, Rtnetlink};
use routes::plan::plan;
use routes::{Routes, apply};
use state::{RUN_DIR, RunDir};

/// The agent's directories.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// The directory in which `run` installed the plugins
    #[arg(long, value_name = "DIR")]
    cni_bin_dir: Option<PathBuf>,
    /// The directory in which `run` wrote the network configuration
    #[arg(long, value_name = "DIR")]
    cni_conf_dir: Option<PathBuf>,
    /// Where the leases lie
    #[arg(long, value_name = "DIR", default_value = ipam::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// After a successful cleanup, keep retrying until SIGTERM; remove the plugins once the last pod is gone
    #[arg(long)]
    stay: bool,
}

/// The interval of `--stay`.
const AGAIN: Duration = Duration::from_secs(5);

/// Why nothing, or not everything, was cleaned up.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the agent is running (it holds {0}): stop it first")]
    Running(String),
    #[error("remove routes: {0}")]
    Routes(#[from] netlink::Error),
    #[error("remove the rules of the packet filter: {0}")]
    PacketFilter(#[from] nftables::Error),
    #[error("remove the table of host ports: {0}")]
    HostPorts(#[from] hostport::Error),
    #[error("remove the probe endpoint: {0}")]
    Probes(#[from] probes::endpoint::kernel::Error),
    #[error("remove {path}: {source}")]
    File { path: String, source: io::Error },
    #[error("print: {0}")]
    Print(#[from] io::Error),
    #[error("wait for a signal: {0}")]
    Signal(#[source] io::Error),
}

/// Cleans up.
pub(crate) fn run(args: &Args) -> ExitCode {
    let done = if args.stay { stay(args) } else { clean(args, &mut io::stdout().lock()) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // An error cannot be reported if stderr is closed too.
            let _ = writeln!(io::stderr(), "failed to clean up: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints only what differs from the time before.
fn stay(args: &Args) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Signal)?;
    runtime.block_on(async {
        let mut stop = Stop::listen().map_err(Error::Signal)?;
        let mut printed = Vec::new();
        clean(args, &mut printed)?;
        io::stdout().lock().write_all(&printed)?;
        loop {
            tokio::select! {
                _ = stop.wait() => return Ok(()),
                () = tokio::time::sleep(AGAIN) => {}
            }
            let mut output = Vec::new();
            if let Err(error) = clean(args, &mut output) {
                writeln!(output, "failed to clean up: {error}; trying again")?;
            }
            if output != printed {
                io::stdout().lock().write_all(&output)?;
                printed = output;
            }
        }
    })
}

fn clean(args: &Args, out: &mut impl Write) -> Result<(), Error> {
    let run_dir = RunDir(args.run_dir.clone());
    let lock = run_dir.lock_file();
    if let Ok(file) = File::open(&lock)
        && file.try_lock().is_err()
    {
        return Err(Error::Running(lock.display().to_string()));
    }
    // First, so that no new pod is added; a runtime that still uses it finds the plugins.
    if let Some(dir) = &args.cni_conf_dir {
        remove(&dir.join(conflist::FILE), out)?;
    }
    routes(out)?;
    for what in probes::endpoint::kernel::remove()? {
        writeln!(out, "removed {what} of the path probes")?;
    }
    for what in filter::remove()? {
        writeln!(out, "removed {what} from the packet filter")?;
    }
    for path in [run_dir.state_file(), run_dir.verdicts_file(), run_dir.kept_file(), run_dir.control_socket(), lock] {
        remove(&path, out)?;
    }
    pods(args, out)
}

fn remove(path: &Path, out: &mut impl Write) -> Result<(), Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(writeln!(out, "removed {}", path.display())?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::File { path: path.display().to_string(), source }),
    }
}

/// The pods are not changed, and as long as there are any, the plugins stay: the runtime needs them for DEL.
fn pods(args: &Args, out: &mut impl Write) -> Result<(), Error> {
    let stores = Stores::below(args.data_dir.clone());
    // Leases of pods that ended without a DEL are taken back first.
    let mut visible = VisibleNetns::default();
    stores.show(&mut visible);
    let swept = stores.take_back(&mut visible, &mut |_| {});
    for family in Ports::below(&args.data_dir, DEFAULT_LOCK_TIMEOUT).clean()? {
        writeln!(out, "removed the table {} {} from the packet filter", family.name(), hostport::NAME)?;
    }
    let Read { leases, unread } = stores.all();
    let error = swept.first().map(ToString::to_string).or_else(|| unread.first().map(ToString::to_string));
    let kept = match (error, leases.len()) {
        (Some(error), _) => Some(format!("the leases cannot be read ({error})")),
        (None, 0) => None,
        (None, count) => Some(format!("{count} addresses are leased")),
    };
    for path in args.cni_bin_dir.iter().flat_map(|dir| install::BINARIES.map(|name| dir.join(name))) {
        match &kept {
            None => remove(&path, out)?,
            Some(why) if path.exists() => writeln!(out, "left {}: {why}, and DEL needs it", path.display())?,
            Some(_) => {}
        }
    }
    if let Some(why) = kept {
        writeln!(out, "left the pods with their links and routes (protocol {}): {why}", netlink::POD_ROUTE)?;
    }
    Ok(())
}

fn routes(out: &mut impl Write) -> Result<(), Error> {
    let mut kernel = Rtnetlink::open()?;
    let observed = kernel.routes()?;
    let applied = apply::apply(&mut kernel, &plan(&Routes::new(), &observed))?;
    for change in &applied.done {
        writeln!(out, "removed the route to {}", change.key().destination)?;
    }
    for (change, trouble) in &applied.refused {
        writeln!(out, "left the route to {}: {trouble}", change.key().destination)?;
    }
    Ok(())
}
