//! The `ipam` section of a network config, as host-local's users know it, read into valid values.
//! The keys, their defaults and the texts of refusals.
//!
//! | key | default | meaning |
//! |---|---|---|
//! | `ranges` | | list of range sets; a pod gets one address of each set |
//! | `subnet`, `rangeStart`, `rangeEnd`, `gateway` | | one more set, before `ranges` |
//! | `routes` | | list of `{dst, gw, mtu, advmss, priority, table, scope}`, passed on |
//! | `resolvConf` | | file whose DNS settings are passed on |
//! | `dataDir` | `/run/podlan` | absolute directory of lock and store |
//! | `cooldown` | `120` | seconds that a released address rests while there are others |
//! | `require` | `"both"` | `"both"`: an address of every set or none; `"prefer"`: of every set that has one |
//! | `lockTimeout` | `10` | seconds to wait for the lock |

mod ranges;
mod resolv;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::{Code, Dns, Error, Fields, Request, Route, SpecVersion};

use crate::operation::{Require, Want};
use crate::place::{DEFAULT_DATA_DIR, DEFAULT_LOCK_TIMEOUT, Place};
use crate::range::RangeSet;

/// Default of `ipam.cooldown`.
pub const DEFAULT_COOLDOWN: Duration = Duration::from_secs(120);

/// All that ADD and STATUS need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the leases are.
    pub place: Place,
    /// What is asked for.
    pub want: Want,
    /// Routes to pass on.
    pub routes: Vec<Route>,
    /// DNS settings to pass on, from `resolvConf`.
    pub dns: Dns,
}

impl Settings {
    /// Read and check the whole section (codes 6 and 7; 101 for requested addresses that no range holds;
    /// 5 when `resolvConf` cannot be read).
    pub fn from_request(request: &Request) -> Result<Self, Error> {
        let ipam = request.config.ipam();
        let ipam = ipam.ok_or_else(|| Error::new(Code::InvalidConfig, "IPAM config missing 'ipam' key"))?;
        let place = place(request, Some(&ipam))?;
        let sets = ranges::sets(&ipam, request.config.runtime.ip_ranges.as_deref())?;
        one_of_a_family(&sets, request.config.version)?;
        let cooldown = seconds(&ipam, "cooldown", DEFAULT_COOLDOWN)?;
        let require = match ipam.string("require")? {
            None | Some("" | "both") => Require::Both,
            Some("prefer") => Require::Prefer,
            Some(other) => {
                return Err(ipam.invalid("require", format!("must be \"both\" or \"prefer\", not {other:?}")));
            }
        };
        let want = Want::new(&sets, request.requested_ips(), cooldown, require)?;
        let routes = ipam.objects("routes")?.unwrap_or_default();
        let routes = routes.iter().map(Route::from_fields).collect::<Result<_, _>>()?;
        let dns = match ipam.string("resolvConf")? {
            None | Some("") => Dns::default(),
            Some(path) => resolv::read(Path::new(path))?,
        };
        Ok(Self { place, want, routes, dns })
    }
}

impl Place {
    /// Where the leases of a request's network are. All that DEL, CHECK and GC need: bad ranges do not matter (E-54).
    pub fn from_request(request: &Request) -> Result<Self, Error> {
        place(request, request.config.ipam().as_ref())
    }
}

fn place(request: &Request, ipam: Option<&Fields<'_>>) -> Result<Place, Error> {
    let network = request.config.name.clone();
    let Some(ipam) = ipam else { return Ok(Place::new(DEFAULT_DATA_DIR, network)) };
    let data_dir = ipam.string("dataDir")?.filter(|path| !path.is_empty()).unwrap_or(DEFAULT_DATA_DIR);
    if !data_dir.starts_with('/') {
        return Err(ipam.invalid("dataDir", format!("must be an absolute path, not {data_dir:?}")));
    }
    let lock_timeout = seconds(ipam, "lockTimeout", DEFAULT_LOCK_TIMEOUT)?;
    Ok(Place { lock_timeout, ..Place::new(PathBuf::from(data_dir), network) })
}

fn seconds(fields: &Fields<'_>, key: &str, default: Duration) -> Result<Duration, Error> {
    Ok(fields.unsigned(key)?.map_or(default, |seconds| Duration::from_secs(seconds.into())))
}

/// Results before 0.3.0 have room for one address of each family (H-048, H-075).
fn one_of_a_family(sets: &[RangeSet], version: SpecVersion) -> Result<(), Error> {
    let v4 = sets.iter().filter(|set| set.is_ipv4()).count();
    if version < SpecVersion::V0_3_0 && (v4 > 1 || sets.len() - v4 > 1) {
        let text = format!("CNI version {version} does not support more than 1 address per family");
        return Err(Error::new(Code::InvalidConfig, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
