//! Finds the directories that determine what a path resolves to: each in which a name is looked up, through every
//! symbolic link, up to the first name that does not exist.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::file;

/// How many symbolic links are followed; the kernel's limit.
const LINKS: usize = 40;

/// What matters in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    These(BTreeSet<OsString>),
    All,
}

impl Names {
    /// The union of both.
    pub(super) fn join(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::These(these), Self::These(those)) => these.extend(those.iter().cloned()),
            _ => *self = Self::All,
        }
    }
}

/// Directories with the names in them that matter.
pub(super) type Chain = BTreeMap<PathBuf, Names>;

/// The directories that determine what `path`, a nodes file or a directory of them, resolves to.
pub(super) fn chain(path: &Path) -> Chain {
    let mut chain = Chain::new();
    let end = follow(path, &mut chain);
    if end.is_dir() {
        for file in file::list(&end).unwrap_or_default() {
            if file.is_symlink() {
                follow(&file, &mut chain);
            }
        }
        chain.entry(end).and_modify(|names| names.join(&Names::All)).or_insert(Names::All);
    }
    chain
}

/// Adds the directories on the path `path`; returns the resolved path.
fn follow(path: &Path, chain: &mut Chain) -> PathBuf {
    let mut rest: VecDeque<OsString> = VecDeque::new();
    let mut here = PathBuf::new();
    let mut links = 0;
    start(path, &mut here, &mut rest);
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            // `here` contains no symbolic links, so that its parent is the kernel's too.
            if here == Path::new(".") || here.ends_with("..") || !here.pop() {
                here.push("..");
            }
            continue;
        }
        let directory = if here.as_os_str().is_empty() { PathBuf::from(".") } else { here.clone() };
        if let Names::These(names) = chain.entry(directory).or_insert_with(|| Names::These(BTreeSet::new())) {
            names.insert(name.clone());
        }
        let next = here.join(&name);
        match fs::read_link(&next) {
            Ok(_) if links == LINKS => return next,
            Ok(target) => {
                links += 1;
                start(&target, &mut here, &mut rest);
            }
            Err(_) => here = next,
        }
    }
    if here.as_os_str().is_empty() { PathBuf::from(".") } else { here }
}

/// Puts the components of `path` before those that are left; an absolute one starts at the root.
fn start(path: &Path, here: &mut PathBuf, rest: &mut VecDeque<OsString>) {
    if path.is_absolute() {
        *here = PathBuf::from("/");
    }
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => rest.push_front(name.to_owned()),
            Component::ParentDir => rest.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_directory_on_the_way_is_there_with_the_names_that_matter() {
        let dir = std::env::temp_dir().join(format!("podlan-node-chain-{}", std::process::id()));
        fs::create_dir_all(dir.join("releases/v1")).unwrap();
        fs::write(dir.join("releases/v1/nodes.yaml"), "").unwrap();
        symlink("releases/../releases/v1", dir.join("v1")).unwrap();
        symlink(dir.join("v1"), dir.join("current")).unwrap();
        let found = chain(&dir.join("current/nodes.yaml"));
        let names = |at: &str| match &found[&dir.join(at)] {
            Names::These(names) => names.iter().map(|name| name.to_string_lossy().into_owned()).collect(),
            Names::All => vec!["*".to_owned()],
        };
        let top = |found: &Chain| match &found[&dir] {
            Names::These(names) => names.len(),
            Names::All => 0,
        };
        assert_eq!(top(&found), 3, "current, v1, releases: {found:?}");
        assert_eq!(names("releases"), ["v1"]);
        assert_eq!(names("releases/v1"), ["nodes.yaml"]);
        assert!(found.contains_key(Path::new("/")));
        // A directory of files: all names, and where those that are links lead.
        fs::create_dir(dir.join("nodes.d")).unwrap();
        symlink("../current/nodes.yaml", dir.join("nodes.d/a.yaml")).unwrap();
        let found = chain(&dir.join("nodes.d"));
        assert_eq!(found[&dir.join("nodes.d")], Names::All);
        assert!(found.contains_key(&dir.join("releases/v1")));
        // What is not there yet is waited for where it would come.
        let found = chain(&dir.join("later/nodes.yaml"));
        assert!(matches!(&found[&dir], Names::These(names) if names.contains(std::ffi::OsStr::new("later"))));
        symlink("loop", dir.join("loop")).unwrap();
        assert!(chain(&dir.join("loop")).len() < 20, "a loop ends");
        fs::remove_dir_all(&dir).unwrap();
    }
}
