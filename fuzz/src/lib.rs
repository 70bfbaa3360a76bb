//! Fuzz targets: tests that take any bytes. As an ordinary test, a target runs on the files of its corpus and on
//! mutations of them, always the same ones; built by `scripts/fuzz`, libFuzzer drives it and searches for inputs that
//! reach new code.
//!
//! What is fuzzed is not known here: targets are beside the code that they test, are named `fuzz_…`, and call [`run`].

mod call;
#[cfg(feature = "libfuzzer")]
mod driven;
#[cfg(not(feature = "libfuzzer"))]
mod mutation;
#[cfg(not(feature = "libfuzzer"))]
mod replay;

pub use call::call;

/// When set, a target only prints its name and its corpus.
const LIST: &str = "PODLAN_FUZZ_LIST";

/// Checks a law for any bytes; `corpus` is a folder in `fuzz/corpora`.
///
/// # Panics
/// When the law does not hold.
pub fn run(corpus: &str, holds: fn(&[u8])) {
    if std::env::var_os(LIST).is_some() {
        return print_line(&format!("target {corpus} {}", std::thread::current().name().unwrap_or_default()));
    }
    #[cfg(feature = "libfuzzer")]
    driven::run(corpus, holds);
    #[cfg(not(feature = "libfuzzer"))]
    replay::run(corpus, holds);
}

/// Mutations of the files of a corpus, the same ones for the same seed: requests for comparing two programs.
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
fn print_line(line: &str) {
    println!("{line}");
}
