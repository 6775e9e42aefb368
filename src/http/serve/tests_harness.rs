//! A server on a real socket, and clients that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{
    BodyError, Cut, Drained, Listener, Observer, Peer, Rejection, RequestDeadline, ServeLimits,
    Shutdown, Streaming, serve,
};

/// Limits as short as a busy test machine allows.
pub(super) fn short() -> ServeLimits {
    let limit = Duration::from_millis(400);
    ServeLimits {
        tls_handshake: limit,
        first_byte: limit,
        header_read: limit,
        body_idle: limit,
        whole_request: Duration::from_millis(1200),
        keep_alive_idle: limit,
        write_stall: limit,
        drain: Duration::from_millis(1500),
        ..ServeLimits::default()
    }
}

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) shutdown: Shutdown,
    pub(super) seen: Arc<Seen>,
    pub(super) task: JoinHandle<Drained>,
}

impl Server {
    pub(super) async fn plain(limits: ServeLimits) -> Self {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self::on(listener, limits)
    }

    pub(super) fn on(listener: Listener, limits: ServeLimits) -> Self {
        let addr = listener
            .addr()
            .unwrap_or_else(|| "127.0.0.1:1".parse().unwrap());
        let shutdown = Shutdown::new();
        let seen = Arc::new(Seen::default());
        let observer: Arc<dyn Observer> = seen.clone();
        let task = tokio::spawn(serve(
            vec![listener],
            routes(),
            limits,
            shutdown.clone(),
            observer,
        ));
        Self {
            addr,
            shutdown,
            seen,
            task,
        }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// A client of another source: the whole of 127.0.0.0/8 is this machine.
    pub(super) async fn connect_from(&self, source: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        socket.connect(self.addr).await.unwrap()
    }

    /// Sends `request` on a connection of its own and returns all that comes back.
    pub(super) async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        all(&mut stream).await
    }
}

/// Everything until the server closes, a reset included.
pub(super) async fn all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    let reading = async {
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            text.extend_from_slice(&piece[..read]);
        }
    };
    timeout(Duration::from_secs(20), reading)
        .await
        .expect("the server never closed the connection");
    String::from_utf8_lossy(&text).into_owned()
}

/// How long the server leaves a client connected that has sent `bytes`, and what it says.
pub(super) async fn lasts(mut stream: TcpStream, bytes: &[u8]) -> (Duration, String) {
    let began = Instant::now();
    stream.write_all(bytes).await.unwrap();
    let text = all(&mut stream).await;
    (began.elapsed(), text)
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) open: AtomicUsize,
    pub(super) refused: AtomicUsize,
    cuts: std::sync::Mutex<Vec<Cut>>,
}

impl Seen {
    pub(super) fn cuts(&self) -> Vec<Cut> {
        self.cuts.lock().unwrap().clone()
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

impl Observer for Seen {
    fn opened(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }
    fn closed(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
    fn rejected(&self, _why: Rejection) {
        self.refused.fetch_add(1, Ordering::SeqCst);
    }
    fn cut(&self, why: Cut) {
        self.cuts.lock().unwrap().push(why);
    }
}

fn routes() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/who", get(who))
        .route("/echo", post(echo))
        .route("/hang", get(std::future::pending::<()>))
        .route("/slow", get(slow))
        .route("/lifted", get(lifted))
        .route("/big", get(big))
        .route("/stream", get(stream))
}

async fn who(Extension(peer): Extension<Peer>) -> String {
    format!("{peer:?}")
}

async fn echo(request: Request) -> Response {
    match to_bytes(request.into_body(), 1 << 20).await {
        Ok(bytes) => bytes.into_response(),
        Err(error) => match BodyError::behind(&error) {
            Some(BodyError::Idle | BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Some(BodyError::Broken) => StatusCode::BAD_REQUEST,
            None => StatusCode::PAYLOAD_TOO_LARGE,
        }
        .into_response(),
    }
}

async fn slow() -> &'static str {
    sleep(Duration::from_millis(500)).await;
    "done"
}

async fn lifted(Extension(deadline): Extension<RequestDeadline>) -> &'static str {
    deadline.lift();
    sleep(Duration::from_secs(2)).await;
    "done"
}

async fn big() -> Body {
    Body::from(vec![b'x'; 32 << 20])
}

/// One piece every 200 ms for 2 s.
async fn stream() -> Response {
    let pieces = futures_util::stream::unfold(0, |sent| async move {
        if sent == 10 {
            return None;
        }
        sleep(Duration::from_millis(200)).await;
        Some((Ok::<_, std::convert::Infallible>("piece"), sent + 1))
    });
    (Extension(Streaming), Body::from_stream(pieces)).into_response()
}
