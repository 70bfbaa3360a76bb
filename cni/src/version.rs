//! The versions of the CNI spec, and what each of them has. Only exact names are accepted: "1.1" is not one.

use std::fmt;

/// A version of the CNI spec that podlan speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecVersion {
    /// 0.1.0
    V0_1_0,
    /// 0.2.0: the VERSION verb and `args`.
    V0_2_0,
    /// 0.3.0: interfaces, several addresses, chaining.
    V0_3_0,
    /// 0.3.1: as 0.3.0.
    V0_3_1,
    /// 0.4.0: the CHECK verb, and prevResult on DEL.
    V0_4_0,
    /// 1.0.0: addresses no longer name their family.
    V1_0_0,
    /// 1.1.0: the GC and STATUS verbs, attributes of interfaces and routes.
    V1_1_0,
}

impl SpecVersion {
    /// All versions, oldest first.
    pub const ALL: [Self; 7] =
        [Self::V0_1_0, Self::V0_2_0, Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// The newest version.
    pub const NEWEST: Self = Self::V1_1_0;

    /// The version of a config that names none, as libcni has it.
    pub const UNNAMED: Self = Self::V0_1_0;

    /// As it is spelled in `cniVersion`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version with exactly this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Results list interfaces, any number of addresses, and routes apart from addresses; plugins may be chained.
    pub fn has_interfaces(self) -> bool {
        self >= Self::V0_3_0
    }

    /// Each address of a result names its family, as `"version": "4"`.
    pub fn has_address_family(self) -> bool {
        self.has_interfaces() && self < Self::V1_0_0
    }

    /// The CHECK verb.
    pub fn has_check(self) -> bool {
        self >= Self::V0_4_0
    }

    /// The verbs GC and STATUS.
    pub fn has_gc_and_status(self) -> bool {
        self >= Self::V1_1_0
    }

    /// Interfaces of a result carry mtu, socket path and PCI id; routes carry mtu, advmss, priority, table and scope.
    pub fn has_attributes(self) -> bool {
        self >= Self::V1_1_0
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_found_by_its_name_and_they_ascend() {
        for version in SpecVersion::ALL {
            assert_eq!(SpecVersion::parse(version.as_str()), Some(version));
        }
        assert!(SpecVersion::ALL.is_sorted());
        assert_eq!(SpecVersion::ALL.last(), Some(&SpecVersion::NEWEST));
    }

    #[test]
    fn only_exact_names_are_versions() {
        // S-043
        for text in ["", "1", "1.1", "1.1.0-dev", " 1.1.0", "1.1.0 ", "01.1.0", "v1.1.0", "0.3.2", "1.2.0"] {
            assert_eq!(SpecVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_version_has_follows_the_spec() {
        // S-150..S-152, S-157
        let table = SpecVersion::ALL.map(|version| {
            [version.has_interfaces(), version.has_address_family(), version.has_check(), version.has_gc_and_status()]
                .map(u8::from)
        });
        assert_eq!(
            table,
            [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 1, 1]]
        );
    }
}
