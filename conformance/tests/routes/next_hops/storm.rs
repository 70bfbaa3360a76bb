//! A storm of events: routes that affect every peer are added and removed without end. The agent reconciles at its own
//! pace, and its own routes are restored meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use podlan_conformance::agent::{METRICS, metric};
use podlan_conformance::cluster::{self, NEIGHBOURS, Peer, wait_for_routes};
use podlan_conformance::lab::{Error, Lab, eventually, within};

use super::SOON;

/// Routes that are deleted by hand meanwhile.
const DELETED: u32 = 20;

/// How many reconciliations the agent has made, including those that restore a route.
const TURNS: &str = "podlan_node_reconcile_duration_seconds_count";

/// The processor time of a process, in clock ticks of 10 ms.
fn ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[test]
fn a_storm_of_events_uses_part_of_a_cpu_and_prevents_no_route_from_being_restored() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        one.shell(&format!("ip addr add {NEIGHBOURS} dev eth0"))?;
        cluster::list(&lab, &cluster::items(one, 200, false))?;
        let agent = one.agent(&["--log-level", "warn", "--listen", &METRICS.to_string()])?;
        wait_for_routes(one, 202)?;
        let flap = "while :; do echo route add 172.31.0.0/16 dev eth0 metric 7; echo route del 172.31.0.0/16 dev eth0 metric 7
                    echo rule add from 192.0.2.1 lookup 99 pref 77; echo rule del pref 77; sleep 0.002; done | ip -batch -";
        let mut storm = one.command("sh").args(["-c", flap]).spawn()?;
        let (began, before) = (Instant::now(), ticks(agent.id()));
        let unreadable = |said| Error::Unreadable { from: "the metrics".into(), said };
        let turned = metric(one, TURNS).map_err(unreadable)?;
        let mut worst = Duration::ZERO;
        for number in 0..DELETED {
            let cidr = Peer::new(number * 7).pod_cidr();
            one.place().remove_route(cidr)?;
            let gone = Instant::now();
            eventually(SOON, "the route is back", || {
                let said = one.shell(&format!("ip route show {cidr}")).map_err(|error| error.to_string())?;
                if said.is_empty() { Err("gone".to_owned()) } else { Ok(()) }
            })?;
            worst = worst.max(gone.elapsed());
        }
        // The storm continues: the agent may not reconcile for each of its events.
        std::thread::sleep(Duration::from_secs(1));
        let (made, lasted) = (metric(one, TURNS).map_err(unreadable)? - turned, began.elapsed());
        let spent = Duration::from_millis((ticks(agent.id()) - before) * 10);
        let share = spent.as_secs_f64() / lasted.as_secs_f64();
        println!(
            "a storm of {lasted:?}: {made} turns, {:.0} % of a processor, the slowest heal {worst:?}",
            share * 100.0
        );
        // The storm has not ended: no route waited for its end.
        assert!(storm.is_running(), "{}", storm.stderr());
        drop(storm);
        let paced = u64::from(DELETED) + u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX) / 100 + 5;
        assert!(made <= paced, "the agent reconciles for every event: {made} turns, {paced} at most");
        Ok::<(), Error>(())
    });
}
