//! Reads the runtime's configuration directory, which other programs use too: a file that cannot be read affects only
//! itself, and no file can block the reader or exhaust its memory.

use std::fs;
use std::io;
use std::path::Path;

use files::regular;
use serde_json::{Map, Value};

use super::{chooses_mtu, is_configuration, plugins, pools};
use crate::pools::Pool;

/// The types of Multus' plugin, thin and thick.
const MULTUS: [&str; 2] = ["multus", "multus-shim"];

/// The maximum size of a configuration, in bytes.
const LONGEST: u64 = 1 << 20;

/// A file in the runtime's configuration directory, in the runtime's order.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file's name.
    pub file: String,
    /// Its contents; "" where it cannot be read.
    pub text: String,
    /// `None` when it is not JSON.
    pub json: Option<Value>,
    /// Why it cannot be read.
    pub unread: Option<String>,
}

impl Configuration {
    /// A file that could be read.
    pub fn new(file: String, text: String) -> Self {
        let json = serde_json::from_str(&text).ok();
        Self { file, text, json, unread: None }
    }

    /// One that cannot be read, and why.
    pub fn unread(file: String, why: String) -> Self {
        Self { unread: Some(why), ..Self::new(file, String::new()) }
    }

    /// The plugins that it names.
    pub fn plugins(&self) -> Vec<&Map<String, Value>> {
        self.json.as_ref().map(plugins).unwrap_or_default()
    }

    /// The plugin `podlan` in it, if it is there.
    pub fn podlan(&self) -> Option<&Map<String, Value>> {
        self.plugins().into_iter().find(|plugin| plugin.get("type").is_some_and(|kind| kind == "podlan"))
    }

    /// The network's name; "" where it has none.
    pub fn network(&self) -> &str {
        self.json.as_ref().and_then(|json| json["name"].as_str()).unwrap_or_default()
    }

    /// Whether it is Multus' and hands pods to the network of `ours`; `None` where it is not Multus'. Multus takes the first
    /// of its delegates (thin), the file that `clusterNetwork` names (thick), or, where it names none, the first other file.
    pub fn delegates_to(&self, ours: &Self) -> Option<bool> {
        let multus = self
            .plugins()
            .into_iter()
            .find(|plugin| plugin.get("type").and_then(Value::as_str).is_some_and(|kind| MULTUS.contains(&kind)))?;
        let is_ours = |delegate: &Value| {
            plugins(delegate).iter().any(|plugin| plugin.get("type").is_some_and(|kind| kind == "podlan"))
                || delegate["name"].as_str().is_some_and(|name| !name.is_empty() && name == ours.network())
        };
        if let Some(delegates) = multus.get("delegates").and_then(Value::as_array) {
            return Some(delegates.first().is_none_or(is_ours));
        }
        let Some(cluster) = multus.get("clusterNetwork").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            return Some(true);
        };
        // A path, a file's name, or a network's name; a directory of configurations holds ours.
        let last = Path::new(cluster).file_name().and_then(|name| name.to_str()).unwrap_or(cluster);
        Some(last == ours.file || cluster == ours.network() || !is_configuration(last) && cluster.contains('/'))
    }

    /// The pools that it gives this node.
    pub fn pools(&self) -> Vec<Pool> {
        self.json.as_ref().map(|json| pools(&self.file, json)).unwrap_or_default()
    }

    /// The network's name, if this file configures an MTU.
    pub fn chooses_mtu(&self) -> Option<String> {
        chooses_mtu(self.json.as_ref()?)
    }
}

/// Reads the configurations in `directory`, in the runtime's order.
pub fn read(directory: &Path) -> io::Result<Vec<Configuration>> {
    let mut read = Vec::new();
    for name in names(directory)? {
        match regular::read_text(&directory.join(&name), LONGEST) {
            Ok(text) => read.push(Configuration::new(name, text)),
            // It was removed meanwhile, or it is a dangling link.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.join(&name).is_symlink() => {}
            Err(error) => read.push(Configuration::unread(name, error.to_string())),
        }
    }
    Ok(read)
}

/// The names of the configurations in `directory`.
pub fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_configuration(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_cannot_be_read_is_its_own_fault() {
        let dir = std::env::temp_dir().join(format!("podlan-node-conf-{}", std::process::id()));
        fs::create_dir_all(dir.join("20-directory.conf")).unwrap();
        nix::unistd::mkfifo(&dir.join("10-pipe.conflist"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("nowhere", dir.join("30-dangling.conf")).unwrap();
        fs::write(dir.join("40-utf16.conf"), b"\xff\xfe{\0}\0").unwrap();
        fs::write(dir.join("50-long.conf"), "x".repeat((1 << 20) + 1)).unwrap();
        fs::write(dir.join("60-good.conflist"), "{}").unwrap();
        let read = read(&dir).unwrap();
        let good: Vec<_> =
            read.iter().filter(|file| file.unread.is_none()).map(|file| (&*file.file, &*file.text)).collect();
        assert_eq!(good, [("60-good.conflist", "{}")]);
        let faults: Vec<_> = read.iter().filter_map(|file| file.unread.clone()).collect();
        let expected = ["named pipe", "directory", "No such file", "UTF-8", "more than 1048576 bytes"];
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, word) in faults.iter().zip(expected) {
            assert!(fault.contains(word), "{fault}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
