//! A storm of events: routes that concern every peer come and go without end. The agent answers some of them, at its own
//! pace, and its own routes are healed meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use podlan_conformance::cluster::{self, NEIGHBOURS, Peer, wait_for_routes};
use podlan_conformance::lab::{Error, Lab, eventually, within};

use super::{SOON, shell};

/// The processor time of a process, in clock ticks of 10 ms.
fn ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[test]
fn a_storm_of_events_costs_a_part_of_a_processor_and_keeps_no_route_from_being_healed() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        shell(one, &format!("ip addr add {NEIGHBOURS} dev eth0"))?;
        cluster::list(&lab, &cluster::items(one, 2_000, false))?;
        let agent = one.agent(&["--log-level", "warn"])?;
        wait_for_routes(one, 2_002)?;
        let flap = "while :; do echo route add 172.31.0.0/16 dev eth0 metric 7; echo route del 172.31.0.0/16 dev eth0 metric 7
                    echo rule add from 192.0.2.1 lookup 99 pref 77; echo rule del pref 77; sleep 0.002; done | ip -batch -";
        let storm = one.command("sh").args(["-c", flap]).spawn()?;
        let (began, before) = (Instant::now(), ticks(agent.id()));
        let mut worst = Duration::ZERO;
        for number in 0..20 {
            let cidr = Peer::new(number * 7).pod_cidr();
            one.place().remove_route(cidr)?;
            let gone = Instant::now();
            eventually(SOON, "the route is back", || {
                let said = shell(one, &format!("ip route show {cidr}")).map_err(|error| error.to_string())?;
                if said.is_empty() { Err("gone".to_owned()) } else { Ok(()) }
            })?;
            worst = worst.max(gone.elapsed());
        }
        let spent = Duration::from_millis((ticks(agent.id()) - before) * 10);
        let share = spent.as_secs_f64() / began.elapsed().as_secs_f64();
        println!("a storm of {:?}: {:.0} % of a processor, the slowest heal {worst:?}", began.elapsed(), share * 100.0);
        drop(storm);
        assert!(share < 0.6, "the agent answers every event: {share}");
        assert!(worst < Duration::from_secs(2), "a route waits for the storm's end: {worst:?}");
        Ok::<(), Error>(())
    });
}
