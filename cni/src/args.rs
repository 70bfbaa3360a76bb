//! `CNI_ARGS`: `KEY=value` pairs between semicolons (spec section 2, CONVENTIONS.md "CNI_ARGS").
//! Malformed pairs are refused, and unknown keys unless `IgnoreUnknown` is set.

use std::fmt;
use std::net::IpAddr;

use crate::{Code, Error, MacAddress, parse_address};

/// What `CNI_ARGS` asks for. The default is what an empty variable says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// `IP`: addresses to be given, in order. Ignored where the config asks for some (see `Request::requested_ips`).
    pub ips: Vec<IpAddr>,
    /// `MAC`: the address of the pod's end.
    pub mac: Option<MacAddress>,
    /// `K8S_POD_*`: the pod, where Kubernetes asks.
    pub pod: Option<Pod>,
}

/// A pod, as Kubernetes names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `K8S_POD_NAMESPACE`
    pub namespace: String,
    /// `K8S_POD_NAME`
    pub name: String,
    /// `K8S_POD_UID`, which older runtimes do not send.
    pub uid: Option<String>,
}

/// `namespace/name`.
impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Args {
    /// Reads the variable. Of a key that occurs twice the last one counts; an empty value is absent.
    ///
    /// Errors have code 4 and name the variable.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut read = Read::default();
        let text = text.strip_suffix(';').unwrap_or(text);
        if !text.is_empty() {
            text.split(';').try_for_each(|pair| read.pair(pair))?;
        }
        let Read { args, unknown, ignore_unknown, namespace, name, uid } = read;
        if !unknown.is_empty() && !ignore_unknown {
            let unknown: Vec<String> = unknown.iter().map(|pair| format!("{pair:?}")).collect();
            return Err(refuse(format!("unknown args [{}]", unknown.join(" "))));
        }
        let pod = match (namespace, name) {
            (Some(namespace), Some(name)) => Some(Pod { namespace, name, uid }),
            _ => None,
        };
        Ok(Self { pod, ..args })
    }
}

#[derive(Default)]
struct Read<'a> {
    args: Args,
    unknown: Vec<&'a str>,
    ignore_unknown: bool,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

impl<'a> Read<'a> {
    fn pair(&mut self, pair: &'a str) -> Result<(), Error> {
        let (key, value) = pair
            .split_once('=')
            .filter(|(_, value)| !value.contains('='))
            .ok_or_else(|| refuse(format!("invalid pair {pair:?}")))?;
        let text = Some(value).filter(|value| !value.is_empty()).map(str::to_owned);
        match key {
            "IgnoreUnknown" => self.ignore_unknown = truth(value)?,
            "IP" => self.args.ips = addresses(value)?,
            "MAC" => {
                let mac = text.map(|text| MacAddress::parse(&text)).transpose();
                self.args.mac = mac.map_err(|error| refuse(error.to_string()))?;
            }
            "K8S_POD_NAMESPACE" => self.namespace = text,
            "K8S_POD_NAME" => self.name = text,
            "K8S_POD_UID" => self.uid = text,
            // The container id again; and what only an IPAM plugin below us reads.
            "K8S_POD_INFRA_CONTAINER_ID" | "GATEWAY" => {}
            _ => self.unknown.push(pair),
        }
        Ok(())
    }
}

/// One address or, as the static plugin takes them, several between commas.
fn addresses(value: &str) -> Result<Vec<IpAddr>, Error> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let read = |text: &str| parse_address(text).ok_or_else(|| refuse(format!("invalid IP address {text}")));
    value.split(',').map(read).collect()
}

fn truth(value: &str) -> Result<bool, Error> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(refuse(format!("IgnoreUnknown must be true or false, not {value:?}"))),
    }
}

fn refuse(why: String) -> Error {
    Error::new(Code::InvalidEnvironment, format!("CNI_ARGS: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = Args::parse(text).unwrap_err();
        assert_eq!(error.code, Code::InvalidEnvironment);
        error.msg
    }

    #[test]
    fn a_pod_is_read_in_any_order() {
        // S-192, C-1
        let pod = Pod { namespace: "kube-system".to_owned(), name: "dns-1".to_owned(), uid: Some("u-1".to_owned()) };
        for text in [
            "K8S_POD_UID=u-1;IgnoreUnknown=1;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns-1;K8S_POD_INFRA_CONTAINER_ID=c1",
            "IgnoreUnknown=1;IgnoreUnknown=1;K8S_POD_NAME=old;K8S_POD_NAME=dns-1;K8S_POD_NAMESPACE=kube-system;K8S_POD_UID=u-1;",
        ] {
            assert_eq!(Args::parse(text).unwrap(), Args { pod: Some(pod.clone()), ..Args::default() });
        }
        assert_eq!(Args::parse("K8S_POD_NAME=alone").unwrap().pod, None);
    }

    #[test]
    fn unknown_keys_are_refused_unless_they_are_to_be_ignored() {
        // S-190, H-083
        assert_eq!(refused("FOO=BAR"), r#"CNI_ARGS: unknown args ["FOO=BAR"]"#);
        assert_eq!(refused("A=1;IP=10.0.0.1;B=2;IgnoreUnknown=0"), r#"CNI_ARGS: unknown args ["A=1" "B=2"]"#);
        for truth in ["1", "true", "TRUE", "True"] {
            assert_eq!(Args::parse(&format!("FOO=BAR;IgnoreUnknown={truth}")), Ok(Args::default()));
        }
        assert!(refused("IgnoreUnknown=yes").contains("IgnoreUnknown"));
    }

    #[test]
    fn a_segment_is_one_pair() {
        // S-191, H-083
        assert_eq!(refused("FOO"), r#"CNI_ARGS: invalid pair "FOO""#);
        assert_eq!(refused("IP=10.0.0.1;;MAC="), r#"CNI_ARGS: invalid pair """#);
        assert_eq!(refused("A=B=C;IgnoreUnknown=1"), r#"CNI_ARGS: invalid pair "A=B=C""#);
        for empty in ["", ";", "IP=;MAC=", "IP=10.0.0.1;IP="] {
            assert_eq!(Args::parse(empty), Ok(Args::default()), "{empty}");
        }
    }

    #[test]
    fn addresses_are_read_or_refused() {
        // S-189, H-078, H-083, H-051
        let args = Args::parse("IP=10.1.2.11/24,fd00::5;MAC=02:00:00:00:00:0A").unwrap();
        assert_eq!(args.ips, ["10.1.2.11", "fd00::5"].map(|text| text.parse::<IpAddr>().unwrap()));
        assert_eq!(args.mac.unwrap().to_string(), "02:00:00:00:00:0a");
        assert_eq!(refused("IP=xyz"), "CNI_ARGS: invalid IP address xyz");
        assert_eq!(refused("IP=xyz;IgnoreUnknown=1"), "CNI_ARGS: invalid IP address xyz");
        assert_eq!(refused("MAC=zz"), "CNI_ARGS: invalid MAC address \"zz\"");
    }
}
