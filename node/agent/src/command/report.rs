//! `podlan-node report`: one archive with what is needed to understand a node from elsewhere. It needs no agent; what could
//! not be collected is named in the archive's `index.txt`. Exit code 0: written; 1: not.
//!
//! Left out on purpose: the environment, kubeconfig files and tokens, and whatever no decision of podlan's depends on.

mod archive;
mod pieces;
mod redact;
mod tables;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use archive::archive;
use facts::observe::Places;
use state::{RUN_DIR, RunDir};

/// Where things are, and where the archive goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// The runtime's directory of network configurations [default: the agent's, else /etc/cni/net.d]
    #[arg(long, value_name = "DIR")]
    cni_conf_dir: Option<PathBuf>,
    /// The runtime's directory of plugins [default: the agent's, else /opt/cni/bin]
    #[arg(long, value_name = "DIR")]
    cni_bin_dir: Option<PathBuf>,
    /// A directory of leases, in addition to those that the configurations name [default: the agent's, else
    /// /run/podlan]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The archive (.tar.gz), readable by its owner alone; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "podlan-report.tar.gz")]
    output: PathBuf,
}

/// One file of the archive: its name, and its contents or why they could not be collected.
type Piece = (String, Result<Vec<u8>, String>);

/// Collects and writes.
pub(crate) fn run(args: &Args) -> ExitCode {
    let Args { run_dir, cni_conf_dir, cni_bin_dir, data_dir, output } = args;
    let places = Places::new(RunDir(run_dir.clone()), cni_conf_dir.clone(), cni_bin_dir.clone(), data_dir.clone());
    let written = archive(&pieces::collect(&places)).and_then(|bytes| write(output, &bytes));
    // A message cannot be printed if stderr is closed too.
    match written {
        Ok(()) => {
            let _ = writeln!(io::stderr(), "wrote {}; index.txt in it says what is missing", output.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "failed to write {}: {error}", output.display());
            ExitCode::FAILURE
        }
    }
}

fn write(output: &Path, bytes: &[u8]) -> io::Result<()> {
    if output == Path::new("-") {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            return Err(io::Error::other("standard output is a terminal: redirect it to a file"));
        }
        return out.write_all(bytes).and_then(|()| out.flush());
    }
    // A file that is there may be readable by others: it is not written over.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(output)?;
    file.write_all(bytes)
}
