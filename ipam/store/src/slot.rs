//! One slot: an address that was used at least once, leased or free, and its links.
//! Pure codec of one line. What is identity is never cut; the pod's name is.

use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use cni::{Attachment, ContainerId, Ifname};
use ipnetwork::IpNetwork;

use crate::Corruption;
use crate::lease::{Lease, Proof};
use crate::line::{Escaped, Line, Words, Writer, unescape};
use crate::now::{BootId, Stamp};

/// The line of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The pool that counts it, and whose queue it joins when released.
    pub pool: u32,
    /// Next slot in the same bucket of the address index.
    pub(crate) address_next: Option<u32>,
    /// What the address is used for.
    pub state: SlotState,
}

/// Leased or free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotState {
    /// An attachment has it.
    Leased {
        /// Who, and since when.
        lease: Lease,
        /// Next slot in the same bucket of the owner index.
        owner_next: Option<u32>,
    },
    /// Free; it is in its pool's queue.
    Free {
        /// The address.
        address: IpAddr,
        /// When it was released.
        since: Stamp,
        /// Released before it.
        prev: Option<u32>,
        /// Released after it.
        next: Option<u32>,
    },
}

impl Slot {
    /// The address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        match &self.state {
            SlotState::Leased { lease, .. } => lease.address.ip(),
            SlotState::Free { address, .. } => *address,
        }
    }

    /// When it was given, or released.
    #[must_use]
    pub fn since(&self) -> Stamp {
        match &self.state {
            SlotState::Leased { lease, .. } => lease.since,
            SlotState::Free { since, .. } => *since,
        }
    }

    /// The lease, when there is one.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            SlotState::Leased { lease, .. } => Some(lease),
            SlotState::Free { .. } => None,
        }
    }

    /// As a line; `Err` says how many bytes too many its words are.
    pub(crate) fn line(&self, at: u32) -> Result<Line, usize> {
        let Self { pool, address_next, state } = self;
        let mut writer;
        match state {
            SlotState::Leased { lease, owner_next } => {
                writer = Writer::new("leased");
                write_lease(&mut writer, lease);
                writer.word("pool", pool).link("an", *address_next).link("on", *owner_next);
                if let Some(pod) = &lease.proof.pod {
                    write_pod(&mut writer, pod);
                }
            }
            SlotState::Free { address, since, prev, next } => {
                writer = Writer::new("free");
                writer.word("addr", address).word("boot", since.boot).word("at", since.millis);
                writer.word("pool", pool).link("an", *address_next).link("prev", *prev).link("next", *next);
            }
        }
        writer.finish(at)
    }

    /// From its line.
    pub(crate) fn read(line: &Line) -> Result<Self, Corruption> {
        let (kind, mut words) = line.words()?;
        match kind {
            "leased" => {
                let lease = read_lease(&mut words)?;
                let (pool, address_next) = (words.parse("pool")?, words.link("an")?);
                let owner_next = words.link("on")?;
                let pod = words.find("pod").map(unescape).transpose()?;
                let pod = pod.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                let lease = Lease { proof: Proof { pod, ..lease.proof }, ..lease };
                Ok(Self { pool, address_next, state: SlotState::Leased { lease, owner_next } })
            }
            "free" => {
                let address = words.parse("addr")?;
                let since = read_stamp(&mut words)?;
                let (pool, address_next) = (words.parse("pool")?, words.link("an")?);
                let (prev, next) = (words.link("prev")?, words.link("next")?);
                Ok(Self { pool, address_next, state: SlotState::Free { address, since, prev, next } })
            }
            _ => Err(Corruption("it is not a slot")),
        }
    }
}

/// Whether a lease fits a line, whatever its links are.
///
/// # Errors
/// How many bytes too many its words are.
pub fn fits(lease: &Lease) -> Result<(), usize> {
    let far = Some(u32::MAX);
    let state = SlotState::Leased { lease: lease.clone(), owner_next: far };
    Slot { pool: u32::MAX, address_next: far, state }.line(0).map(drop)
}

fn write_lease(writer: &mut Writer, lease: &Lease) {
    let Lease { address, gateway, owner, proof, reused_early, since } = lease;
    writer.word("addr", address);
    if let Some(gateway) = gateway {
        writer.word("gw", gateway);
    }
    writer.word("id", owner.container_id.as_str()).word("if", Escaped(owner.ifname.as_str().as_bytes()));
    let Proof { host_link, netns, netns_id, pod: _ } = proof;
    writer.word("netns", Escaped(netns.as_os_str().as_bytes()));
    if let Some((device, inode)) = netns_id {
        writer.word("nsid", format_args!("{device:x}:{inode}"));
    }
    if let Some(link) = host_link {
        writer.word("link", Escaped(link.as_bytes()));
    }
    writer.word("boot", since.boot).word("at", since.millis);
    if *reused_early {
        writer.word("early", 1);
    }
}

/// As much of the pod's name as there is room for.
fn write_pod(writer: &mut Writer, pod: &str) {
    let room = writer.free().saturating_sub(" pod=".len());
    let mut kept = pod.len();
    while Escaped(&pod.as_bytes()[..kept]).to_string().len() > room {
        kept = pod.floor_char_boundary(kept - 1);
    }
    if kept > 0 {
        writer.word("pod", Escaped(&pod.as_bytes()[..kept]));
    }
}

fn read_lease(words: &mut Words<'_>) -> Result<Lease, Corruption> {
    let unreadable = |_| Corruption("a word cannot be read");
    let address: IpNetwork = words.get("addr")?.parse().map_err(|_| Corruption("a word cannot be read"))?;
    let gateway = words.find("gw").map(str::parse).transpose().map_err(|_| Corruption("a word cannot be read"))?;
    let container_id = ContainerId::parse(words.get("id")?).map_err(unreadable)?;
    let ifname = String::from_utf8(unescape(words.get("if")?)?).map_err(|_| Corruption("a word cannot be read"))?;
    let owner = Attachment { container_id, ifname: Ifname::parse(&ifname).map_err(unreadable)? };
    let netns = PathBuf::from(std::ffi::OsString::from_vec(unescape(words.get("netns")?)?));
    let netns_id = words.find("nsid").map(read_netns_id).transpose()?;
    let host_link = words.find("link").map(unescape).transpose()?;
    let host_link = host_link.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let proof = Proof { host_link, netns, netns_id, pod: None };
    let since = read_stamp(words)?;
    let reused_early = words.find("early").is_some();
    Ok(Lease { address, gateway, owner, proof, reused_early, since })
}

fn read_netns_id(text: &str) -> Result<(u64, u64), Corruption> {
    let pair = text.split_once(':');
    let pair = pair.and_then(|(device, inode)| Some((u64::from_str_radix(device, 16).ok()?, inode.parse().ok()?)));
    pair.ok_or(Corruption("a word cannot be read"))
}

fn read_stamp(words: &mut Words<'_>) -> Result<Stamp, Corruption> {
    let boot = BootId::parse(words.get("boot")?).ok_or(Corruption("a word cannot be read"))?;
    Ok(Stamp { boot, millis: words.parse("at")? })
}
