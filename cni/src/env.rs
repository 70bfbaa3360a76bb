//! The environment of a call: the verb, and the variables it needs (spec section 2, "parameters").
//! An empty variable is missing. Variables that the verb does not use are not read.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use crate::{Args, Attachment, Code, ContainerId, Error, Ifname, SpecVersion};

/// What the runtime wants done (`CNI_COMMAND`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Make an attachment.
    Add,
    /// Remove one.
    Del,
    /// See whether one is as it was made.
    Check,
    /// Remove all but the attachments that are listed.
    Gc,
    /// Say whether ADD can be served.
    Status,
    /// List the versions that are spoken.
    Version,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 6] = [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version];

    /// As it is spelled in `CNI_COMMAND`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    /// The first version of a config that allows it.
    pub const fn since(self) -> SpecVersion {
        match self {
            Self::Add | Self::Del | Self::Version => SpecVersion::UNNAMED,
            Self::Check => SpecVersion::V0_4_0,
            Self::Gc | Self::Status => SpecVersion::V1_1_0,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What is called for, with all that the verb requires.
pub(crate) enum Call {
    /// No verb: a person has started the program.
    About,
    Version,
    Add(Attachment, PathBuf, Args),
    Del(Attachment, Option<PathBuf>, Args),
    Check(Attachment, PathBuf, Args),
    Gc,
    Status,
}

impl Call {
    /// Reads what the verb needs. All missing variables are named at once, before any is looked at.
    pub(crate) fn read(variables: &Variables) -> Result<Self, Error> {
        let Some(command) = variables.get("CNI_COMMAND") else { return Ok(Self::About) };
        let verb = Verb::ALL
            .into_iter()
            .find(|verb| command == verb.as_str())
            .ok_or_else(|| refuse(format!("unknown CNI_COMMAND: {}", command.to_string_lossy())))?;
        match verb {
            Verb::Version => Ok(Self::Version),
            Verb::Gc => Ok(Self::Gc),
            Verb::Status => Ok(Self::Status),
            Verb::Add | Verb::Check => {
                variables.require(&["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])?;
                let (attachment, netns) = (variables.attachment()?, variables.text("CNI_NETNS")?.into());
                let args = Args::parse(variables.text("CNI_ARGS")?)?;
                let call = if verb == Verb::Add { Self::Add } else { Self::Check };
                Ok(call(attachment, netns, args))
            }
            Verb::Del => {
                variables.require(&["CNI_CONTAINERID", "CNI_IFNAME"])?;
                let netns = Some(variables.text("CNI_NETNS")?).filter(|netns| !netns.is_empty());
                // DEL does not fail of what it can do without (S-055).
                let args = variables.text("CNI_ARGS").and_then(Args::parse).unwrap_or_default();
                Ok(Self::Del(variables.attachment()?, netns.map(PathBuf::from), args))
            }
        }
    }
}

/// The whole environment, as it is passed on to delegates.
pub(crate) struct Variables(pub(crate) Vec<(OsString, OsString)>);

impl Variables {
    /// The value, unless it is empty.
    fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// The value as text, empty when missing.
    fn text(&self, name: &str) -> Result<&str, Error> {
        let value = self.get(name).unwrap_or_default();
        let refuse = || refuse(format!("{name} is not UTF-8")).with_details(value.to_string_lossy());
        value.to_str().ok_or_else(refuse)
    }

    /// `CNI_PATH`. Missing, it is empty: only delegates need it.
    pub(crate) fn path(&self) -> Result<Vec<PathBuf>, Error> {
        let text = self.text("CNI_PATH")?;
        Ok(text.split(':').filter(|directory| !directory.is_empty()).map(PathBuf::from).collect())
    }

    fn require(&self, names: &[&str]) -> Result<(), Error> {
        let missing: Vec<&str> = names.iter().copied().filter(|name| self.get(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(refuse(format!("required env variables [{}] missing", missing.join(","))))
    }

    fn attachment(&self) -> Result<Attachment, Error> {
        Ok(Attachment {
            container_id: ContainerId::parse(self.text("CNI_CONTAINERID")?)?,
            ifname: Ifname::parse(self.text("CNI_IFNAME")?)?,
        })
    }
}

fn refuse(msg: String) -> Error {
    Error::new(Code::InvalidEnvironment, msg)
}
