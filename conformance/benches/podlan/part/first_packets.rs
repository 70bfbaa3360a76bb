//! What the times mean: of twenty ADDs at once, while other links are created and deleted, how many ended before their
//! link was up, and how many first packets between the node and the pod were lost.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::sync::Barrier;
use std::thread;

use podlan_conformance::cost::input;
use podlan_conformance::first_packets::{Found, look};
use podlan_conformance::lab::{Churn, Node, Pod};
use podlan_conformance::ways::Partner;

use crate::Failure;
use crate::contender::{self, Contender, EACH, Families, Subnets, Verb};
use crate::figures::Figures;
use crate::tools::Tools;

/// ADDs at once.
const AT_ONCE: usize = 20;

/// Threads that create and delete links.
const BESIDE: usize = 6;

/// Rounds of contenders that wait seconds for duplicate address detection.
const SLOW_ROUNDS: usize = 2;

/// Each contender on nodes of its own, two of `nodes`.
pub(crate) fn run(tools: &Tools, quick: bool, nodes: &[Node], figures: &mut Figures) -> Result<(), Failure> {
    let rounds = if quick { 5 } else { 15 };
    let subnets = Subnets::of(200)?;
    let mut nodes = nodes.iter();
    for families in [EACH[0], EACH[2]] {
        let contenders = contender::all(tools, families, subnets);
        for (contender, node) in contenders.iter().zip(&mut nodes) {
            let rounds = if contender.slow { SLOW_ROUNDS } else { rounds };
            let churn = Churn::start(BESIDE);
            let mut found = Vec::new();
            for round in 0..rounds {
                found.extend(at_once(contender, node, round)?);
            }
            churn.stop()?;
            add(figures, families, contender, &found);
        }
    }
    Ok(())
}

/// Shares of all, as not all contenders have the same number of rounds.
fn add(figures: &mut Figures, families: Families, contender: &Contender, found: &[Found]) {
    let share = |of: usize, all: usize| {
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let (of, all) = (of as f64, all as f64);
        100.0 * of / all
    };
    let late = found.iter().filter(|found| !found.up).count();
    let lost = found.iter().map(|found| found.lost.len()).sum();
    let tried = found.iter().map(|found| found.tried).sum();
    let mut row = |what: &str, value| {
        let case = format!("{what}, {}, {AT_ONCE} at once", families.name());
        figures.add("first", &case, &contender.label, "%", value);
    };
    row("link not up when ADD ends", share(late, found.len()));
    row("first packets lost", share(lost, tried));
}

fn at_once(contender: &Contender, node: &Node, round: usize) -> Result<Vec<Found>, Failure> {
    let pods: Vec<Pod<'_>> =
        (0..AT_ONCE).map(|number| node.pod(&format!("first{number}"))).collect::<Result<_, _>>()?;
    let partners: Vec<[Partner; 1]> =
        pods.iter().map(|_| Ok([Partner::new("node", node.place(), &node.ips())?])).collect::<Result<_, Failure>>()?;
    let ready = &Barrier::new(AT_ONCE);
    let found = thread::scope(|scope| -> Result<Vec<Found>, Failure> {
        let adds: Vec<_> = pods
            .iter()
            .zip(&partners)
            .enumerate()
            .map(|(number, (pod, partners))| {
                scope.spawn(move || node.place().enter(|| first(contender, pod, number, partners, round, ready))?)
            })
            .collect();
        adds.into_iter().map(|add| add.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })?;
    for (number, pod) in pods.iter().enumerate() {
        node.place().enter(|| contender.call(Verb::Del, number, pod.netns()))??;
        pod.remove()?;
    }
    Ok(found)
}

/// One ADD, and an examination of the pod as soon as it has ended.
fn first(
    contender: &Contender,
    pod: &Pod<'_>,
    number: usize,
    partners: &[Partner],
    round: usize,
    ready: &Barrier,
) -> Result<Found, Failure> {
    let netns = File::open(pod.netns())?;
    let (mut command, stdin) = contender.command(Verb::Add, number, pod.netns());
    command.stdin(input(stdin.as_bytes())?).stdout(Stdio::piped()).stderr(Stdio::null());
    ready.wait();
    let mut child = command.spawn()?;
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    if !child.wait()?.success() {
        return Err(format!("one of {AT_ONCE} ADDs of {} at once failed: {said}", contender.label).into());
    }
    let (link, ips) = contender.made(number, &said)?;
    Ok(look(&link, &netns, &ips, partners, number + round)?)
}
