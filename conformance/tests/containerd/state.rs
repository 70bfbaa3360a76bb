//! A /var/lib of the node's own: libcni keeps its results in /var/lib/cni, wherever containerd is told to keep its own.
//! It refuses to hide what else lies there: the checkout may, and with it the programs under test.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use podlan_conformance::lab::Place;

const NOTHING: Option<&str> = None;

/// Mounts it, for the processes that are started on `node` from now on.
pub fn own_var_lib(node: &Place) {
    node.enter(|| cover("/var/lib", "/run/var-lib", "cni")).unwrap().unwrap();
}

/// Puts a file system in memory over `covered`, with an empty folder `own` and every other folder as it was. It is
/// furnished at `aside` first.
fn cover(covered: &str, aside: &str, own: &str) -> Result<(), Errno> {
    let at = Path::new(aside);
    fs::create_dir(at).unwrap();
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))?;
    fs::create_dir(at.join(own)).unwrap();
    for entry in fs::read_dir(covered).unwrap().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && entry.file_name() != own {
            let shown = at.join(entry.file_name());
            fs::create_dir(&shown).unwrap();
            mount(Some(&entry.path()), &shown, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING)?;
        }
    }
    mount(Some(at), covered, NOTHING, MsFlags::MS_MOVE, NOTHING)
}
