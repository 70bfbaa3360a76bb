//! The archive as bytes: a gzipped tar with an index first. Pure.

use std::fmt::Write as _;
use std::io;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Piece;
use state::release::version;

/// The directory that everything in the archive is below.
const TOP: &str = "podlan-report";

/// Packs the pieces. The index names each, and why a missing one is missing.
pub(super) fn archive(pieces: &[Piece]) -> io::Result<Vec<u8>> {
    let mut packed = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut append = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        packed.append_data(&mut header, format!("{TOP}/{name}"), bytes)
    };
    append("index.txt", index(pieces).as_bytes())?;
    for (name, contents) in pieces {
        if let Ok(bytes) = contents {
            append(name, bytes)?;
        }
    }
    packed.into_inner()?.finish()
}

fn index(pieces: &[Piece]) -> String {
    let mut text = format!("podlan-node {}\n", version());
    for (name, contents) in pieces {
        // The formatting of a String cannot fail.
        let _ = match contents {
            Ok(bytes) => writeln!(text, "{name}: {} bytes", bytes.len()),
            Err(why) => writeln!(text, "{name}: MISSING: {why}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn an_archive_has_an_index_that_names_what_is_missing_and_each_piece_that_is_not() {
        let pieces: [Piece; 2] = [("a.json".into(), Ok(b"{}".to_vec())), ("log.txt".into(), Err("no agent".into()))];
        let bytes = archive(&pieces).unwrap();
        let mut archive = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
        let mut files = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.push((entry.path().unwrap().display().to_string(), text));
        }
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["podlan-report/index.txt", "podlan-report/a.json"]);
        assert!(files[0].1.contains("a.json: 2 bytes\nlog.txt: MISSING: no agent\n"), "{}", files[0].1);
    }
}
