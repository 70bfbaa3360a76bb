//! Nodes from a file, or from a directory of files: NodeLists or Nodes in JSON or YAML, as `kubectl get nodes -o json`
//! writes them. All files must read, or there is no snapshot at all: a part of a list is no list.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::object::Document;
use super::watch::Watch;
use super::{Error, Node, Report, Snapshot};
use crate::agent::part::Activity;
use crate::regular;

/// How long the directory must be quiet before it is read: an editor makes several changes of one save.
const SETTLE: Duration = Duration::from_millis(10);

/// How often a directory that cannot be watched (it is gone), or a file that could not be read, is looked at.
const BLIND: Duration = Duration::from_secs(1);

/// Reads `path` now, then after each change of it and whenever `refresh` asks. Ends when nobody listens.
pub(crate) async fn run(path: PathBuf, reports: mpsc::Sender<Report>, refresh: Arc<Notify>, activity: Activity) {
    loop {
        // Watched before it is read, so that no change falls between.
        let begun = activity.begin(format!("read {}", path.display()));
        let mut watch = Watch::open(&path);
        drop(begun);
        loop {
            let begun = activity.begin(format!("read {}", path.display()));
            let report = read(&path, Instant::now());
            drop(begun);
            // No change of the file will tell that the process has descriptors again, or the disk an answer.
            let unread = matches!(report, Err(Error::Read { .. }));
            if reports.send(report).await.is_err() {
                return;
            }
            let rearm = match &mut watch {
                Ok(watch) => tokio::select! {
                    moved = watch.changed(SETTLE, &activity) => moved,
                    () = refresh.notified() => false,
                    () = tokio::time::sleep(BLIND), if unread => false,
                },
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "not watched; looked at each second");
                    tokio::time::sleep(BLIND).await;
                    true
                }
            };
            if rearm {
                break;
            }
        }
    }
}

/// The whole of `path` as one snapshot.
pub(crate) fn read(path: &Path, now: Instant) -> Report {
    let failed = |source| Error::Read { path: path.display().to_string(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(Snapshot::new(read_file(path)?, now));
    }
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    files.retain(|file| is_nodes_file(file));
    files.sort_unstable();
    let mut nodes = Vec::new();
    for file in files {
        nodes.extend(read_file(&file)?);
    }
    Ok(Snapshot::new(nodes, now))
}

/// A visible `.json`, `.yaml` or `.yml`: an editor's or a ConfigMap's own files start with a dot.
fn is_nodes_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = path.extension().is_some_and(|ext| ["json", "yaml", "yml"].iter().any(|known| ext == *known));
    !hidden && known
}

fn read_file(path: &Path) -> Result<Vec<Node>, Error> {
    let shown = || path.display().to_string();
    let failed = |source| Error::Read { path: shown(), source };
    let mut reader = BufReader::new(regular::open(path).map_err(failed)?);
    let json = reader.fill_buf().map_err(failed)?.trim_ascii_start().starts_with(b"{");
    let documents = if json { parse_json(reader) } else { parse_yaml(&io::read_to_string(reader).map_err(failed)?) };
    documents.and_then(nodes).map_err(|(line, problem)| Error::Malformed { path: shown(), line, problem })
}

/// A line and what is wrong there.
type Problem = (u64, String);

/// Streamed: what `kubectl get nodes -o json` writes of a large cluster would not fit the agent's memory.
fn parse_json(reader: impl io::Read) -> Result<Vec<Document>, Problem> {
    let document = serde_json::from_reader(reader);
    document.map(|document| vec![document]).map_err(|e| (u64::try_from(e.line()).unwrap_or(u64::MAX), e.to_string()))
}

fn parse_yaml(text: &str) -> Result<Vec<Document>, Problem> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|e| (e.location().map_or(1, |location| location.line()), e.to_string()))
}

