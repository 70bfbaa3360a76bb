//! Is a network namespace still there? Judged from its path, its identity and the boot it was recorded in.
//! Owns the proof. Refuses to guess: what this mount namespace cannot see is unknown.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::lease::{Presence, Proof};

/// Device and inode of the namespace at a path, to be recorded as [`Proof::netns_id`], or of the directory that it lies in.
/// `None` when there is none.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Is the recorded namespace still there? `same_boot`: was it recorded in the present boot.
///
/// Gone needs proof: the path leads to another namespace, or to nothing while its directory is visible from here. A plain
/// file is what a namespace looks like whose mount does not reach this process. Inode numbers are reused at once, so the
/// same number means present, which errs on the safe side. `sees` says whether a directory is the runtime's; in another
/// boot it need not be asked, for no namespace outlives one.
pub(crate) fn presence(proof: &Proof, same_boot: bool, sees: &dyn Fn(&Path) -> bool) -> Presence {
    let path = proof.netns.as_path();
    // /proc shows the processes of one pid namespace only: what is not there may live in another.
    let foreign = same_boot && (path.starts_with("/proc") || !path.parent().is_some_and(sees));
    let gone = if foreign { Presence::Unknown } else { Presence::Gone };
    match (fs::metadata(path), proof.netns_id) {
        (Ok(there), Some(id)) if (there.dev(), there.ino()) == id => Presence::Present,
        (Ok(there), Some((device, _))) if same_boot && there.dev() != device => Presence::Unknown,
        (Ok(_), Some(_)) => gone,
        // It was never seen, so that it is not there now says nothing.
        (_, None) if same_boot => Presence::Unknown,
        (Ok(_), None) => Presence::Unknown,
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound && visible(path) => gone,
        (Err(_), _) => Presence::Unknown,
    }
}

/// Can we see the directory that the path lies in? For /proc that is /proc itself: a process takes its directory along.
fn visible(path: &Path) -> bool {
    let parent = if path.starts_with("/proc") { Some(Path::new("/proc/self")) } else { path.parent() };
    parent.is_some_and(|parent| fs::metadata(parent).is_ok_and(|metadata| metadata.is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(path: &Path, id: Option<(u64, u64)>) -> Proof {
        Proof { netns: path.to_path_buf(), netns_id: id, ..Proof::default() }
    }

    #[test]
    fn a_namespace_is_gone_only_when_that_is_proved() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ns");
        fs::write(&path, "").unwrap();
        let id = identity(&path).unwrap();
        let other = (id.0, id.1 + 1);
        let unmounted = (id.0 + 1, id.1);
        let missing = home.path().join("missing");
        let hidden = home.path().join("hidden/ns");
        let process = Path::new("/proc/4194999/ns/net");
        for (path, id, same_boot, presence_is) in [
            (path.as_path(), Some(id), true, Presence::Present),
            (&path, Some(id), false, Presence::Present),
            (&path, Some(other), true, Presence::Gone),
            (&path, Some(unmounted), true, Presence::Unknown),
            (&path, Some(unmounted), false, Presence::Gone),
            (&path, None, true, Presence::Unknown),
            (&path, None, false, Presence::Unknown),
            (&missing, Some(id), true, Presence::Gone),
            (&missing, None, true, Presence::Unknown),
            (&missing, None, false, Presence::Gone),
            (&hidden, Some(id), true, Presence::Unknown),
            (&hidden, Some(id), false, Presence::Unknown),
            (process, Some(id), true, Presence::Unknown),
            (process, Some(id), false, Presence::Gone),
            (Path::new(""), Some(id), true, Presence::Unknown),
        ] {
            let seen = |sees: bool| presence(&proof(path, id), same_boot, &|_| sees);
            assert_eq!(seen(true), presence_is, "{} {id:?} {same_boot}", path.display());
            let blind = if same_boot && presence_is == Presence::Gone { Presence::Unknown } else { presence_is };
            assert_eq!(seen(false), blind, "from elsewhere: {} {id:?} {same_boot}", path.display());
        }
    }
}
