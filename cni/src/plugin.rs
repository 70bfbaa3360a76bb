//! What a plugin is: the verbs, each with all it needs already validated. The checks are in `serve`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::{AddResult, Args, Attachment, Error, MacAddress, NetworkConfig};

/// What a verb is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The network config.
    pub config: NetworkConfig,
    /// `CNI_ARGS`. Empty for GC and STATUS, and for a DEL whose variable does not parse.
    pub args: Args,
    /// `CNI_PATH`: where delegates are found. May be empty.
    pub path: Vec<PathBuf>,
    /// All variables as given, for delegates.
    pub environment: Vec<(OsString, OsString)>,
    /// The config byte by byte as given, for delegates.
    pub stdin: Vec<u8>,
}

impl Request {
    /// The addresses that are asked for: by the runtime, or else by `args`, or else by `CNI_ARGS` (S-188, D-09).
    pub fn requested_ips(&self) -> &[IpAddr] {
        let sources = [&self.config.runtime.ips, &self.config.args.ips, &self.args.ips];
        sources.into_iter().find(|ips| !ips.is_empty()).map(Vec::as_slice).unwrap_or_default()
    }

    /// The pod end's MAC that is asked for, from the same places in the same order.
    pub fn requested_mac(&self) -> Option<MacAddress> {
        self.config.runtime.mac.or(self.config.args.mac).or(self.args.mac)
    }
}

/// Where a plugin stands in a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It makes the interface: `ipMasq: true` is its to refuse, and capabilities for chained plugins get a word.
    Main,
    /// It gives addresses below any main plugin, and gets the whole config of that one: `ipMasq` is not its business.
    Ipam,
}

/// A CNI plugin. Called by `serve`, one verb in one process.
pub trait Plugin {
    /// For the line that a person gets who starts the program.
    fn name(&self) -> &str;

    /// Where it stands.
    fn role(&self) -> Role {
        Role::Main
    }

    /// Makes the attachment and hands its result to `print`, once. When `print` fails, or anything before it, nothing
    /// may be left behind: the runtime did not get the result.
    fn add(
        &self,
        request: &Request,
        attachment: &Attachment,
        netns: &Path,
        print: &mut dyn FnMut(&AddResult) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Removes the attachment. Succeeds when it is not there, in whole or in part.
    fn del(&self, request: &Request, attachment: &Attachment, netns: Option<&Path>) -> Result<(), Error>;

    /// Whether the attachment is as `previous_result` of the config says. Changes nothing.
    fn check(&self, request: &Request, attachment: &Attachment, netns: &Path) -> Result<(), Error>;

    /// Removes all attachments of this network that are not in `valid`.
    fn gc(&self, request: &Request, valid: &BTreeSet<Attachment>) -> Result<(), Error>;

    /// Whether ADD can be served. Reads only, and waits for no lock.
    fn status(&self, request: &Request) -> Result<(), Error>;
}