fn nodes(documents: Vec<Document>) -> Result<Vec<Node>, Problem> {
    let nothing = || (1, "no list of Nodes and no Node".to_owned());
    if documents.is_empty() {
        return Err(nothing());
    }
    let mut nodes = Vec::new();
    for document in documents {
        nodes.extend(document.nodes().ok_or_else(nothing)?);
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"apiVersion":"v1","kind":"List","items":[
        {"metadata":{"name":"n1","labels":{"a":"b"}},
         "spec":{"podCIDR":"10.244.1.0/24","podCIDRs":["10.244.1.0/24","fd00:10:244:1::/64"]},
         "status":{"addresses":[{"type":"Hostname","address":"n1"},{"type":"InternalIP","address":"10.0.0.1"},
                                {"type":"InternalIP","address":"fd00::1"}],"images":[{"names":["x"]}]}}]}"#;

    const YAML: &str = "
items:
- metadata: {name: n1}
  spec:
    podCIDRs: [10.244.1.0/24, 'fd00:10:244:1::/64']
  status:
    addresses:
    - {type: Hostname, address: n1}
    - {type: InternalIP, address: 10.0.0.1}
    - {type: InternalIP, address: 'fd00::1'}
";

    fn parse(text: &str) -> Result<Vec<Node>, Problem> {
        let json = text.trim_start().starts_with('{');
        if json { parse_json(text.as_bytes()) } else { parse_yaml(text) }.and_then(nodes)
    }

    /// Any text of a nodes file is read as nodes or refused by line; what is read can be said again and means the same.
    #[test]
    fn fuzz_any_nodes_file_is_read_or_refused() {
        fuzz::run("nodes-file", |text| {
            let json = text.trim_ascii_start().starts_with(b"{");
            let documents = match std::str::from_utf8(text) {
                _ if json => parse_json(text),
                Ok(text) => parse_yaml(text),
                Err(_) => return,
            };
            let Ok(read) = documents.and_then(nodes) else { return };
            let snapshot = Snapshot::new(read, Instant::now());
            let said = super::super::object::node_list(snapshot.nodes.iter()).to_string();
            let again = parse_json(said.as_bytes()).and_then(nodes).expect("what was written can be read");
            assert_eq!(again.len(), snapshot.nodes.len());
            for (node, other) in Snapshot::new(again, Instant::now()).nodes.iter().zip(&snapshot.nodes) {
                assert_eq!(node.name, other.name);
            }
        });
    }

    #[test]
    fn json_and_yaml_say_the_same_nodes() {
        let nodes = parse(JSON).unwrap();
        assert_eq!(nodes, parse(YAML).unwrap());
        assert_eq!(nodes[0].pod_cidrs.len(), 2);
        assert_eq!(nodes[0].addresses.len(), 2);
        assert!(nodes[0].malformed.is_empty());
    }

    #[test]
    fn one_node_and_several_documents_are_files_too() {
        let node = "metadata: {name: a}\nspec: {podCIDR: 10.244.1.0/24}\n";
        assert_eq!(parse(node).unwrap().len(), 1);
        let two = format!("{node}---\n{}", node.replace("name: a", "name: b"));
        assert_eq!(parse(&two).unwrap().len(), 2);
    }

    #[test]
    fn an_empty_list_is_a_list_and_an_empty_file_is_an_error() {
        assert_eq!(parse(r#"{"items":[]}"#).unwrap(), []);
        for text in ["", "\n\n", "# nothing\n", "{}", "kind: Pod\n", r#"{"items":null}"#] {
            assert!(parse(text).is_err(), "{text:?} must be no list");
        }
    }

    #[test]
    fn a_malformed_file_is_named_with_its_line() {
        assert_eq!(parse("{\"items\":[\n{\"metadata\":\n").unwrap_err().0, 3);
        assert_eq!(parse("items:\n- metadata: {name: a}\n  spec: {podCIDRs: 5}\n").unwrap_err().0, 3);
        assert_eq!(parse("items:\n- metadata: {name: a\n").unwrap_err().0, 2);
        let path = std::env::temp_dir().join(format!("podlan-node-lines-{}.json", std::process::id()));
        std::fs::write(&path, "{\n\"items\": 7}").unwrap();
        let error = read(&path, Instant::now()).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.starts_with(&format!("{}:2: ", path.display())), "{error}");
    }
}
