//! Ranges and range sets: which addresses belong to a pool, and which of them are never given.
//! Pure. Every value of these types is valid: parsing (settings) is the only way in.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// A run of addresses inside one subnet, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    subnet: IpNetwork,
    start: IpAddr,
    end: IpAddr,
    gateway: Option<IpAddr>,
}

/// Ranges of one family that give one address together, tried in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet(Vec<Range>);

/// Why a range or a set of ranges cannot be used. Texts as host-local's users know them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The subnet's address has bits outside its mask.
    #[error("Network has host bits set. For a subnet mask of length {length} the network address is {network}")]
    HostBits {
        /// Prefix length.
        length: u8,
        /// The address without them.
        network: IpAddr,
    },
    /// An end or the gateway lies outside.
    #[error("{what} {address} not in network {subnet}")]
    Outside {
        /// `RangeStart`, `RangeEnd` or `Gateway`.
        what: &'static str,
        /// The address.
        address: IpAddr,
        /// The subnet.
        subnet: IpNetwork,
    },
    /// The last address comes before the first; one of them may be the subnet's own. host-local calls the last one "not
    /// in network" then, which it is.
    #[error("RangeEnd {end} comes before RangeStart {start}")]
    Reversed {
        /// The first address.
        start: IpAddr,
        /// The last address.
        end: IpAddr,
    },
    /// No ranges in a set.
    #[error("empty range set")]
    Empty,
    /// Both families in one set.
    #[error("mixed address families")]
    MixedFamilies,
    /// Two ranges of a set share addresses.
    #[error("subnets {0} and {1} overlap")]
    Overlap(Box<Range>, Box<Range>),
    /// Nothing is left once the reserved addresses are taken out.
    #[error("range {0} has no address to give")]
    NothingToGive(Box<Range>),
}

impl Range {
    /// A range of `subnet`: by default all of it but what is reserved, with the first address as gateway.
    /// In `/31`, `/32`, `/127` and `/128` nothing is reserved but a gateway that is named (RFC 3021, RFC 6164).
    pub fn new(
        subnet: IpNetwork,
        start: Option<IpAddr>,
        end: Option<IpAddr>,
        gateway: Option<IpAddr>,
    ) -> Result<Self, RangeError> {
        let network = subnet.network();
        if network != subnet.ip() {
            return Err(RangeError::HostBits { length: subnet.prefix(), network });
        }
        let inside = |what, address: Option<IpAddr>| match address {
            Some(address) if !subnet.contains(address) => Err(RangeError::Outside { what, address, subnet }),
            Some(_) | None => Ok(()),
        };
        inside("Gateway", gateway)?;
        inside("RangeStart", start)?;
        inside("RangeEnd", end)?;
        let first = if is_link(&subnet) { network } else { after(network).unwrap_or(network) };
        let start = start.unwrap_or(first);
        let end = end.unwrap_or_else(|| last(&subnet));
        if start > end {
            return Err(RangeError::Reversed { start, end });
        }
        let gateway = gateway.or((!is_link(&subnet)).then_some(first));
        let range = Self { subnet, start, end, gateway };
        if range.capacity() == 0 {
            return Err(RangeError::NothingToGive(Box::new(range)));
        }
        Ok(range)
    }

    /// The subnet the range lies in.
    pub fn subnet(&self) -> IpNetwork {
        self.subnet
    }

    /// First address.
    pub fn start(&self) -> IpAddr {
        self.start
    }

    /// Last address.
    pub fn end(&self) -> IpAddr {
        self.end
    }

    /// The gateway that is named in results and never given to a pod.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }

    /// Does the address lie between the two ends?
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.start.is_ipv4() && self.start <= address && address <= self.end
    }

    /// Is this an address of the range that is never given: network, broadcast, gateway, the node's probe address?
    pub fn reserves(&self, address: IpAddr) -> bool {
        self.gateway == Some(address)
            || probe_address(&self.subnet) == Some(address)
            || !is_link(&self.subnet)
                && (address == self.subnet.network() || address.is_ipv4() && address == self.subnet.broadcast())
    }

    /// How many addresses it can give. Saturates at `u64::MAX`.
    pub fn capacity(&self) -> u64 {
        let subnet = &self.subnet;
        let never = [Some(subnet.network()), Some(subnet.broadcast()), probe_address(subnet), self.gateway];
        let never: BTreeSet<IpAddr> = never.into_iter().flatten().collect();
        let never = never.iter().filter(|address| self.contains(**address) && self.reserves(**address)).count();
        let all = (number(self.end) - number(self.start)).saturating_add(1);
        u64::try_from(all.saturating_sub(never as u128)).unwrap_or(u64::MAX)
    }

    /// Do the two share an address?
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.start) || self.contains(other.end) || other.contains(self.start)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.start, self.end)
    }
}

