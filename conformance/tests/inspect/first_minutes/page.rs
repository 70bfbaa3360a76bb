//! The section of the page, between its two markers.

use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- transcripts: recorded by conformance/tests/inspect/first_minutes.rs -->\n";
const END: &str = "<!-- end of the transcripts -->\n";

/// The page, and the section as this run saw it.
pub(super) struct Page {
    path: PathBuf,
    text: String,
    seen: String,
}

impl Page {
    pub(super) fn read() -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).join("docs/troubleshooting.md");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, text, seen: String::new() }
    }

    /// Whether this run writes the page.
    pub(super) fn is_recorded_now() -> bool {
        std::env::var("PODLAN_GOLDEN").is_ok_and(|word| word == "record")
    }

    /// Whether the page has this command with this output.
    pub(super) fn has(&self, step: &str) -> bool {
        self.text.contains(step)
    }

    /// Adds one outage.
    pub(super) fn put(&mut self, title: &str, cause: &str, transcript: &str) {
        self.seen += &format!("\n### {title}\n\n{cause}\n\n```\n{}\n```\n", transcript.trim_end());
    }

    /// The page has exactly this section.
    #[track_caller]
    pub(super) fn is_as_seen(&self) {
        let (before, rest) = self.text.split_once(BEGIN).unwrap_or_else(|| panic!("the page has no {BEGIN}"));
        let (recorded, after) = rest.split_once(END).unwrap_or_else(|| panic!("the page has no {END}"));
        let seen = format!("{}\n", self.seen);
        if Self::is_recorded_now() {
            let text = format!("{before}{BEGIN}{seen}{END}{after}");
            return fs::write(&self.path, text).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        }
        for (line, (old, new)) in recorded.lines().zip(seen.lines()).enumerate() {
            assert_eq!(old, new, "line {line} of the transcripts; all that was seen:\n{seen}");
        }
        assert_eq!(recorded, seen);
    }
}

/// Without what differs from run to run: process ids and ages.
pub(super) fn masked(output: &str) -> String {
    output.lines().map(|line| mask(line) + "\n").collect()
}

fn mask(line: &str) -> String {
    let mut before = "";
    let mut words = Vec::new();
    for word in line.split(' ') {
        let bare = word.trim_end_matches([',', ')', ':', ';', '.']);
        let end = &word[bare.len()..];
        let digits = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
        words.push(match before {
            "pid" | "(pid" | "process" | "was" if digits => format!("PID{end}"),
            "read" | "for" if is_age(bare) => format!("AGE{end}"),
            _ => word.to_owned(),
        });
        before = word;
    }
    words.join(" ")
}

fn is_age(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
        && word.ends_with(['s', 'm', 'h', 'd'])
        && word.bytes().all(|byte| byte.is_ascii_digit() || b"smhd".contains(&byte))
}

#[test]
fn ages_and_process_ids_are_masked_and_nothing_else() {
    let line = "alive (pid 42, it was 7) and ready, last read 1m3s ago, for 12s: more than 35 s, the 60s of MTU 1500";
    assert_eq!(
        mask(line),
        "alive (pid PID, it was PID) and ready, last read AGE ago, for AGE: more than 35 s, the 60s of MTU 1500"
    );
}
