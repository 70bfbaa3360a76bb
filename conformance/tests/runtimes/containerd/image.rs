//! The one image of these tests, as a docker-archive that `ctr images import` reads: no registry, no docker. All files
//! have uid 0: a lab's user namespace maps no other uid.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

/// The image's name, for the sandbox (its entry point) and for each container.
pub const NAME: &str = "localhost/podlan-lab:test";

/// A file of the image: the static binary at `source` as `/target`.
pub struct File<'a> {
    pub target: &'a str,
    pub source: &'a Path,
}

/// An archive of one layer with `files`; `entry` runs when no command is given, as in a pod's sandbox.
pub fn archive(files: &[File<'_>], entry: &[&str]) -> Vec<u8> {
    archive_as(NAME, files, &[], entry, &[])
}

/// The same under another name; with symbolic links (name and target); and with default arguments for `entry`.
pub fn archive_as(name: &str, files: &[File<'_>], links: &[(&str, &str)], entry: &[&str], words: &[&str]) -> Vec<u8> {
    let contents: Vec<(&str, Vec<u8>)> =
        files.iter().map(|file| (file.target, std::fs::read(file.source).expect("a binary for the image"))).collect();
    let layer = tar(&contents.iter().map(|(target, bytes)| (*target, bytes.as_slice())).collect::<Vec<_>>(), links);
    let digest: String = Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": entry, "Cmd": words, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        "history": [{"created_by": "podlan's tests"}],
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    let parts = [
        ("manifest.json", manifest.to_string().into_bytes()),
        ("config.json", config.to_string().into_bytes()),
        ("layer.tar", layer),
    ];
    tar(&parts.each_ref().map(|(name, bytes)| (*name, bytes.as_slice())), &[])
}

/// The architecture's name in Go and in OCI.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A tar of executable files of uid 0 and time 0, and of links: the same bytes for the same contents.
fn tar(files: &[(&str, &[u8])], links: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, path, *bytes).expect("append to a tar in memory");
    }
    for (path, to) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, path, to).expect("append to a tar in memory");
    }
    builder.into_inner().expect("finish a tar in memory")
}
