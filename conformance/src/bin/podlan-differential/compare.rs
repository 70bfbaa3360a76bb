//! Replays to both builds and lists the differences.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use podlan_conformance::lab::binaries;
use serde_json::Value;

use crate::request::{self, Request};
use crate::{Error, Requests, fuzzed};

/// How many differences are shown unless they go to a file.
const SHOWN: usize = 10;

/// Whether both builds gave the same answers to all requests.
pub(crate) fn compare(requests: &Requests, builds: [&Path; 2], to: Option<&Path>) -> Result<bool, Error> {
    let recorded = requests.recorded.as_deref().map(request::read).transpose()?.unwrap_or_default();
    let sums = (recorded.len(), requests.fuzz);
    let all = [recorded, fuzzed::requests(requests.fuzz, requests.seed)].concat();
    let [old, new] = builds.map(|build| answers(requests, build));
    let (old, new) = (old?, new?);
    if old.len() != all.len() || new.len() != all.len() {
        let said = format!("{} requests, {} and {} answers", all.len(), old.len(), new.len());
        return Err(Error::Replay { build: builds[1].to_owned(), said });
    }
    let differences: Vec<String> = all
        .iter()
        .zip(old.iter().zip(&new))
        .filter(|(_, (old, new))| old != new)
        .map(|(request, (old, new))| difference(request, old, new))
        .collect();
    if let Some(path) = to {
        fs::write(path, differences.concat()).map_err(Error::system(format!("write {}", path.display())))?;
    }
    let shown = if to.is_some() { 0 } else { SHOWN };
    let text: String = differences.iter().take(shown).map(String::as_str).collect();
    let messages: usize = old.iter().map(|answer| answer.matches("NETLINK_").count()).sum();
    let succeeded = old.iter().filter(|answer| answer.starts_with(r#"{"code":0,"#)).count();
    let printed = writeln!(
        std::io::stdout(),
        "{text}{} of {} requests differ ({} recorded, {} of the fuzz corpora; {succeeded} succeeded before; {messages} netlink messages before)",
        differences.len(),
        all.len(),
        sums.0,
        sums.1,
    );
    printed.map_err(Error::system("print the sums"))?;
    Ok(differences.is_empty())
}

/// The answers of one build, one line for each request.
fn answers(requests: &Requests, build: &Path) -> Result<Vec<String>, Error> {
    let own = std::env::current_exe().map_err(Error::system("find my own program"))?;
    let mut command = Command::new(binaries::lab()?);
    command.args(["enter", "--"]).arg(own).arg("replay").arg(build);
    command.args(["--fuzz", &requests.fuzz.to_string(), "--seed", &requests.seed.to_string()]);
    if let Some(path) = &requests.recorded {
        let path = path.canonicalize().map_err(Error::system(format!("find {}", path.display())))?;
        command.arg("--recorded").arg(path);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(Error::system("start the replay"))?;
    let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines().collect::<Result<Vec<_>, _>>());
    let lines = lines.transpose().map_err(Error::system("read the answers"))?.unwrap_or_default();
    let status = child.wait().map_err(Error::system("wait for the replay"))?;
    match status.success() {
        true => Ok(lines),
        false => {
            Err(Error::Replay { build: build.to_owned(), said: format!("{status} after {} answers", lines.len()) })
        }
    }
}

/// The parts that differ in the two answers to one request.
fn difference(request: &Request, old: &str, new: &str) -> String {
    let answer = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let (old, new) = (answer(old), answer(new));
    let mut text = format!("request {}\n", request.line());
    for part in ["code", "stdout", "sent"].iter().filter(|part| old[**part] != new[**part]) {
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text += &format!(
            "  {part} before: {}\n  {part} after:  {}\n",
            plain(&old[*part]).trim(),
            plain(&new[*part]).trim()
        );
    }
    text
}
