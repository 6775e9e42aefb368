//! The floor of a call that goes on to an upstream: two legs, and nothing that a broker does in between.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::servers::serve_bare;

type Sender = SendRequest<Empty<Bytes>>;

/// Takes a request whole, calls `upstream` over a connection that is kept, and answers its body.
pub(crate) fn serve(upstream: SocketAddr) {
    let kept: Arc<Mutex<Vec<Sender>>> = Arc::default();
    let relay = move |_body: Bytes| {
        let kept = Arc::clone(&kept);
        async move { call(upstream, &kept).await }
    };
    serve_bare(Router::new().route("/relay", axum::routing::post(relay)));
}

async fn call(upstream: SocketAddr, kept: &Mutex<Vec<Sender>>) -> Response {
    let waiting = kept.lock().unwrap().pop();
    let mut sender = match waiting {
        Some(sender) => sender,
        None => dial(upstream).await,
    };
    let request = Request::get("/hello").header(header::HOST, "127.0.0.1");
    let request = request.body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    sender.ready().await.unwrap();
    kept.lock().unwrap().push(sender);
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn dial(upstream: SocketAddr) -> Sender {
    let stream = TcpStream::connect(upstream).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}
