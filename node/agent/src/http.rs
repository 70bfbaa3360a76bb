//! Health and metrics over HTTP: /healthz (the agent's loop runs), /readyz (this node's routes are in the kernel),
//! /metrics.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::metrics::Metrics;
use parts::Spare;
use state::{Clocks, State};

/// How long a client may take to send its request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest connection of a client.
const STAY: Duration = Duration::from_secs(10);

/// The maximum number of clients. One more closes the oldest connection: a request for health is served within
/// milliseconds, and connections that are only held open are closed.
const CLIENTS: usize = 64;

/// The maximum size of a request's head, in bytes.
const QUESTION: usize = 16 * 1024;

/// What is served.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) state: watch::Receiver<State>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The longest connection of the client that gets the spare descriptor.
const BRIEFLY: Duration = Duration::from_secs(1);

/// The delay after a failed accept.
const BUSY: Duration = Duration::from_millis(100);

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, mut spare: Spare, served: Served) {
    let mut clients: VecDeque<AbortHandle> = VecDeque::with_capacity(CLIENTS);
    loop {
        spare.refill();
        clients.retain(|client| !client.is_finished());
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if spare.give_up(&error) => {
                // One client at a time: after it there is a free descriptor again.
                if let Ok(Ok((stream, _))) = timeout(BUSY, listener.accept()).await {
                    let _ = timeout(BRIEFLY, converse(stream, served.clone())).await;
                }
                continue;
            }
            Err(_) => {
                tokio::time::sleep(BUSY).await;
                continue;
            }
        };
        if clients.len() >= CLIENTS
            && let Some(first) = clients.pop_front()
        {
            first.abort();
        }
        let client = tokio::spawn(timeout(STAY, converse(stream, served.clone())));
        clients.push_back(client.abort_handle());
    }
}

/// One client, from its first request to its last.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, served: Served) {
    let service = service_fn(move |request| {
        let response = answer(&request, &served);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(QUESTION)
        .serve_connection(TokioIo::new(stream), service);
    // A client that disconnects affects only itself.
    let _ = connection.await;
}

fn answer(request: &Request<Incoming>, served: &Served) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, path) => page(path, served),
        _ => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn page(path: &str, served: &Served) -> (StatusCode, &'static str, String) {
    let state = served.state.borrow();
    match path {
        "/healthz" if state.is_stale(Clocks::now()) => {
            (StatusCode::SERVICE_UNAVAILABLE, PLAIN, "the agent's loop has not run for a while\n".to_owned())
        }
        "/healthz" => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        "/readyz" if state.ready => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{}\n", state.reasons.join("\n"))),
        "/metrics" => (StatusCode::OK, OPENMETRICS, served.metrics.text()),
        _ => (StatusCode::NOT_FOUND, PLAIN, "/healthz, /readyz or /metrics\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Any bytes of a client are answered in HTTP, or not at all, and never keep the server.
    #[test]
    fn fuzz_any_client_is_answered() {
        fuzz::run("http", |request| {
            let (_sender, state) = watch::channel(State::starting("n1", "file x"));
            let served = Served { state, metrics: Arc::new(Metrics::new()) };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let said = runtime.block_on(async {
                let (mut client, server) = tokio::io::duplex(64 * 1024);
                let said = async {
                    let _ = client.write_all(request).await;
                    let _ = client.shutdown().await;
                    let mut said = Vec::new();
                    let _ = client.read_to_end(&mut said).await;
                    said
                };
                tokio::join!(converse(server, served), said).1
            });
            assert!(said.is_empty() || said.starts_with(b"HTTP/1."), "{}", said.escape_ascii());
        });
    }

    #[test]
    fn readiness_is_the_agents_and_health_is_the_loops() {
        let (sender, state) = watch::channel(State::starting("n1", "file x"));
        let served = Served { state, metrics: Arc::new(Metrics::new()) };
        assert_eq!(page("/healthz", &served).0, StatusCode::OK);
        assert_eq!(page("/readyz", &served).0, StatusCode::SERVICE_UNAVAILABLE);
        sender.send_modify(|state| state.ready = true);
        assert_eq!(page("/readyz", &served).0, StatusCode::OK);
        assert_eq!(page("/metrics", &served).0, StatusCode::OK);
        assert_eq!(page("/", &served).0, StatusCode::NOT_FOUND);
        sender.send_modify(|state| state.boot_time = 0);
        assert_eq!(page("/healthz", &served).0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
