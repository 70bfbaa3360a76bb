//! An ordinary test run of a target: each file of its corpus, and mutations of them, the same ones each time.

use std::fs;
use std::path::Path;

use crate::mutation::Mutator;

/// The number of mutated inputs; the variable overrides it.
const ROUNDS: usize = 300;
const ROUNDS_VARIABLE: &str = "PODLAN_FUZZ_ROUNDS";

/// Sets another seed.
const SEED_VARIABLE: &str = "PODLAN_FUZZ_SEED";

pub(crate) fn run(corpus: &str, holds: fn(&[u8])) {
    let seeds = seeds(corpus);
    assert!(!seeds.is_empty(), "fuzz/corpora/{corpus} is empty");
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse().ok());
    let rounds = number(ROUNDS_VARIABLE).unwrap_or(ROUNDS);
    let mut mutator = Mutator::new(&seeds, number(SEED_VARIABLE).unwrap_or(1) as u64);
    let mutations = (0..rounds).map(|_| mutator.next());
    for input in seeds.iter().cloned().chain(mutations) {
        let guard = PrintOnPanic(&input);
        holds(&input);
        std::mem::forget(guard);
    }
}

pub(crate) fn inputs(corpus: &str, count: usize, seed: u64) -> Vec<Vec<u8>> {
    let seeds = seeds(corpus);
    let mut mutator = Mutator::new(&seeds, seed);
    (0..count).map(|_| mutator.next()).collect()
}

/// The files of a corpus, in the order of their names.
fn seeds(corpus: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(corpus);
    let mut files: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().filter_map(|file| fs::read(file).ok()).collect()
}

/// Prints the input that broke a law.
struct PrintOnPanic<'a>(&'a [u8]);

impl Drop for PrintOnPanic<'_> {
    #[expect(clippy::print_stderr, reason = "a panic needs its cause")]
    fn drop(&mut self) {
        eprintln!("with the input b\"{}\"", self.0.escape_ascii());
    }
}
