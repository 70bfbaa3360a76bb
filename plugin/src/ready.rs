//! ADD returns when packets pass. The last step: the node's end of the link must be operationally up.
//!
//! Both ends are up by now, but the kernel activates the transmit queue of the end that came up first in its link watch, a
//! worker that waits for the lock of every other change of a link. `RTM_GETLINK` does that work first (Linux 6.8 and later);
//! where it does not, the worker is waited for.

use std::thread;
use std::time::{Duration, Instant};

use netlink::{LinkState, Socket};
use nix::errno::Errno;

use crate::apply::{apply, in_words};
use crate::error::Error;
use crate::plan::Operation;

/// How long the link watch may take: it waits its turn behind every link that the node is making.
const LONGEST: Duration = Duration::from_secs(10);

/// The pauses between two looks double from the first to the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(32)];

/// Makes sure that the link `name` passes packets, and adds the node's `neighbours` on it. A neighbour that is learned
/// before the link is operational may be lost when it becomes so: then they are added once more.
pub(crate) fn pass(host: &mut Socket, name: &str, device: u32, neighbours: &[Operation]) -> Result<(), Error> {
    let answered = LinkState::ask(host, device, neighbours.iter().map(Operation::request))?;
    let state = known(answered.state, name)?;
    if state.operational {
        let refused = neighbours.iter().zip(answered.verdicts).find_map(|(what, verdict)| Some((what, verdict.err()?)));
        return match refused {
            None => Ok(()),
            Some((what, source)) => Err(Error::Refused { operation: in_words(host, what), source }),
        };
    }
    wait(name, || known(LinkState::ask(host, device, [])?.state, name))?;
    apply(host, neighbours)
}

fn known(state: Result<LinkState, netlink::KernelError>, name: &str) -> Result<LinkState, Error> {
    state.map_err(|refused| match refused.errno {
        Errno::ENODEV => Error::LinkVanished { name: name.to_owned() },
        _ => netlink::Error::Link(refused).into(),
    })
}

/// Looks until the link is operational.
fn wait(name: &str, mut look: impl FnMut() -> Result<LinkState, Error>) -> Result<(), Error> {
    let until = Instant::now() + LONGEST;
    let [mut pause, longest] = PAUSES;
    loop {
        let state = look()?;
        if state.operational {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(Error::NotOperational { name: name.to_owned(), waited: LONGEST, why: why(state) });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}

/// What stands in the way.
fn why(state: LinkState) -> &'static str {
    match state {
        LinkState { up: false, .. } => "it was set down meanwhile",
        LinkState { carrier: false, .. } => "its end in the pod was set down meanwhile",
        _ => "the kernel has not activated it yet",
    }
}
