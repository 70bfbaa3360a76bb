//! Everything that can go wrong with a lease, and its one mapping to CNI error codes.
//! Each variant names the file, address or owner that it is about.

use std::fmt;
use std::net::IpAddr;

use cni::Code;

/// Why an operation on the leases of a network failed. Nothing was changed, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Every address of a range set is taken.
    #[error("no IP addresses available in range set: {set}")]
    Exhausted {
        /// The set as `first-last` of each range.
        set: String,
        /// Leased and alive, or not judged.
        used: u64,
        /// Released, but not usable in this set.
        cooling: u64,
        /// Leased, and neither provably alive nor provably dead.
        unprovable: u64,
    },
    /// The attachment has its address already, and is not provably dead.
    #[error("{address} has been allocated to {owner}, duplicate allocation is not allowed")]
    Duplicate {
        /// The address it has.
        address: IpAddr,
        /// Its container id.
        owner: String,
    },
    /// A requested address is the gateway.
    #[error("requested ip {address} is subnet's gateway")]
    RequestedGateway {
        /// The address.
        address: IpAddr,
    },
    /// A requested address is taken, or is one that is never given.
    #[error("requested IP address {address} is not available in range set {set}")]
    RequestedTaken {
        /// The address.
        address: IpAddr,
        /// The set it belongs to.
        set: String,
    },
    /// Requested addresses that no range set can give.
    #[error("failed to allocate all requested IPs: {}", Listed(addresses))]
    RequestedUnplaced {
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// More range sets than one transaction holds.
    #[error("{sets} range sets asked for, at most {most} addresses are given to one attachment")]
    TooManySets {
        /// Asked for.
        sets: usize,
        /// The limit.
        most: usize,
    },
    /// STATUS: addresses cannot be given.
    #[error("{0}")]
    NotReady(#[source] Box<Error>),
}

impl Error {
    fn code(&self) -> Code {
        match self {
            Self::Store(error) => error.code(),
            Self::Exhausted { .. } => Code::TryAgain,
            Self::Duplicate { .. } => Code::DuplicateAttachment,
            Self::RequestedGateway { .. } | Self::RequestedTaken { .. } | Self::RequestedUnplaced { .. } => {
                Code::AddressTaken
            }
            Self::TooManySets { .. } => Code::InvalidConfig,
            Self::NotReady(_) => Code::NotAvailable,
        }
    }

    fn details(&self) -> String {
        match self {
            Self::Exhausted { used, cooling, unprovable, .. } => {
                format!("used {used}, cooling {cooling}, unprovable {unprovable}")
            }
            Self::NotReady(inner) => inner.details(),
            Self::Store(error) => error.details(),
            _ => String::new(),
        }
    }
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string()).with_details(error.details())
    }
}

struct Listed<'a>(&'a [IpAddr]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, address) in self.0.iter().enumerate() {
            if position > 0 {
                out.write_str(", ")?;
            }
            write!(out, "{address}")?;
        }
        Ok(())
    }
}
