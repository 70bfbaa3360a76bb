//! The dispatcher, as a runtime meets it: variables and stdin in; stdout, stderr and exit code out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use ipnetwork::IpNetwork;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{AddResult, Attachment, IpConfig};

/// A plugin that records its calls and returns the results it is given.
struct Scripted {
    role: Role,
    /// What every verb returns.
    fails: Option<Error>,
    /// How often ADD prints.
    prints: usize,
    /// ADD returns what `print` returned.
    heeds: bool,
    result: AddResult,
    asked: RefCell<Vec<(Verb, Request)>>,
}

impl Default for Scripted {
    fn default() -> Self {
        let address: IpNetwork = "10.1.2.3/24".parse().unwrap();
        let ips = vec![IpConfig { address, gateway: None, interface: None }];
        let result = AddResult { ips, ..AddResult::default() };
        Self { role: Role::Main, fails: None, prints: 1, heeds: true, result, asked: RefCell::default() }
    }
}

impl Scripted {
    fn outcome(&self, verb: Verb, request: &Request) -> Result<(), Error> {
        self.asked.borrow_mut().push((verb, request.clone()));
        self.fails.clone().map_or(Ok(()), Err)
    }

    fn verbs(&self) -> Vec<Verb> {
        self.asked.borrow().iter().map(|(verb, _)| *verb).collect()
    }

    fn request(&self) -> Request {
        self.asked.borrow()[0].1.clone()
    }
}

impl Plugin for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn role(&self) -> Role {
        self.role
    }

    fn add(
        &self,
        request: &Request,
        _attachment: &Attachment,
        _netns: &Path,
        print: &mut dyn FnMut(&AddResult) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for _ in 0..self.prints {
            let printed = print(&self.result);
            if self.heeds {
                printed?;
            }
        }
        self.outcome(Verb::Add, request)
    }

    fn del(&self, request: &Request, _attachment: &Attachment, _netns: Option<&Path>) -> Result<(), Error> {
        self.outcome(Verb::Del, request)
    }

    fn check(&self, request: &Request, _attachment: &Attachment, _netns: &Path) -> Result<(), Error> {
        self.outcome(Verb::Check, request)
    }

    fn gc(&self, request: &Request, _valid: &BTreeSet<Attachment>) -> Result<(), Error> {
        self.outcome(Verb::Gc, request)
    }

    fn status(&self, request: &Request) -> Result<(), Error> {
        self.outcome(Verb::Status, request)
    }
}

/// What a runtime sees.
#[derive(Debug)]
struct Seen {
    exit: u8,
    stdout: String,
    stderr: String,
}

impl Seen {
    /// The only object on stdout.
    fn object(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(value.is_object(), "{self:?}");
        value
    }

    /// Code, message and details of a failure.
    fn error(&self) -> (u64, String, String) {
        assert_eq!(self.exit, 1, "{self:?}");
        let object = self.object();
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        assert!(SpecVersion::parse(&text("cniVersion")).is_some(), "{self:?}");
        (object["code"].as_u64().unwrap(), text("msg"), text("details"))
    }

    fn is_silent_success(&self) -> bool {
        self.exit == 0 && self.stdout.is_empty() && self.stderr.is_empty()
    }
}

/// A call of all six variables.
const CALL: [(&str, &str); 6] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/run/netns/x"),
    ("CNI_IFNAME", "eth0"),
    ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=p;K8S_POD_NAMESPACE=n"),
    ("CNI_PATH", "/opt/cni/bin:/usr/lib/cni"),
];

const CONFIG: &str = r#"{"cniVersion":"1.1.0","name":"net","type":"scripted","cni.dev/valid-attachments":[]}"#;

