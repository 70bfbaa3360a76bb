//! What an API server may answer: anything.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::Bytes;
use kube::client::Body;

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

/// Any answers end the watch sooner or later, and whatever is published before was a whole list: the answers of one input
/// are apart by NUL.
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
