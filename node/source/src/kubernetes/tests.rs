//! Tests with API servers that answer anything.

use std::convert::Infallible;

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

/// With any answers the watch ends, and whatever is published before was a complete list: NUL separates the answers of
/// one input.
#[test]
fn fuzz_any_answer_of_the_server_ends() {
    fuzz::run("kubernetes", |input| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        for strategy in [InitialListStrategy::StreamingList, InitialListStrategy::ListWatch] {
            let bodies = input.split(|byte| *byte == 0).take(4).map(<[u8]>::to_vec).collect();
            let published = runtime.block_on(async {
                let (reports, mut received) = mpsc::channel::<Report>(64);
                let refresh = Notify::new();
                let mut list = List::default();
                let heard = async {
                    let mut published = 0;
                    while let Some(report) = received.recv().await {
                        published += usize::from(report.is_ok());
                    }
                    published
                };
                let watched = async {
                    let ended = watch(server(bodies), &strategy, &mut list, &reports, &refresh).await;
                    assert!(matches!(ended, Ended::Failed(_) | Ended::CannotStream | Ended::Refresh));
                    drop(reports);
                };
                tokio::join!(watched, heard).1
            });
            let text = String::from_utf8_lossy(input);
            let whole = text.contains("items") || text.contains("k8s.io/initial-events-end");
            assert!(published == 0 || whole || text.contains('\\'), "published without a whole list");
        }
    });
}

/// What a server sends of an answer before it falls silent; `None`: not even its head.
type Said = Option<&'static [&'static str]>;

/// A client within the agent's bounds, whose server answers each request so.
fn falls_silent_after(said: Said) -> Client {
    let service = tower::service_fn(move |_request: hyper::Request<Body>| async move {
        let parts = match said {
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

/// How a watch ends, an hour of the test's own clock later at most, and whether anything was published.
fn end_of(client: impl FnOnce() -> Client, strategy: &InitialListStrategy) -> (String, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (reports, mut received) = mpsc::channel::<Report>(64);
        let (refresh, mut list) = (Notify::new(), List::default());
        let watched = watch(client(), strategy, &mut list, &reports, &refresh);
        let ended = match tokio::time::timeout(Duration::from_secs(3600), watched).await {
            Ok(Ended::Failed(error)) => error.to_string(),
            Ok(Ended::CannotStream) => "cannot stream".to_owned(),
            Ok(Ended::Refresh | Ended::Unheard) => "other".to_owned(),
            Err(_) => "never".to_owned(),
        };
        (ended, received.try_recv().is_ok())
    })
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
    for (said, strategy, end) in [
        (None, InitialListStrategy::StreamingList, SILENT),
        (None, InitialListStrategy::ListWatch, SILENT),
        // The server may not support streaming.
        (Some(&[][..]), InitialListStrategy::StreamingList, "cannot stream"),
        (Some(&STREAMED_LIST[..1]), InitialListStrategy::StreamingList, "cannot stream"),
        (Some(&[]), InitialListStrategy::ListWatch, SILENT),
        (Some(HALF_A_LIST), InitialListStrategy::ListWatch, SILENT),
        (Some(STREAMED_LIST), InitialListStrategy::StreamingList, SILENT),
    ] {
        let (ended, published) = end_of(|| falls_silent_after(said), &strategy);
        assert!(ended.contains(end), "{said:?}, {strategy:?}: {ended}");
        assert_eq!(published, said == Some(STREAMED_LIST), "{said:?}");
    }
    // Between events the server may be silent: no answer is due.
    let (ended, published) =
        end_of(|| falls_silent_after(Some(&STREAMED_LIST[..2])), &InitialListStrategy::StreamingList);
    assert!(published && ended != SILENT, "{ended}");
}

#[test]
fn a_server_that_says_too_much_is_named_and_not_heard_to_the_end() {
    for strategy in [InitialListStrategy::StreamingList, InitialListStrategy::ListWatch] {
        let huge = || never_ends("{\"kind\":\"", |_| "a".repeat(1 << 16));
        let (ended, published) = end_of(huge, &strategy);
        assert!(ended.contains("more than 4 MiB in one piece") && !published, "{strategy:?}: {ended}");
    }
    let event = |number| {
        format!(
            "{{\"type\":\"ADDED\",\"object\":{{\"metadata\":{{\"name\":\"n{number}\",\"resourceVersion\":\"1\"}}}}}}\n"
        )
    };
    let endless = || never_ends("", move |hundred| (hundred * 100..hundred * 100 + 100).map(event).collect());
    let (ended, published) = end_of(endless, &InitialListStrategy::StreamingList);
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
        let (ended, _) = end_of(ends, &InitialListStrategy::StreamingList);
        let asked = asked.load(std::sync::atomic::Ordering::Relaxed);
        assert!(ended.contains(end) && asked <= most, "{ended}, asked {asked} times");
    }
}
