//! The bounded form of `scripts/simulate`: some seeds, small clusters, each law.

use simulation::run::{run, shrink};
use simulation::world::Config;

/// Steps of each seed.
const STEPS: u64 = 12_000;

/// Steps that the search for a shorter sequence may take.
const BUDGET: u64 = 200_000;

fn holds(seed: u64) {
    let config = Config::of(seed, 16);
    let outcome = run(config, STEPS);
    let Some((broken, changes)) = outcome.broken else { return };
    let shorter = shrink(config, changes, broken.law, BUDGET);
    let words = shorter.map(|shorter| shorter.transcript.join("\n")).unwrap_or_default();
    panic!(
        "seed {seed}, step {}: the law is broken that {}: {}\n{words}\nscripts/simulate --seed {seed} --nodes 16 --steps {STEPS}",
        broken.step, broken.law, broken.text
    );
}

#[test]
fn the_laws_hold_in_a_cluster_of_one_segment_and_of_several() {
    (1..=4).for_each(holds);
}

#[test]
fn the_laws_hold_in_other_clusters() {
    (5..=8).for_each(holds);
}

#[test]
fn a_seed_decides_everything() {
    let config = Config::of(3, 6);
    let counts = || {
        let outcome = run(config, 4000);
        (outcome.steps, outcome.changes, outcome.coverage.tables())
    };
    assert_eq!(counts(), counts());
}
