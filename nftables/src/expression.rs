//! The few expressions of nf_tables that the rules use, and their bytes (linux/netfilter/nf_tables.h). All work on one
//! register.

use netlink::wire::Attribute;

/// NFT_REG_1, the one register used, and NFT_REG_VERDICT.
const REGISTER: u32 = 1;
const VERDICT: u32 = 0;

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

/// One expression of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads the name of the link that the packet came in by.
    IncomingLinkName,
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
    /// Goes on when the register's first bytes compare so.
    Compare(Cmp, Vec<u8>),
    /// Goes on when the register's value is in the set (`Equal`), or is not.
    Lookup(Cmp, &'static str),
    /// Counts the packet.
    Counter,
    /// Ends with a verdict.
    Decide(Verdict),
    /// Gives the connection an address of the link that it leaves by as its source, and a port by chance.
    Masquerade,
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
            Self::AddressFamily => ("meta", into_register(&[(2, 15)])),
            // NFTA_FIB_DREG 1, _RESULT 2: NFT_FIB_RESULT_OIF 1, _FLAGS 3: SADDR 1 | IIF 8 | PRESENT 32.
            Self::RouteBackToLinkExists => ("fib", into_register(&[(2, 1), (3, 1 | 8 | 32)])),
            // NFTA_PAYLOAD_DREG 1, _BASE 2: NFT_PAYLOAD_NETWORK_HEADER 1, _OFFSET 3, _LEN 4.
            Self::NetworkHeader { offset, length } => ("payload", into_register(&[(2, 1), (3, *offset), (4, *length)])),
            // NFTA_BITWISE_SREG 1, _DREG 2, _LEN 3, _MASK 4 {NFTA_DATA_VALUE 1}, _XOR 5.
            Self::Mask(mask) => {
                let length = u32::try_from(mask.len()).unwrap_or_default();
                let mut data = into_register(&[(2, REGISTER), (3, length)]);
                data.push(Attribute::nested(4, &[Attribute::bytes(1, mask)]));
                data.push(Attribute::nested(5, &[Attribute::bytes(1, &vec![0; mask.len()])]));
                ("bitwise", data)
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
            // NFTA_MASQ_FLAGS 1: NF_NAT_RANGE_PROTO_RANDOM_FULLY 16.
            Self::Masquerade => ("masq", vec![Attribute::be32(1, 16)]),
        };
        // NFTA_LIST_ELEM 1.
        Attribute::nested(1, &[Attribute::text(1, name), Attribute::nested(2, &data)])
    }
}
