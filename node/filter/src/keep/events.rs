//! The kernel's nftables events, and which tables they say have changed.

use std::io;
use std::os::fd::AsFd;

use nftables::{Error, Nfnetlink};
use parts::Readiness;

use super::TABLE;

/// The event socket.
pub(super) struct Events {
    socket: Nfnetlink,
    readiness: Readiness,
}

/// What another program may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// Our tables.
    pub(super) ours: bool,
    /// The table of host ports, which the plugin changes for each pod that has some.
    pub(super) ports: bool,
    /// Any table: foreign rules may drop what pods send.
    pub(super) others: bool,
}

impl Events {
    pub(super) fn open() -> Result<Self, Error> {
        let socket = Nfnetlink::events()?;
        let readiness = Readiness::of(socket.as_fd()).map_err(Error::Open)?;
        Ok(Self { socket, readiness })
    }

    /// Waits until there is something to read; for ever without a socket.
    pub(super) async fn wait(events: Option<&Self>) -> io::Result<()> {
        match events {
            Some(events) => events.readiness.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Reads all events that wait; `port` is ours. Where the kernel dropped some, which our own change of a large set makes
    /// it do, everything has to be compared; that does not mean that another program changed anything.
    pub(super) fn read(&mut self, port: Option<u32>) -> Result<Changed, Error> {
        let mut changed = Changed::default();
        let lost = self.socket.read_events(|event| changed.take(event, port))?;
        Ok(if lost { Changed { ours: true, ports: true, others: true } } else { changed })
    }
}

impl Changed {
    fn take(&mut self, event: &nftables::Event<'_>, port: Option<u32>) {
        // The end of a transaction names no table.
        let Some(table) = event.table else { return };
        if table == hostport::NAME {
            self.ports |= Some(event.port) != port;
            return;
        }
        let is_ours = table.starts_with(TABLE);
        self.others |= !is_ours || Some(event.port) != port;
        self.ours |= is_ours && Some(event.port) != port;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_of_our_tables_by_another_has_them_compared() {
        const WE: u32 = 7;
        for (port, table, expected) in [
            (WE, Some("podlan"), (false, false, false)),
            (WE, Some("podlan-masquerade"), (false, false, false)),
            (9, Some("podlan-masquerade"), (true, false, true)),
            (WE, Some("podlan-hostport"), (false, false, false)),
            (9, Some("podlan-hostport"), (false, true, false)),
            (9, Some("filter"), (false, false, true)),
            // `--accept-forward` puts rules of ours into tables of others.
            (WE, Some("filter"), (false, false, true)),
            (9, None, (false, false, false)),
        ] {
            let mut changed = Changed::default();
            changed.take(&nftables::Event { port, table }, Some(WE));
            assert_eq!((changed.ours, changed.ports, changed.others), expected, "{port} {table:?}");
        }
    }
}
