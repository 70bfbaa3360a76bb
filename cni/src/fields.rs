//! Typed reading of JSON objects: `null` is absent, the exact key wins over one of other case (Go's decoders, and with
//! them runtimes, ignore case), and each mistake names the key. Nothing is guessed: "1500" and 1500.0 are not numbers.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::{Map, Value};

use crate::{Code, Error, parse_network};

/// An object, where it stands, and the code of mistakes in it. All getters: absent or `null` is `Ok(None)`.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
    code: Code,
}

impl<'a> Fields<'a> {
    /// The fields of `object`. `path` is where it stands, empty for the outermost (`"ipam"`, `"ipam.ranges[0]"`);
    /// `code` is given to fields of another JSON type: [`Code::Decode`] or [`Code::InvalidConfig`].
    pub fn new(object: &'a Map<String, Value>, path: impl Into<String>, code: Code) -> Self {
        Self { object, path: path.into(), code }
    }

    /// The value, whatever it is.
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        let found = self
            .object
            .get(key)
            .or_else(|| self.object.iter().find(|(other, _)| other.eq_ignore_ascii_case(key)).map(|(_, value)| value));
        found.filter(|value| !value.is_null())
    }

    /// A string, perhaps empty.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.get(key, "a string", Value::as_str)
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, Error> {
        self.get(key, "true or false", Value::as_bool)
    }

    /// A whole number from 0 to 4294967295.
    pub fn unsigned(&self, key: &str) -> Result<Option<u32>, Error> {
        self.get(key, "a whole number from 0 to 4294967295", |value| value.as_u64()?.try_into().ok())
    }

    /// A list.
    pub fn list(&self, key: &str) -> Result<Option<&'a [Value]>, Error> {
        self.get(key, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    /// A list of strings.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<String>>, Error> {
        let read = |value: &'a Value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        self.get(key, "a list of strings", read)
    }

    /// An object.
    pub fn object(&self, key: &str) -> Result<Option<Fields<'a>>, Error> {
        let object = self.get(key, "an object", Value::as_object)?;
        Ok(object.map(|object| Self::new(object, self.path_of(key), self.code)))
    }

    /// A list of objects.
    pub fn objects(&self, key: &str) -> Result<Option<Vec<Fields<'a>>>, Error> {
        let Some(list) = self.list(key)? else { return Ok(None) };
        let path = self.path_of(key);
        let read = |(index, value): (usize, &'a Value)| {
            let path = format!("{path}[{index}]");
            let object = value.as_object().ok_or_else(|| self.mistake(&path, "an object", value))?;
            Ok(Self::new(object, path, self.code))
        };
        list.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// An address. One that is empty is absent; one that does not parse is code 7.
    pub fn address(&self, key: &str) -> Result<Option<IpAddr>, Error> {
        self.parsed(key, "IP address", |text| text.parse::<IpAddr>().ok().map(|address| address.to_canonical()))
    }

    /// An address with its prefix length; host bits are kept. One that is empty is absent; one that does not parse is
    /// code 7.
    pub fn network(&self, key: &str) -> Result<Option<IpNetwork>, Error> {
        self.parsed(key, "CIDR address", parse_network)
    }

    /// What `parse` makes of a string that is not empty. Where it makes nothing, code 7: `invalid {what} {text}`.
    pub fn parsed<T>(&self, key: &str, what: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(text) = self.string(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        match parse(text) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(self.invalid(key, format!("invalid {what} {text}"))),
        }
    }

    /// A field of the right JSON type that says what cannot be: code 7, with its place in front.
    pub fn invalid(&self, key: &str, why: impl AsRef<str>) -> Error {
        Error::new(Code::InvalidConfig, format!("{}: {}", self.path_of(key), why.as_ref()))
    }

    /// A field that must be there.
    pub fn missing(&self, key: &str) -> Error {
        self.invalid(key, "missing")
    }

    /// Where a field stands: `ipam.ranges[0].subnet`.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn get<T>(&self, key: &str, wanted: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.mistake(&self.path_of(key), wanted, value)),
        }
    }

    fn mistake(&self, path: &str, wanted: &str, value: &Value) -> Error {
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(_) => "a string".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        Error::new(self.code, format!("{path}: must be {wanted}, not {found}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a getter says of `{"key": value}` inside of `outer`.
    fn said<T>(value: Value, get: impl Fn(&Fields<'_>, &str) -> Result<Option<T>, Error>) -> Result<Option<T>, String> {
        let object = Map::from_iter([("key".to_owned(), value)]);
        get(&Fields::new(&object, "outer", Code::Decode), "key")
            .map_err(|error| format!("{} {error}", error.code.number()))
    }

    #[test]
    fn null_is_absent() {
        // E-13, S-114
        assert_eq!(said(json!(null), |fields, key| fields.strings(key)), Ok(None));
        assert_eq!(said(json!(null), |fields, key| fields.unsigned(key)), Ok(None));
        assert_eq!(said(json!(null), |fields, key| fields.list(key).map(|list| list.map(<[_]>::len))), Ok(None));
        assert_eq!(said(json!(null), |fields, key| fields.object(key).map(|object| object.map(|_| ()))), Ok(None));
    }

    #[test]
    fn a_number_is_not_guessed() {
        // E-10, E-43
        assert_eq!(said(json!(1500), |fields, key| fields.unsigned(key)), Ok(Some(1500)));
        assert_eq!(said(json!(0), |fields, key| fields.unsigned(key)), Ok(Some(0)));
        for value in [json!(1500.0), json!("1500"), json!(-1), json!(4_294_967_296_u64), json!(1e300), json!(true)] {
            let error = said(value, |fields, key| fields.unsigned(key)).unwrap_err();
            assert!(error.starts_with("6 outer.key: must be a whole number"), "{error}");
        }
    }

    #[test]
    fn a_mistake_names_its_place_and_what_stands_there() {
        let error = said(json!(5), |fields, key| fields.string(key).map(|text| text.map(str::len))).unwrap_err();
        assert_eq!(error, "6 outer.key: must be a string, not 5");
        let error = said(json!([{}, 7]), |fields, key| fields.objects(key).map(|list| list.map(|_| ()))).unwrap_err();
        assert_eq!(error, "6 outer.key[1]: must be an object, not 7");
        let error = said(json!(["a", 1]), |fields, key| fields.strings(key)).unwrap_err();
        assert_eq!(error, "6 outer.key: must be a list of strings, not a list");
        let error = said(json!("10.0.0.0"), |fields, key| fields.network(key)).unwrap_err();
        assert_eq!(error, "7 outer.key: invalid CIDR address 10.0.0.0");
        let error = said(json!("x"), |fields, key| fields.address(key)).unwrap_err();
        assert_eq!(error, "7 outer.key: invalid IP address x");
    }

    #[test]
    fn the_exact_key_wins_over_other_case_even_when_it_is_null() {
        // D-10
        let object = json!({"MTU": 1, "Mtu": 2, "mtu": 3, "HostPort": 4, "gateway": null, "Gateway": "10.0.0.1"});
        let fields = Fields::new(object.as_object().unwrap(), "", Code::Decode);
        assert_eq!(fields.unsigned("mtu").unwrap(), Some(3));
        assert_eq!(fields.unsigned("hostPort").unwrap(), Some(4));
        assert_eq!(fields.address("gateway").unwrap(), None);
        assert_eq!(fields.unsigned("host").unwrap(), None);
    }

    #[test]
    fn empty_text_is_no_address() {
        assert_eq!(said(json!(""), |fields, key| fields.address(key)), Ok(None));
        assert_eq!(said(json!(""), |fields, key| fields.network(key)), Ok(None));
        assert_eq!(said(json!(""), |fields, key| fields.string(key).map(|text| text.map(str::len))), Ok(Some(0)));
    }
}
