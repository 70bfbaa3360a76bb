//! The pages in docs/ quote programs, name files and point at each other: what they quote is printed, what they name is there.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test, told with its place")]

use std::fs;
use std::path::{Path, PathBuf};

/// Said by the runtime, not by podlan.
const FOREIGN: [&str; 1] = ["cni plugin not initialized"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The sources of what ships, below `folder`.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn what_troubleshooting_quotes_the_programs_print() {
    let mut text = String::new();
    for part in ["cni", "ipam", "ipam/store", "migration", "netlink", "node", "plugin", "podlink"] {
        sources(&root().join(part).join("src"), &mut text);
    }
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let quoted: Vec<&str> = page.split('"').skip(1).step_by(2).filter(|quote| !FOREIGN.contains(quote)).collect();
    assert!(quoted.len() > 12, "{quoted:?}");
    let strange: Vec<_> = quoted.into_iter().filter(|quote| !text.contains(quote)).collect();
    assert!(strange.is_empty(), "nothing prints these: {strange:?}");
}

#[test]
fn what_the_pages_point_at_is_there() {
    let docs = root().join("docs");
    let files = [docs.clone(), docs.join("bench")].map(|folder| fs::read_dir(folder).unwrap());
    let pages = files.into_iter().flatten().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|extension| extension == "md"));
    for page in pages.chain([root().join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = page.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(file.exists(), "{}: {link}", page.display());
        }
        let scripts = text.split(['`', ' ', '\n']).filter(|word| word.starts_with("scripts/"));
        for script in scripts.map(|word| word.trim_end_matches(['.', ',', ')', ':', ';'])) {
            assert!(root().join(script).exists(), "{}: {script}", page.display());
        }
    }
}
