//! A resolv.conf read into DNS settings (H-085, resolv.conf(5)).

use std::io::Read;
use std::path::Path;

use cni::{Code, Dns, Error};

use crate::regular;

/// A longer one is not read to its end.
const CAP: u64 = 64 * 1024;

/// Read the file; one that cannot be read is code 5.
pub(super) fn read(path: &Path) -> Result<Dns, Error> {
    let mut bytes = Vec::new();
    let read = regular::open(path).and_then(|file| file.take(CAP).read_to_end(&mut bytes));
    read.map_err(|error| Error::new(Code::Io, format!("resolvConf {}: {error}", path.display())))?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// The last `domain` counts; everything else adds up.
fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(key) = words.next() else { continue };
        let mut words = words.map(str::to_owned);
        match key {
            "nameserver" => dns.nameservers.extend(words.next()),
            "domain" => dns.domain = words.next().or(dns.domain),
            "search" => dns.search.extend(words),
            "options" => dns.options.extend(words),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_any_resolv_conf_is_read() {
        fuzz::run("resolv-conf", |bytes| {
            let dns = parse(&String::from_utf8_lossy(bytes));
            let words = dns.nameservers.iter().chain(&dns.search).chain(&dns.options).chain(&dns.domain);
            assert!(words.map(String::len).sum::<usize>() <= 3 * bytes.len(), "no word is read twice");
        });
    }

    /// H-085.
    #[test]
    fn everything_adds_up_but_the_domain() {
        let text = "# old\n; older\nnameserver 192.0.2.1\nnameserver 2001:db8::53\ndomain a.example\ndomain example.com\n\
                    search x.example y.example\nsearch z.example\noptions ndots:5\noptions edns0\nsortlist 1.2.3.4\n";
        let dns = parse(text);
        assert_eq!(dns.nameservers, ["192.0.2.1", "2001:db8::53"]);
        assert_eq!(dns.domain.as_deref(), Some("example.com"));
        assert_eq!(dns.search, ["x.example", "y.example", "z.example"]);
        assert_eq!(dns.options, ["ndots:5", "edns0"]);
    }
}
