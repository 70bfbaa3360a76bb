//! Wakes up when a file of podlan's in the runtime's directories, or a configuration of another program, is changed or
//! removed.

use std::path::PathBuf;
use std::time::Duration;

use files::watcher::Watcher;
use nix::sys::inotify::AddWatchFlags;
use tokio::time::sleep;

use crate::conflist::is_configuration;
use crate::{BINARIES, Install};

/// What changes a file: it is removed, renamed, put in place, written. A directory that is removed may be made again.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_DELETE
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_DELETE_SELF);

/// Between two looks, whatever another program does to the files.
const AT_LEAST: Duration = Duration::from_millis(100);

/// The reference plugins that may be chained.
const CHAINED: [&str; 2] = ["portmap", "bandwidth"];

/// The watched directories.
pub(super) struct Changes {
    watcher: Option<Watcher>,
    directories: Vec<PathBuf>,
}

impl Changes {
    /// Watches the directories in which `install` puts files. Without inotify only the loop says when to look.
    pub(super) fn of(install: &Install) -> Self {
        let directories: Vec<PathBuf> = [&install.bin_dir, &install.conf_dir].into_iter().flatten().cloned().collect();
        let unwatched = |error: &std::io::Error| {
            tracing::debug!(%error, "files that are removed are put back late: they cannot be watched");
        };
        let watcher = (!directories.is_empty()).then(|| Watcher::open().inspect_err(unwatched).ok()).flatten();
        Self { watcher, directories }
    }

    /// Watches directories that came since; one that is watched stays watched.
    pub(super) fn renew(&self) {
        for directory in &self.directories {
            if let Some(watcher) = &self.watcher {
                let _ = watcher.add(directory, CHANGES);
            }
        }
    }

    /// Waits until something changed that concerns podlan.
    pub(super) async fn next(&mut self) {
        loop {
            let Some(watcher) = &self.watcher else { return std::future::pending().await };
            let read = match watcher.wait().await {
                Ok(()) => watcher.read(),
                Err(error) => Err(error),
            };
            match read {
                Ok(events)
                    if events.iter().any(|event| concerns(event.name.as_deref().and_then(|name| name.to_str()))) =>
                {
                    return sleep(AT_LEAST).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "files that are removed are put back late: they cannot be watched");
                    self.watcher = None;
                }
            }
        }
    }
}

/// Whether a name is one of podlan's files, or what it depends on; an event without a name is of the directory itself.
fn concerns(name: Option<&str>) -> bool {
    name.is_none_or(|name| BINARIES.contains(&name) || CHAINED.contains(&name) || is_configuration(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_podlan_and_configurations_concern_it_and_temporary_files_do_not() {
        for name in [Some("podlan"), Some("podlan-ipam"), Some("portmap"), Some("10-podlan.conflist"), None] {
            assert!(concerns(name), "{name:?}");
        }
        for name in [".podlan.tmp7", "bridge", "README"] {
            assert!(!concerns(Some(name)), "{name}");
        }
    }
}
