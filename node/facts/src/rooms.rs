//! How full this node's pools are: each range set of each configuration that leases from podlan-ipam, whoever wrote it. Pure.

use ipam::{Range, RangeSet};
use ipnetwork::IpNetwork;
use netlink::Family;
use serde_json::{Map, Value};

use crate::{Facts, Seen};

/// One range set of a network: a pod gets one address of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The network's name.
    pub network: String,
    /// The file that configures it.
    pub file: String,
    /// The address family.
    pub family: Family,
    /// Its subnets.
    pub subnets: Vec<IpNetwork>,
    /// Addresses that are leased.
    pub used: u64,
    /// All addresses that it can give; saturates at `u64::MAX`.
    pub capacity: u64,
}

impl Room {
    /// Addresses that are not leased.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }
}

impl Facts {
    /// How full the pools are. A set that the plugin would refuse is left out.
    pub fn rooms(&self) -> Seen<Vec<Room>> {
        let leases = self.leases()?;
        let mut rooms: Vec<Room> = Vec::new();
        for file in self.configurations()? {
            for set in file.plugins().into_iter().filter_map(|plugin| plugin.get("ipam")).flat_map(sets) {
                let holds = |address| set.ranges().iter().any(|range| range.contains(address));
                let of_network = leases.all.iter().filter(|(network, ..)| network == file.network());
                let used = of_network.filter(|(_, lease, _)| holds(lease.address.ip())).count();
                let capacity = set.ranges().iter().fold(0u64, |sum, range| sum.saturating_add(range.capacity()));
                let family = if set.is_ipv4() { Family::V4 } else { Family::V6 };
                let subnets: Vec<IpNetwork> = set.ranges().iter().map(Range::subnet).collect();
                let network = file.network().to_owned();
                if rooms.iter().any(|room| room.network == network && room.subnets == subnets) {
                    continue;
                }
                rooms.push(Room { network, file: file.file.clone(), family, subnets, used: used as u64, capacity });
            }
        }
        Ok(rooms)
    }
}

/// The range sets of an `ipam` of podlan-ipam's.
fn sets(ipam: &Value) -> Vec<RangeSet> {
    let Some(ipam) = ipam.as_object().filter(|ipam| ipam.get("type").is_some_and(|kind| kind == "podlan-ipam")) else {
        return Vec::new();
    };
    let top = range(ipam).and_then(|range| RangeSet::new(vec![range]).ok());
    let listed = ipam.get("ranges").and_then(Value::as_array).into_iter().flatten().filter_map(|set| {
        let ranges: Option<Vec<Range>> = set.as_array()?.iter().map(|one| range(one.as_object()?)).collect();
        RangeSet::new(ranges?).ok()
    });
    top.into_iter().chain(listed).collect()
}

fn range(fields: &Map<String, Value>) -> Option<Range> {
    let address = |key: &str| fields.get(key).and_then(Value::as_str).and_then(|text| text.parse().ok());
    let subnet = fields.get("subnet")?.as_str()?.parse().ok()?;
    Range::new(subnet, address("rangeStart"), address("rangeEnd"), address("gateway")).ok()
}
