//! Every setting of IPv4 and IPv6 that a network namespace has for its links, read from the kernel, and the values to
//! test: 0, 1, the greatest that the kernel accepts, and every value of an enumeration
//! (Documentation/networking/ip-sysctl.rst).

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use podlan_conformance::lab::{Error, Place};

const NET: &str = "/proc/sys/net";

/// The values of enumerations beside 0 and 1.
const ENUMERATIONS: [(&str, &[&str]); 15] = [
    ("accept_dad", &["2"]),
    ("accept_ra", &["2"]),
    ("accept_source_route", &["-1"]),
    ("accept_untracked_na", &["2"]),
    ("addr_gen_mode", &["2", "3"]),
    ("arp_accept", &["2"]),
    ("arp_announce", &["2"]),
    ("arp_ignore", &["2", "3", "8"]),
    ("force_igmp_version", &["2", "3"]),
    ("force_mld_version", &["2"]),
    ("keep_addr_on_down", &["-1"]),
    ("medium_id", &["-1"]),
    ("rp_filter", &["2"]),
    ("seg6_require_hmac", &["-1"]),
    ("use_tempaddr", &["-1", "2"]),
];

/// A setting that is no number.
const STABLE_SECRET: (&str, &str) = ("stable_secret", "fd00::1234");

/// Candidates for the greatest value, in descending order.
const GREAT: [&str; 14] =
    ["4294967295", "2147483647", "2000000000", "20000000", "65535", "255", "128", "64", "32", "16", "8", "4", "3", "2"];

/// The directory of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `conf/all` and `conf/default` of a network namespace.
    Conf,
    /// `neigh/LINK`. The kernel has one `neigh/default` for the machine, which each new link copies.
    Neigh,
}

/// One setting with one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    /// `ipv4` or `ipv6`.
    pub(crate) family: &'static str,
    pub(crate) name: String,
    pub(crate) value: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, family, name, value } = self;
        let which = if *kind == Kind::Conf { "conf.{all,default}" } else { "neigh" };
        write!(f, "net.{family}.{which}.{name}={value}")
    }
}

impl Case {
    fn path(&self, link: &str) -> PathBuf {
        let folder = if self.kind == Kind::Conf { "conf" } else { "neigh" };
        Path::new(NET).join(self.family).join(folder).join(link).join(&self.name)
    }

    /// Sets it for these links, or for `all` and `default`, of a place.
    pub(crate) fn set(&self, place: &Place, links: &[&str]) -> Result<(), Error> {
        let write = || links.iter().try_for_each(|link| fs::write(self.path(link), &self.value));
        place.enter(write)?.map_err(|source| Error::System { doing: format!("set {self} in {}", place.name()), source })
    }

    /// Whether the kernel accepts the value here, and shows it.
    fn is_taken(&self, links: &[&str]) -> bool {
        let takes = |link: &&str| {
            let path = self.path(link);
            fs::write(&path, &self.value).is_ok()
                && fs::read_to_string(&path)
                    .is_ok_and(|shown| self.name == STABLE_SECRET.0 || shown.trim() == self.value)
        };
        links.iter().all(takes)
    }
}

/// All settings that the kernel has in a place that is used for nothing else, with each value that it accepts there.
pub(crate) fn all(scratch: &Place) -> Result<Vec<Case>, Error> {
    scratch.enter(|| {
        let mut cases = Vec::new();
        for family in ["ipv4", "ipv6"] {
            for (kind, shown, links) in
                [(Kind::Conf, "conf/default", &["all", "default"][..]), (Kind::Neigh, "neigh/lo", &["lo"])]
            {
                for name in names(&Path::new(NET).join(family).join(shown))? {
                    let case = |value: &&str| Case { kind, family, name: name.clone(), value: (*value).to_owned() };
                    cases.extend(values(&name, |value| case(&value).is_taken(links)).iter().map(case));
                }
            }
        }
        Ok(cases)
    })?
}

fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let read = || -> std::io::Result<Vec<String>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let mut names = read().map_err(|source| Error::System { doing: format!("list {}", folder.display()), source })?;
    names.sort();
    Ok(names)
}

fn values(name: &str, is_taken: impl Fn(&'static str) -> bool) -> Vec<&'static str> {
    let more = ENUMERATIONS.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, values)| values);
    let greatest = GREAT.iter().copied().find(|value| is_taken(value));
    let small = ["0", "1"].into_iter().chain(more.iter().copied());
    let secret = (name == STABLE_SECRET.0).then_some(STABLE_SECRET.1);
    let mut values: Vec<&str> = small.chain(secret).filter(|value| is_taken(value)).collect();
    values.extend(greatest.filter(|value| !values.contains(value)));
    values
}
