//! Changes of the world, as a sequence that depends on the seed alone. What a change is about is decided when it is made, by its
//! numbers: a sequence from which changes are taken away still makes sense.

use crate::random::mix;
use crate::world::{MS, S, Time};

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    AddNode,
    RemoveNode,
    DeleteObject,
    Rename,
    RenumberAddress,
    RenumberCidr,
    Replace,
    Restore,
    LoseCidr,
    LoseAddress,
    OddValue,
    DuplicateCidr,
    CoveringCidr,
    Touch,
    ApiDown,
    ApiUp,
    ApiEmpty,
    ApiPart,
    ApiRestore,
    ApiCompact,
    ApiLag,
    ApiPages,
    KillAgent,
    StartAgent,
    RestartAgent,
    Reboot,
    DeleteRoute,
    FlushRoutes,
    ForeignInPlace,
    ForeignBeside,
    RemoveForeign,
    LinkDown,
    LinkUp,
    Carrier,
    RemoveAddress,
    AddAddress,
    AddRule,
    RemoveRule,
    LoseEvents,
    ExtraLink,
    RemoveLink,
    Mtu,
    Loss,
    HealLoss,
    Clock,
    AddPod,
    RemovePod,
    SlowParts,
    FilterStuck,
    KernelFails,
    Release,
    Look,
    FileBad,
    FileGood,
    Rest,
}

/// Each kind with its name and its weight.
pub const KINDS: [(Kind, &str, u32); 55] = [
    (Kind::AddNode, "a node is added", 30),
    (Kind::RemoveNode, "a node is removed", 25),
    (Kind::DeleteObject, "a Node object is deleted, its machine lives on", 15),
    (Kind::Rename, "a node is renamed", 15),
    (Kind::RenumberAddress, "a node gets another address", 25),
    (Kind::RenumberCidr, "a node gets other pod CIDRs", 25),
    (Kind::Replace, "a machine is replaced under the same name", 20),
    (Kind::Restore, "a Node object is put right", 60),
    (Kind::LoseCidr, "a node loses its pod CIDRs in the list", 20),
    (Kind::LoseAddress, "a node loses its addresses in the list", 15),
    (Kind::OddValue, "a node gets a value that is not valid", 12),
    (Kind::DuplicateCidr, "a node claims another's pod CIDR", 15),
    (Kind::CoveringCidr, "a node claims a CIDR that covers others", 8),
    (Kind::Touch, "a heartbeat of a node", 80),
    (Kind::ApiDown, "the API server is gone", 8),
    (Kind::ApiUp, "the API server is back", 25),
    (Kind::ApiEmpty, "the API server lists no nodes", 6),
    (Kind::ApiPart, "the API server lists a part of the nodes", 6),
    (Kind::ApiRestore, "the API server comes up with an older store", 4),
    (Kind::ApiCompact, "old versions are compacted", 8),
    (Kind::ApiLag, "the API server answers with old lists", 10),
    (Kind::ApiPages, "the API server streams no lists", 4),
    (Kind::KillAgent, "an agent is killed", 25),
    (Kind::StartAgent, "an agent is started", 50),
    (Kind::RestartAgent, "an agent is killed and started", 30),
    (Kind::Reboot, "a machine reboots", 10),
    (Kind::DeleteRoute, "somebody deletes a route of podlan's", 50),
    (Kind::FlushRoutes, "somebody flushes podlan's routes", 10),
    (Kind::ForeignInPlace, "another program takes the place of a route", 20),
    (Kind::ForeignBeside, "another program adds a route", 30),
    (Kind::RemoveForeign, "another program removes its route", 50),
    (Kind::LinkDown, "an uplink goes down", 10),
    (Kind::LinkUp, "an uplink comes up", 40),
    (Kind::Carrier, "a cable is pulled or plugged in", 15),
    (Kind::RemoveAddress, "an uplink loses its addresses", 6),
    (Kind::AddAddress, "an uplink gets its addresses back", 30),
    (Kind::AddRule, "a policy rule is added", 10),
    (Kind::RemoveRule, "a policy rule is removed", 25),
    (Kind::LoseEvents, "the kernel drops events", 20),
    (Kind::ExtraLink, "a bridge appears", 12),
    (Kind::RemoveLink, "a bridge goes", 20),
    (Kind::Mtu, "the MTU of an uplink changes", 12),
    (Kind::Loss, "the fabric loses packets", 20),
    (Kind::HealLoss, "the fabric loses nothing any more", 20),
    (Kind::Clock, "a wall clock jumps", 15),
    (Kind::AddPod, "a pod is added", 220),
    (Kind::RemovePod, "a pod is removed", 150),
    (Kind::SlowParts, "a machine is slow", 12),
    (Kind::FilterStuck, "a packet filter does not answer", 12),
    (Kind::KernelFails, "a kernel cannot be asked", 15),
    (Kind::Release, "an operator releases what is held", 8),
    (Kind::Look, "an operator asks an agent to look again", 12),
    (Kind::FileBad, "the file of nodes is damaged", 5),
    (Kind::FileGood, "the file of nodes is whole again", 20),
    (Kind::Rest, "nothing changes for a while", 14),
];

/// A change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// Which place in the seed's sequence it has.
    pub index: u64,
    /// How long after the one before it is made.
    pub gap: Time,
    /// What is changed.
    pub kind: Kind,
    /// Whom and how it concerns.
    pub numbers: [u32; 3],
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, name, _)| name)
    }
}

/// The change at a place of a seed's sequence.
pub fn op(seed: u64, index: u64) -> Op {
    let mut random = fastrand::Rng::with_seed(mix(&[seed, index, 0x0b]));
    let all: u32 = KINDS.iter().map(|(.., weight)| weight).sum();
    let mut pick = random.u32(..all);
    let mut kind = Kind::Rest;
    for (of, _, weight) in KINDS {
        if pick < weight {
            kind = of;
            break;
        }
        pick -= weight;
    }
    let gap = match random.u32(..10) {
        0..3 => 0,
        3..7 => random.u64(..20 * MS),
        7..9 => random.u64(..300 * MS),
        _ => random.u64(..4 * S),
    };
    Op { index, gap, kind, numbers: [random.u32(..), random.u32(..), random.u32(..)] }
}
