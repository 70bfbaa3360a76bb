//! Watches many pods for half a minute: each path is tested again and again, with a pause in which neighbour entries
//! become stale.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use podlan_conformance::lab::Error;
use podlan_conformance::ways::{Partner, ways};

/// How long pods are watched: a confirmed neighbour entry stays valid for 45 s at most, an unconfirmed one for 9 s.
const LONG: Duration = Duration::from_secs(32);

/// No packet is sent between these times: neighbour entries age unused.
const PAUSE: [Duration; 2] = [Duration::from_secs(12), Duration::from_secs(20)];

/// From the start of one round to the start of the next.
const EACH: Duration = Duration::from_secs(1);

/// A pod that is watched.
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) own: Vec<UdpSocket>,
    pub(crate) partners: Vec<Partner>,
}

/// The observations.
pub(crate) struct Seen<'w> {
    /// The first path of each pod that lost a packet, and when, by the pod's name.
    pub(crate) lost: BTreeMap<&'w str, String>,
    pub(crate) rounds: usize,
    pub(crate) took: Duration,
}

/// Tests every path of all pods until the time is over; a pod that lost a packet is not tested again.
pub(crate) fn watch(all: &[Watched]) -> Result<Seen<'_>, Error> {
    let failed = |source| Error::System { doing: "watch the pods".into(), source };
    let began = Instant::now();
    let (mut lost, mut rounds) = (BTreeMap::new(), 0);
    loop {
        let due = Instant::now();
        for watched in all {
            if lost.contains_key(watched.name.as_str()) {
                continue;
            }
            for way in ways(&watched.own, &watched.partners).map_err(failed)? {
                if !way.passes().map_err(failed)? {
                    lost.insert(watched.name.as_str(), format!("{way}, {:.1} s on", began.elapsed().as_secs_f32()));
                    break;
                }
            }
        }
        rounds += 1;
        if began.elapsed() >= LONG {
            break;
        }
        let quiet = began.elapsed() >= PAUSE[0] && began.elapsed() < PAUSE[1];
        let next = if quiet { began + PAUSE[1] } else { due + EACH };
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(Seen { lost, rounds, took: began.elapsed() })
}
