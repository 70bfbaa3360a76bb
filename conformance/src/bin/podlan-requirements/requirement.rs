//! The requirements as the files have them: `ID | what`, and, where no test's source has the id, either `= FOLDER/TEST`
//! or, where there is no test, `- REASON`.

use std::path::Path;
use std::{fs, io};

use crate::named::Test;

/// One requirement.
pub(crate) struct Requirement {
    /// Such as S-047.
    pub(crate) id: String,
    /// A short description.
    pub(crate) what: String,
    /// What shows it, besides the tests that name it.
    pub(crate) shown: Shown,
}

/// How a requirement is shown where no test names it.
pub(crate) enum Shown {
    /// By the tests that name it.
    ByName,
    /// By this one too.
    By(Test),
    /// By none, for this reason.
    Not(String),
}

/// All requirements, file by file in the order of their names.
///
/// # Errors
/// Of reading, and a line that is none of the above.
pub(crate) fn read(folder: &Path) -> io::Result<Vec<Requirement>> {
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    let mut requirements = Vec::new();
    for file in files {
        for line in fs::read_to_string(&file)?.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let broken = || io::Error::other(format!("{}: not a requirement: {line}", file.display()));
            requirements.push(parse(line).ok_or_else(broken)?);
        }
    }
    Ok(requirements)
}

fn parse(line: &str) -> Option<Requirement> {
    let mut parts = line.split(" | ");
    let (id, what) = (parts.next()?, parts.next()?);
    let shown = match parts.next() {
        None => Shown::ByName,
        Some(how) => match (how.strip_prefix("= "), how.strip_prefix("- ")) {
            (Some(test), _) => {
                let (suite, name) = test.split_once('/')?;
                Shown::By(Test { suite: suite.to_owned(), name: name.to_owned() })
            }
            (_, Some(reason)) => Shown::Not(reason.to_owned()),
            _ => return None,
        },
    };
    Some(Requirement { id: id.trim().to_owned(), what: what.trim().to_owned(), shown })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named;

    /// A reference to a test that was renamed or moved to another crate is found without a run of all tests.
    #[test]
    fn each_reference_of_a_requirement_names_a_test() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut tests = named::in_rust(&root).unwrap();
        tests.extend(named::in_go(&root.join("conformance/harness")).unwrap());
        for requirement in read(&root.join("conformance/requirements")).unwrap() {
            if let Shown::By(test) = &requirement.shown {
                assert!(tests.contains_key(test), "{}: there is no test {test:?}", requirement.id);
            }
        }
    }
}
