//! The `dns` object of configs and results. Its contents are not checked: names and addresses are passed on.

use serde_json::{Map, Value};

use crate::{Error, Fields};

/// DNS settings for the resolver of the container (spec section 1, "dns").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Addresses of servers, the first to be asked first.
    pub nameservers: Vec<String>,
    /// The local domain.
    pub domain: Option<String>,
    /// Domains to search for short names.
    pub search: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<String>,
}

impl Dns {
    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A config's `dns`, when it says anything: an empty list does, an empty domain and `{}` do not.
    pub(crate) fn from_config(fields: Option<Fields<'_>>) -> Result<Option<Self>, Error> {
        let Some(fields) = fields else { return Ok(None) };
        let [nameservers, search, options] = ["nameservers", "search", "options"].map(|key| fields.strings(key));
        let (nameservers, search, options) = (nameservers?, search?, options?);
        let domain = fields.string("domain")?.filter(|domain| !domain.is_empty()).map(str::to_owned);
        let says = nameservers.is_some() || domain.is_some() || search.is_some() || options.is_some();
        Ok(says.then(|| Self {
            nameservers: nameservers.unwrap_or_default(),
            domain,
            search: search.unwrap_or_default(),
            options: options.unwrap_or_default(),
        }))
    }

    /// `runtimeConfig.dns`, when it says anything: runtimes send it with empty lists for pods that ask for nothing.
    pub(crate) fn from_capability(fields: Option<Fields<'_>>) -> Result<Option<Self>, Error> {
        let Some(fields) = fields else { return Ok(None) };
        let dns = Self {
            nameservers: fields.strings("servers")?.unwrap_or_default(),
            domain: None,
            search: fields.strings("searches")?.unwrap_or_default(),
            options: fields.strings("options")?.unwrap_or_default(),
        };
        Ok(Some(dns).filter(|dns| !dns.is_empty()))
    }

    pub(crate) fn to_value(&self) -> Value {
        let Self { nameservers, domain, search, options } = self;
        let mut object = Map::new();
        for (key, list) in [("nameservers", nameservers), ("search", search), ("options", options)] {
            if !list.is_empty() {
                object.insert(key.to_owned(), list.as_slice().into());
            }
        }
        if let Some(domain) = domain {
            object.insert("domain".to_owned(), domain.as_str().into());
        }
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Code;

    fn config(value: &Value) -> Option<Dns> {
        Dns::from_config(Some(Fields::new(value.as_object().unwrap(), "dns", Code::Decode))).unwrap()
    }

    fn capability(value: &Value) -> Option<Dns> {
        Dns::from_capability(Some(Fields::new(value.as_object().unwrap(), "dns", Code::Decode))).unwrap()
    }

    #[test]
    fn a_config_that_gives_any_field_says_something() {
        // S-178, H-041, H-042
        for value in
            [json!({"nameservers": []}), json!({"search": []}), json!({"options": []}), json!({"domain": "a.b"})]
        {
            assert!(config(&value).is_some(), "{value}");
        }
        for value in [json!({}), json!({"domain": ""}), json!({"nameservers": null, "domain": null})] {
            assert_eq!(config(&value), None, "{value}");
        }
    }

    #[test]
    fn a_runtime_speaks_with_capitals_and_nulls() {
        // D-10, E-14, S-180
        let dns = capability(&json!({"Servers": ["10.96.0.10"], "Searches": null, "Options": ["ndots:5"]})).unwrap();
        assert_eq!(dns.nameservers, ["10.96.0.10"]);
        assert_eq!(dns.options, ["ndots:5"]);
        assert_eq!(capability(&json!({"Servers": null, "Searches": [], "Options": null})), None);
    }

    #[test]
    fn what_is_empty_is_not_printed() {
        assert_eq!(Dns::default().to_value(), json!({}));
        let dns = Dns { domain: Some("d".to_owned()), search: vec!["s".to_owned()], ..Dns::default() };
        assert_eq!(dns.to_value(), json!({"domain": "d", "search": ["s"]}));
    }
}
