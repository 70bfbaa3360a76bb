//! Requests made of the fuzz corpora.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::record::PLUGINS;
use crate::request::Request;

/// The group of all these requests.
pub(crate) const GROUP: &str = "fuzz";

/// A corpus, and the function that makes a request (variables and stdin) of an input.
type Corpus = (&'static str, fn(Vec<u8>) -> (Variables, Vec<u8>));
type Variables = BTreeMap<OsString, OsString>;

/// Half of the inputs are complete calls.
const CORPORA: [Corpus; 4] =
    [("call", call), ("ipam-section", |config| (add(), config)), ("call", call), ("result", result)];

/// `count` requests, alternately to both plugins; the same ones for the same seed.
pub(crate) fn requests(count: usize, seed: u64) -> Vec<Request> {
    let share = count.div_ceil(CORPORA.len());
    let each = CORPORA
        .iter()
        .zip(seed..)
        .flat_map(|((corpus, request), seed)| fuzz::inputs(corpus, share, seed).into_iter().map(request));
    let with_program = each.zip(PLUGINS.into_iter().cycle()).map(|((environment, stdin), program)| Request {
        program: program.to_owned(),
        group: GROUP.to_owned(),
        node: "node1".to_owned(),
        environment,
        stdin,
        traced: false,
    });
    with_program.take(count).collect()
}

/// A whole call, without the variables that a process cannot have.
fn call(input: Vec<u8>) -> (Variables, Vec<u8>) {
    let (variables, stdin) = fuzz::call(&input);
    let is_possible = |(name, value): &(OsString, OsString)| {
        !name.is_empty() && ![name, value].iter().any(|text| text.as_bytes().contains(&0))
    };
    (variables.into_iter().filter(is_possible).collect(), stdin.to_vec())
}

/// The variables of a valid ADD.
fn add() -> Variables {
    let words = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
    ];
    words.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// Any result as the prevResult of a CHECK.
fn result(input: Vec<u8>) -> (Variables, Vec<u8>) {
    let mut variables = add();
    variables.insert("CNI_COMMAND".into(), "CHECK".into());
    let before = br#"{"cniVersion":"1.1.0","name":"podnet","type":"podlan","ipam":{"type":"podlan-ipam","ranges":[[{"subnet":"10.244.1.0/24"}]]},"prevResult":"#;
    (variables, [before, input.as_slice(), b"}"].concat())
}
