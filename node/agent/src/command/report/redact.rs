//! What must not leave the node: values of keys that hold credentials or lead to them. Pure.

use serde_json::Value;

/// A key that has one of these, in any case and spelling, has a value that is left out.
const SECRET: [&str; 11] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "kubeconfig",
    "credential",
    "privatekey",
    "apikey",
    "authorization",
    "clientkey",
];

const LEFT_OUT: &str = "(left out)";

/// Leaves out the values of secret keys, at any depth.
pub(super) fn json(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if is_secret(key) { *value = LEFT_OUT.into() } else { json(value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(json),
        Value::String(said) => *said = text(said),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET.iter().any(|word| plain.contains(word))
}

/// Leaves out bearer tokens, the passwords of URLs, and the values of `key=value` whose key is secret.
pub(super) fn text(said: &str) -> String {
    said.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    let mut bearer = false;
    let words = line.split_inclusive(' ').map(|word| {
        let secret = std::mem::take(&mut bearer);
        let bare = word.trim_end();
        bearer = bare.to_ascii_lowercase().trim_start_matches(['"', '\'']).ends_with("bearer");
        let end = &word[bare.len()..];
        if secret {
            return format!("{LEFT_OUT}{end}");
        }
        if let Some((key, value)) = bare.split_once(['=', ':'])
            && !value.is_empty()
            && is_secret(key)
        {
            return format!("{key}={LEFT_OUT}{end}");
        }
        match bare.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
            Some((scheme, (user, rest))) if user.contains(':') => format!("{scheme}://{LEFT_OUT}@{rest}{end}"),
            _ => word.to_owned(),
        }
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json as value;

    use super::*;

    #[test]
    fn values_that_are_or_lead_to_credentials_are_left_out_at_any_depth() {
        let mut conflist = value!({
            "name": "podnet",
            "plugins": [
                { "type": "calico", "kubernetes": { "kubeconfig": "/etc/cni/net.d/calico-kubeconfig", "k8s_auth_token": "s1" } },
                { "type": "x", "API-Key": "s2", "etcd": [{ "Password": "s3", "url": "https://me:s4@etcd:2379/a" }], "mtu": 1500 },
            ],
        });
        json(&mut conflist);
        let said = conflist.to_string();
        for secret in ["calico-kubeconfig", "s1", "s2", "s3", "s4"] {
            assert!(!said.contains(secret), "{secret} is in {said}");
        }
        for kept in ["podnet", "calico", "etcd:2379/a", "1500"] {
            assert!(said.contains(kept), "{kept} is missing in {said}");
        }
    }

    #[test]
    fn tokens_in_lines_of_a_log_are_left_out() {
        let said = text("WARN Authorization: Bearer s1\nfailed token=s2 at https://a:s3@host/x\nlink podl1 up\n");
        assert!(!["s1", "s2", "s3"].iter().any(|secret| said.contains(secret)), "{said}");
        assert!(said.ends_with("link podl1 up\n") && said.contains("@host/x"), "{said}");
    }
}
