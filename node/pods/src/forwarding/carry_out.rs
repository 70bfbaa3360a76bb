//! Switches forwarding on.

use netlink::{Family, KernelError, Link, Procfs, Socket, Sysctl, SysctlError};

use super::Change;

/// Why it could not be switched on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("{0}")]
    Sysctl(#[from] SysctlError),
    #[error("{0}")]
    Netlink(#[from] netlink::Error),
    #[error("switch IPv4 forwarding on for the link {link}: {source}")]
    Refused { link: u32, source: KernelError },
}

/// Carries the change out. A link that no longer exists needs none.
pub fn carry_out(socket: &mut Socket, procfs: &Procfs, change: &Change) -> Result<(), Error> {
    match change {
        Change::NodeV6 => Ok(Sysctl::forwarding(Family::V6).write(procfs, "1")?),
        Change::LinksV4(links) => by_link(socket, links),
        // The agent of a container has a read-only /proc/sys.
        Change::NodeV4(links) => Sysctl::forwarding(Family::V4)
            .write(procfs, "1")
            .or_else(|refused| by_link(socket, links).map_err(|_| refused.into())),
    }
}

fn by_link(socket: &mut Socket, links: &[u32]) -> Result<(), Error> {
    let mut requests: Vec<_> = links.iter().map(|link| Link::forward_v4(*link)).collect();
    let verdicts = socket.request(&mut requests)?;
    for (verdict, link) in verdicts.into_iter().zip(links) {
        match verdict {
            Err(source) if source.errno != nix::errno::Errno::ENODEV => {
                return Err(Error::Refused { link: *link, source });
            }
            _ => {}
        }
    }
    Ok(())
}
