//! The one image of these tests, as a docker-archive that `ctr images import` takes: no registry, no docker.
//! It refuses anything but uid 0: one uid is all that a lab's user namespace maps.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

/// What the runtime is told to run, for the sandbox (its entry point) and for each container.
pub const NAME: &str = "localhost/podlan-lab:test";

/// A file of the image: the static binary at `source` as `/target`.
pub struct File<'a> {
    pub target: &'a str,
    pub source: &'a Path,
}

/// An archive of one layer with `files`; `entry` is what runs when nothing else is said, as in a pod's sandbox.
pub fn archive(files: &[File<'_>], entry: &[&str]) -> Vec<u8> {
    let contents: Vec<(&str, Vec<u8>)> =
        files.iter().map(|file| (file.target, std::fs::read(file.source).expect("a binary for the image"))).collect();
    let layer = tar(&contents.iter().map(|(target, bytes)| (*target, bytes.as_slice())).collect::<Vec<_>>());
    let digest: String = Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": entry, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        "history": [{"created_by": "podlan's tests"}],
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]);
    tar(&[
        ("manifest.json", manifest.to_string().as_bytes()),
        ("config.json", config.to_string().as_bytes()),
        ("layer.tar", &layer),
    ])
}

/// The architecture's name in Go and in OCI.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A tar of executable files of uid 0 and time 0: the same bytes from the same contents.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, path, *bytes).expect("append to a tar in memory");
    }
    builder.into_inner().expect("finish a tar in memory")
}
