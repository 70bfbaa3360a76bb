//! Another IPAM plugin, executed for us: the same environment, the whole configuration, its own answer (spec section 4).

mod execute;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cni::{AddResult, Code, Error, Fields, Request};
use ipam::{DEFAULT_DATA_DIR, Place};
use nix::errno::Errno;
use serde_json::Value;

use self::execute::{Ended, execute};

use crate::assignment::Assignment;

/// How long a delegate may take, unless `delegateTimeout` says otherwise. The DHCP plugin, the slowest of those that are
/// known, asks for about a minute; a runtime's own deadline for a pod is some minutes.
const PATIENCE: Duration = Duration::from_secs(120);

/// An IPAM plugin on disk, and what it is given.
pub(crate) struct Delegate<'a> {
    program: PathBuf,
    request: &'a Request,
    patience: Duration,
}

impl<'a> Delegate<'a> {
    /// The first executable file of that name in CNI_PATH (S-115).
    pub(crate) fn find(kind: &str, request: &'a Request) -> Result<Self, Error> {
        if kind.contains(['/', '\\']) {
            let why = format!("ipam.type: {kind:?} is not a file name");
            return Err(Error::new(Code::InvalidConfig, why));
        }
        let fields = Fields::new(&request.config.raw, "", Code::InvalidConfig);
        // A DEL must not fail for it.
        let seconds = fields.unsigned("delegateTimeout").ok().flatten().filter(|&seconds| seconds > 0);
        let patience = seconds.map_or(PATIENCE, |seconds| Duration::from_secs(seconds.into()));
        let found = request.path.iter().map(|folder| folder.join(kind)).find(|program| is_executable(program));
        match found {
            Some(program) => Ok(Self { program, request, patience }),
            None => {
                Err(Error::new(Code::InvalidConfig, format!("ipam.type: failed to find plugin {kind:?} in CNI_PATH"))
                    .with_details(format!("looked in {:?}", request.path)))
            }
        }
    }

    /// Where ADDs of this network claim their attachments: in a directory of ours, whatever the delegate's `dataDir` is.
    pub(crate) fn claims(&self) -> Place {
        Place::new(DEFAULT_DATA_DIR, self.request.config.name.clone())
    }

    /// ADD; on its failure DEL, so that nothing is kept (S-119). An answer without an address is a failure (S-125).
    pub(crate) fn add(&self) -> Result<Assignment, Error> {
        let assigned = self.run("ADD").and_then(|answer| self.assignment(&answer));
        if assigned.is_err() {
            let _ = self.run("DEL");
        }
        assigned
    }

    /// DEL.
    pub(crate) fn del(&self) -> Result<(), Error> {
        self.run("DEL").map(drop)
    }

    /// CHECK.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.run("CHECK").map(drop)
    }

    /// GC.
    pub(crate) fn gc(&self) -> Result<(), Error> {
        self.run("GC").map(drop)
    }

    /// STATUS.
    pub(crate) fn status(&self) -> Result<(), Error> {
        self.run("STATUS").map(drop)
    }

    /// Reads the abbreviated result (spec section 4, "Delegated plugins"); without a version it is of the config's.
    fn assignment(&self, answer: &[u8]) -> Result<Assignment, Error> {
        let refuse = |why: String| Error::new(Code::Decode, self.said("printed no result")).with_details(why);
        let value: Value = serde_json::from_slice(answer).map_err(|error| refuse(error.to_string()))?;
        let AddResult { ips, routes, dns, .. } = AddResult::from_value(&value, self.request.config.version)?;
        if ips.is_empty() {
            return Err(Error::new(Code::InvalidConfig, "IPAM plugin returned missing IP config"));
        }
        Ok(Assignment {
            addresses: ips.iter().map(|ip| ip.address.ip()).collect(),
            gateways: ips.iter().filter_map(|ip| ip.gateway).collect(),
            routes,
            dns,
            leases: Vec::new(),
        })
    }

    /// Runs it; its stderr is ours. What it says of a failure is the error.
    fn run(&self, verb: &str) -> Result<Vec<u8>, Error> {
        let mut command = Command::new(&self.program);
        let environment = self.request.environment.iter().map(|(name, value)| (name, value));
        command.env_clear().envs(environment).env("CNI_COMMAND", verb);
        match execute(command, &self.request.stdin, self.patience).map_err(|source| self.not_run(&source))? {
            Ended::Itself(status, answer) if status.success() => Ok(answer),
            Ended::Itself(status, answer) => {
                let reported = serde_json::from_slice(&answer).ok().as_ref().and_then(Error::from_value);
                Err(reported.unwrap_or_else(|| {
                    Error::new(Code::Internal, self.said("failed without saying why")).with_details(status.to_string())
                }))
            }
            Ended::Killed => {
                let what = format!("did not end within {} s ({verb}) and was killed", self.patience.as_secs());
                let details = "`delegateTimeout` in the network configuration sets how many seconds it may take";
                Err(Error::new(Code::TryAgain, self.said(&what)).with_details(details))
            }
        }
    }

    /// What is short for a moment may be there at the next try.
    fn not_run(&self, source: &io::Error) -> Error {
        let passing = source.raw_os_error().is_some_and(|errno| podlink::is_passing(Errno::from_raw(errno)));
        let code = if passing { Code::TryAgain } else { Code::Io };
        Error::new(code, self.said("could not be run")).with_details(source.to_string())
    }

    fn said(&self, what: &str) -> String {
        format!("IPAM plugin {} {what}", self.program.display())
    }
}

fn is_executable(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
