//! `podlan-simulation`: runs seeds, and prints what broke a law, the coverage, the costs. scripts/simulate calls it.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use dlmalloc::GlobalDlmalloc;
use simulation::coverage::Coverage;
use simulation::plant::{SWITCH, bugs, plant};
use simulation::run::{run, shrink};
use simulation::scale::{measure, table};
use simulation::world::Config;

#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

/// Steps that the search for a shorter sequence may take.
const BUDGET: u64 = 4_000_000;

/// Steps within which each deliberate bug must be found.
const FOUND_WITHIN: u64 = 200_000;

/// Seeds that are tried for it, one after the other.
const SEEDS: u64 = 4;

struct Arguments(Vec<String>);

impl Arguments {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        let place = self.0.iter().position(|argument| argument == name)?;
        self.0.get(place + 1).map(String::as_str)
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    if let Some(tree) = arguments.text("--plant") {
        return match plant(Path::new(tree)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("podlan-simulation: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if arguments.has("--find-bugs") {
        return find_bugs(&arguments);
    }
    if arguments.has("--scale") {
        let costs: Vec<_> =
            [50, 500, 5000, 15_000].iter().map(|nodes| measure(*nodes, if *nodes > 1000 { 2 } else { 4 })).collect();
        eprint!("{}", table(&costs));
        return ExitCode::SUCCESS;
    }
    simulate(&arguments)
}

fn simulate(arguments: &Arguments) -> ExitCode {
    let nodes = usize::try_from(arguments.number("--nodes", 50)).unwrap_or(50);
    let steps = arguments.number("--steps", 1_000_000);
    let first = arguments.number("--seed", 1);
    let (mut coverage, mut failed) = (Coverage::default(), false);
    for seed in first..first + arguments.number("--seeds", 1) {
        let config = Config::of(seed, nodes);
        let began = Instant::now();
        let outcome = run(config, steps);
        let took = began.elapsed().as_secs_f64();
        coverage.add(&outcome.coverage);
        let holds = if outcome.broken.is_none() { "each law holds" } else { "a law is broken" };
        eprintln!(
            "seed {seed}: {} steps, {} changes of the world, {took:.0} s: {holds}",
            outcome.steps, outcome.changes
        );
        let Some((broken, changes)) = outcome.broken else { continue };
        eprintln!("seed {seed}, step {}: broken is the law \"{}\":\n  {}", broken.step, broken.law, broken.text);
        failed = true;
        if arguments.has("--long") {
            if arguments.has("--all") {
                continue;
            }
            return ExitCode::FAILURE;
        }
        if let Some(shrunk) = shrink(config, changes, broken.law, arguments.number("--budget", BUDGET)) {
            eprintln!(
                "the shortest sequence found has {} changes, with {} nodes:",
                shrunk.ops.len(),
                shrunk.config.nodes
            );
            shrunk.transcript.iter().for_each(|line| eprintln!("  {line}"));
            eprintln!("broken is the law \"{}\":\n  {}", shrunk.broken.law, shrunk.broken.text);
        }
        if !arguments.has("--all") {
            return ExitCode::FAILURE;
        }
    }
    if arguments.has("--coverage") {
        eprint!("{}", coverage.tables());
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the simulation once for each planted bug, in a process of its own; prints the table.
fn find_bugs(arguments: &Arguments) -> ExitCode {
    let only = arguments.number("--bug", 0);
    let nodes = arguments.number("--nodes", 12).to_string();
    let Ok(myself) = std::env::current_exe() else { return ExitCode::FAILURE };
    eprintln!("| deliberate bug | file | seed | found at step | law |\n|---|---|---:|---:|---|");
    let mut missed = 0;
    for (index, bug) in bugs().iter().enumerate() {
        let number = index as u64 + 1;
        if only != 0 && only != number {
            continue;
        }
        let found = (1..=SEEDS).find_map(|seed| {
            let mut command = Command::new(&myself);
            command.args([
                "--long",
                "--nodes",
                &nodes,
                "--seed",
                &seed.to_string(),
                "--steps",
                &FOUND_WITHIN.to_string(),
            ]);
            let output = command.env(SWITCH, number.to_string()).output().ok()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let line = said.lines().find(|line| line.contains("broken is the law"))?.to_owned();
            let step = line.split("step ").nth(1)?.split(':').next()?.to_owned();
            let law = line.split('"').nth(1)?.to_owned();
            Some((seed, step, law))
        });
        match found {
            Some((seed, step, law)) => eprintln!("| {} | `{}` | {seed} | {step} | {law} |", bug.name, bug.file),
            None => {
                missed += 1;
                eprintln!("| {} | `{}` | - | not found | |", bug.name, bug.file);
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
