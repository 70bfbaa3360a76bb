//! A sandbox of the real containerd and the network's share of it: the figures that its own test measures and prints.

use std::process::Command;

use crate::Failure;
use crate::figures::Figures;
use crate::tools::Tools;

/// The test, in conformance/tests/runtimes/containerd/time.rs.
const TEST: &str = "a_pod_waits_less_for_podlan_with_two_families_than_for_ptp_with_one";

pub(crate) fn run(tools: &Tools, figures: &mut Figures) -> Result<(), Failure> {
    let Some(tests) = &tools.containerd_tests else {
        eprintln!("left out: no containerd");
        return Ok(());
    };
    let output = Command::new(tests).args(["--nocapture", TEST]).output()?;
    // What a test prints inside its lab, it prints again outside when it has passed.
    let said = String::from_utf8_lossy(&output.stdout);
    let measured: Vec<&str> = said.split("bench: ").skip(1).filter_map(|rest| rest.lines().next()).collect();
    if !output.status.success() || measured.is_empty() {
        return Err(format!("{}: {said}{}", tests.display(), String::from_utf8_lossy(&output.stderr)).into());
    }
    for line in measured {
        let [contender, case, milliseconds] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        figures.add("runtime", case, contender, "ms", milliseconds.parse()?);
    }
    for (contender, share) in shares(figures) {
        figures.add("runtime", "share of ADD in RunPodSandbox", &contender, "%", share);
    }
    Ok(())
}

/// The share of the network's ADD in each sandbox's time, in percent.
fn shares(figures: &Figures) -> Vec<(String, f64)> {
    let sandboxes = figures.all().iter().filter(|s| s.case == "RunPodSandbox");
    let pairs = sandboxes.filter_map(|whole| Some((whole, figures.of("runtime", "ADD within", &whole.contender)?)));
    pairs
        .flat_map(|(whole, add)| {
            let each = add.samples.iter().zip(&whole.samples);
            each.map(|(add_ms, whole_ms)| (add.contender.clone(), 100.0 * add_ms / whole_ms))
        })
        .collect()
}
