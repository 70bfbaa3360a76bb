//! One image in the place of Kubernetes' own ones, as there is no registry: agnhost built from its Go module, and
//! programs of this machine that people run in such pods.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use podlan_conformance::lab::{Error, SHARED};

use crate::containerd_2::image::{self, File};
use crate::kubernetes::cluster::Cluster;

/// The name of the image before it gets others.
const NAME: &str = "localhost/toolbox:test";

/// Programs of this machine, beside the applets of a static busybox: its shell would run its own nc before any other, and its
/// wget crashes where it resolves a name.
const TOOLS: [&str; 6] = ["sh", "curl", "nc", "getent", "dig", "wget"];
const APPLETS: [&str; 18] = [
    "cat", "cp", "date", "echo", "env", "grep", "head", "hostname", "id", "ip", "ls", "mkdir", "nslookup", "rm", "seq",
    "sleep", "test", "tr",
];

/// Makes it available on each machine under these names.
pub fn give<'n>(cluster: &Cluster<'_>, names: impl IntoIterator<Item = &'n str> + Clone) -> Result<(), Error> {
    let archive = Path::new(SHARED).join("toolbox.tar");
    if !archive.exists() {
        cluster.import(&archive, &archive_with(&cluster.server.programs)?)?;
    }
    cluster.machines.iter().try_for_each(|machine| machine.tag(NAME, names.clone()))
}

fn archive_with(programs: &Path) -> Result<Vec<u8>, Error> {
    let mut files: BTreeSet<PathBuf> = BTreeSet::new();
    for tool in TOOLS {
        let tool = on_path(tool)?;
        let libraries = Command::new("ldd").arg(&tool).output();
        let libraries = libraries.map_err(|source| Error::System { doing: "ask ldd".into(), source })?;
        let text = String::from_utf8_lossy(&libraries.stdout).into_owned();
        files.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        files.insert(tool);
    }
    let mut targets: Vec<(String, PathBuf)> = files
        .into_iter()
        .map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let target = file.to_string_lossy().trim_start_matches('/').to_owned();
            (if name.contains(".so") { target } else { format!("bin/{name}") }, file)
        })
        .collect();
    targets.push(("bin/busybox".to_owned(), on_path("busybox")?));
    // agnhost's porter serves HTTPS with the certificate beside it.
    targets.extend(["agnhost", "localhost.crt", "localhost.key"].map(|name| (name.to_owned(), programs.join(name))));
    let files: Vec<File<'_>> = targets.iter().map(|(target, source)| File { target, source }).collect();
    let links: Vec<(String, &str)> = APPLETS.iter().map(|applet| (format!("bin/{applet}"), "busybox")).collect();
    let links: Vec<(&str, &str)> = links.iter().map(|(name, to)| (name.as_str(), *to)).collect();
    Ok(image::archive_as(NAME, &files, &links, &["/agnhost"], &["pause"]))
}

fn on_path(program: &str) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.ok_or_else(|| Error::Unreadable {
        from: program.into(),
        said: "it is missing: scripts/needs kubernetes".into(),
    })
}
