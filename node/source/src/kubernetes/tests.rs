//! Tests with API servers that answer anything.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{Full, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::{Body, ClientBuilder};

use super::*;

/// A client whose server answers with these bodies in turn, and then with an error.
fn server(bodies: Vec<Vec<u8>>) -> Client {
    let bodies = Arc::new(std::sync::Mutex::new(bodies.into_iter()));
    let service = tower::service_fn(move |_request: hyper::Request<Body>| {
        let body = bodies.lock().ok().and_then(|mut bodies| bodies.next());
        let status = if body.is_some() { 200 } else { 500 };
        let response = hyper::Response::builder().status(status).body(Full::new(Bytes::from(body.unwrap_or_default())));
        async move { Ok::<_, Infallible>(response.unwrap_or_default()) }
    });
    Client::new(service, "default")
}

/// How a watch ends, an hour of the test's own clock later at most, and how many lists were published.
async fn end_of_watch(client: Client, streams: bool) -> (String, usize) {
    let (reports, mut received) = mpsc::channel::<Report>(64);
    let (refresh, again) = (Notify::new(), Notify::new());
    let first = std::cell::Cell::new(Some(client));
    let next_streams = std::cell::Cell::new(streams);
    let open = async |streams| match first.take() {
        Some(client) => Ok(watch(client, streams)),
        None => {
            next_streams.set(streams);
            again.notify_one();
            std::future::pending().await
        }
    };
    let mut published = 0;
    let failed = async {
        loop {
            match received.recv().await {
                Some(Ok(_)) => published += 1,
                Some(Err(error)) => return error.to_string(),
                None => return "nobody reports".to_owned(),
            }
        }
    };
    let ended = tokio::select! {
        biased;
        error = failed => error,
        () = drive(Machine::new(streams, 7, now()), open, reports, &refresh) => "nobody listens".to_owned(),
        () = again.notified() => if next_streams.get() == streams { "other" } else { "cannot stream" }.to_owned(),
        () = tokio::time::sleep(Duration::from_secs(3600)) => "never".to_owned(),
    };
    (ended, published)
}

/// Any answers end the watch sooner or later, and whatever is published before was a complete list: the answers of one input
/// are apart by NUL.
#[test]
fn fuzz_any_answer_of_the_server_ends() {
    fuzz::run("kubernetes", |input| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        for streams in [true, false] {
            let bodies = input.split(|byte| *byte == 0).take(4).map(<[u8]>::to_vec).collect();
            let (ended, published) = runtime.block_on(async { end_of_watch(server(bodies), streams).await });
            assert!(!["never", "nobody listens", "nobody reports"].contains(&&*ended), "{ended}");
            let text = String::from_utf8_lossy(input);
            let complete = text.contains("items") || text.contains("k8s.io/initial-events-end");
            assert!(published == 0 || complete || text.contains('\\'), "published without a complete list");
        }
    });
}

/// What a server sends of an answer before it falls silent; `None`: not even its head.
type Sent = Option<&'static [&'static str]>;

/// A client within the agent's bounds, whose server answers each request so.
fn falls_silent_after(sent: Sent) -> Client {
    let service = tower::service_fn(move |_request: hyper::Request<Body>| async move {
        let parts = match sent {
            Some(parts) => {
                parts.iter().map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from_static(part.as_bytes()))))
            }
            None => std::future::pending().await,
        };
        let body = StreamBody::new(futures::stream::iter(parts).chain(futures::stream::pending()));
        Ok::<_, Infallible>(hyper::Response::new(body))
    });
    bounds::within(ClientBuilder::new(service, "default")).build()
}

/// A client within the agent's bounds, whose server sends `chunk` without end.
fn never_ends(head: &'static str, chunk: impl Fn(usize) -> String + Clone + Send + 'static) -> Client {
    let service = tower::service_fn(move |_request: hyper::Request<Body>| {
        let chunk = chunk.clone();
        let parts = std::iter::once(head.to_owned()).chain((0..).map(chunk));
        let frames = parts.map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part))));
        let response = hyper::Response::new(StreamBody::new(futures::stream::iter(frames)));
        async move { Ok::<_, Infallible>(response) }
    });
    bounds::within(ClientBuilder::new(service, "default")).build()
}

/// How a watch ends, and whether anything was published.
fn end_of(client: impl FnOnce() -> Client, streams: bool) -> (String, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (ended, published) = runtime.block_on(async { end_of_watch(client(), streams).await });
    (ended, published > 0)
}

const STREAMED_LIST: &[&str] = &[
    "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\",\"resourceVersion\":\"1\"}}}\n",
    "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"1\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n",
    "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Node\",\"meta",
];

#[test]
fn a_server_that_hangs_is_named_wherever_it_does() {
    const SILENT: &str = "the API server sent nothing for 30 s while an answer was due";
    const HALF_A_LIST: &[&str] = &["{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceV"];
    for (sent, streams, end) in [
        (None, true, SILENT),
        (None, false, SILENT),
        // It may be one that does not know how to stream.
        (Some(&[][..]), true, "cannot stream"),
        (Some(&STREAMED_LIST[..1]), true, "cannot stream"),
        (Some(&[]), false, SILENT),
        (Some(HALF_A_LIST), false, SILENT),
        (Some(STREAMED_LIST), true, SILENT),
    ] {
        let (ended, published) = end_of(|| falls_silent_after(sent), streams);
        assert!(ended.contains(end), "{sent:?}, {streams}: {ended}");
        assert_eq!(published, sent == Some(STREAMED_LIST), "{sent:?}");
    }
    // Between its events it may be silent: nothing is owed.
    let (ended, published) = end_of(|| falls_silent_after(Some(&STREAMED_LIST[..2])), true);
    assert!(published && ended != SILENT, "{ended}");
}

#[test]
fn a_server_that_sends_too_much_is_named_and_its_answer_is_not_read_to_the_end() {
    for streams in [true, false] {
        let huge = || never_ends("{\"kind\":\"", |_| "a".repeat(1 << 16));
        let (ended, published) = end_of(huge, streams);
        assert!(ended.contains("more than 4 MiB in one piece") && !published, "{streams}: {ended}");
    }
    let event = |number| {
        format!(
            "{{\"type\":\"ADDED\",\"object\":{{\"metadata\":{{\"name\":\"n{number}\",\"resourceVersion\":\"1\"}}}}}}\n"
        )
    };
    let endless = || never_ends("", move |hundred| (hundred * 100..hundred * 100 + 100).map(event).collect());
    let (ended, published) = end_of(endless, true);
    assert!(ended.contains("more than 100000 nodes") && !published, "{ended}");
}

#[test]
fn a_server_that_ends_every_watch_at_once_is_asked_once_a_second_and_one_that_breaks_off_is_named() {
    for (last, most, end) in [(2, 3700, "never"), (3, 1, "closed the connection in the middle of an event")] {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = asked.clone();
        let ends = move || {
            let service = tower::service_fn(move |_request: hyper::Request<Body>| {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let body = Full::new(Bytes::from(STREAMED_LIST[..last].concat()));
                async move { Ok::<_, Infallible>(hyper::Response::new(body)) }
            });
            bounds::within(ClientBuilder::new(service, "default")).build()
        };
        let (ended, _) = end_of(ends, true);
        let asked = asked.load(std::sync::atomic::Ordering::Relaxed);
        assert!(ended.contains(end) && asked <= most, "{ended}, asked {asked} times");
    }
}
