//! Which objects a dump asks for. The kernel selects them itself where it checks requests strictly
//! (`NETLINK_GET_STRICT_CHK`, since Linux 4.20); else it gives all objects of the kind, cached routes among them. Where it has
//! no IPv6 at all, it answers a question for IPv6 routes with those of IPv4. So the selection is made once more here. Pure.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteAttribute;

use crate::request::Request;
use crate::wire::{Attributes, Message, u16_at, u32_at};

/// Length of `struct rtmsg`, bytes, and where its fields are.
const RTMSG: usize = 12;
const RTM_TABLE: usize = 4;
const RTM_PROTOCOL: usize = 5;
const RTM_FLAGS: usize = 8;
/// `RTM_F_CLONED`: a cached route, such as one that path MTU discovery made.
const CLONED: u32 = 0x200;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;

/// Length of `struct rtnexthop`, bytes, and where its link's index is.
const RTNEXTHOP: usize = 8;
const RTNH_IFINDEX: usize = 4;

/// Length of `struct ifaddrmsg`, bytes, and where its link's index is.
const IFADDRMSG: usize = 8;
const IFA_INDEX: usize = 4;

/// What is asked for; a number 0 stands for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Routes.
    Routes { family: u8, table: u32, protocol: u8, device: u32 },
    /// Addresses.
    Addresses { family: u8, device: u32 },
    /// Objects whose first byte is their family: rules, neighbours.
    OfFamily(u8),
    /// All of the kind.
    All,
}

impl Selection {
    /// What a request asks for.
    pub(crate) fn of(request: &Request) -> Self {
        match request.asks() {
            Some(RouteNetlinkMessage::GetRoute(route)) => {
                let (mut table, mut device) = (u32::from(route.header.table), 0);
                for attribute in &route.attributes {
                    match attribute {
                        RouteAttribute::Table(number) => table = *number,
                        RouteAttribute::Oif(index) => device = *index,
                        _ => {}
                    }
                }
                let family = route.header.address_family.into();
                Self::Routes { family, table, protocol: route.header.protocol.into(), device }
            }
            Some(RouteNetlinkMessage::GetAddress(address)) => {
                Self::Addresses { family: address.header.family.into(), device: address.header.index }
            }
            Some(RouteNetlinkMessage::GetRule(rule)) => Self::OfFamily(rule.header.family.into()),
            Some(RouteNetlinkMessage::GetNeighbour(neighbour)) => Self::OfFamily(neighbour.header.family.into()),
            _ => Self::All,
        }
    }

    /// Whether an object is among them. One that is too short to say so is: whoever reads it reports it.
    pub(crate) fn selects(self, object: &Message<'_>) -> bool {
        match self {
            Self::Routes { family, table, protocol, device } => {
                let (header, attributes) = object.split(RTMSG);
                header.len() < RTMSG
                    || is(family, header[0])
                        && is(protocol, header[RTM_PROTOCOL])
                        && u32_at(header, RTM_FLAGS).is_none_or(|flags| flags & CLONED == 0)
                        && (table == 0 || table == table_of(header, attributes))
                        && (device == 0 || leaves_by(device, attributes))
            }
            Self::Addresses { family, device } => {
                let (header, _) = object.split(IFADDRMSG);
                header.len() < IFADDRMSG
                    || is(family, header[0]) && (device == 0 || u32_at(header, IFA_INDEX) == Some(device))
            }
            Self::OfFamily(family) => object.split(1).0.first().is_none_or(|found| is(family, *found)),
            Self::All => true,
        }
    }
}

fn is(wanted: u8, found: u8) -> bool {
    wanted == 0 || wanted == found
}

/// A number above 255 is in the attribute alone.
fn table_of(header: &[u8], attributes: Attributes<'_>) -> u32 {
    attributes.u32(RTA_TABLE).unwrap_or_else(|| u32::from(header[RTM_TABLE]))
}

/// Whether one of a route's next hops is by this link.
fn leaves_by(device: u32, attributes: Attributes<'_>) -> bool {
    attributes.u32(RTA_OIF) == Some(device)
        || attributes.find(RTA_MULTIPATH).is_some_and(|hops| links(hops).any(|link| link == device))
}

