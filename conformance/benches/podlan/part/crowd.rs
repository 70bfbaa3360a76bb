//! A hundred and five hundred ADDs at once: from the first exec to the last exit, every one a success.

use std::process::Stdio;
use std::time::Instant;

use podlan_conformance::cost::input;
use podlan_conformance::lab::{Lab, Node, Pod};

use crate::Failure;
use crate::contender::{self, Contender, Subnets, V4, Verb};
use crate::figures::Figures;
use crate::part::first_packets;
use crate::tools::Tools;

pub(crate) fn run(tools: &Tools, quick: bool, figures: &mut Figures) -> Result<(), Failure> {
    let (rounds, crowds): (usize, &[usize]) = if quick { (6, &[100]) } else { (9, &[100, 500]) };
    let contenders = contender::timed(tools, V4, Subnets::of(200)?);
    // For the first packets each contender has a node for each of two kinds of pods.
    let lab = Lab::new(u8::try_from(contenders.len() * 3)?)?;
    for &crowd in crowds {
        for round in 0..rounds {
            for turn in 0..contenders.len() {
                let at = (round + turn) % contenders.len();
                let took = at_once(&contenders[at], &lab.nodes()[at], crowd)?;
                figures.add("crowd", &format!("{crowd} ADDs at once"), &contenders[at].label, "ms", took);
            }
        }
    }
    first_packets::run(tools, quick, &lab.nodes()[contenders.len()..], figures)
}

/// Milliseconds for all of them.
fn at_once(contender: &Contender, node: &Node, crowd: usize) -> Result<f64, Failure> {
    let pods = (0..crowd).map(|number| node.pod(&format!("crowd{number}"))).collect::<Result<Vec<Pod<'_>>, _>>()?;
    let took = node.place().enter(|| together(contender, Verb::Add, &pods))??;
    node.place().enter(|| together(contender, Verb::Del, &pods))??;
    pods.iter().try_for_each(Pod::remove)?;
    Ok(took)
}

/// One call for each pod, from the first exec to the last exit.
fn together(contender: &Contender, verb: Verb, pods: &[Pod<'_>]) -> Result<f64, Failure> {
    let mut calls = Vec::new();
    for (number, pod) in pods.iter().enumerate() {
        let (mut command, stdin) = contender.command(verb, number, pod.netns());
        command.stdin(input(stdin.as_bytes())?).stdout(Stdio::null()).stderr(Stdio::null());
        calls.push(command);
    }
    let began = Instant::now();
    let children = calls.iter_mut().map(|call| call.spawn()).collect::<Result<Vec<_>, _>>()?;
    for mut child in children {
        if !child.wait()?.success() {
            return Err(format!("one of {} calls of {} at once failed", pods.len(), contender.label).into());
        }
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
