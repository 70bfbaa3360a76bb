//! The comparison with a recorded file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Set to `record`, it writes the files in place of comparing.
const VARIABLE: &str = "PODLAN_GOLDEN";

/// Compares `seen` with `recorded/NAME`.
///
/// # Panics
/// When they differ, with the lines that only one of them has.
#[track_caller]
pub(crate) fn is_as_recorded(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/recorded").join(name);
    if std::env::var(VARIABLE).is_ok_and(|word| word == "record") {
        return fs::write(&path, seen).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }
    let recorded = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    assert!(
        recorded == seen,
        "{name} is not as recorded (`-`: recorded, `+`: seen):\n{}\nall that was seen:\n{seen}",
        difference(&recorded, seen)
    );
}

/// The lines that only one of two texts has.
fn difference(recorded: &str, seen: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (old, new) = (lines(recorded), lines(seen));
    let gone = old.difference(&new).map(|line| format!("- {line}\n"));
    let come = new.difference(&old).map(|line| format!("+ {line}\n"));
    let lines: String = gone.chain(come).collect();
    if lines.is_empty() { "the same lines in another order or number\n".to_owned() } else { lines }
}
