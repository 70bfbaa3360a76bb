//! Runs a seed until a law is broken, and shortens what broke it.

use crate::coverage::Coverage;
use crate::op::{Op, op};
use crate::world::{Broken, Config, S, World};

/// What came of a run.
pub struct Outcome {
    /// Steps made.
    pub steps: u64,
    /// Changes made.
    pub changes: u64,
    /// What the mix reached.
    pub coverage: Coverage,
    /// The law that was broken, if one was, and the index of the change by which it was.
    pub broken: Option<(Broken, u64)>,
}

/// The time in which the cluster of the beginning comes to rest.
const BEGINNING: u64 = 8 * S;

/// Runs the seed's sequence for so many steps.
pub fn run(config: Config, steps: u64) -> Outcome {
    let mut world = World::new(config);
    world.pass(BEGINNING);
    let mut index = 0;
    while world.broken.is_none() && world.steps < steps {
        make(&mut world, &op(config.seed, index));
        index += 1;
    }
    Outcome {
        steps: world.steps,
        changes: index,
        coverage: std::mem::take(&mut world.coverage),
        broken: world.broken.map(|broken| (broken, index)),
    }
}

fn make(world: &mut World, op: &Op) {
    world.pass(op.gap);
    if world.broken.is_none() {
        world.operate(op);
    }
}

/// Makes these changes, from the beginning.
pub fn replay(config: Config, ops: &[Op], tells: bool) -> World {
    let mut world = World::new(config);
    if tells {
        world.transcript = Some(Vec::new());
    }
    world.pass(BEGINNING);
    for op in ops {
        if world.broken.is_some() {
            break;
        }
        make(&mut world, op);
    }
    world
}

/// The shortest sequence that was found, and the cluster in which it breaks the law.
pub struct Shrunk {
    /// The cluster.
    pub config: Config,
    /// The changes.
    pub ops: Vec<Op>,
    /// What it breaks.
    pub broken: Broken,
    /// In words.
    pub transcript: Vec<String>,
}

/// Shortens the first `count` changes of a seed, which break a law: the last ones alone, then fewer of them, then fewer nodes.
/// `budget` bounds the steps that this takes.
pub fn shrink(config: Config, count: u64, law: &str, mut budget: u64) -> Option<Shrunk> {
    let mut fails = |config: Config, ops: &[Op]| {
        if budget == 0 {
            return false;
        }
        let world = replay(config, ops, false);
        budget = budget.saturating_sub(world.steps + 1);
        world.broken.is_some_and(|broken| broken.law == law)
    };
    let all: Vec<Op> = (0..count).map(|index| op(config.seed, index)).collect();
    // The end of the sequence, twice as long each time.
    let mut length = 1;
    let mut ops = loop {
        let end = &all[all.len().saturating_sub(length)..];
        if fails(config, end) {
            break end.to_vec();
        }
        if length >= all.len() {
            break all.clone();
        }
        length *= 2;
    };
    let mut config = config;
    for nodes in [2, 3, 4, 6, 8, 12, 20, 30] {
        let smaller = Config { nodes, ..config };
        if nodes < config.nodes && fails(smaller, &ops) {
            config = smaller;
            break;
        }
    }
    // Parts of it are left out, smaller ones each time.
    let mut size = ops.len() / 2;
    while size > 0 {
        let mut begin = 0;
        while begin < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(begin..(begin + size).min(fewer.len()));
            if fails(config, &fewer) {
                ops = fewer;
            } else {
                begin += size;
            }
        }
        size /= 2;
    }
    let mut world = replay(config, &ops, true);
    let transcript = world.transcript.take().unwrap_or_default();
    world.broken.map(|broken| Shrunk { config, ops, broken, transcript })
}