fn variables(verb: &str, changes: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(&str, &str)> = CALL.to_vec();
    all[0].1 = verb;
    for change in changes {
        all.retain(|(name, _)| *name != change.0);
        all.push(*change);
    }
    all.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn without(verb: &str, names: &[&str]) -> Vec<(OsString, OsString)> {
    let mut all = variables(verb, &[]);
    all.retain(|(name, _)| !names.iter().any(|other| name == other));
    all
}

fn call(plugin: &Scripted, vars: Vec<(OsString, OsString)>, stdin: &[u8]) -> Seen {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let exit = serve(plugin, vars, &mut Cursor::new(stdin), &mut stdout, &mut stderr);
    Seen { exit, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8_lossy(&stderr).into_owned() }
}

fn refused(vars: Vec<(OsString, OsString)>, stdin: &str) -> (u64, String, String) {
    let plugin = Scripted::default();
    let seen = call(&plugin, vars, stdin.as_bytes());
    assert_eq!(plugin.verbs(), [], "nothing may be done when a call is refused");
    seen.error()
}

fn config(changes: Value) -> String {
    let mut config: Value = serde_json::from_str(CONFIG).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config.to_string()
}

#[test]
fn each_verb_reaches_the_plugin() {
    // S-034, S-035, D-02
    for verb in [Verb::Add, Verb::Del, Verb::Check, Verb::Gc, Verb::Status] {
        let plugin = Scripted::default();
        let seen = call(&plugin, variables(verb.as_str(), &[]), CONFIG.as_bytes());
        assert_eq!(plugin.verbs(), [verb]);
        if verb == Verb::Add {
            assert_eq!((seen.exit, seen.object()["cniVersion"].as_str()), (0, Some("1.1.0")));
        } else {
            assert!(seen.is_silent_success(), "{verb}: {seen:?}");
        }
    }
}

#[test]
fn a_request_carries_all_that_delegates_need() {
    // S-032, S-114, S-116, S-200
    let plugin = Scripted::default();
    let vars = variables("ADD", &[("TRACEPARENT", "00-1")]);
    call(&plugin, vars.clone(), CONFIG.as_bytes());
    let request = plugin.request();
    assert_eq!((request.environment, request.stdin), (vars, CONFIG.as_bytes().to_vec()));
    assert_eq!(request.path, [Path::new("/opt/cni/bin"), Path::new("/usr/lib/cni")]);
    assert_eq!(request.args.pod.unwrap().name, "p");
}

#[test]
fn a_call_without_a_verb_prints_the_name_and_the_versions() {
    // H-001, S-020
    for vars in [vec![], variables("", &[])] {
        let seen = call(&Scripted::default(), vars, b"");
        assert_eq!((seen.exit, seen.stdout.as_str()), (0, ""));
        let versions = "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n";
        assert_eq!(seen.stderr, format!("CNI scripted plugin v{}\n{versions}", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn unknown_verbs_are_refused() {
    // H-002, E-01, S-019
    for verb in ["NOPE", "add", "ADD ", "Version"] {
        assert_eq!(refused(variables(verb, &[]), CONFIG), (4, format!("unknown CNI_COMMAND: {verb}"), String::new()));
    }
}

#[test]
fn all_missing_variables_are_named_at_once() {
    // H-003..H-006, S-027..S-031
    let command = |verb: &str| vec![("CNI_COMMAND".into(), verb.into())];
    let missing = |names: &str| (4, format!("required env variables [{names}] missing"), String::new());
    assert_eq!(refused(command("ADD"), CONFIG), missing("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"));
    assert_eq!(refused(command("CHECK"), CONFIG), missing("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"));
    assert_eq!(refused(command("DEL"), CONFIG), missing("CNI_CONTAINERID,CNI_IFNAME"));
    let required: [(&str, &[&str]); 5] = [
        ("ADD", &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        ("CHECK", &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        ("DEL", &["CNI_CONTAINERID", "CNI_IFNAME"]),
        ("GC", &[]),
        ("STATUS", &[]),
    ];
    for (verb, required) in required {
        for (name, _) in &CALL[1..] {
            for vars in [without(verb, &[name]), variables(verb, &[(name, "")])] {
                if required.contains(name) {
                    assert_eq!(refused(vars, CONFIG), missing(name), "{verb}");
                } else {
                    assert_eq!(call(&Scripted::default(), vars, CONFIG.as_bytes()).exit, 0, "{verb} {name}");
                }
            }
        }
    }
}

#[test]
fn unusable_variables_are_refused_where_they_are_needed() {
    // H-008..H-015, S-031, E-02, E-05, E-16
    let text = "interface name contains / or : or whitespace characters";
    for (name, value, msg) in [
        ("CNI_CONTAINERID", "../x", "invalid characters in containerID"),
        ("CNI_IFNAME", "1234567890123456", "interface name is too long"),
        ("CNI_IFNAME", "..", "interface name is . or .."),
        ("CNI_IFNAME", "test/test", text),
        ("CNI_IFNAME", "eth%d", "interface name contains % or control characters"),
    ] {
        for verb in ["ADD", "CHECK", "DEL"] {
            assert_eq!(refused(variables(verb, &[(name, value)]), CONFIG).1, msg, "{verb}");
        }
        for verb in ["GC", "STATUS", "VERSION"] {
            let seen = call(&Scripted::default(), variables(verb, &[(name, value)]), CONFIG.as_bytes());
            assert_eq!(seen.exit, 0, "{verb} {name}");
        }
    }
    for verb in ["ADD", "CHECK"] {
        let refused = refused(variables(verb, &[("CNI_ARGS", "FOO=BAR")]), CONFIG);
        assert_eq!(refused, (4, "CNI_ARGS: unknown args [\"FOO=BAR\"]".to_owned(), String::new()));
    }
    let plugin = Scripted::default();
    assert!(call(&plugin, variables("DEL", &[("CNI_ARGS", "FOO=BAR")]), CONFIG.as_bytes()).is_silent_success());
    assert_eq!(plugin.request().args, Args::default());
}

#[test]
fn variables_that_are_not_utf8_are_refused() {
    // E-17
    for name in ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"] {
        let mut vars = without("ADD", &[name]);
        vars.push((name.into(), OsString::from_vec(b"a\xff".to_vec())));
        let (code, msg, _) = refused(vars, CONFIG);
        assert!(code == 4 && msg.contains(name), "{code} {msg}");
    }
    let mut vars = variables("ADD", &[]);
    vars.push((OsString::from_vec(b"\xff".to_vec()), OsString::from_vec(b"\xff".to_vec())));
    assert_eq!(call(&Scripted::default(), vars, CONFIG.as_bytes()).exit, 0, "not a variable of ours");
}

#[test]
fn the_override_of_the_host_namespace_check_changes_nothing() {
    // H-028, D-14
    for value in ["1", "TRUE", ""] {
        let vars = variables("ADD", &[("CNI_NETNS_OVERRIDE", value)]);
        let plain = call(&Scripted::default(), variables("ADD", &[]), CONFIG.as_bytes());
        assert_eq!(call(&Scripted::default(), vars, CONFIG.as_bytes()).stdout, plain.stdout);
    }
}

/// Gives some bytes, then an error.
struct Failing(&'static [u8]);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "banana"));
        }
        self.0.read(buffer)
    }
}

fn call_failing(verb: &str, bytes: &'static [u8]) -> Seen {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let vars = variables(verb, &[]);
    let exit = serve(&Scripted::default(), vars, &mut Failing(bytes), &mut stdout, &mut stderr);
    Seen { exit, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap() }
}

#[test]
fn an_unreadable_stdin_is_reported() {
    // H-016, E-07, E-08
    for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
        let seen = call_failing(verb, CONFIG.as_bytes());
        assert_eq!(seen.error(), (5, "error reading from stdin: banana".to_owned(), String::new()));
    }
}

#[test]
fn version_needs_no_stdin() {
    // H-007, D-04, E-74, S-084..S-088, S-158, S-159
    let answer = |version: &str| {
        json!({"cniVersion": version,
            "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]})
    };
    let command = || vec![(OsString::from("CNI_COMMAND"), OsString::from("VERSION"))];
    for (stdin, version) in [
        (r#"{"cniVersion":"1.0.0"}"#, "1.0.0"),
        (r#"{"cniVersion":"2.0.0"}"#, "2.0.0"),
        (r#"{"cniVersion":""}"#, "1.1.0"),
        (r#"{"cniVersion":5}"#, "1.1.0"),
        ("garbage", "1.1.0"),
        ("", "1.1.0"),
        ("null", "1.1.0"),
    ] {
        let seen = call(&Scripted::default(), command(), stdin.as_bytes());
        assert_eq!((seen.exit, seen.object()), (0, answer(version)), "{stdin}");
    }
    assert_eq!(call_failing("VERSION", b"").object(), answer("1.1.0"));
    assert_eq!(call_failing("VERSION", br#"{"cniVersion":"0.4.0"}"#).object(), answer("0.4.0"));
}

#[test]
fn stdin_is_read_up_to_the_cap() {
    // E-09
    let padded = |length: usize| CONFIG.to_owned() + &" ".repeat(length - CONFIG.len());
    assert_eq!(call(&Scripted::default(), variables("ADD", &[]), padded(STDIN_CAP).as_bytes()).exit, 0);
    let (code, msg, _) = refused(variables("ADD", &[]), &padded(STDIN_CAP + 1));
    assert_eq!((code, msg.as_str()), (6, "error unmarshall network config: longer than 16777216 bytes"));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    assert_eq!(serve(&Scripted::default(), variables("DEL", &[]), &mut io::repeat(b'['), &mut stdout, &mut stderr), 1);
}

#[test]
fn checks_come_in_libcnis_order() {
    // S-040
    let broken = config(json!({"name": "a/b", "cniVersion": "9.9.9", "dns": 5}));
    let bad_id = [("CNI_CONTAINERID", "a/b")];
    assert_eq!(refused(without("ADD", &["CNI_NETNS", "CNI_IFNAME"]), "garbage").0, 4);
    assert_eq!(refused(variables("ADD", &bad_id), "garbage").0, 4);
    assert_eq!(refused(variables("ADD", &[]), "garbage").0, 6);
    assert_eq!(refused(variables("ADD", &[]), &broken).0, 7);
    assert_eq!(refused(variables("ADD", &[]), &config(json!({"cniVersion": "9.9.9", "dns": 5}))).0, 1);
    assert_eq!(refused(variables("ADD", &[]), &config(json!({"dns": 5}))).0, 6);
}

#[test]
fn an_error_speaks_the_version_of_its_config() {
    // S-160, D-05
    let version = |vars, stdin: &str| {
        let seen = call(&Scripted::default(), vars, stdin.as_bytes());
        seen.error();
        seen.object()["cniVersion"].as_str().unwrap().to_owned()
    };
    assert_eq!(version(variables("ADD", &[]), &config(json!({"cniVersion": "0.4.0", "dns": 5}))), "0.4.0");
    assert_eq!(version(variables("ADD", &[]), &config(json!({"cniVersion": "0.4.0", "name": ""}))), "0.4.0");
    assert_eq!(version(variables("STATUS", &[]), &config(json!({"cniVersion": "1.0.0"}))), "1.0.0");
    assert_eq!(version(variables("ADD", &[]), &config(json!({"cniVersion": null, "dns": 5}))), "0.1.0");
    assert_eq!(version(variables("ADD", &[]), &config(json!({"cniVersion": "9.9.9"}))), "1.1.0");
    assert_eq!(version(variables("ADD", &[]), "garbage"), "1.1.0");
}

#[test]
fn add_answers_in_each_version() {
    // H-021, H-029, H-035, S-087
    for version in SpecVersion::ALL {
        let stdin = config(json!({"cniVersion": version.as_str()}));
        let seen = call(&Scripted::default(), variables("ADD", &[]), stdin.as_bytes());
        let result = AddResult::from_value(&seen.object(), SpecVersion::NEWEST).unwrap();
        assert_eq!((seen.exit, result), (0, Scripted::default().result));
    }
}

#[test]
fn masquerading_is_refused_by_the_plugin_that_would_do_it() {
    // D-12, H-045, H-116, S-164
    let stdin = config(json!({"ipMasq": true}));
    for verb in ["ADD", "CHECK", "STATUS"] {
        let (code, msg, _) = refused(variables(verb, &[]), &stdin);
        assert_eq!((code, msg.as_str()), (2, "unsupported field ipMasq: true"), "{verb}");
        let ipam = Scripted { role: Role::Ipam, ..Scripted::default() };
        assert_eq!(call(&ipam, variables(verb, &[]), stdin.as_bytes()).exit, 0, "{verb}");
    }
    for verb in ["DEL", "GC"] {
        assert!(call(&Scripted::default(), variables(verb, &[]), stdin.as_bytes()).is_silent_success(), "{verb}");
    }
    let off = config(json!({"ipMasq": false}));
    assert_eq!(call(&Scripted::default(), variables("ADD", &[]), off.as_bytes()).exit, 0);
}

#[test]
fn capabilities_for_chained_plugins_get_one_line_on_stderr() {
    // S-185
    let stdin = config(json!({"runtimeConfig": {"portMappings": [], "bandwidth": {}, "aliases": ["x"]}}));
    let seen = call(&Scripted::default(), variables("ADD", &[]), stdin.as_bytes());
    assert_eq!(seen.stderr, "scripted: ignoring bandwidth: for a chained plugin to act on\n");
    assert_eq!(seen.exit, 0);
    assert!(call(&Scripted::default(), variables("DEL", &[]), stdin.as_bytes()).is_silent_success());
    let ipam = Scripted { role: Role::Ipam, ..Scripted::default() };
    assert_eq!(call(&ipam, variables("ADD", &[]), stdin.as_bytes()).stderr, "");
}

#[test]
fn requested_addresses_come_from_the_strongest_source() {
    // D-09, S-188, H-051, H-074, H-078
    let runtime = json!({"ips": ["10.0.0.1"], "mac": "02:00:00:00:00:01"});
    let args = json!({"cni": {"ips": ["10.0.0.2"], "mac": "02:00:00:00:00:02"}});
    let given = [("CNI_ARGS", "IP=10.0.0.3;MAC=02:00:00:00:00:03")];
    for (changes, vars, last) in [
        (json!({"runtimeConfig": runtime, "args": args}), &given[..], 1),
        (json!({"args": args}), &given[..], 2),
        (json!({"runtimeConfig": {"ips": []}}), &given[..], 3),
    ] {
        let plugin = Scripted::default();
        call(&plugin, variables("ADD", vars), config(changes).as_bytes());
        let request = plugin.request();
        let (ips, mac) = (request.requested_ips(), request.requested_mac().unwrap());
        assert_eq!(ips, [format!("10.0.0.{last}").parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(mac.octets()[5], last);
    }
    let plugin = Scripted::default();
    call(&plugin, variables("ADD", &[]), CONFIG.as_bytes());
    assert!(plugin.request().requested_ips().is_empty() && plugin.request().requested_mac().is_none());
}

#[test]
fn gc_without_a_list_does_nothing() {
    // D-07, E-70
    let stdin = r#"{"cniVersion":"1.1.0","name":"net"}"#;
    assert_eq!(refused(variables("GC", &[]), stdin).0, 7);
    let plugin = Scripted::default();
    let seen = call(&plugin, variables("GC", &[]), config(json!({"cni.dev/valid-attachments": null})).as_bytes());
    assert!(seen.is_silent_success() && plugin.verbs() == [Verb::Gc], "{seen:?}");
}

#[test]
fn a_plugins_error_is_printed_as_it_is() {
    // H-026, H-027, S-161
    let error = Error::new(Code::Other(4711), "no luck").with_details("a \"why\"");
    for verb in ["DEL", "CHECK", "GC", "STATUS"] {
        let plugin = Scripted { fails: Some(error.clone()), ..Scripted::default() };
        let seen = call(&plugin, variables(verb, &[]), CONFIG.as_bytes());
        assert_eq!(seen.error(), (4711, "no luck".to_owned(), "a \"why\"".to_owned()));
    }
    let plugin = Scripted { fails: Some(error), prints: 0, ..Scripted::default() };
    assert_eq!(call(&plugin, variables("ADD", &[]), CONFIG.as_bytes()).error().0, 4711);
}

#[test]
fn a_result_is_never_followed_by_an_error_on_stdout() {
    // S-162
    let plugin = Scripted { fails: Some(Error::new(Code::Kernel, "too late")), ..Scripted::default() };
    let seen = call(&plugin, variables("ADD", &[]), CONFIG.as_bytes());
    assert_eq!((seen.exit, seen.stderr.as_str()), (1, "scripted: too late\n"));
    assert!(seen.object().get("code").is_none());
    for heeds in [true, false] {
        let plugin = Scripted { prints: 2, heeds, ..Scripted::default() };
        let seen = call(&plugin, variables("ADD", &[]), CONFIG.as_bytes());
        assert!(seen.object().get("ips").is_some());
        assert_eq!(seen.exit, u8::from(heeds));
    }
}

#[test]
fn add_fails_when_nothing_was_printed() {
    // C-9
    let plugin = Scripted { prints: 0, ..Scripted::default() };
    assert_eq!(call(&plugin, variables("ADD", &[]), CONFIG.as_bytes()).error().0, 999);
    let unsayable = AddResult::default();
    let stdin = config(json!({"cniVersion": "0.2.0"}));
    let plugin = Scripted { result: unsayable.clone(), ..Scripted::default() };
    let (code, msg, _) = call(&plugin, variables("ADD", &[]), stdin.as_bytes()).error();
    assert_eq!((code, msg.as_str()), (7, "cannot convert: no valid IP addresses"));
    assert_eq!(plugin.verbs(), [], "the plugin receives the error, so that it can undo");
    let plugin = Scripted { result: unsayable, heeds: false, ..Scripted::default() };
    assert_eq!(call(&plugin, variables("ADD", &[]), stdin.as_bytes()).error().0, 999);
}

/// Takes some bytes, then breaks.
struct Closed(usize);

impl Write for Closed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.0 == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

#[test]
fn add_fails_when_stdout_is_broken() {
    // E-37, C-9
    let whole = call(&Scripted::default(), variables("ADD", &[]), CONFIG.as_bytes()).stdout.len();
    for room in [0, 1, 20, whole] {
        for heeds in [true, false] {
            let plugin = Scripted { heeds, ..Scripted::default() };
            let mut stderr = Vec::new();
            let mut stdin = Cursor::new(CONFIG);
            let exit = serve(&plugin, variables("ADD", &[]), &mut stdin, &mut Closed(room), &mut stderr);
            assert_eq!(exit, 1, "room {room}");
            assert_eq!(plugin.verbs().is_empty(), heeds, "the plugin receives the error, so that it can undo");
            assert!(!stderr.is_empty());
        }
    }
    let mut stdin = Cursor::new(CONFIG);
    let exit = serve(&Scripted::default(), variables("VERSION", &[]), &mut stdin, &mut Closed(3), &mut Vec::new());
    assert_eq!(exit, 1);
}

/// Takes a few bytes, fails once, and takes all from then on.
struct Hiccup(Vec<u8>, bool);

impl Write for Hiccup {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() == 5 && !self.1 {
            self.1 = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = if self.1 { bytes } else { &bytes[..5] };
        self.0.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_piece_of_a_result_is_never_followed_by_an_error_on_stdout() {
    // S-162
    let (mut stdout, mut stderr) = (Hiccup(Vec::new(), false), Vec::new());
    let mut stdin = Cursor::new(CONFIG);
    assert_eq!(serve(&Scripted::default(), variables("ADD", &[]), &mut stdin, &mut stdout, &mut stderr), 1);
    assert_eq!(stdout.0.len(), 5);
    assert!(String::from_utf8(stderr).unwrap().starts_with("scripted: error writing to stdout: "));
}

/// Bytes that look like variables: mostly sound, so that calls get far.
fn any_variables() -> impl Strategy<Value = Vec<(OsString, OsString)>> {
    let junk = proptest::collection::vec(any::<u8>(), 0..20).prop_map(OsString::from_vec);
    let verb = proptest::sample::select(vec!["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "", "X"]);
    (verb, proptest::option::of((0usize..6, junk))).prop_map(|(verb, change)| {
        let mut vars = variables(verb, &[]);
        if let Some((index, value)) = change {
            vars[index].1 = value;
        }
        vars
    })
}

/// JSON values of any shape under keys that mean something here.
fn any_config() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::sample::select(vec!["", "net", "1.1.0", "0.2.0", "10.1.2.3/24", "fd00::1", "eth0", "a/b"])
            .prop_map(Value::from),
    ];
    let keys = [
        "name",
        "cniVersion",
        "type",
        "dns",
        "ipam",
        "ipMasq",
        "prevResult",
        "runtimeConfig",
        "args",
        "cni",
        "ips",
        "IPs",
        "mac",
        "interfaces",
        "routes",
        "address",
        "interface",
        "dst",
        "servers",
        "nameservers",
        "containerID",
        "ifname",
        "cni.dev/valid-attachments",
        "ip4",
        "ip",
    ];
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((proptest::sample::select(keys.to_vec()), inner), 0..6)
                .prop_map(Value::from_iter),
        ]
    });
    let fixed = json!({"name": "net", "cniVersion": "1.1.0"});
    let over = value.prop_map(move |value| {
        let mut config = fixed.clone();
        if let Value::Object(object) = &value {
            config.as_object_mut().unwrap().extend(object.clone());
        }
        config.to_string().into_bytes()
    });
    prop_oneof![over, proptest::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_comes_in_one_object_or_nothing_comes_out(vars in any_variables(), stdin in any_config()) {
        let plugin = Scripted::default();
        let seen = call(&plugin, vars, &stdin);
        for (verb, request) in plugin.asked.borrow().iter() {
            // What plugins will read of it must not panic either.
            let _ = (request.config.previous_result(), request.config.valid_attachments(), request.config.ipam());
            prop_assert!(request.config.version >= verb.since());
        }
        if seen.exit == 1 {
            seen.error();
        } else {
            prop_assert_eq!(seen.exit, 0);
            let prints = matches!(plugin.verbs().as_slice(), [Verb::Add]) || seen.stdout.contains("supportedVersions");
            prop_assert_eq!(prints, !seen.stdout.is_empty());
            if prints {
                seen.object();
            }
        }
    }
}
