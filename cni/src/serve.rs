//! The protocol around a plugin: environment, stdin, version, verb, and one JSON object on stdout or nothing.
//! IO is given, never opened, and bounded in size; the caller bounds it in time.

use std::ffi::OsString;
use std::io::{self, Read, Write};

use serde_json::{Map, Value};

use crate::config::{decode, spoken_version};
use crate::env::{Call, Variables};
use crate::{Args, Code, Error, NetworkConfig, Plugin, Request, Role, SpecVersion, Verb};

/// The longest config that is read, in bytes: 16 MiB.
pub const STDIN_CAP: usize = 16 << 20;
/// More than a network configuration usually has: read in one piece.
const USUAL: usize = 8 << 10;

/// Serves one call and returns the exit code: 0, or 1 with an error object on stdout.
///
/// The order is libcni's (S-040): variables, stdin, JSON, name, version, verb. Should the error object not be
/// printable any more, because a result is out already or stdout is broken, the error goes to `stderr`.
pub fn serve(
    plugin: &impl Plugin,
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let variables = Variables(vars.into_iter().collect());
    let mut output = Output { stdout, state: State::Untouched, version: SpecVersion::NEWEST };
    let Err(error) = answer(plugin, variables, stdin, &mut output, stderr) else { return 0 };
    if output.print(&error.to_json(output.version)).is_err() {
        say(stderr, plugin, &error.to_string());
    }
    1
}

fn answer(
    plugin: &impl Plugin,
    variables: Variables,
    stdin: &mut dyn Read,
    output: &mut Output<'_>,
    stderr: &mut dyn Write,
) -> Result<(), Error> {
    match Call::read(&variables)? {
        Call::About => {
            about(plugin, stderr);
            Ok(())
        }
        Call::Version => output.print(&versions(stdin)),
        Call::Add(attachment, netns, args) => {
            let request = request(plugin, Verb::Add, args, variables, stdin, output)?;
            note_foreign(plugin, &request, stderr);
            let version = request.config.version;
            plugin.add(&request, &attachment, &netns, &mut |result| output.print(&result.to_json(version)?))?;
            output.written()
        }
        Call::Del(attachment, netns, args) => {
            let request = request(plugin, Verb::Del, args, variables, stdin, output)?;
            plugin.del(&request, &attachment, netns.as_deref())
        }
        Call::Check(attachment, netns, args) => {
            let request = request(plugin, Verb::Check, args, variables, stdin, output)?;
            plugin.check(&request, &attachment, &netns)
        }
        Call::Gc => {
            let request = request(plugin, Verb::Gc, Args::default(), variables, stdin, output)?;
            plugin.gc(&request, &request.config.valid_attachments()?)
        }
        Call::Status => plugin.status(&request(plugin, Verb::Status, Args::default(), variables, stdin, output)?),
    }
}

fn request(
    plugin: &impl Plugin,
    verb: Verb,
    args: Args,
    variables: Variables,
    stdin: &mut dyn Read,
    output: &mut Output<'_>,
) -> Result<Request, Error> {
    let path = variables.path()?;
    let mut bytes = Vec::with_capacity(USUAL);
    read(stdin, &mut bytes).map_err(|error| Error::new(Code::Io, format!("error reading from stdin: {error}")))?;
    if bytes.len() > STDIN_CAP {
        let msg = format!("error unmarshall network config: longer than {STDIN_CAP} bytes");
        return Err(Error::new(Code::Decode, msg));
    }
    let object = decode(&bytes)?;
    output.version = spoken_version(&object).unwrap_or(SpecVersion::NEWEST);
    let config = NetworkConfig::from_object(object, verb)?;
    if config.ip_masq && plugin.role() == Role::Main && !matches!(verb, Verb::Del | Verb::Gc) {
        return Err(Error::new(Code::UnsupportedField, "unsupported field ipMasq: true")
            .with_details("pods keep their own address; masquerading what leaves the cluster is the node agent's"));
    }
    Ok(Request { config, args, path, environment: variables.0, stdin: bytes })
}

/// Reads at most one byte more than the cap. What came before an error is in `bytes`.
fn read(stdin: &mut dyn Read, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let limit = u64::try_from(STDIN_CAP).unwrap_or(u64::MAX).saturating_add(1);
    stdin.take(limit).read_to_end(bytes)
}

/// The answer to VERSION. Names the version that the input names, whatever it is, and needs no input (D-04).
fn versions(stdin: &mut dyn Read) -> String {
    let mut bytes = Vec::new();
    // A runtime that leaves stdin open, or gives none, is answered all the same.
    let _ = read(stdin, &mut bytes);
    let object = decode(&bytes).unwrap_or_default();
    let named = object.get("cniVersion").and_then(Value::as_str).filter(|text| !text.is_empty());
    let supported: Vec<&str> = SpecVersion::ALL.iter().map(|version| version.as_str()).collect();
    let mut answer = Map::new();
    answer.insert("cniVersion".to_owned(), named.unwrap_or(SpecVersion::NEWEST.as_str()).into());
    answer.insert("supportedVersions".to_owned(), supported.into());
    Value::Object(answer).to_string()
}

/// For a person who has started the program without a runtime.
fn about(plugin: &impl Plugin, stderr: &mut dyn Write) {
    let versions: Vec<&str> = SpecVersion::ALL.iter().map(|version| version.as_str()).collect();
    let text = format!(
        "CNI {} plugin v{}\nCNI protocol versions supported: {}\n",
        plugin.name(),
        env!("CARGO_PKG_VERSION"),
        versions.join(", ")
    );
    // There is no way left to report it.
    let _ = stderr.write_all(text.as_bytes());
}

fn note_foreign(plugin: &impl Plugin, request: &Request, stderr: &mut dyn Write) {
    let foreign = &request.config.runtime.foreign;
    if !foreign.is_empty() && plugin.role() == Role::Main {
        say(stderr, plugin, &format!("ignoring {}: for a chained plugin to act on", foreign.join(" and ")));
    }
}

fn say(stderr: &mut dyn Write, plugin: &impl Plugin, text: &str) {
    let _ = writeln!(stderr, "{}: {text}", plugin.name());
}

/// Stdout, which takes one object in all.
struct Output<'a> {
    stdout: &'a mut dyn Write,
    state: State,
    /// Of the config, as soon as it is known.
    version: SpecVersion,
}

#[derive(PartialEq)]
enum State {
    Untouched,
    Written,
    Broken,
}

impl Output<'_> {
    fn print(&mut self, json: &str) -> Result<(), Error> {
        if self.state != State::Untouched {
            return Err(Error::new(Code::Internal, "stdout takes one object, and has it"));
        }
        self.state = State::Broken;
        let line = format!("{json}\n");
        let written = self.stdout.write_all(line.as_bytes()).and_then(|()| self.stdout.flush());
        written.map_err(|error| Error::new(Code::Io, format!("error writing to stdout: {error}")))?;
        self.state = State::Written;
        Ok(())
    }

    /// ADD must have printed, whatever its plugin says.
    fn written(&self) -> Result<(), Error> {
        match self.state {
            State::Written => Ok(()),
            State::Untouched | State::Broken => Err(Error::new(Code::Internal, "no result was printed")),
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
