//! The errors of the API server's client in words for operators: its parsers name types of Rust and advise programmers.

use std::error::Error;

/// The text of an error with those of its causes: for a server that is not reached the error itself holds no reason.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = first_line(error);
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        let said = first_line(cause);
        if !text.contains(&said) {
            text += &format!(": {said}");
        }
        beneath = cause.source();
    }
    plain(&text)
}

/// A parser of YAML shows the lines around the mistake below it: in a kubeconfig they may hold a token.
fn first_line(error: &dyn Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Without types of Rust: "expected struct Cluster" is "expected an object", and advice to use another type is left out.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.replace("cannot deserialize null into string", "a text is missing here (null)");
    while let Some(at) = rest.find("; use Option<") {
        let end = rest[at..].find('>').map_or(rest.len(), |close| at + close + 1);
        rest.replace_range(at..end, "");
    }
    let mut rest = rest.as_str();
    while let Some((before, after)) = rest.split_once("expected ") {
        let kinds = ["struct ", "tuple struct ", "enum ", "internally tagged enum ", "adjacently tagged enum "];
        match kinds.iter().find_map(|kind| after.strip_prefix(kind)) {
            Some(named) => {
                let end = named.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(named.len());
                out += &format!("{before}expected an object");
                rest = &named[end..];
            }
            None => {
                out += &format!("{before}expected ");
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use kube::config::Kubeconfig;

    use super::*;

    #[test]
    fn no_error_of_the_client_names_a_type_of_rust() {
        for (text, words) in [
            ("clusters: 7", "expected"),
            ("clusters: [7]", "expected"),
            ("clusters: [{name: null, cluster: {server: x}}]", "a text is missing here"),
            ("contexts: [{name: a, context: x}]", "expected"),
            ("users: [{name: [a]}]", "expected"),
        ] {
            let error = Kubeconfig::from_yaml(text).unwrap_err();
            let said = with_causes(&error);
            assert!(said.contains(words), "{text}: {said}");
            assert!(!said.contains("struct") && !said.contains("Option<") && !said.contains("Vec<"), "{text}: {said}");
        }
    }

    #[test]
    fn an_error_in_a_kubeconfig_does_not_show_the_lines_around_it() {
        let error = Kubeconfig::from_yaml("users: [{name: a, user: {token: s3cret, exec: 7}}]").unwrap_err();
        let said = with_causes(&error);
        assert!(said.contains("line 1") && !said.contains("s3cret"), "{said}");
    }

    #[test]
    fn what_names_no_type_is_left_as_it_is() {
        for text in ["expected value at line 1 column 1", "connection refused", "expected "] {
            assert_eq!(plain(text), text);
        }
        assert_eq!(
            plain("invalid type: string \"x\", expected struct NodeObject at line 2"),
            "invalid type: string \"x\", expected an object at line 2"
        );
    }
}