/// The links of several next hops (`struct rtnexthop`).
fn links(mut hops: &[u8]) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(hops, 0)?).max(RTNEXTHOP);
        let link = u32_at(hops, RTNH_IFINDEX)?;
        hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(link)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{messages, sample};
    use crate::{Address, Family, Neighbour, PolicyRule, Route};

    const NEW_ADDRESS: u16 = 20;
    const NEW_ROUTE: u16 = 24;
    const NEW_RULE: u16 = 32;

    fn selects(request: &Request, object: &[u8]) -> bool {
        let object = messages(object).next().unwrap();
        Selection::of(request).selects(&object)
    }

    /// A route as the kernel gives it.
    fn route(family: u8, table: u32, protocol: u8, flags: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut header = vec![family, 24, 0, 0, u8::try_from(table).unwrap_or(252), protocol, 0, 1];
        header.extend(flags.to_ne_bytes());
        let number = table.to_ne_bytes();
        sample(NEW_ROUTE, &header, &[&[(RTA_TABLE, &number[..])], attributes].concat())
    }

    #[test]
    fn of_all_routes_those_of_the_table_the_protocol_and_the_family_are_taken_and_no_cached_one() {
        let asked = Route::dump(Family::V4, 112);
        for (family, table, protocol, flags, taken) in [
            (2, 254, 112, 0, true),
            (2, 255, 112, 0, false),
            (2, 11_209, 112, 0, false),
            (2, 254, 110, 0, false),
            (10, 254, 112, 0, false),
            (2, 254, 112, CLONED, false),
        ] {
            let held = route(family, table, protocol, flags, &[]);
            assert_eq!(selects(&asked, &held), taken, "{family} {table} {protocol} {flags:#x}");
        }
        let any = Route::dump(Family::V6, 0);
        assert!(selects(&any, &route(10, 254, 2, 0, &[])) && !selects(&any, &route(2, 254, 2, 0, &[])));
    }

    #[test]
    fn a_table_with_a_large_number_is_known_by_its_attribute() {
        for table in [100, 11_209] {
            let asked = Route::dump_table(Family::V4, table, None);
            assert!(selects(&asked, &route(2, table, 112, 0, &[])));
            assert!(!selects(&asked, &route(2, 254, 112, 0, &[])) && !selects(&asked, &route(2, 11_210, 112, 0, &[])));
        }
    }

    #[test]
    fn a_route_by_several_links_is_one_of_each_of_them() {
        let asked = |device| Route::dump_by_device(Family::V4, device);
        let seven = 7u32.to_ne_bytes();
        let one = route(2, 254, 4, 0, &[(RTA_OIF, &seven)]);
        assert!(selects(&asked(7), &one) && !selects(&asked(8), &one));
        // Two hops, the first with a gateway.
        let gateway = [16, 0, 0, 0, 7, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, 1];
        let hops = [&gateway[..], &[8, 0, 0, 0, 9, 0, 0, 0]].concat();
        let several = route(2, 254, 4, 0, &[(RTA_MULTIPATH, &hops)]);
        assert!(selects(&asked(7), &several) && selects(&asked(9), &several) && !selects(&asked(8), &several));
        let cut = route(2, 254, 4, 0, &[(RTA_MULTIPATH, &hops[..11])]);
        assert!(selects(&asked(7), &cut) && !selects(&asked(9), &cut));
    }

    #[test]
    fn addresses_are_of_their_link_and_rules_and_neighbours_of_their_family() {
        let held = sample(NEW_ADDRESS, &[2, 24, 0, 0, 7, 0, 0, 0], &[]);
        assert!(selects(&Address::dump(7), &held) && selects(&Address::dump(0), &held));
        assert!(!selects(&Address::dump(8), &held));
        let rule = sample(NEW_RULE, &[2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0], &[]);
        assert!(selects(&PolicyRule::dump(Family::V4), &rule) && !selects(&PolicyRule::dump(Family::V6), &rule));
        let short = sample(NEW_ROUTE, &[2, 24], &[]);
        assert!(selects(&Route::dump(Family::V4, 112), &short), "it is counted as unreadable");
    }

    #[test]
    fn one_neighbour_is_no_dump_of_a_family() {
        let one = Neighbour { address: "10.0.0.1".parse().unwrap(), mac: [2; 6], device: 7, hold: crate::Hold::Fixed };
        assert_eq!(Selection::of(&one.get()), Selection::OfFamily(2));
        assert_eq!(Selection::of(&crate::Link::dump()), Selection::All);
    }
}
