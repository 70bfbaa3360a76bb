//! Ethernet addresses. Those that no interface can have are refused: groups, and all zeros.

use std::fmt;

/// An address of six octets (EUI-48). Prints as lower-case hex with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

/// The text is no Ethernet address that an interface can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMac(String);

impl MacAddress {
    /// Reads `02:00:00:00:00:01` or `02-00-00-00-00-01`. Groups and all zeros are refused, as the kernel does.
    pub fn parse(text: &str) -> Result<Self, InvalidMac> {
        let invalid = || InvalidMac(text.to_owned());
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(invalid)?;
            if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(invalid());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        let group = octets[0] & 1 == 1;
        if parts.next().is_some() || group || octets == [0; 6] {
            return Err(invalid());
        }
        Ok(Self(octets))
    }

    /// The octets, in the order of the wire.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl From<[u8; 6]> for MacAddress {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Display for InvalidMac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "invalid MAC address {:?}", self.0)
    }
}

impl std::error::Error for InvalidMac {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read_and_one_is_printed() {
        // S-129
        for text in ["02:00:5e:0A:ff:01", "02-00-5E-0a-FF-01"] {
            assert_eq!(MacAddress::parse(text).unwrap().to_string(), "02:00:5e:0a:ff:01");
        }
    }

    #[test]
    fn addresses_that_no_interface_can_have_are_refused() {
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:01",
            "2:0:0:0:0:1",
            "02:00:00:00:00:+1",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
            "02-00:00-00-00-01",
        ] {
            assert!(MacAddress::parse(text).is_err(), "{text}");
        }
    }
}
