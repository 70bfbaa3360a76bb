//! No setting that a pod inherits from the machine cuts it off. Every setting of links and neighbours that the kernel
//! has is set to each of its values before ADD, and the pod is then reached for half a minute, in both directions and
//! families, from its node and from another pod. Or ADD fails with an error that names the setting.
//!
//! ```text
//!   node1                                 machine0, machine1, …  each with a setting of its own
//!     ├── peer                              ├── a   has it too
//!     └── pod0, pod1, …                     └── b   as well
//!         each with a setting of its own
//! ```

mod machine;
mod settings;
mod watch;

use std::fs;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use machine::Machine;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use podlan_conformance::lab::{Added, Error, Lab, Pod, within};
use podlan_conformance::ways::{Partner, sockets};
use settings::{Case, Kind};
use watch::{Watched, watch};

/// The settings that ADD itself sets on the node's end, whatever value was inherited.
const SET_BY_ADD: [(&str, &str); 6] = [
    ("app_solicit", "0"),
    ("delay_first_probe_time", "5"),
    ("mcast_resolicit", "1000000000"),
    ("mcast_solicit", "3"),
    ("retrans_time_ms", "1000"),
    ("ucast_solicit", "3"),
];

/// Settings that have the same meaning in another unit.
const TWINS: [&str; 1] = ["retrans_time"];

/// A pod that was added, or the error of its ADD.
enum Outcome<'lab> {
    Added { case: &'lab Case, pod: Pod<'lab>, added: Added },
    Refused { case: &'lab Case, said: String },
}

/// Runs `body` for each case, a few at a time.
fn each<'c, T: Send>(
    cases: &'c [Case],
    does: impl Fn(usize, &'c Case) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, T)>, Error> {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else { return Ok(done) };
            done.push((number, does(number, case)?));
        }
    };
    let mut all = thread::scope(|scope| -> Result<Vec<(usize, T)>, Error> {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })?;
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, done)| done).collect())
}

/// Adds a pod that inherits the setting.
fn add<'lab>(machine: &Machine<'lab>, name: &str, case: &'lab Case) -> Result<Outcome<'lab>, Error> {
    let pod = machine.pod(name)?;
    if case.kind == Kind::Conf {
        case.set(pod.place(), &["all", "default"])?;
    }
    let added = match machine.add(&pod)? {
        Ok(added) => added,
        Err(complaint) => return Ok(Outcome::Refused { case, said: format!("{complaint:?}") }),
    };
    if case.kind == Kind::Neigh {
        // The lab cannot write the machine's only `neigh/default`: each end gets the values that it would have copied,
        // except those that ADD sets itself.
        case.set(pod.place(), &["eth0"])?;
        let link = added.result["interfaces"][0]["name"].as_str().unwrap_or_default();
        match SET_BY_ADD.iter().find(|(set, _)| *set == case.name) {
            Some((set, value)) => {
                let path = format!("/proc/sys/net/{}/neigh/{link}/{set}", case.family);
                let shown = machine.place().enter(|| fs::read_to_string(&path))?.unwrap_or_default();
                assert_eq!(shown.trim(), *value, "{path}");
            }
            None if TWINS.contains(&case.name.as_str()) => {}
            None => case.set(machine.place(), &[link])?,
        }
    }
    Ok(Outcome::Added { case, pod, added })
}

fn own(pod: &Pod<'_>, ips: &[IpAddr]) -> Result<Vec<std::net::UdpSocket>, Error> {
    let opened = pod.place().enter(|| sockets(ips))?;
    opened.map_err(|source| Error::System { doing: format!("open the sockets of {}", pod.name()), source })
}

/// Each pod and partner has two sockets, more than the default limit of some systems.
fn allow_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok();
    }
}

/// Watches pods and judges them: no packet is lost, and each refusal names the setting. Returns the figures.
fn judge(watched: &[Watched], refused: &[(&Case, &str)]) -> Result<String, Error> {
    let seen = watch(watched)?;
    let lost = seen.lost.iter().map(|(name, what)| format!("{name}: lost {what}"));
    let unnamed = refused.iter().filter(|(case, said)| !said.contains(&case.name));
    let unnamed = unnamed.map(|(case, said)| format!("{case}: the error does not name it: {said}"));
    let wrong: Vec<String> = lost.chain(unnamed).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let refused: Vec<String> = refused.iter().map(|(case, _)| case.to_string()).collect();
    let took = seen.took.as_secs_f32();
    Ok(format!("{} pods watched for {took:.1} s in {} rounds; refused: {refused:?}", watched.len(), seen.rounds))
}

#[test]
fn no_setting_that_a_pods_namespace_inherits_cuts_it_off() {
    within(|| {
        allow_files();
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let cases = settings::all(node.pod("scratch")?.place())?;
        let machine = Machine::Node(node);
        let peer = machine.pod("peer")?;
        let at_peer = machine.add(&peer)?.map_err(|said| Error::Unreadable { from: "ADD".into(), said: said.text })?;
        let outcomes = each(&cases, |number, case| add(&machine, &format!("pod{number}"), case))?;
        let (mut watched, mut refused) = (Vec::new(), Vec::new());
        for outcome in &outcomes {
            match outcome {
                Outcome::Refused { case, said } => refused.push((*case, said.as_str())),
                Outcome::Added { case, pod, added } => watched.push(Watched {
                    name: case.to_string(),
                    own: own(pod, &added.ips())?,
                    partners: vec![
                        Partner::new("node", machine.place(), &machine.ips())?,
                        Partner::new("peer", peer.place(), &at_peer.ips())?,
                    ],
                }),
            }
        }
        println!("{}", judge(&watched, &refused)?);
        outcomes.iter().try_for_each(|outcome| match outcome {
            Outcome::Added { pod, added, .. } => machine.check(pod, added),
            Outcome::Refused { .. } => Ok(()),
        })
    });
}

#[test]
fn no_setting_of_a_machine_cuts_off_the_pods_that_inherit_it() {
    within(|| {
        allow_files();
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let mut cases = settings::all(node.pod("scratch")?.place())?;
        cases.retain(|case| case.kind == Kind::Conf);
        let machines = each(&cases, |number, case| {
            let machine = Machine::new(node, number, case)?;
            let [a, b] = ["a", "b"].map(|name| add(&machine, &format!("{name}{number}"), case));
            Ok((machine, a?, b?))
        })?;
        let (mut watched, mut refused) = (Vec::new(), Vec::new());
        for (machine, a, b) in &machines {
            match (a, b) {
                (Outcome::Refused { case, said }, _) | (_, Outcome::Refused { case, said }) => {
                    refused.push((*case, said.as_str()));
                }
                (Outcome::Added { case, pod, added }, Outcome::Added { pod: peer, added: at_peer, .. }) => {
                    watched.push(Watched {
                        name: case.to_string(),
                        own: own(pod, &added.ips())?,
                        partners: vec![
                            Partner::new("machine", machine.place(), &machine.ips())?,
                            Partner::new("peer", peer.place(), &at_peer.ips())?,
                        ],
                    });
                }
            }
        }
        println!("{}", judge(&watched, &refused)?);
        Ok(())
    });
}
