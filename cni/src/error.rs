//! The error object of the protocol and its codes, in one table.
//! Each crate maps its own errors to a [`Code`] in one exhaustive match.

use std::fmt;

use serde_json::{Map, Value};

use crate::{Fields, SpecVersion};

/// What went wrong, in the terms of the spec (codes up to 99, section "Error") and in podlan's own (from 100).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// 1: the config's version, or the verb in that version.
    IncompatibleVersion,
    /// 2: a field that is understood and cannot be honoured. The message holds its key and its value.
    UnsupportedField,
    /// 3: CHECK of an attachment that does not exist. The runtime reads it as "no DEL is needed": never in ADD.
    UnknownContainer,
    /// 4: a `CNI_*` variable is missing or unusable. The message names it.
    InvalidEnvironment,
    /// 5: reading stdin, or the lease store.
    Io,
    /// 6: not JSON, or a field of another JSON type.
    Decode,
    /// 7: the config says what cannot be.
    InvalidConfig,
    /// 11: passes by itself: a busy lock, an exhausted pool, a busy kernel.
    TryAgain,
    /// 50, STATUS only: ADD cannot be served.
    NotAvailable,
    /// 51, STATUS only: ADD cannot be served and pods that run may be cut off.
    LimitedConnectivity,
    /// 100: the container has an interface of that name.
    InterfaceExists,
    /// 101: a requested address cannot be had.
    AddressTaken,
    /// 102: the attachment exists already.
    DuplicateAttachment,
    /// 103: the lease store is damaged or of an unknown format.
    StoreDamaged,
    /// 104: the kernel refused.
    Kernel,
    /// 105: CHECK found something changed. The details list it.
    Drift,
    /// 106: another pod has the host port. The details name it.
    PortTaken,
    /// 999: a fault of the plugin itself.
    Internal,
    /// Another plugin's number, passed on as it is. Made by [`Code::from_number`].
    Other(u32),
}

/// All codes of our own, for [`Code::from_number`].
const OURS: [Code; 18] = [
    Code::IncompatibleVersion,
    Code::UnsupportedField,
    Code::UnknownContainer,
    Code::InvalidEnvironment,
    Code::Io,
    Code::Decode,
    Code::InvalidConfig,
    Code::TryAgain,
    Code::NotAvailable,
    Code::LimitedConnectivity,
    Code::InterfaceExists,
    Code::AddressTaken,
    Code::DuplicateAttachment,
    Code::StoreDamaged,
    Code::Kernel,
    Code::Drift,
    Code::PortTaken,
    Code::Internal,
];

impl Code {
    /// As it is printed.
    pub const fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decode => 6,
            Self::InvalidConfig => 7,
            Self::TryAgain => 11,
            Self::NotAvailable => 50,
            Self::LimitedConnectivity => 51,
            Self::InterfaceExists => 100,
            Self::AddressTaken => 101,
            Self::DuplicateAttachment => 102,
            Self::StoreDamaged => 103,
            Self::Kernel => 104,
            Self::Drift => 105,
            Self::PortTaken => 106,
            Self::Internal => 999,
            Self::Other(number) => number,
        }
    }

    /// The code with this number; of another plugin, only the numbers below 100 and 999 mean what they mean here.
    pub fn from_number(number: u32) -> Self {
        let shared = number < 100 || number == Self::Internal.number();
        OURS.into_iter().find(|code| shared && code.number() == number).unwrap_or(Self::Other(number))
    }
}

/// A failed verb, as it is reported to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Which kind.
    pub code: Code,
    /// One short sentence, lower case unless users know it otherwise.
    pub msg: String,
    /// The cause and what may help; may be empty. Runtimes print it behind the message.
    pub details: String,
}

impl Error {
    /// An error without details.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// The same error with these details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The error object, for stdout.
    pub fn to_json(&self, version: SpecVersion) -> String {
        let Self { code, msg, details } = self;
        let mut object = Map::new();
        object.insert("cniVersion".to_owned(), version.as_str().into());
        object.insert("code".to_owned(), code.number().into());
        object.insert("msg".to_owned(), msg.as_str().into());
        if !details.is_empty() {
            object.insert("details".to_owned(), details.as_str().into());
        }
        Value::Object(object).to_string()
    }

    /// Reads another plugin's error object. `None` when it is none: no object, or without a code and a message.
    pub fn from_value(value: &Value) -> Option<Self> {
        let fields = Fields::new(value.as_object()?, "", Code::Decode);
        let code = fields.unsigned("code").ok()??;
        let msg = fields.string("msg").ok()??;
        let details = fields.string("details").ok().flatten().unwrap_or_default();
        Some(Self::new(Code::from_number(code), msg).with_details(details))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.msg)?;
        if !self.details.is_empty() {
            write!(out, "; {}", self.details)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_the_spec_are_read_back_and_those_of_other_plugins_are_not_taken_for_ours() {
        for code in OURS {
            let read = Code::from_number(code.number());
            let foreign = (100..999).contains(&code.number());
            assert_eq!(read, if foreign { Code::Other(code.number()) } else { code });
            assert_eq!(read.number(), code.number());
        }
        assert_eq!(Code::from_number(8), Code::Other(8));
    }

    #[test]
    fn an_error_survives_the_wire() {
        let error = Error::new(Code::Io, "a \"quoted\"\nline").with_details("\u{0}\u{7f}\u{202e}");
        let value: Value = serde_json::from_str(&error.to_json(SpecVersion::V0_4_0)).unwrap();
        assert_eq!(value["cniVersion"], "0.4.0");
        assert_eq!(Error::from_value(&value), Some(error));
    }

    #[test]
    fn details_are_left_out_when_there_are_none() {
        let error = Error::new(Code::UnknownContainer, "gone");
        assert_eq!(error.to_json(SpecVersion::V1_1_0), r#"{"cniVersion":"1.1.0","code":3,"msg":"gone"}"#);
        assert_eq!(error.to_string(), "gone");
        assert_eq!(error.with_details("long ago").to_string(), "gone; long ago");
    }

    #[test]
    fn what_is_no_error_object_is_not_read_as_one() {
        for text in ["null", "[]", "{}", r#"{"code":1}"#, r#"{"msg":"x"}"#, r#"{"code":-1,"msg":"x"}"#] {
            assert_eq!(Error::from_value(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }
}
