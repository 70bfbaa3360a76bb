//! `podlan-lab-runc`: the runc of a lab node. It removes from a new container's OCI spec what a user namespace with one
//! mapped uid does not allow, then executes the real `runc` of PATH. containerd starts it because of its setting
//! `BinaryName`.
//!
//! Removed are: `gid=5` of devpts (no such group is mapped), the cgroup path and the resource limits (an ordinary user
//! owns no cgroup). `runc ps` reads the cgroup and would find no process, and a restarted containerd (1.7 and later)
//! would then take the pod for dead and kill it: so it is answered with the container's first process.
//! `--cgroup-manager`, which podman passes to a runtime that is to leave cgroups alone, is an option of crun only.
//! Nothing else is changed: mounts, namespaces and hooks of the pod stay as the runtime wrote them.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};

fn main() -> ExitCode {
    let arguments = known_to_runc(std::env::args_os().skip(1).collect());
    if let Some(bundle) = bundle_of_new_container(&arguments)
        && let Err(error) = relax_file(&bundle.join("config.json"))
    {
        eprintln!("podlan-lab-runc: {}: {error}", bundle.display());
        return ExitCode::FAILURE;
    }
    if let Some(state) = state_instead_of_ps(&arguments) {
        return first_process(&state);
    }
    let error = Command::new("runc").args(&arguments).exec();
    eprintln!("podlan-lab-runc: exec runc: {error}");
    ExitCode::FAILURE
}

/// Without `--cgroup-manager NAME`.
fn known_to_runc(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if let Some(at) = arguments.iter().position(|word| word == "--cgroup-manager") {
        arguments.drain(at..arguments.len().min(at + 2));
    }
    arguments
}

/// The bundle of `runc .. create --bundle DIR ..` (or `run`); every other command has no new spec.
fn bundle_of_new_container(arguments: &[OsString]) -> Option<PathBuf> {
    let verb = arguments.iter().position(|word| word == "create" || word == "run")?;
    let mut words = arguments[verb..].iter();
    words.find(|word| *word == OsStr::new("--bundle") || *word == OsStr::new("-b"))?;
    words.next().map(PathBuf::from)
}

/// The arguments `runc .. state ID` in the place of `runc .. ps .. ID`.
fn state_instead_of_ps(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let verb = arguments.iter().position(|word| word == "ps")?;
    let id = arguments[verb..].last()?;
    Some(arguments[..verb].iter().chain([&OsString::from("state"), id]).cloned().collect())
}

/// Prints what `runc ps --format json` would print of a container with one process; fails as runc does.
fn first_process(state: &[OsString]) -> ExitCode {
    let answer = Command::new("runc").args(state).stderr(Stdio::inherit()).output();
    let pid = answer.ok().and_then(|answer| Some(serde_json::from_slice::<Value>(&answer.stdout).ok()?["pid"].clone()));
    let Some(pid) = pid else { return ExitCode::FAILURE };
    match writeln!(std::io::stdout(), "{}", json!([pid])) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn relax_file(path: &Path) -> std::io::Result<()> {
    let mut spec = serde_json::from_slice(&std::fs::read(path)?)?;
    relax(&mut spec);
    std::fs::write(path, serde_json::to_vec(&spec)?)
}

fn relax(spec: &mut Value) {
    if let Some(linux) = spec.get_mut("linux").and_then(Value::as_object_mut) {
        linux.remove("cgroupsPath");
        linux.remove("resources");
    }
    for mount in spec.get_mut("mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        if mount["type"] == "devpts"
            && let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut)
        {
            options.retain(|option| option != "gid=5");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_single_uid_cannot_have_is_dropped() {
        let mut spec = json!({
            "hostname": "web",
            "mounts": [
                {"type": "devpts", "options": ["nosuid", "gid=5", "mode=0620"]},
                {"type": "tmpfs", "options": ["gid=5"]},
                {"type": "bind"},
            ],
            "linux": {"cgroupsPath": "/k8s.io/x", "resources": {"cpu": {}}, "namespaces": [{"type": "ipc"}]},
        });
        relax(&mut spec);
        assert_eq!(
            spec,
            json!({
                "hostname": "web",
                "mounts": [
                    {"type": "devpts", "options": ["nosuid", "mode=0620"]},
                    {"type": "tmpfs", "options": ["gid=5"]},
                    {"type": "bind"},
                ],
                "linux": {"namespaces": [{"type": "ipc"}]},
            })
        );
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn options_of_crun_only_are_dropped() {
        let said = words("--log l --cgroup-manager disabled create --bundle /b 1");
        assert_eq!(known_to_runc(said), words("--log l create --bundle /b 1"));
        assert_eq!(known_to_runc(words("start 1")), words("start 1"));
    }

    #[test]
    fn ps_is_answered_from_the_state() {
        assert_eq!(state_instead_of_ps(&words("--root /r ps --format json 1")), Some(words("--root /r state 1")));
        assert_eq!(state_instead_of_ps(&words("--root /r exec 1 probe")), None);
    }

    #[test]
    fn only_commands_that_make_a_container_have_a_bundle() {
        let create = words("--root /r --log l create --bundle /b/1 --pid-file p 1");
        assert_eq!(bundle_of_new_container(&create), Some(PathBuf::from("/b/1")));
        assert_eq!(bundle_of_new_container(&words("--root /r delete --force 1")), None);
        assert_eq!(bundle_of_new_container(&words("--root /r start 1")), None);
    }
}
