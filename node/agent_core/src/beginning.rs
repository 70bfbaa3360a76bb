//! Until the first whole list of nodes, completed by what the previous agent knew of the nodes: nothing is decided on less.

use super::event::{Event, PreviousList};
use super::known::Known;
use super::{Action, Now, source_report};
use nodes::Snapshot;
use routes::Key;

/// What the operator's commands are answered.
const NO_LIST: &str = "nothing to do: no whole list of nodes has come yet";

pub(super) enum Beginning {
    /// The source has reported no list.
    NoList,
    /// A list, which waits for `Event::PreviousList`.
    Listed(Snapshot),
}

impl Beginning {
    /// Takes an event in; returns the list from which routes are decided, once there is one.
    pub(super) fn on(
        &mut self,
        known: &mut Known,
        event: Event,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Option<Snapshot> {
        match event {
            Event::Report(Ok(snapshot)) => {
                source_report::succeeded(&mut known.published.state.source, &snapshot, now, actions);
                if let Self::NoList = self {
                    actions.push(Action::ReadPreviousList(snapshot.taken));
                }
                *self = Self::Listed(snapshot);
            }
            Event::Report(Err(error)) => {
                source_report::failed(&mut known.published.state.source, &error, actions);
            }
            Event::PreviousList(previous) => {
                if let Self::Listed(mut first) = std::mem::replace(self, Self::NoList) {
                    complete(&mut first, previous);
                    return Some(first);
                }
            }
            Event::Order(_) => actions.push(Action::Answer(NO_LIST)),
            Event::Parts(reports) => {
                reports.into_iter().for_each(|report| known.parts.take(report));
                return None;
            }
            Event::PartTroubles(troubles) => known.parts.troubles = troubles,
            // The first turn looks at everything that these events change.
            Event::KernelEvents(received) => {
                if !known.kernel.take_events_trouble(received.trouble) {
                    return None;
                }
            }
            Event::Time => drop(known.take_heartbeat(now)),
            Event::Turned(_) | Event::Mtu(_) | Event::Sources(_) => return None,
        }
        known.publish_beginning(now, actions);
        None
    }
}

/// A node keeps what the previous agent had of it and the list lacks now, where the kernel still holds a route to one of its
/// CIDRs.
fn complete(first: &mut Snapshot, previous: Option<PreviousList>) {
    let Some(PreviousList { mut list, held }) = previous else { return };
    list.nodes.retain(|node| {
        let is_held = |key: Key| held.contains_key(&key);
        node.malformed.is_empty()
            && node.pod_cidrs.iter().any(|cidr| is_held(Key::peer(*cidr)) || is_held(Key::own(*cidr)))
    });
    first.keep_last_good(&list);
}
