//! ADD and DEL of one pod, from exec to exit, with none, 250 and 2,000 pods of the same kind on the node: the kernel's
//! lists of equal addresses grow with them for all contenders, the floor too.
//!
//! Each contender has a node of its own. Their calls take turns pod by pod, in an order that changes with each pod.
//! Effects of one contender on another's figures are avoided: one /proc/sys serves all nodes, and each living namespace
//! whose settings a plugin has opened makes the next opening slower. So only the floors and podlan keep a crowd, and the
//! pods of a round are deleted with it; the next round begins when the kernel has taken them down.

use std::path::Path;
use std::thread;
use std::time::Duration;

use podlan_conformance::lab::{Lab, Node, Pod};

use crate::Failure;
use crate::contender::{self, Contender, EACH, Families, Subnets, Verb};
use crate::figures::Figures;
use crate::measure::Cost;
use crate::part::order;
use crate::tools::Tools;

/// Rounds of contenders that wait seconds for duplicate address detection.
const SLOW_ROUNDS: usize = 6;

/// Longer than the kernel takes to delete the namespaces of a round, or fifty of a crowd.
const TAKEN_DOWN: Duration = Duration::from_millis(150);

pub(crate) fn run(tools: &Tools, quick: bool, figures: &mut Figures) -> Result<(), Failure> {
    let (rounds, crowds): (usize, &[usize]) = if quick { (40, &[0, 250]) } else { (200, &[0, 250, 2_000]) };
    let subnets = Subnets::of(200)?;
    let fields = EACH.map(|families| (families, contender::timed(tools, families, subnets)));
    let lab = Lab::new(u8::try_from(fields.iter().map(|(_, contenders)| contenders.len()).sum::<usize>())?)?;
    let mut nodes = lab.nodes().iter();
    for (families, contenders) in &fields {
        let mut stands: Vec<Stand<'_>> = contenders
            .iter()
            .zip(&mut nodes)
            .map(|(contender, node)| Stand { contender, node, pods: Vec::new() })
            .collect();
        for &others in crowds {
            stands.retain(|stand| stand.goes_on(others));
            for stand in &mut stands {
                stand.fill(others)?;
            }
            eprintln!("{}, {others} pods: {rounds} rounds of {}", families.name(), stands.len());
            for round in 0..rounds {
                let mut done = Vec::new();
                for at in order(round, stands.len()) {
                    done.extend(stands[at].round(round, *families, others, figures)?);
                }
                done.iter().try_for_each(Pod::remove)?;
                thread::sleep(TAKEN_DOWN);
            }
        }
        for stand in stands {
            thread::sleep(stand.clear()?);
        }
    }
    Ok(())
}

/// A contender on its node.
struct Stand<'a> {
    contender: &'a Contender,
    node: &'a Node,
    pods: Vec<Pod<'a>>,
}

impl<'a> Stand<'a> {
    /// Whether it is measured with a crowd of this size.
    fn goes_on(&self, others: usize) -> bool {
        others == 0 || self.contender.crowded
    }

    /// Adds pods to the node until there are `others`.
    fn fill(&mut self, others: usize) -> Result<(), Failure> {
        while self.pods.len() < others {
            let pod = self.node.pod(&format!("pod{}", self.pods.len()))?;
            self.call(Verb::Add, self.pods.len(), pod.netns())?;
            self.pods.push(pod);
        }
        Ok(())
    }

    /// One ADD and one DEL of a new pod; returns the pod, unless this round is left out.
    fn round(
        &self,
        round: usize,
        families: Families,
        others: usize,
        figures: &mut Figures,
    ) -> Result<Option<Pod<'a>>, Failure> {
        if self.contender.slow && round >= SLOW_ROUNDS {
            return Ok(None);
        }
        let pod = self.node.pod(&format!("timed-{others}-{round}"))?;
        for (verb, name) in [(Verb::Add, "ADD"), (Verb::Del, "DEL")] {
            let cost = self.call(verb, self.pods.len() + round, pod.netns())?;
            let case = format!("{name} {}, {others} pods", families.name());
            figures.add("pods", &case, &self.contender.label, "ms", cost.wall.as_secs_f64() * 1e3);
            figures.add("cpu", &case, &self.contender.label, "ms", cost.cpu.as_secs_f64() * 1e3);
        }
        Ok(Some(pod))
    }

    fn call(&self, verb: Verb, number: usize, netns: &Path) -> Result<Cost, Failure> {
        self.node.place().enter(|| self.contender.call(verb, number, netns))?
    }

    /// Deletes the crowd, so that the next measurement begins on an empty machine. Returns how long that takes the
    /// kernel.
    fn clear(self) -> Result<Duration, Failure> {
        self.pods.iter().try_for_each(Pod::remove)?;
        Ok(u32::try_from(self.pods.len())? * TAKEN_DOWN / 50)
    }
}
