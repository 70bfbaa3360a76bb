//! Another IPAM plugin, executed for us: the same environment, the whole configuration, its own answer (spec section 4).

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{fs, io, thread};

use cni::{AddResult, Code, Error, Request};
use serde_json::Value;

use crate::addressing::Assignment;

/// A delegate's answer may be this long, bytes; what comes after it is not read.
const ANSWER: u64 = 1 << 20;

/// An IPAM plugin on disk, and what it is told.
pub(crate) struct Delegate<'a> {
    program: PathBuf,
    request: &'a Request,
}

impl<'a> Delegate<'a> {
    /// The first executable file of that name in CNI_PATH (S-115).
    pub(crate) fn find(kind: &str, request: &'a Request) -> Result<Self, Error> {
        if kind.contains(['/', '\\']) {
            let why = format!("ipam.type: {kind:?} is not a file name");
            return Err(Error::new(Code::InvalidConfig, why));
        }
        let found = request.path.iter().map(|folder| folder.join(kind)).find(|program| is_executable(program));
        match found {
            Some(program) => Ok(Self { program, request }),
            None => {
                Err(Error::new(Code::InvalidConfig, format!("ipam.type: failed to find plugin {kind:?} in CNI_PATH"))
                    .with_details(format!("looked in {:?}", request.path)))
            }
        }
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
        })
    }

    /// Runs it; its stderr is ours. Whatever it made of a failure is the error, as it said it.
    fn run(&self, verb: &str) -> Result<Vec<u8>, Error> {
        let (status, answer) = self
            .execute(verb)
            .map_err(|source| Error::new(Code::Io, self.said("could not be run")).with_details(source.to_string()))?;
        if status.success() {
            return Ok(answer);
        }
        let told = serde_json::from_slice(&answer).ok().as_ref().and_then(Error::from_value);
        Err(told.unwrap_or_else(|| {
            Error::new(Code::Internal, self.said("failed without saying why")).with_details(status.to_string())
        }))
    }

    /// How it ended, and what it printed.
    fn execute(&self, verb: &str) -> io::Result<(ExitStatus, Vec<u8>)> {
        let mut child = Command::new(&self.program)
            .env_clear()
            .envs(self.request.environment.iter().map(|(name, value)| (name, value)))
            .env("CNI_COMMAND", verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        // It may answer before it has read everything, or never read: both pipes are served at once.
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let answer = thread::scope(|scope| {
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&self.request.stdin)));
            let mut answer = Vec::new();
            stdout.map_or(Ok(0), |stdout| stdout.take(ANSWER).read_to_end(&mut answer)).map(|_| answer)
        });
        let status = child.wait()?;
        Ok((status, answer?))
    }

    fn said(&self, what: &str) -> String {
        format!("IPAM plugin {} {what}", self.program.display())
    }
}

fn is_executable(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
