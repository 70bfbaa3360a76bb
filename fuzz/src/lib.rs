//! Inputs that nobody thought of. A fuzz target is a test that takes any bytes: run as a test it gets the files of its
//! corpus and mutations of them, always the same ones; built by `scripts/fuzz` it is driven by libFuzzer, which looks
//! for what reaches new code.
//!
//! Refuses to know what is fuzzed: targets lie beside what they test, are named `fuzz_…`, and call [`run`].

#[cfg(feature = "libfuzzer")]
mod driven;
#[cfg(not(feature = "libfuzzer"))]
mod mutation;
#[cfg(not(feature = "libfuzzer"))]
mod replay;

/// Set, a target only names itself and its corpus.
const LIST: &str = "PODLAN_FUZZ_LIST";

/// Holds any bytes against a law; `corpus` names a folder in `fuzz/corpora`.
///
/// # Panics
/// When the law does not hold.
pub fn run(corpus: &str, holds: fn(&[u8])) {
    if std::env::var_os(LIST).is_some() {
        return tell(&format!("target {corpus} {}", std::thread::current().name().unwrap_or_default()));
    }
    #[cfg(feature = "libfuzzer")]
    driven::run(corpus, holds);
    #[cfg(not(feature = "libfuzzer"))]
    replay::run(corpus, holds);
}

/// Mutations of the files of a corpus, the same ones for the same seed: requests for who compares two programs.
#[cfg(not(feature = "libfuzzer"))]
#[must_use]
pub fn inputs(corpus: &str, count: usize, seed: u64) -> Vec<Vec<u8>> {
    replay::inputs(corpus, count, seed)
}

/// The iterator, which must end after `most` items: one that no longer advances breaks a law, and does not hang the test.
///
/// # Panics
/// At the item after these.
pub fn bounded<T>(items: impl Iterator<Item = T>, most: usize) -> impl Iterator<Item = T> {
    items.enumerate().map(move |(index, item)| {
        assert!(index < most, "an iterator gives more than the {most} items that its input has room for");
        item
    })
}

#[expect(clippy::print_stdout, reason = "scripts/fuzz reads it")]
fn tell(line: &str) {
    println!("{line}");
}
