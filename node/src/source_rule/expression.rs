//! The few expressions of nf_tables that the rules use, and their bytes (linux/netfilter/nf_tables.h). All work on one
//! register.

use super::nfnetlink::Attribute;

/// NFT_REG_1, the one register used, and NFT_REG_VERDICT.
const REGISTER: u32 = 1;
const VERDICT: u32 = 0;

/// How a register is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cmp {
    Equal = 0,
    NotEqual = 1,
}

/// One expression of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// Loads the name of the link that the packet came in by.
    IncomingLinkName,
    /// Loads 1 when the packet's source is routed back to the link that it came in by, else 0.
    RouteBackToLinkExists,
    /// Loads the address that an ARP packet asks for.
    ArpTarget,
    /// Goes on when the register's first bytes compare so.
    Compare(Cmp, Vec<u8>),
    /// Counts the packet.
    Counter,
    /// Drops it.
    Drop,
}

impl Expression {
    /// Its list element: NFTA_EXPR_NAME 1, NFTA_EXPR_DATA 2.
    pub(super) fn attribute(&self) -> Attribute {
        let (name, data) = match self {
            // NFTA_META_DREG 1, NFTA_META_KEY 2: NFT_META_IIFNAME 6.
            Self::IncomingLinkName => ("meta", vec![Attribute::number(1, REGISTER), Attribute::number(2, 6)]),
            // NFTA_FIB_DREG 1, _RESULT 2: NFT_FIB_RESULT_OIF 1, _FLAGS 3: SADDR 1 | IIF 8 | PRESENT 32.
            Self::RouteBackToLinkExists => {
                ("fib", vec![Attribute::number(1, REGISTER), Attribute::number(2, 1), Attribute::number(3, 1 | 8 | 32)])
            }
            // NFTA_PAYLOAD_DREG 1, _BASE 2: NFT_PAYLOAD_NETWORK_HEADER 1, _OFFSET 3, _LEN 4. RFC 826: ar$tpa lies at 24.
            Self::ArpTarget => (
                "payload",
                vec![
                    Attribute::number(1, REGISTER),
                    Attribute::number(2, 1),
                    Attribute::number(3, 24),
                    Attribute::number(4, 4),
                ],
            ),
            // NFTA_CMP_SREG 1, _OP 2, _DATA 3 {NFTA_DATA_VALUE 1}.
            Self::Compare(op, value) => (
                "cmp",
                vec![
                    Attribute::number(1, REGISTER),
                    Attribute::number(2, *op as u32),
                    Attribute::nested(3, &[Attribute::bytes(1, value)]),
                ],
            ),
            Self::Counter => ("counter", Vec::new()),
            // NFTA_IMMEDIATE_DREG 1, _DATA 2 {NFTA_DATA_VERDICT 2 {NFTA_VERDICT_CODE 1: NF_DROP 0}}.
            Self::Drop => {
                let verdict = Attribute::nested(2, &[Attribute::number(1, 0)]);
                ("immediate", vec![Attribute::number(1, VERDICT), Attribute::nested(2, &[verdict])])
            }
        };
        // NFTA_LIST_ELEM 1.
        Attribute::nested(1, &[Attribute::text(1, name), Attribute::nested(2, &data)])
    }
}
