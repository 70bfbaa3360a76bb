//! The few expressions of nf_tables that the rules use, and their bytes (linux/netfilter/nf_tables.h). All work on one
//! register, but for the keys and values of maps, which lie in four-byte slots from that register on.

use netlink::Family;
use netlink::wire::Attribute;

/// NFT_REG_1, the one register used, and NFT_REG_VERDICT.
const REGISTER: u32 = 1;
const VERDICT: u32 = 0;
/// NFT_REG32_00, which is where NFT_REG_1 begins.
const SLOTS: u32 = 8;

/// How a register is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    /// `NFT_CMP_EQ`.
    Equal = 0,
    /// `NFT_CMP_NEQ`.
    NotEqual = 1,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `NF_DROP`.
    Drop = 0,
    /// `NF_ACCEPT`.
    Accept = 1,
}

/// One part of a map's key, taken from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// Bytes of the network header, an address.
    NetworkHeader {
        /// From the header's first byte, bytes.
        offset: u32,
        /// Bytes.
        length: u32,
    },
    /// The transport protocol's number.
    TransportProtocol,
    /// The destination port, which TCP, UDP and SCTP have in the same place.
    DestinationPort,
}

/// One expression of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads the name of the link that the packet came in by.
    IncomingLinkName,
    /// Loads the name of the link that the packet leaves by.
    OutgoingLinkName,
    /// Loads the packet's family, one byte (`AF_INET` 2, `AF_INET6` 10).
    AddressFamily,
    /// Loads 1 when the packet's source is routed back to the link that it came in by, else 0.
    RouteBackToLinkExists,
    /// Loads bytes of the network header: an address of IPv4, IPv6 or ARP.
    NetworkHeader {
        /// From the header's first byte, bytes.
        offset: u32,
        /// Bytes.
        length: u32,
    },
    /// Keeps of the register's bytes those bits that are set here.
    Mask(Vec<u8>),
    /// The same, and flips these bits of what is left.
    Change {
        /// The bits that are kept.
        keep: Vec<u8>,
        /// The bits that are flipped.
        flip: Vec<u8>,
    },
    /// Writes the register over the first bytes of the network header.
    WriteHeader {
        /// So many bytes.
        length: u32,
        /// The header has a checksum, which follows (IPv4).
        checksum: bool,
    },
    /// Goes on when the register's first bytes compare so.
    Compare(Cmp, Vec<u8>),
    /// Goes on when the register's value is in the set (`Equal`), or is not.
    Lookup(Cmp, &'static str),
    /// Counts the packet.
    Counter,
    /// Ends with a verdict.
    Decide(Verdict),
    /// Loads this value.
    Load(Vec<u8>),
    /// Has connection tracking look for the packet in the zone whose number is loaded (16 bits, in the host's order).
    SetConnectionZone,
    /// Gives the connection an address of the link that it leaves by as its source, and a port by chance.
    Masquerade,
    /// Loads the kind of the destination address, as the routing tables have it (`RTN_LOCAL` 2, in the host's order).
    DestinationKind,
    /// Loads a part of a map's key into this four-byte slot; it takes as many slots as it needs.
    LoadKey {
        /// Counted from 0.
        slot: u32,
        /// What is loaded.
        part: KeyPart,
    },
    /// Replaces the key that was loaded by the map's value; the rule ends where the map has none.
    LookupValue(&'static str),
    /// Sends the connection to the address and the port that are loaded, in this order.
    DestinationNat(Family),
}

impl Expression {
    /// Its list element: NFTA_EXPR_NAME 1, NFTA_EXPR_DATA 2.
    pub(super) fn attribute(&self) -> Attribute {
        let into_register = |more: &[(u16, u32)]| -> Vec<Attribute> {
            let numbers = [(1, REGISTER)].into_iter().chain(more.iter().copied());
            numbers.map(|(kind, value)| Attribute::be32(kind, value)).collect()
        };
        let (name, data) = match self {
            // NFTA_META_DREG 1, NFTA_META_KEY 2: NFT_META_IIFNAME 6, NFT_META_NFPROTO 15.
            Self::IncomingLinkName => ("meta", into_register(&[(2, 6)])),
            // NFT_META_OIFNAME 7.
            Self::OutgoingLinkName => ("meta", into_register(&[(2, 7)])),
            Self::AddressFamily => ("meta", into_register(&[(2, 15)])),
            // NFTA_FIB_DREG 1, _RESULT 2: NFT_FIB_RESULT_OIF 1, _FLAGS 3: SADDR 1 | IIF 8 | PRESENT 32.
            Self::RouteBackToLinkExists => ("fib", into_register(&[(2, 1), (3, 1 | 8 | 32)])),
            // NFTA_PAYLOAD_DREG 1, _BASE 2: NFT_PAYLOAD_NETWORK_HEADER 1, _OFFSET 3, _LEN 4.
            Self::NetworkHeader { offset, length } => ("payload", into_register(&[(2, 1), (3, *offset), (4, *length)])),
            Self::Mask(mask) => ("bitwise", bitwise(mask, &vec![0; mask.len()])),
            Self::Change { keep, flip } => ("bitwise", bitwise(keep, flip)),
            // NFTA_PAYLOAD_BASE 2: NFT_PAYLOAD_NETWORK_HEADER 1, _OFFSET 3, _LEN 4, _SREG 5, _CSUM_TYPE 6:
            // NFT_PAYLOAD_CSUM_INET 1, _CSUM_OFFSET 7: RFC 791, 10.
            Self::WriteHeader { length, checksum } => {
                let of_checksum = if *checksum { [(6, 1), (7, 10)] } else { [(6, 0), (7, 0)] };
                let numbers = [(2, 1), (3, 0), (4, *length), (5, REGISTER)].into_iter().chain(of_checksum);
                ("payload", numbers.map(|(kind, value)| Attribute::be32(kind, value)).collect())
            }
            // NFTA_CMP_SREG 1, _OP 2, _DATA 3 {NFTA_DATA_VALUE 1}.
            Self::Compare(op, value) => {
                let mut data = into_register(&[(2, *op as u32)]);
                data.push(Attribute::nested(3, &[Attribute::bytes(1, value)]));
                ("cmp", data)
            }
            // NFTA_LOOKUP_SET 1, _SREG 2, _FLAGS 5: NFT_LOOKUP_F_INV 1.
            Self::Lookup(op, set) => {
                let data = [Attribute::text(1, set), Attribute::be32(2, REGISTER), Attribute::be32(5, *op as u32)];
                ("lookup", data.to_vec())
            }
            Self::Counter => ("counter", Vec::new()),
            // NFTA_IMMEDIATE_DREG 1, _DATA 2 {NFTA_DATA_VERDICT 2 {NFTA_VERDICT_CODE 1}}.
            Self::Decide(code) => {
                let verdict = Attribute::nested(2, &[Attribute::be32(1, *code as u32)]);
                ("immediate", vec![Attribute::be32(1, VERDICT), Attribute::nested(2, &[verdict])])
            }
            // NFTA_IMMEDIATE_DREG 1, _DATA 2 {NFTA_DATA_VALUE 1}.
            Self::Load(value) => {
                let mut data = into_register(&[]);
                data.push(Attribute::nested(2, &[Attribute::bytes(1, value)]));
                ("immediate", data)
            }
            // NFTA_CT_KEY 2: NFT_CT_ZONE 17, _SREG 4.
            Self::SetConnectionZone => ("ct", vec![Attribute::be32(2, 17), Attribute::be32(4, REGISTER)]),
            // NFTA_MASQ_FLAGS 1: NF_NAT_RANGE_PROTO_RANDOM_FULLY 16.
            Self::Masquerade => ("masq", vec![Attribute::be32(1, 16)]),
            // NFT_FIB_RESULT_ADDRTYPE 3, NFTA_FIB_F_DADDR 2.
            Self::DestinationKind => ("fib", into_register(&[(2, 3), (3, 2)])),
            Self::LoadKey { slot, part } => part.attributes(SLOTS + slot),
            // NFTA_LOOKUP_SET 1, _SREG 2, _DREG 3.
            Self::LookupValue(map) => {
                ("lookup", vec![Attribute::text(1, map), Attribute::be32(2, REGISTER), Attribute::be32(3, REGISTER)])
            }
            // NFTA_NAT_TYPE 1: NFT_NAT_DNAT 1, _FAMILY 2, _REG_ADDR_MIN 3, _REG_PROTO_MIN 5.
            Self::DestinationNat(family) => {
                let port = SLOTS + u32::from(family.bits()) / 32;
                let numbers = [(1, 1), (2, u32::from(family.number())), (3, SLOTS), (5, port)];
                ("nat", numbers.map(|(kind, value)| Attribute::be32(kind, value)).to_vec())
            }
        };
        // NFTA_LIST_ELEM 1.
        Attribute::nested(1, &[Attribute::text(1, name), Attribute::nested(2, &data)])
    }
}

/// NFTA_BITWISE_SREG 1, _DREG 2, _LEN 3, _MASK 4 {NFTA_DATA_VALUE 1}, _XOR 5.
fn bitwise(keep: &[u8], flip: &[u8]) -> Vec<Attribute> {
    let length = u32::try_from(keep.len()).unwrap_or_default();
    let mut data: Vec<Attribute> =
        [(1, REGISTER), (2, REGISTER), (3, length)].map(|(kind, value)| Attribute::be32(kind, value)).into();
    data.extend([(4, keep), (5, flip)].map(|(kind, bits)| Attribute::nested(kind, &[Attribute::bytes(1, bits)])));
    data
}

impl KeyPart {
    /// The expression that loads it into a register: its name and its data.
    fn attributes(self, register: u32) -> (&'static str, Vec<Attribute>) {
        // NFT_PAYLOAD_NETWORK_HEADER 1, NFT_PAYLOAD_TRANSPORT_HEADER 2; NFT_META_L4PROTO 16.
        let (name, numbers): (_, &[(u16, u32)]) = match self {
            Self::NetworkHeader { offset, length } => ("payload", &[(2, 1), (3, offset), (4, length)]),
            Self::DestinationPort => ("payload", &[(2, 2), (3, 2), (4, 2)]),
            Self::TransportProtocol => ("meta", &[(2, 16)]),
        };
        let numbers = [(1, register)].into_iter().chain(numbers.iter().copied());
        (name, numbers.map(|(kind, value)| Attribute::be32(kind, value)).collect())
    }
}
