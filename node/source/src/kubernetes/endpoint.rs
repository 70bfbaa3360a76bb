//! Where the API server listens, told apart from the credentials for it. A cluster without kube-proxy has no address of
//! the Service `kubernetes` before its pod network runs: its agents connect to the API server itself, or to a load balancer.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// An API server's `https` address: a host name or an IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

impl Endpoint {
    pub(super) fn url(&self) -> Uri {
        self.0.clone()
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads `HOST:PORT` or `https://HOST[:PORT]`; the port of `https` is 443.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is not an API server's address, such as 192.0.2.1:6443: {why}");
        let named = match text.split_once("://") {
            Some(("https", named)) => named.strip_suffix('/').unwrap_or(named),
            Some(_) => return Err(wrong("the agent sends its token by https only")),
            None if !has_port(text) => return Err(wrong("it has no port")),
            None => text,
        };
        if named.contains(['/', '?', '#', '@']) {
            return Err(wrong("it has more than a host and a port"));
        }
        let port = if has_port(named) { "" } else { ":443" };
        let uri: Uri = format!("https://{named}{port}/").parse().map_err(|error| wrong(&format!("{error}")))?;
        match (uri.host(), uri.port_u16()) {
            (None | Some(""), _) => Err(wrong("it has no host")),
            (Some(_), None | Some(0)) => Err(wrong("its port is not a number from 1 to 65535")),
            (Some(_), Some(_)) => Ok(Self(uri)),
        }
    }
}

/// Whether a colon comes after the host, which may be an IPv6 address in brackets.
fn has_port(named: &str) -> bool {
    named.rsplit_once(']').map_or(named, |(_, after)| after).contains(':')
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.authority().map_or("", |authority| authority.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_is_read_and_anything_else_is_refused_by_name() {
        for (text, read) in [
            ("192.0.2.1:6443", "192.0.2.1:6443"),
            ("[2001:db8::1]:6443", "[2001:db8::1]:6443"),
            ("podlan-control-plane:6443", "podlan-control-plane:6443"),
            ("localhost:7445", "localhost:7445"),
            ("https://api.example.org", "api.example.org:443"),
            ("https://[2001:db8::1]/", "[2001:db8::1]:443"),
            ("https://192.0.2.1:6443/", "192.0.2.1:6443"),
        ] {
            assert_eq!(text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()), Ok(read.to_owned()), "{text}");
        }
        for (text, why) in [
            ("", "no port"),
            ("192.0.2.1", "no port"),
            ("[2001:db8::1]", "no port"),
            ("2001:db8::1", "not an API server's address"),
            ("http://192.0.2.1:6443", "https only"),
            (":6443", "not an API server's address"),
            ("192.0.2.1:0", "port"),
            ("192.0.2.1:65536", "not an API server's address"),
            ("192.0.2.1:https", "not an API server's address"),
            ("https://192.0.2.1:6443/api", "more than"),
            ("user@192.0.2.1:6443", "more than"),
        ] {
            match text.parse::<Endpoint>() {
                Ok(endpoint) => panic!("{text} was read as {endpoint}"),
                Err(error) => assert!(error.contains(text) && error.contains(why), "{text}: {error}"),
            }
        }
    }
}
