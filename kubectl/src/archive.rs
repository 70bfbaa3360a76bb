//! The archive of the whole cluster: `index.txt`, tables of kubectl, and for each node a folder with the files of its report.
//! What a node sent is not trusted: a file of it stays in its folder, and its size has a limit. Pure.

use std::io::{self, Read};
use std::path::Component;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, EntryType, Header};

/// The folder in the archive.
const FOLDER: &str = "podlan-cluster-report";

/// The longest report of a node once unpacked, in bytes.
const LONGEST: u64 = 256 << 20;

/// The report of a node, as it sent it, or why there is none.
pub(crate) struct Piece<'a> {
    /// The node's name.
    pub(crate) node: &'a str,
    /// A `.tar.gz`.
    pub(crate) report: Result<&'a [u8], &'a str>,
}

/// Makes the archive; `head` is the first part of its index, `made` in seconds since 1970.
pub(crate) fn archive<'a>(
    head: &str,
    tables: &[(String, Result<String, String>)],
    pieces: impl Iterator<Item = Piece<'a>>,
    made: u64,
) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut index = head.to_owned();
    for (name, text) in tables {
        match text {
            Ok(text) => add(&mut tar, name, text.as_bytes(), made)?,
            Err(why) => index += &format!("{name}: MISSING: {why}\n"),
        }
    }
    for Piece { node, report } in pieces {
        let folder = file_name(node);
        match report {
            Err(why) => index += &format!("{folder}: MISSING: {why}\n"),
            Ok(bytes) => match unpacked(bytes) {
                Ok(files) => {
                    index += &format!("{folder}: {} files\n", files.len());
                    for (name, contents) in files {
                        add(&mut tar, &format!("{folder}/{name}"), &contents, made)?;
                    }
                }
                Err(why) => {
                    index += &format!("{folder}: report.tar.gz, as it came: it cannot be unpacked: {why}\n");
                    add(&mut tar, &format!("{folder}/report.tar.gz"), bytes, made)?;
                }
            },
        }
    }
    add(&mut tar, "index.txt", index.as_bytes(), made)?;
    tar.into_inner()?.finish()
}

fn add(tar: &mut Builder<impl io::Write>, name: &str, contents: &[u8], made: u64) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(contents.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(made);
    tar.append_data(&mut header, format!("{FOLDER}/{name}"), contents)
}

/// The files of a node's report, without its own folder.
fn unpacked(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut archive = Archive::new(GzDecoder::new(bytes).take(LONGEST));
    let mut files = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let path = entry.path()?.into_owned();
        let parts: Vec<String> = path
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .skip(1)
            .map(|part| file_name(&part.as_os_str().to_string_lossy()))
            .collect();
        if !parts.is_empty() {
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents)?;
            files.push((parts.join("/"), contents));
        }
    }
    Ok(files)
}

/// A name that is one file name on every system.
fn file_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if plain.chars().all(|c| c == '.') { format!("_{plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with raw names: the tar crate refuses to write those that a hostile node would.
    fn packed(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, contents) in files {
            let mut header = Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(contents.len() as u64);
            header.set_cksum();
            tar.append(&header, contents.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn files(bytes: &[u8]) -> Vec<(String, String)> {
        let mut archive = Archive::new(GzDecoder::new(bytes));
        let read = |entry: io::Result<tar::Entry<'_, GzDecoder<&[u8]>>>| {
            let mut entry = entry.unwrap();
            let mut text = Vec::new();
            entry.read_to_end(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), String::from_utf8_lossy(&text).into_owned())
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn each_node_has_a_folder_and_the_index_names_what_is_missing() {
        let good = packed(&[("podlan-report/index.txt", "i"), ("podlan-report/net.d/10.conflist", "c")]);
        let pieces = [
            Piece { node: "node1", report: Ok(&good) },
            Piece { node: "node2", report: Err("down") },
            Piece { node: "node3", report: Ok(b"not an archive") },
        ];
        let tables = [("nodes.txt".to_owned(), Ok("NAME".to_owned())), ("pods.txt".to_owned(), Err("no".to_owned()))];
        let all = files(&archive("head\n", &tables, pieces.into_iter(), 1).unwrap());
        let names: Vec<&str> =
            all.iter().map(|(name, _)| name.strip_prefix("podlan-cluster-report/").unwrap()).collect();
        assert_eq!(
            names,
            ["nodes.txt", "node1/index.txt", "node1/net.d/10.conflist", "node3/report.tar.gz", "index.txt"]
        );
        let index = &all[4].1;
        assert!(
            index
                .starts_with("head\npods.txt: MISSING: no\nnode1: 2 files\nnode2: MISSING: down\nnode3: report.tar.gz"),
            "{index}"
        );
    }

    #[test]
    fn no_file_of_a_node_leaves_its_folder() {
        let hostile = packed(&[
            ("podlan-report/../../../etc/passwd", "1"),
            ("/podlan-report/etc/shadow", "2"),
            ("podlan-report/..", "3"),
            ("podlan-report/a\\..\\b\x1b[2J", "4"),
        ]);
        let pieces = [Piece { node: "../x", report: Ok(&hostile) }];
        for (name, _) in files(&archive("", &[], pieces.into_iter(), 1).unwrap()) {
            let inside = name.strip_prefix("podlan-cluster-report/").unwrap();
            assert!(inside == "index.txt" || inside.starts_with(".._x/"), "{name}");
            assert!(!name.split('/').any(|part| part == "..") && !name.contains(['\\', '\x1b']), "{name}");
        }
    }
}
