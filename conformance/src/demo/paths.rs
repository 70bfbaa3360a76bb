//! Every path: which host connects to which, by which protocol, and at which address the server saw the client.

use std::time::{Duration, Instant};

use super::progress::Progress;
use super::stage::Host;
use crate::lab::{Command, Error, PORT, Running, binaries, every, patient};
use crate::traffic::{Answer, Report, Target};

/// How long all answers together may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// One path, tried.
pub(super) struct Tried {
    /// The host that asked, as an index.
    pub(super) client: usize,
    /// The host that was asked.
    pub(super) server: usize,
    /// What the client reported.
    pub(super) report: Report,
    /// Whether the server answered and saw the client at its own address.
    pub(super) kept: bool,
}

/// Whether `client` asks `server`: a pod asks every other host, a node asks every pod. Paths between nodes are the
/// LAN's, not podlan's.
pub(super) fn is_asked(client: &Host, server: &Host) -> bool {
    client.name != server.name && (client.is_pod || server.is_pod)
}

/// The servers that one host asks, in order.
fn questions(hosts: &[Host], client: usize) -> Vec<(usize, Target)> {
    let servers = hosts.iter().enumerate().filter(|(_, server)| is_asked(&hosts[client], server));
    servers.flat_map(|(index, server)| every(&server.own).into_iter().map(move |target| (index, target))).collect()
}

/// Has every host connect to every other, all at once, and reads what the servers saw.
pub(super) fn ask_everyone(hosts: &[Host], progress: &mut Progress<'_>) -> Result<Vec<Tried>, Error> {
    let started = Instant::now();
    let all: Vec<Vec<(usize, Target)>> = (0..hosts.len()).map(|client| questions(hosts, client)).collect();
    let total: usize = all.iter().map(Vec::len).sum();
    let mut clients = Vec::new();
    for (host, questions) in hosts.iter().zip(&all) {
        clients.push(ask(host, questions)?);
    }
    let answered = |clients: &[Running]| clients.iter().map(|client| client.stdout().lines().count()).sum::<usize>();
    while answered(&clients) < total
        && started.elapsed() < patient(PATIENCE)
        && clients.iter_mut().any(Running::is_running)
    {
        progress.pending("paths", &format!("{} of {total}", answered(&clients)));
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut tried = Vec::new();
    for (client, (running, questions)) in clients.into_iter().zip(&all).enumerate() {
        let output = running.wait(PATIENCE)?;
        let reports: Option<Vec<Report>> = output.stdout.lines().map(|line| line.parse().ok()).collect();
        let Some(reports) = reports.filter(|reports| reports.len() == questions.len()) else {
            return Err(output.but("it should have printed a line for each target"));
        };
        tried.extend(reports.into_iter().zip(questions).map(|(report, (server, _))| {
            let kept = matches!(&report.answer, Answer::Saw(seen) if hosts[client].own.contains(seen));
            Tried { client, server: *server, report, kept }
        }));
    }
    let kept = tried.iter().filter(|one| one.kept).count();
    let what = format!("of pods and nodes: {kept} of {total} seen at the client's own address");
    progress.done("paths", &what, kept == total, started.elapsed());
    Ok(tried)
}

fn ask(host: &Host, questions: &[(usize, Target)]) -> Result<Running, Error> {
    let targets = questions.iter().map(|(_, target)| target.to_string());
    Command::new(host.place.clone(), binaries::lab()?)
        .args(["probe", "--port", &PORT.to_string()])
        .args(targets)
        .spawn()
}
