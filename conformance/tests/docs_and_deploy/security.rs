//! SECURITY.md names tests that exist: a defence whose test was renamed or removed would be unproven.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned()
}

/// The words in backquotes that can only be tests: sentences of small letters and underscores.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split('`').skip(1).step_by(2);
    let is_sentence = |word: &&str| {
        word.matches('_').count() >= 3
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
    };
    words.filter(is_sentence).collect()
}

/// The functions below `folder` that follow a `#[test]`.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                tests(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let after = text.split("#[test]").skip(1);
            found.extend(after.filter_map(|rest| Some(rest.split_once("fn ")?.1.split_once('(')?.0.to_owned())));
        }
    }
}

#[test]
fn every_test_that_security_md_names_exists() {
    let text = fs::read_to_string(root().join("SECURITY.md")).expect("SECURITY.md");
    let mut found = BTreeSet::new();
    for part in [
        "cni",
        "conformance",
        "fuzz",
        "hostport",
        "ipam",
        "kubectl",
        "netlink",
        "nftables",
        "node",
        "plugin",
        "podlink",
    ] {
        tests(&root().join(part), &mut found);
    }
    let named = named(&text);
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "SECURITY.md names no test of this workspace: {missing:?}");
    let scripts = text.split('`').filter(|word| word.starts_with("scripts/"));
    let missing: Vec<_> = scripts.filter(|script| !root().join(script).exists()).collect();
    assert!(missing.is_empty(), "SECURITY.md names no script: {missing:?}");
}
