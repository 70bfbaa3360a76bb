//! Whether the attachment of a lease is alive: its network namespace is looked at here, its link by the caller.
//! Gone takes proof. What this process cannot see is unknown.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use store::{Lease, Proof, Stamp};

/// What is known of a link, a namespace, or an attachment. Unknown is not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Present,
    /// It is provably not there.
    Gone,
    /// It cannot be said from here.
    Unknown,
}

impl Presence {
    /// What a look says. One that failed is no proof.
    pub fn of<T, E>(look: Result<Option<T>, E>) -> Self {
        match look {
            Ok(Some(_)) => Self::Present,
            Ok(None) => Self::Gone,
            Err(_) => Self::Unknown,
        }
    }
}

/// What is known of the world outside the store, asked before a lease is taken back. Only the host link must be looked at by
/// the implementor.
pub trait Liveness {
    /// Whether the link of this lease's attachment, whose name is in the proof, is on the host.
    fn host_link(&self, lease: &Lease) -> Presence;

    /// Whether the network namespace of a proof exists. `same_boot`: whether the proof was recorded in the present boot.
    fn netns(&self, proof: &Proof, same_boot: bool) -> Presence {
        netns(proof, same_boot, &|directory| self.sees(directory))
    }

    /// Whether this process sees the directory in which the runtime puts network namespaces. A namespace that is missing in
    /// another directory proves nothing. True for a process that the runtime starts, as it does a plugin.
    fn sees(&self, _directory: &Path) -> bool {
        true
    }

    /// This lease was proved dead and has been taken back. An ADD under way may have made its link since it was looked for;
    /// `leased` says whether the attachment has a lease again, and so a right to a link that exists by then.
    fn taken_back(&self, _lease: &Lease, _leased: &dyn Fn() -> bool) {}

    /// Whether the attachment of a lease is alive. Gone only when all of its proof is: a link that does not exist yet, in a
    /// namespace that does, belongs to an ADD under way.
    fn presence(&self, lease: &Lease, now: Stamp) -> Presence {
        let netns = self.netns(&lease.proof, lease.since.boot == now.boot);
        match (netns, &lease.proof.host_link) {
            (Presence::Gone, Some(_)) => self.host_link(lease),
            (netns, _) => netns,
        }
    }
}

/// Sees no links: a lease that names one is never proved dead.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLinks;

impl Liveness for NoLinks {
    fn host_link(&self, _lease: &Lease) -> Presence {
        Presence::Unknown
    }
}

/// The same knowledge for a dry run: nothing is done about a lease that was taken back.
pub(crate) struct LookOnly<'l>(pub(crate) &'l dyn Liveness);

impl Liveness for LookOnly<'_> {
    fn host_link(&self, lease: &Lease) -> Presence {
        self.0.host_link(lease)
    }

    fn netns(&self, proof: &Proof, same_boot: bool) -> Presence {
        self.0.netns(proof, same_boot)
    }
}

/// Device and inode of the namespace at a path, to be recorded as [`Proof::netns_id`], or of the directory that it lies in.
/// `None` when there is none.
pub fn netns_identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Whether the recorded namespace still exists.
///
/// Gone needs proof: the path leads to another namespace, or to nothing while its directory is visible from here. A plain
/// file is what a namespace looks like whose mount does not reach this process. Inode numbers are reused at once, so the
/// same number means present, which errs on the safe side. `sees` says whether a directory is the runtime's; in another
/// boot it need not be asked, for no namespace outlives one.
fn netns(proof: &Proof, same_boot: bool, sees: &dyn Fn(&Path) -> bool) -> Presence {
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

/// Whether this process sees the directory that the path lies in. For /proc that is /proc itself: a process takes its directory along.
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
        let id = netns_identity(&path).unwrap();
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
            let seen = |sees: bool| netns(&proof(path, id), same_boot, &|_| sees);
            assert_eq!(seen(true), presence_is, "{} {id:?} {same_boot}", path.display());
            let blind = if same_boot && presence_is == Presence::Gone { Presence::Unknown } else { presence_is };
            assert_eq!(seen(false), blind, "from elsewhere: {} {id:?} {same_boot}", path.display());
        }
    }
}
