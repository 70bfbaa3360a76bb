//! STATUS: whether an ADD would succeed now, as far as that is known (spec 1.1.0, section 2, "STATUS").

use cni::{Code, Error as CniError, Request};
use netlink::{Family, Procfs, Socket};

use crate::agent;
use crate::config::Config;
use crate::error::{Activity, Error};
use crate::host;
use crate::inputs;

/// Error 50 when no pod could be attached. Waits for no lock and changes nothing.
pub(crate) fn status(request: &Request) -> Result<(), CniError> {
    let Config { keys, addressing } = Config::whole(request)?;
    if let Some(agent) = &keys.agent {
        agent::require_ready(agent)?;
    }
    let mut host = Socket::open().map_err(|error| {
        CniError::new(Code::NotAvailable, "the kernel cannot be asked for links").with_details(error.to_string())
    })?;
    let Some(assignment) = addressing.status(&request.config.name, &mut host)? else { return Ok(()) };
    // The rest of what an ADD refuses a configuration for.
    inputs::pod_routes(&assignment)?;
    let has = |family: &Family| assignment.addresses.iter().any(|ip| family.holds(*ip));
    host::pod_mtu(&mut host, &keys, has(&Family::V6), Activity::Judge)?;
    let procfs = Procfs::of_machine();
    for family in Family::BOTH.into_iter().filter(has) {
        netlink::may_forward(&mut host, &procfs, family).map_err(Error::from).map_err(|error| {
            CniError::new(Code::NotAvailable, "the node cannot forward what pods send").with_details(error.to_string())
        })?;
    }
    Ok(())
}
