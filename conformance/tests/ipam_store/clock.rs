//! No decision of the plugins depends on the wall clock, which may jump (E-40): none of their sources reads it.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// What reads the wall clock, or stamps that come from it.
const WALL_CLOCK: [&str; 5] = ["SystemTime", "UNIX_EPOCH", "CLOCK_REALTIME", ".modified()", "st_mtime"];

fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// E-40
#[test]
fn no_plugin_reads_the_wall_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut seen = 0;
    for crate_of_the_plugins in ["cni", "ipam", "netlink", "plugin"] {
        for file in sources(&root.join(crate_of_the_plugins).join("src")).unwrap() {
            let text = fs::read_to_string(&file).unwrap();
            seen += 1;
            for word in WALL_CLOCK {
                assert!(!text.contains(word), "{} has {word}", file.display());
            }
        }
    }
    assert!(seen > 50, "only {seen} sources were found");
}
