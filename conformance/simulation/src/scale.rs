//! What one agent of a large cluster costs: a few real agents among many nodes that are only listed.

use std::fs;
use std::time::Instant;

use crate::host::Host;
use crate::world::{Config, S, World};

/// The bytes of this process that are resident (proc_pid_status(5)); 0 where they cannot be read.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    1024 * kilobytes.unwrap_or(0_usize)
}

/// The figures of one size.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Nodes in the list.
    pub nodes: usize,
    /// Bytes that an agent makes resident until it is at rest.
    pub memory: usize,
    /// Events of an agent from its start until it is ready and at rest.
    pub start_events: u64,
    /// How long that takes a processor, seconds.
    pub start_seconds: f64,
    /// Bytes of the list from the API server.
    pub list_bytes: u64,
    /// Events of an agent because one node changes.
    pub change_events: u64,
    /// How long that takes a processor, seconds.
    pub change_seconds: f64,
    /// Bytes from the API server because one node changes.
    pub change_bytes: u64,
    /// Messages to the kernel, dumps, and addresses that are asked for, because one node changes.
    pub change_work: (u64, u64, u64),
    /// Probe packets in a second, sent and answered.
    pub probes: f64,
}

/// Measures one size. `agents` of the nodes run one.
pub fn measure(nodes: usize, agents: usize) -> Cost {
    let config =
        Config { nodes, agents, segments: 1, by_routers: false, dual: false, files: 0, narrow: false, seed: 1 };
    let mut world = World::new(Config { agents: 0, ..config });
    world.config.agents = agents;
    let before = resident();
    let sent = world.api.sent;
    let began = Instant::now();
    for host in 0..agents {
        world.start_agent(host);
    }
    world.pass(20 * S);
    let each = agents.max(1);
    let start_seconds = began.elapsed().as_secs_f64() / float(each);
    let start_events = world.delivered.iter().sum::<u64>() / each as u64;
    let kernel: usize = world.hosts[..agents].iter().map(routes_bytes).sum();
    let memory = resident().saturating_sub(before).saturating_sub(kernel) / each;
    let list_bytes = (world.api.sent - sent) / each as u64;
    let events = world.delivered.iter().sum::<u64>();
    world.hosts.iter_mut().for_each(|host| host.kernel.work = crate::kernel::Work::default());
    let sent = world.api.sent;
    let began = Instant::now();
    world.renumber_cidrs(nodes - 1, 1);
    world.pass(3 * S);
    let change_seconds = began.elapsed().as_secs_f64() / float(each);
    let change_events = (world.delivered.iter().sum::<u64>() - events) / each as u64;
    let change_bytes = (world.api.sent - sent) / each as u64;
    let work = &world.hosts[0].kernel.work;
    let change_work = (work.changes, work.dumps, work.lookups);
    world.start_probes(0);
    world.pass(5 * S);
    let datagrams = world.datagrams;
    world.pass(20 * S);
    let probes = float(usize::try_from(world.datagrams - datagrams).unwrap_or(0)) / 20.0;
    Cost {
        nodes,
        memory,
        start_events,
        start_seconds,
        list_bytes,
        change_events,
        change_seconds,
        change_bytes,
        change_work,
        probes,
    }
}

/// What the model of a kernel holds of an agent's routes: not the agent's memory.
fn routes_bytes(host: &Host) -> usize {
    host.kernel.main().count() * 200
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn float(number: usize) -> f64 {
    number as f64
}

/// The table in Markdown.
pub fn table(costs: &[Cost]) -> String {
    let mut text = String::from(
        "| nodes | memory | events to start | CPU to start | list | events per change | CPU per change | API bytes per change | changes, dumps, lookups | probe packets |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for cost in costs {
        let mib = |bytes: usize| format!("{:.1} MiB", float(bytes) / 1_048_576.0);
        let (changes, dumps, lookups) = cost.change_work;
        text += &format!(
            "| {} | {} | {} | {:.0} ms | {} | {} | {:.1} ms | {} B | {changes}, {dumps}, {lookups} | {:.0}/s |\n",
            cost.nodes,
            mib(cost.memory),
            cost.start_events,
            cost.start_seconds * 1e3,
            mib(usize::try_from(cost.list_bytes).unwrap_or(0)),
            cost.change_events,
            cost.change_seconds * 1e3,
            cost.change_bytes,
            cost.probes,
        );
    }
    text
}