impl RangeSet {
    /// A set of at least one range, all of one family, none sharing an address with another.
    pub fn new(ranges: Vec<Range>) -> Result<Self, RangeError> {
        let first = ranges.first().ok_or(RangeError::Empty)?;
        if ranges.iter().any(|range| range.start.is_ipv4() != first.start.is_ipv4()) {
            return Err(RangeError::MixedFamilies);
        }
        for (position, one) in ranges.iter().enumerate() {
            if let Some(other) = ranges[position + 1..].iter().find(|other| one.overlaps(other)) {
                return Err(RangeError::Overlap(Box::new(one.clone()), Box::new(other.clone())));
            }
        }
        Ok(Self(ranges))
    }

    /// Its ranges, in the order they are tried.
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// The range that holds an address.
    pub fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(address))
    }

    /// Do the two sets share an address?
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|one| other.0.iter().any(|two| one.overlaps(two)))
    }

    /// Is this a set of IPv4 addresses?
    pub fn is_ipv4(&self) -> bool {
        self.0.iter().all(|range| range.start.is_ipv4())
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, range) in self.0.iter().enumerate() {
            if position > 0 {
                out.write_str(",")?;
            }
            write!(out, "{range}")?;
        }
        Ok(())
    }
}

/// The next address of the same family; `None` after the last one.
pub fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(address) => address.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// Addresses from one to another of the same family, the first not counted. Saturates at `u64::MAX`.
pub fn distance(from: IpAddr, to: IpAddr) -> u64 {
    u64::try_from(number(to).saturating_sub(number(from))).unwrap_or(u64::MAX)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first address behind the network's own, which the node uses for its path probes where the subnet is its pod CIDR. A
/// subnet of four addresses or fewer has none to spare.
pub fn probe_address(subnet: &IpNetwork) -> Option<IpAddr> {
    let spares = subnet.prefix() < if subnet.is_ipv4() { 30 } else { 126 };
    spares.then(|| after(subnet.network())).flatten()
}

/// One or two addresses: a link or a host, where every address is one to use.
fn is_link(subnet: &IpNetwork) -> bool {
    subnet.prefix() >= if subnet.is_ipv4() { 31 } else { 127 }
}

fn last(subnet: &IpNetwork) -> IpAddr {
    match subnet.broadcast() {
        IpAddr::V4(address) if !is_link(subnet) => Ipv4Addr::from_bits(address.to_bits() - 1).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn whole(subnet: &str) -> Range {
        Range::new(subnet.parse().unwrap(), None, None, None).unwrap()
    }

    /// H-093, H-086.
    #[test]
    fn a_range_is_by_default_all_of_its_subnet_but_what_is_reserved() {
        for (subnet, start, end, gateway, capacity) in [
            ("10.1.2.0/24", "10.1.2.1", "10.1.2.254", Some("10.1.2.1"), 253),
            ("192.168.1.0/29", "192.168.1.1", "192.168.1.6", Some("192.168.1.1"), 5),
            ("192.168.1.0/30", "192.168.1.1", "192.168.1.2", Some("192.168.1.1"), 1),
            ("192.0.2.0/31", "192.0.2.0", "192.0.2.1", None, 2),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.7", None, 1),
            (
                "2001:db8:1::/64",
                "2001:db8:1::1",
                "2001:db8:1::ffff:ffff:ffff:ffff",
                Some("2001:db8:1::1"),
                u64::MAX - 1,
            ),
            ("2001:db8:1::/127", "2001:db8:1::", "2001:db8:1::1", None, 2),
            ("2001:db8:1::5/128", "2001:db8:1::5", "2001:db8:1::5", None, 1),
            ("::/0", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("::1"), u64::MAX),
        ] {
            let range = whole(subnet);
            let got = (range.start(), range.end(), range.gateway(), range.capacity());
            assert_eq!(got, (ip(start), ip(end), gateway.map(ip), capacity), "{subnet}");
        }
    }

    /// H-094: a gateway of one's own is skipped wherever it lies; network and broadcast are never given even when asked for.
    #[test]
    fn what_is_reserved_is_neither_counted_nor_given() {
        let subnet = "10.1.0.0/29".parse().unwrap();
        let range = Range::new(subnet, Some(ip("10.1.0.0")), Some(ip("10.1.0.7")), Some(ip("10.1.0.5"))).unwrap();
        let given: Vec<_> = (0..8).map(|low| ip(&format!("10.1.0.{low}"))).filter(|a| !range.reserves(*a)).collect();
        assert_eq!(given, ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.6"].map(ip));
        assert_eq!(range.capacity(), 4);
    }

    /// The agent probes the paths between the nodes from it.
    #[test]
    fn the_first_address_of_a_subnet_is_never_given_whatever_the_gateway_is() {
        for (subnet, gateway, first, capacity) in [
            ("10.244.1.0/24", Some("10.244.1.254"), "10.244.1.1", 252),
            ("10.244.1.0/24", None, "10.244.1.1", 253),
            ("10.244.1.0/29", Some("10.244.1.6"), "10.244.1.1", 4),
            ("fd00::/64", Some("fd00::ffff"), "fd00::1", u64::MAX - 2),
            ("fd00::/125", Some("fd00::7"), "fd00::1", 5),
        ] {
            let range = Range::new(subnet.parse().unwrap(), None, None, gateway.map(ip)).unwrap();
            assert!(range.reserves(ip(first)), "{subnet}");
            assert_eq!(range.capacity(), capacity, "{subnet}");
        }
        let named =
            Range::new("10.1.0.0/24".parse().unwrap(), Some(ip("10.1.0.1")), Some(ip("10.1.0.2")), None).unwrap();
        assert_eq!((named.reserves(ip("10.1.0.1")), named.capacity()), (true, 1), "though it is the range's first");
    }

    #[test]
    fn a_subnet_of_four_addresses_or_fewer_has_none_to_spare() {
        for (subnet, gateway, capacity) in
            [("10.1.0.0/30", Some("10.1.0.2"), 1), ("10.1.0.0/31", None, 2), ("10.1.0.1/32", None, 1)]
        {
            let range = Range::new(subnet.parse().unwrap(), None, None, gateway.map(ip)).unwrap();
            assert!(!range.reserves(ip("10.1.0.1")), "{subnet}");
            assert_eq!(range.capacity(), capacity, "{subnet}");
        }
    }

    /// H-091, H-092.
    #[test]
    fn a_range_outside_its_subnet_is_refused_with_the_known_text() {
        let new = |subnet: &str, start: Option<&str>, end: Option<&str>| {
            Range::new(subnet.parse().unwrap(), start.map(ip), end.map(ip), None).unwrap_err().to_string()
        };
        let bits = "Network has host bits set. For a subnet mask of length 24 the network address is 192.0.2.0";
        assert_eq!(new("192.0.2.12/24", None, None), bits);
        assert_eq!(new("192.0.2.0/24", Some("192.0.3.0"), None), "RangeStart 192.0.3.0 not in network 192.0.2.0/24");
        assert_eq!(new("192.0.2.0/24", None, Some("192.0.4.0")), "RangeEnd 192.0.4.0 not in network 192.0.2.0/24");
    }

    /// H-092.
    #[test]
    fn an_end_before_its_start_is_refused_by_both_names() {
        let new = |start: Option<&str>, end: Option<&str>| {
            let range = Range::new("192.0.2.0/24".parse().unwrap(), start.map(ip), end.map(ip), None);
            range.unwrap_err().to_string()
        };
        let reversed = "RangeEnd 192.0.2.40 comes before RangeStart 192.0.2.50";
        assert_eq!(new(Some("192.0.2.50"), Some("192.0.2.40")), reversed);
        assert_eq!(new(Some("192.0.2.255"), None), "RangeEnd 192.0.2.254 comes before RangeStart 192.0.2.255");
        assert_eq!(new(None, Some("192.0.2.0")), "RangeEnd 192.0.2.0 comes before RangeStart 192.0.2.1");
    }

    /// H-095, H-096.
    #[test]
    fn a_set_is_of_one_family_without_overlap() {
        let set = |subnets: &[&str]| RangeSet::new(subnets.iter().map(|s| whole(s)).collect());
        assert_eq!(set(&[]), Err(RangeError::Empty));
        assert_eq!(set(&["10.1.0.0/24", "2001:db8::/64"]), Err(RangeError::MixedFamilies));
        let overlap = set(&["10.1.0.0/22", "10.1.2.0/24"]).unwrap_err().to_string();
        assert_eq!(overlap, "subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap");
        let halves =
            |start, end| Range::new("10.1.0.0/24".parse().unwrap(), Some(ip(start)), Some(ip(end)), None).unwrap();
        let halves = RangeSet::new(vec![halves("10.1.0.1", "10.1.0.99"), halves("10.1.0.100", "10.1.0.200")]).unwrap();
        assert_eq!(halves.to_string(), "10.1.0.1-10.1.0.99,10.1.0.100-10.1.0.200");
    }

    /// H-098.
    #[test]
    fn families_never_overlap() {
        assert!(!whole("0.0.0.0/24").overlaps(&whole("::/24")));
    }
}
