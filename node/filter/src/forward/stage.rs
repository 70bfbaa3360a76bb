//! The hooks of nf_tables on the way of a packet that this node forwards, and which of them a packet meets. Pure.

use nftables::{BaseChain, TableFamily};

use super::judge::Packet;

/// The beginning of the names of podlan's own tables, which are checked by themselves.
const OURS: &str = "podlan";

/// A hook on a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Of the link on which it arrives.
    Ingress,
    /// Before its route is known: raw, mangle.
    Prerouting,
    /// Between its two links.
    Forward,
    /// After its route is known.
    Postrouting,
    /// Of the link by which it leaves.
    Egress,
    /// Of a bridge on which it arrives.
    BridgeIn,
    /// Of a bridge by which it leaves.
    BridgeOut,
}

impl Stage {
    /// The hook of a chain; `None` where forwarded packets do not pass, or the chain translates only, or is podlan's own.
    pub(super) fn of(chain: &BaseChain) -> Option<Self> {
        if chain.kind == "nat" || chain.table.starts_with(OURS) {
            return None;
        }
        // linux/netfilter.h, `enum nf_inet_hooks` and `enum nf_dev_hooks`; linux/netfilter_bridge.h.
        Some(match (chain.family, chain.hook) {
            (TableFamily::Netdev, 0) | (TableFamily::Inet, 5) => Self::Ingress,
            (TableFamily::Netdev, 1) => Self::Egress,
            (TableFamily::Inet | TableFamily::Ipv4 | TableFamily::Ipv6, 0) => Self::Prerouting,
            (TableFamily::Inet | TableFamily::Ipv4 | TableFamily::Ipv6, 2) => Self::Forward,
            (TableFamily::Inet | TableFamily::Ipv4 | TableFamily::Ipv6, 4) => Self::Postrouting,
            (TableFamily::Bridge, 0 | 1) => Self::BridgeIn,
            (TableFamily::Bridge, 3 | 4) => Self::BridgeOut,
            _ => return None,
        })
    }

    /// Its name in nft(8).
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Prerouting => "prerouting",
            Self::Forward => "forward",
            Self::Postrouting => "postrouting",
            Self::Egress => "egress",
            Self::BridgeIn => "input of a bridge",
            Self::BridgeOut => "output of a bridge",
        }
    }

    /// The packet as the chain sees it, with what is known of it there; `None` where it does not meet the chain.
    pub(super) fn sees(self, chain: &BaseChain, packet: &Packet, bridges: &[String]) -> Option<Packet> {
        let unknown = |packet: &Packet, incoming: bool, outgoing: bool| {
            let mut packet = packet.clone();
            if incoming {
                (packet.incoming, packet.indexes[0]) = (String::new(), None);
            }
            if outgoing {
                (packet.outgoing, packet.indexes[1]) = (String::new(), None);
            }
            packet
        };
        match self {
            Self::Ingress => chain.devices.contains(&packet.incoming).then(|| unknown(packet, false, true)),
            Self::Egress => chain.devices.contains(&packet.outgoing).then(|| packet.clone()),
            Self::Prerouting => Some(unknown(packet, false, true)),
            Self::Forward => Some(packet.clone()),
            Self::Postrouting => Some(packet.clone()),
            // The ports of a bridge are not known.
            Self::BridgeIn => bridges.contains(&packet.incoming).then(|| unknown(packet, true, true)),
            Self::BridgeOut => bridges.contains(&packet.outgoing).then(|| unknown(packet, true, true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::Transport;
    use super::*;

    fn chain(family: TableFamily, hook: u32, devices: &[&str]) -> BaseChain {
        let devices = devices.iter().map(|&name| name.to_owned()).collect();
        let (table, name, kind) = ("x".into(), "c".into(), "filter".into());
        BaseChain { family, table, name, drops: false, hook, kind, devices }
    }

    #[test]
    fn a_packet_meets_the_hooks_of_its_links_and_of_its_way_alone() {
        let packet = Packet {
            source: "10.244.1.2".parse().unwrap(),
            destination: "10.244.2.2".parse().unwrap(),
            incoming: "podl0".into(),
            outgoing: "br0".into(),
            indexes: [None; 2],
            transport: Transport::default(),
        };
        let bridges = ["br0".to_owned()];
        let meets =
            |chain: BaseChain| Stage::of(&chain).is_some_and(|stage| stage.sees(&chain, &packet, &bridges).is_some());
        assert!(meets(chain(TableFamily::Netdev, 0, &["podl0"])));
        assert!(!meets(chain(TableFamily::Netdev, 0, &["eth1", "br0"])), "it does not arrive there");
        assert!(meets(chain(TableFamily::Netdev, 1, &["br0"])));
        assert!(meets(chain(TableFamily::Inet, 5, &["podl0"])));
        for (hook, met) in [(0, true), (1, false), (2, true), (3, false), (4, true)] {
            assert_eq!(meets(chain(TableFamily::Ipv4, hook, &[])), met, "{hook}");
        }
        assert!(meets(chain(TableFamily::Bridge, 4, &[])) && !meets(chain(TableFamily::Bridge, 0, &[])));
        assert!(!meets(chain(TableFamily::Bridge, 2, &[])), "it is routed, not bridged");
        assert!(!meets(BaseChain { table: "podlan-masquerade".into(), ..chain(TableFamily::Inet, 4, &[]) }));
        assert!(!meets(BaseChain { kind: "nat".into(), ..chain(TableFamily::Inet, 4, &[]) }));
    }
}
