//! `podlan-lab-runc`: the runc of a lab node. It relaxes a new container's OCI spec by what a user namespace with one
//! mapped uid cannot do, then becomes the real `runc` of PATH. containerd is told of it by `BinaryName`.
//!
//! What goes: `gid=5` of devpts (no such group is mapped), the cgroup path and the resource limits (an ordinary user
//! owns no cgroup). It refuses to touch anything else: mounts, namespaces and hooks of the pod stay the runtime's own.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Value;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(bundle) = bundle_of_new_container(&arguments)
        && let Err(error) = relax_file(&bundle.join("config.json"))
    {
        eprintln!("podlan-lab-runc: {}: {error}", bundle.display());
        return ExitCode::FAILURE;
    }
    let error = Command::new("runc").args(&arguments).exec();
    eprintln!("podlan-lab-runc: exec runc: {error}");
    ExitCode::FAILURE
}

/// The bundle of `runc .. create --bundle DIR ..` (or `run`); every other command has no new spec.
fn bundle_of_new_container(arguments: &[OsString]) -> Option<PathBuf> {
    let verb = arguments.iter().position(|word| word == "create" || word == "run")?;
    let mut words = arguments[verb..].iter();
    words.find(|word| *word == OsStr::new("--bundle") || *word == OsStr::new("-b"))?;
    words.next().map(PathBuf::from)
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
    use serde_json::json;

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

    #[test]
    fn only_commands_that_make_a_container_have_a_bundle() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let create = words("--root /r --log l create --bundle /b/1 --pid-file p 1");
        assert_eq!(bundle_of_new_container(&create), Some(PathBuf::from("/b/1")));
        assert_eq!(bundle_of_new_container(&words("--root /r delete --force 1")), None);
        assert_eq!(bundle_of_new_container(&words("--root /r start 1")), None);
    }
}
