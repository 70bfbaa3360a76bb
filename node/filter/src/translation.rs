//! Finds rules that give a packet that this node forwards another source address: podlan's masquerade, or rules of
//! other programs. Changes nothing.

use nftables::{Error, Nfnetlink, base_chains};

use super::forward::{Fate, Packet, Walk};

/// `NF_INET_POST_ROUTING`.
const POST_ROUTING: u32 = 4;

/// A chain that translates the first packet of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Such as `ip nat POSTROUTING`: family, table, chain.
    pub chain: String,
    /// False where a rule that podlan cannot interpret decides.
    pub certain: bool,
}

/// Queries the kernel's rules for what happens to the packet's source address.
pub fn look(socket: &mut Nfnetlink, packet: &Packet) -> Result<Vec<Translation>, Error> {
    let mut found = Vec::new();
    for chain in base_chains(socket, POST_ROUTING)? {
        let Some(judgement) = Walk::of(&chain).judge(socket, packet)? else { continue };
        let certain = judgement.fate == Fate::Translated && judgement.certain;
        if certain || !judgement.certain {
            let name = format!("{} {} {}", chain.family.name(), chain.table, chain.name);
            found.push(Translation { chain: name, certain });
        }
    }
    Ok(found)
}
