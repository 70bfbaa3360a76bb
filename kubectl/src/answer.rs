//! What a call of kubectl answered: a value, or a reason in one line. Pure.

use serde::de::DeserializeOwned;

use crate::transport::{Error, Said};

/// kubectl's own line about the exit code of the command in the container: it says nothing of the cause.
const EXIT: &str = "command terminated with exit code ";

/// What kubectl prints on standard error of a call that is well.
const NOISE: [&str; 2] = ["Defaulted container ", "Warning: "];

/// The longest reason, in characters.
const LONGEST: usize = 400;

/// The JSON that was printed, whatever the exit code: podlan-node's says whether something is wrong.
pub(crate) fn json<T: DeserializeOwned>(said: &Result<Said, Error>) -> Result<T, String> {
    let said = said.as_ref().map_err(ToString::to_string)?;
    match serde_json::from_slice(&said.stdout) {
        Ok(value) => Ok(value),
        Err(_) if said.stdout.is_empty() || said.code != Some(0) && !is_json(&said.stdout) => Err(reason(said)),
        Err(error) if is_json(&said.stdout) => {
            Err(format!("its answer is not one that this release knows: {error} (is it of another release?)"))
        }
        Err(error) => Err(format!("its answer is not JSON: {error}")),
    }
}

/// The text that a call printed that must end with 0.
pub(crate) fn text(said: &Result<Said, Error>) -> Result<String, String> {
    let said = said.as_ref().map_err(ToString::to_string)?;
    match said.code {
        Some(0) => Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned()),
        _ => Err(reason(said)),
    }
}

/// What it printed on standard error, without what says nothing; `None` where nothing is left.
pub(crate) fn complaint(said: &Said) -> Option<String> {
    let told = |line: &&str| !line.is_empty() && !NOISE.iter().any(|noise| line.starts_with(noise));
    let lines = said.stderr.lines().map(str::trim).filter(told).filter(|line| !line.starts_with(EXIT));
    let text = lines.collect::<Vec<_>>().join("; ");
    let short: String = text.chars().take(LONGEST).collect();
    let more = if short.len() < text.len() { " ..." } else { "" };
    (!short.is_empty()).then(|| short + more)
}

/// Why a call failed.
pub(crate) fn reason(said: &Said) -> String {
    complaint(said).unwrap_or_else(|| match said.code {
        Some(code) => format!("it printed nothing and ended with code {code}"),
        None => "a signal ended it".to_owned(),
    })
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i32, stdout: &str, stderr: &str) -> Result<Said, Error> {
        Ok(Said { code: Some(code), stdout: stdout.into(), stderr: stderr.into() })
    }

    #[test]
    fn a_value_counts_whatever_the_exit_code_and_a_failure_has_its_reason() {
        assert_eq!(json::<Vec<u8>>(&said(1, "[1]\n", "command terminated with exit code 1\n")), Ok(vec![1]));
        let refused = "error: unable to upgrade connection: pod does not exist\n";
        let error = json::<Vec<u8>>(&said(1, "", refused)).unwrap_err();
        assert_eq!(error, "error: unable to upgrade connection: pod does not exist");
        let stderr =
            "Defaulted container \"a\" out of: a, b\nfailed to read node.json\ncommand terminated with exit code 2\n";
        assert_eq!(json::<Vec<u8>>(&said(2, "", stderr)).unwrap_err(), "failed to read node.json");
        let error = json::<Vec<u8>>(&said(0, "", "")).unwrap_err();
        assert_eq!(error, "it printed nothing and ended with code 0");
    }

    #[test]
    fn an_answer_of_another_shape_is_said_to_be_of_another_release_and_half_of_one_is_not_json() {
        let error = json::<Vec<u8>>(&said(0, "{\"a\":1}", "")).unwrap_err();
        assert!(error.contains("another release"), "{error}");
        let error = json::<Vec<u8>>(&said(0, "[1,", "")).unwrap_err();
        assert!(error.contains("not JSON"), "{error}");
    }

    #[test]
    fn a_reason_has_an_end() {
        let error = text(&said(1, "", &"long ".repeat(1000))).unwrap_err();
        assert_eq!(error.chars().count(), LONGEST + 4);
    }
}
