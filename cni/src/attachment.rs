//! The names of the protocol: container id, ifname, network name, and what an attachment is.
//! Each is valid by construction. Nothing is shortened or repaired.

use std::fmt;

use crate::{Code, Error};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

name! {
    /// `CNI_CONTAINERID`: an ASCII letter or digit, then letters, digits, `_`, `.` and `-`. Of any length.
    ContainerId
}
name! {
    /// `CNI_IFNAME`: 1 to 15 bytes that the kernel takes literally as a link's name.
    Ifname
}
name! {
    /// `name` of the network config, spelled like a container id. Of any length.
    NetworkName
}

/// One interface of one container in a network: what ADD makes and DEL removes (spec section 2, "attachment").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attachment {
    /// Whose.
    pub container_id: ContainerId,
    /// Which of its interfaces.
    pub ifname: Ifname,
}

/// The longest name of a link, in bytes: `IFNAMSIZ` of linux/if.h without the closing zero.
const IFNAME_LIMIT: usize = 15;

impl ContainerId {
    /// Refuses other characters with code 4.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if is_plain(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(Code::InvalidEnvironment, "invalid characters in containerID").with_details(text))
    }
}

impl NetworkName {
    /// Refuses the empty name and other characters with code 7.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if is_plain(text) {
            return Ok(Self(text.to_owned()));
        }
        if text.is_empty() {
            return Err(Error::new(Code::InvalidConfig, "missing network name"));
        }
        Err(Error::new(Code::InvalidConfig, "invalid characters found in network name").with_details(text))
    }
}

impl Ifname {
    /// Refuses with code 4 what cannot be a link's name, and `%`, which the kernel takes for a template.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |msg: &str, details: String| Err(Error::new(Code::InvalidEnvironment, msg).with_details(details));
        let given = || format!("CNI_IFNAME is {text:?}");
        if text.is_empty() {
            return refuse("interface name is empty", given());
        }
        if text.len() > IFNAME_LIMIT {
            let details = format!("interface name should be less than {} characters", IFNAME_LIMIT + 1);
            return refuse("interface name is too long", details);
        }
        if text == "." || text == ".." {
            return refuse("interface name is . or ..", given());
        }
        if text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
            return refuse("interface name contains / or : or whitespace characters", given());
        }
        if text.contains(|c: char| c == '%' || c.is_control()) {
            return refuse("interface name contains % or control characters", given());
        }
        Ok(Self(text.to_owned()))
    }
}

/// libcni's `^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`
fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ifname(text: &str) -> Result<String, (u32, String)> {
        Ifname::parse(text).map(|name| name.to_string()).map_err(|error| (error.code.number(), error.msg))
    }

    #[test]
    fn a_container_id_is_plain() {
        // H-008, H-009, H-072, E-02
        for id in ["A0_.-z", "0", &"x".repeat(300)] {
            assert_eq!(ContainerId::parse(id).unwrap().as_str(), id);
        }
        for id in ["", "some-%%container-id", "../x", "-x", ".x", "_x", "a/b", "a b", " a", "a\n", "é", "a\0"] {
            let error = ContainerId::parse(id).unwrap_err();
            assert_eq!((error.code.number(), error.msg.as_str()), (4, "invalid characters in containerID"));
            assert_eq!(error.details, id);
        }
    }

    #[test]
    fn a_network_name_is_plain() {
        // H-018, H-019, S-004
        assert_eq!(NetworkName::parse("k8s-pod_network.1").unwrap().as_str(), "k8s-pod_network.1");
        for name in ["te%%st", "a/b", "..", "-a"] {
            let error = NetworkName::parse(name).unwrap_err();
            assert_eq!((error.code.number(), error.msg.as_str()), (7, "invalid characters found in network name"));
            assert_eq!(error.details, name);
        }
        assert_eq!(NetworkName::parse("").unwrap_err().msg, "missing network name");
    }

    #[test]
    fn an_ifname_has_at_most_fifteen_bytes() {
        // H-010, E-04
        assert_eq!(ifname("123456789012345").as_deref(), Ok("123456789012345"));
        assert_eq!(ifname("ééééééé1").as_deref(), Ok("ééééééé1"));
        for long in ["1234567890123456", "éééééééé"] {
            let error = Ifname::parse(long).unwrap_err();
            assert_eq!((error.code.number(), error.msg.as_str()), (4, "interface name is too long"));
            assert_eq!(error.details, "interface name should be less than 16 characters");
        }
    }

    #[test]
    fn an_ifname_is_no_path_and_has_no_white_space() {
        // H-011..H-015
        for dots in [".", ".."] {
            assert_eq!(ifname(dots), Err((4, "interface name is . or ..".to_owned())));
        }
        for name in ["test/test", "test:test", "test test", "test\ttest", "test\u{a0}test", "a\n"] {
            let text = "interface name contains / or : or whitespace characters";
            assert_eq!(ifname(name), Err((4, text.to_owned())));
        }
    }

    #[test]
    fn an_ifname_is_no_template_of_the_kernel() {
        // E-05
        for name in ["eth%d", "a\u{1}", "a\u{7f}", "a\0"] {
            assert_eq!(ifname(name), Err((4, "interface name contains % or control characters".to_owned())));
        }
        assert_eq!(ifname("a\"\\").as_deref(), Ok("a\"\\"));
    }
}
