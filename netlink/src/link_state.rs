//! Whether a link passes packets. Asking is what makes it true: since Linux 6.8 the kernel does a link's overdue work (its
//! link watch: activate the transmit queue, set the operational state) before it answers `RTM_GETLINK`.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags};

use crate::link::{Selector, select};
use crate::request::Request;
use crate::socket::{Error, Socket};
use crate::wire::{KernelError, Message, u32_at};

/// Length of `struct ifinfomsg`, and where its flags are.
const IFINFOMSG: usize = 16;
const IFI_FLAGS: usize = 8;
const IFLA_OPERSTATE: u16 = 16;
/// `IF_OPER_UP` (RFC 2863).
const IF_OPER_UP: u8 = 6;

/// A link's administrative and operational state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Its other end is up (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Operationally up: packets pass.
    pub operational: bool,
}

/// What was answered to one datagram of a question for a link's state and changes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The state, or why there is none: `ENODEV` where the link is gone.
    pub state: Result<LinkState, KernelError>,
    /// The verdict on each change.
    pub verdicts: Vec<Result<(), KernelError>>,
}

impl LinkState {
    /// Asks for the state of a link, then for the changes, in one datagram.
    pub fn ask(socket: &mut Socket, index: u32, changes: impl IntoIterator<Item = Request>) -> Result<Answered, Error> {
        // Without the statistics, which are summed up over all processors.
        let skip = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
        let question = select(Selector::Index(index)).append_extra_attribute(skip).build();
        let mut requests = vec![Request::get(RouteNetlinkMessage::GetLink(question))];
        requests.extend(changes);
        let mut state = None;
        let mut verdicts = socket.request_reading(&mut requests, |message| state = Self::read(message))?;
        let asked = verdicts.remove(0);
        match (asked, state) {
            (Err(refused), _) => Ok(Answered { state: Err(refused), verdicts }),
            (Ok(()), Some(state)) => Ok(Answered { state: Ok(state), verdicts }),
            (Ok(()), None) => Err(Error::Unanswered { answered: 0, requests: 1 }),
        }
    }

    /// Reads a link message as bytes: no other attribute of it can make it unreadable.
    fn read(message: &Message<'_>) -> Option<Self> {
        let (fixed, attributes) = message.split(IFINFOMSG);
        let flags = LinkFlags::from_bits_retain(u32_at(fixed, IFI_FLAGS)?);
        let state = attributes.find(IFLA_OPERSTATE)?;
        Some(Self {
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            operational: state.first() == Some(&IF_OPER_UP),
        })
    }
}
