//! The network config that one plugin gets on stdin (spec section 1 and "request configuration").
//! Refuses what is mistyped by key; ignores what it does not know. A plugin reads its own keys from `raw`.

mod attachments;
mod port_mapping;
mod runtime;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{AddResult, Attachment, Code, Dns, Error, Fields, NetworkName, SpecVersion, Verb};
pub use port_mapping::{PortMapping, Transport};
pub use runtime::{CniArgs, RuntimeConfig};

/// The config of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// The version that the answer must have.
    pub version: SpecVersion,
    /// The network's name.
    pub name: NetworkName,
    /// `type`: our own file name. Runtimes always send it; nothing depends on it.
    pub plugin_type: Option<String>,
    /// `dns`, when any of its fields is given: it then replaces all of what IPAM says (CONVENTIONS.md, S-178).
    pub dns: Option<Dns>,
    /// `ipMasq`: pods' traffic is to be masqueraded. podlan does not: `serve` refuses it for [`crate::Role::Main`].
    pub ip_masq: bool,
    /// `runtimeConfig`: what the runtime asks for this attachment; must be honoured or refused.
    pub runtime: RuntimeConfig,
    /// `args.cni`: wishes that may be ignored.
    pub args: CniArgs,
    /// The whole config as it was given, for keys of the plugin's own.
    pub raw: Map<String, Value>,
}

impl NetworkConfig {
    /// Reads a config: JSON (6), the name (7), the version and whether it has the verb (1), then the fields (6 or 7).
    ///
    /// DEL and GC need only the name, so other fields that are mistaken are absent for them: what an ADD has refused,
    /// or an older podlan accepted, can still be removed.
    pub fn parse(json: &[u8], verb: Verb) -> Result<Self, Error> {
        Self::from_object(decode(json)?, verb)
    }

    pub(crate) fn from_object(raw: Map<String, Value>, verb: Verb) -> Result<Self, Error> {
        let fields = Fields::new(&raw, "", Code::Decode);
        let name = NetworkName::parse(fields.string("name")?.unwrap_or_default())?;
        let version = version(&fields, verb)?;
        let care = if matches!(verb, Verb::Del | Verb::Gc) { Care::Lenient } else { Care::Strict };
        let plugin_type = care.judge(plugin_type(&fields))?;
        let dns = care.judge(fields.object("dns").and_then(Dns::from_config))?;
        let ip_masq = care.judge(fields.boolean("ipMasq"))?.unwrap_or_default();
        let runtime = care.judge(RuntimeConfig::of(&fields))?;
        care.judge(fields.object("prevResult").map(drop))?;
        care.judge(fields.object("ipam").map(drop))?;
        let args = CniArgs::of(&fields);
        Ok(Self { version, name, plugin_type, dns, ip_masq, runtime, args, raw })
    }

    /// The top level, for keys of the plugin's own.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.raw, "", Code::Decode)
    }

    /// `ipam`, as given. Its keys are the IPAM plugin's to read.
    pub fn ipam(&self) -> Option<Fields<'_>> {
        self.fields().object("ipam").ok().flatten()
    }

    /// `prevResult`: of the plugin before us on ADD, the whole chain's on CHECK and DEL. Read in the version it names
    /// itself, or else in the config's (S-113, S-154).
    ///
    /// Code 6 when it is no result of that version. DEL must not fail of it: `.ok().flatten()`.
    pub fn previous_result(&self) -> Result<Option<AddResult>, Error> {
        let Some(value) = self.fields().value("prevResult") else { return Ok(None) };
        let result = AddResult::from_value(value, self.version);
        result.map(Some).map_err(|error| Error { msg: format!("prevResult: {}", error.msg), ..error })
    }

    /// The attachments that GC must keep: the union of both keys that libcni sends. `null` is an empty list.
    ///
    /// Without either key code 7, with an entry that is none 6 or 7: nothing may be removed then.
    pub fn valid_attachments(&self) -> Result<BTreeSet<Attachment>, Error> {
        attachments::valid(&self.raw)
    }
}

/// Whether a mistake in a field fails the verb.
#[derive(Clone, Copy)]
enum Care {
    Strict,
    Lenient,
}

impl Care {
    fn judge<T: Default>(self, read: Result<T, Error>) -> Result<T, Error> {
        match self {
            Self::Strict => read,
            Self::Lenient => Ok(read.unwrap_or_default()),
        }
    }
}

/// The outermost object. `null` is an empty one, as it is for Go.
pub(crate) fn decode(json: &[u8]) -> Result<Map<String, Value>, Error> {
    let refuse = |why: String| Error::new(Code::Decode, format!("error unmarshall network config: {why}"));
    match serde_json::from_slice(json) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(refuse("must be an object".to_owned())),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// The version of a config when it is one of ours, whatever else is wrong: for the error object.
pub(crate) fn spoken_version(raw: &Map<String, Value>) -> Option<SpecVersion> {
    match Fields::new(raw, "", Code::Decode).string("cniVersion").ok()? {
        None | Some("") => Some(SpecVersion::UNNAMED),
        Some(text) => SpecVersion::parse(text),
    }
}

fn version(fields: &Fields<'_>, verb: Verb) -> Result<SpecVersion, Error> {
    let text = fields.string("cniVersion")?.filter(|text| !text.is_empty());
    let text = text.unwrap_or(SpecVersion::UNNAMED.as_str());
    let Some(version) = SpecVersion::parse(text) else { return Err(incompatible(text, verb)) };
    let since = verb.since();
    if version < since {
        return Err(Error::new(Code::IncompatibleVersion, format!("config version does not allow {verb}"))
            .with_details(format!("config version is \"{version}\", minimum is \"{since}\"")));
    }
    Ok(version)
}

fn incompatible(text: &str, verb: Verb) -> Error {
    // libcni compares versions for the verbs that not all of them have, and fails to read some of them (H-025).
    let numbers = text.split('.').count() <= 3 && text.split('.').all(|part| part.parse::<u32>().is_ok());
    if verb.since() > SpecVersion::UNNAMED && !numbers {
        return Error::new(Code::Decode, format!("cniVersion: {text:?} is no version"));
    }
    let supported: Vec<String> = SpecVersion::ALL.iter().map(|version| format!("\"{version}\"")).collect();
    Error::new(Code::IncompatibleVersion, "incompatible CNI versions")
        .with_details(format!("config is {text:?}, plugin supports [{}]", supported.join(" ")))
}

fn plugin_type(fields: &Fields<'_>) -> Result<Option<String>, Error> {
    let Some(text) = fields.string("type")? else { return Ok(None) };
    if text.contains(['/', '\\']) {
        return Err(fields.invalid("type", format!("must be a file name, not {text:?}")));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests;
