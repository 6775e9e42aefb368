//! Bytes on a connection, through the loop that serves all of them.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::service_fn;

use super::body::RequestBody;
use super::connection::{builder, drive};
use super::pulse::Pulse;
use super::service::Routes;
use super::stream::{Stream, Watched};
use super::switch::Next;
use super::{Peer, ServeLimits};

static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().ok()
});

/// Reads the whole body, and says how long it was.
async fn answer(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let read = request.into_body().collect().await;
    let length = read.map_or(0, |body| body.to_bytes().len());
    Ok(Response::new(Full::from(length.to_string())))
}

/// Whatever a client sends before it closes its side, the connection ends soon, with answers or none.
pub(crate) fn connection(bytes: &[u8]) {
    let Some(runtime) = &*RUNTIME else {
        return;
    };
    let patience = Duration::from_secs(5);
    let ended = runtime.block_on(async { timeout(patience, exchange(bytes)).await });
    assert!(ended.is_ok(), "the connection does not end");
    if let Ok(Some(answers)) = ended {
        assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."));
    }
}

async fn exchange(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut client, server) = UnixStream::pair().ok()?;
    let limits = ServeLimits::default();
    let pulse = Pulse::start(limits);
    let routes = Routes {
        service: service_fn(answer),
        limits,
        in_flight: Arc::new(Semaphore::new(1)),
        peer: Peer::Unix {
            uid: 0,
            gid: 0,
            pid: None,
        },
        certificate: None,
        pulse: pulse.clone(),
        next: Next::default(),
    };
    let stream = Watched::new(Stream::Unix(server), pulse);
    let asking = async {
        // It may have been told off and left by now.
        let _sent = client.write_all(bytes).await;
        let _closed = client.shutdown().await;
        let mut answers = Vec::new();
        let _read = client.read_to_end(&mut answers).await;
        answers
    };
    let (_, answers) = tokio::join!(drive(builder(&limits), stream, routes), asking);
    Some(answers)
}
