//! The image that scripts/image makes, as bytes. The containerd tests show that a runtime accepts it and runs the agent
//! from it.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use podlan_conformance::lab::binaries;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The greatest size allowed, bytes.
const MOST: usize = 15_000_000;

fn make(folder: &Path, binaries: &Path, words: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/image");
    let archive = folder.join("podlan.tar");
    let mut command = Command::new(script);
    command.args(words).env("SOURCE_DATE_EPOCH", "1700000000").env("PODLAN_COMMIT", "0123456789ab");
    command.arg("--binaries").arg(binaries);
    let made = command.arg("--output").arg(&archive).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    archive
}

fn files(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(fs::File::open(archive).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 1_700_000_000));
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, bytes);
    }
    files
}

/// The document that a descriptor names, by its digest and size.
fn named(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = &files[&format!("./blobs/sha256/{digest}")];
    let own: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((own.as_str(), descriptor["size"].as_u64()), (digest, Some(bytes.len() as u64)));
    bytes.clone()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn an_image_is_small_names_its_own_parts_and_is_the_same_each_time() {
    let binaries = binaries::find("podlan-node").unwrap().parent().unwrap().to_owned();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = make(one.path(), &binaries, &[]);
    let bytes = fs::read(&first).unwrap();
    assert!(bytes == fs::read(make(other.path(), &binaries, &[])).unwrap(), "made twice, it is not the same");
    eprintln!("the image weighs {} bytes", bytes.len());
    assert!(!binaries::are_release() || bytes.len() < MOST, "{} bytes", bytes.len());

    let files = files(&first);
    assert_eq!(json(&files["./oci-layout"])["imageLayoutVersion"], "1.0.0");
    let index = json(&files["./index.json"]);
    let name = format!("localhost/podlan:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], *name);
    let inner = json(&named(&files, &index["manifests"][0]));
    let manifest = json(&named(&files, &inner["manifests"][0]));
    let config = json(&named(&files, &manifest["config"]));
    assert_eq!(config["config"]["Entrypoint"][0], "/bin/podlan-node");
    assert_eq!(config["architecture"], inner["manifests"][0]["platform"]["architecture"]);
    named(&files, &manifest["layers"][0]);
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));

    // What a registry shows of it, for each architecture and for both.
    let labels = &config["config"]["Labels"];
    for (label, is) in [
        ("title", "podlan"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("created", "2023-11-14T22:13:20Z"),
        ("revision", "0123456789ab"),
    ] {
        assert_eq!(labels[format!("org.opencontainers.image.{label}")], is, "{labels}");
    }
    assert_eq!([&manifest["annotations"], &inner["annotations"]], [labels, labels]);
}

#[test]
fn an_image_has_the_name_of_a_registry_where_one_is_given() {
    let binaries = tempfile::tempdir().unwrap();
    for program in ["podlan", "podlan-ipam", "podlan-node"] {
        fs::write(binaries.path().join(program), program).unwrap();
    }
    let files = files(&make(binaries.path(), binaries.path(), &["--name", "registry.example/podlan"]));
    let annotations = &json(&files["./index.json"])["manifests"][0]["annotations"];
    let name = format!("registry.example/podlan:{}", env!("CARGO_PKG_VERSION"));
    for key in ["io.containerd.image.name", "org.opencontainers.image.ref.name"] {
        assert_eq!(annotations[key], *name, "{annotations}");
    }
}

#[test]
fn an_image_of_both_architectures_has_for_each_machine_its_own_programs() {
    let (binaries, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for architecture in ["x86_64", "aarch64"] {
        let folder = binaries.path().join(architecture);
        fs::create_dir(&folder).unwrap();
        for program in ["podlan", "podlan-ipam", "podlan-node"] {
            fs::write(folder.join(program), format!("{program} of {architecture}")).unwrap();
        }
    }
    let files = files(&make(out.path(), binaries.path(), &["x86_64", "aarch64"]));
    let inner = json(&named(&files, &json(&files["./index.json"])["manifests"][0]));
    assert_eq!(inner["manifests"].as_array().map(Vec::len), Some(2));
    for (at, (go, architecture)) in [("amd64", "x86_64"), ("arm64", "aarch64")].into_iter().enumerate() {
        let descriptor = &inner["manifests"][at];
        assert_eq!(descriptor["platform"], serde_json::json!({ "architecture": go, "os": "linux" }));
        let manifest = json(&named(&files, descriptor));
        assert_eq!(json(&named(&files, &manifest["config"]))["architecture"], go);
        let layer = named(&files, &manifest["layers"][0]);
        let mut unpacked =
            Command::new("gzip").arg("-dc").stdin(file_of(&layer)).stdout(Stdio::piped()).spawn().unwrap();
        let mut programs = BTreeMap::new();
        for entry in tar::Archive::new(unpacked.stdout.take().unwrap()).entries().unwrap() {
            let (mut entry, mut text) = (entry.unwrap(), String::new());
            entry.read_to_string(&mut text).unwrap();
            programs.insert(entry.path().unwrap().display().to_string(), text);
        }
        unpacked.wait().unwrap();
        for program in ["podlan", "podlan-ipam", "podlan-node"] {
            assert_eq!(programs[&format!("bin/{program}")], format!("{program} of {architecture}"));
        }
    }
}

fn file_of(bytes: &[u8]) -> fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}
