//! `podlan-lab-trace`: installed in the place of a CNI plugin, it runs the real plugin and writes down the call.
//!
//! Installed as `BIN_DIR/NAME`, it runs `BIN_DIR/.real/NAME` with the same environment, stdin, stdout and stderr, and
//! appends one line of JSON to `BIN_DIR/calls.jsonl`. It changes nothing of the call.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("podlan-lab-trace: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> std::io::Result<ExitCode> {
    let own = std::env::args_os().next().ok_or(std::io::ErrorKind::NotFound)?;
    let (directory, name) =
        Path::new(&own).parent().zip(Path::new(&own).file_name()).ok_or(std::io::ErrorKind::NotFound)?;
    let mut config = Vec::new();
    std::io::stdin().read_to_end(&mut config)?;

    let began = Instant::now();
    let mut child =
        Command::new(directory.join(".real").join(name)).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A plugin need not read what it does not use, and libcni does not care either.
        stdin.write_all(&config).or_else(|error| match error.kind() {
            ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        })?;
    }
    let output = child.wait_with_output()?;
    let elapsed = began.elapsed();

    note(directory, name, &config, &output, elapsed)?;
    std::io::stdout().write_all(&output.stdout)?;
    Ok(output.status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// One write for each line: calls of a runtime overlap, and O_APPEND keeps their lines whole.
fn note(directory: &Path, name: &OsStr, config: &[u8], output: &Output, elapsed: Duration) -> std::io::Result<()> {
    let variable = |name| std::env::var(name).ok();
    let mut line = json!({
        "plugin": name.to_string_lossy(),
        "command": variable("CNI_COMMAND"),
        "container": variable("CNI_CONTAINERID"),
        "netns": variable("CNI_NETNS"),
        "ifname": variable("CNI_IFNAME"),
        "args": variable("CNI_ARGS"),
        "config": serde_json::from_slice::<Value>(config).unwrap_or(Value::Null),
        "answer": String::from_utf8_lossy(&output.stdout),
        "code": output.status.code(),
        "micros": u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
    })
    .to_string();
    line.push('\n');
    OpenOptions::new().create(true).append(true).open(directory.join("calls.jsonl"))?.write_all(line.as_bytes())
}
