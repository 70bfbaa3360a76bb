//! What an API server may take of the agent's time and memory, whatever it is: it must begin to answer, go on with what it
//! has begun, say nothing that is longer than any real Node, and end no watch as soon as it was asked for.
//!
//! The library waits for an answer without end, for the end of a line in whatever memory there is, and silently
//! asks again at once where a watch ends in the middle of one.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::{Request, Response};
use kube::client::{Body as Asked, ClientBuilder};
use kube::{Client, Config};
use tokio::time::{Instant, Sleep};
use tower::layer::layer_fn;
use tower::{BoxError, Service};

/// How long the server may be silent where an answer, or the rest of one, is owed. A busy one lets a request wait a
/// quarter of its own limit, which is a minute.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// The most bytes of one line: an event of a watch, or a page of a list. The store takes no object beyond 1.5 MiB.
pub(super) const LONGEST: usize = 4 << 20;

/// How many nodes are asked for in one page: with all that a large one says of itself they fit into [`LONGEST`].
pub(super) const PAGE: u32 = 50;

/// How soon after another a watch begins to tell, of a server that ends them at once.
const PACE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the API server says nothing for {} s where an answer is owed", SILENCE.as_secs())]
    Silent,
    #[error("the API server says more than {} MiB in one piece", LONGEST >> 20)]
    TooLong,
    #[error("the API server broke off in the middle of an event")]
    Cut,
}

/// A client whose server is held to the bounds.
pub(super) fn client(config: Config) -> Result<Client, kube::Error> {
    Ok(within(ClientBuilder::try_from(config)?).build())
}

/// The same for any way to reach a server.
pub(super) fn within<S>(builder: ClientBuilder<S>) -> ClientBuilder<Bounded<S>> {
    builder.with_layer(&layer_fn(|server| Bounded { server, watch: None }))
}

/// A server that is held to the bounds.
pub(super) struct Bounded<S> {
    server: S,
    /// When the next watch may begin to tell.
    watch: Option<Instant>,
}

impl<S, B> Service<Request<Asked>> for Bounded<S>
where
    S: Service<Request<Asked>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.server.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Asked>) -> Self::Future {
        let watches = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        let answer = self.server.call(request);
        let now = Instant::now();
        let tells = self.watch.filter(|_| watches).map_or(now, |next| next.max(now));
        if watches {
            self.watch = Some(tells + PACE);
        }
        async move {
            let answer = tokio::time::timeout(SILENCE, answer).await.map_err(|_| Error::Silent)?.map_err(Into::into)?;
            tokio::time::sleep_until(tells).await;
            // A refusal is no stream, whatever was asked for.
            let streams = watches && answer.status().is_success();
            Ok(answer.map(|body| Answer::new(body, streams)))
        }
        .boxed()
    }
}

/// The body of an answer.
pub(super) struct Answer {
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// Bytes since the last line's end.
    line: usize,
    /// Whether more must come: always, but between the lines of a watch.
    owed: bool,
    streams: bool,
    patience: Pin<Box<Sleep>>,
}

impl Answer {
    fn new<B>(body: B, streams: bool) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let body = UnsyncBoxBody::new(http_body_util::BodyExt::map_err(body, Into::into));
        Self { body, line: 0, owed: !streams, streams, patience: Box::pin(tokio::time::sleep(SILENCE)) }
    }

    fn count(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line += part.len();
            if self.line > LONGEST {
                return Err(Error::TooLong);
            }
            if part.ends_with(b"\n") {
                self.line = 0;
            }
        }
        self.owed = !self.streams || self.line > 0;
        self.patience.as_mut().reset(Instant::now() + SILENCE);
        Ok(())
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let counted = frame.data_ref().map_or(Ok(()), |bytes| self.count(bytes));
                Poll::Ready(Some(counted.map(|()| frame).map_err(Into::into)))
            }
            Poll::Pending if self.owed => {
                self.patience.as_mut().poll(context).map(|()| Some(Err(Error::Silent.into())))
            }
            Poll::Ready(None | Some(Err(_))) if self.streams && self.line > 0 => {
                Poll::Ready(Some(Err(Error::Cut.into())))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
