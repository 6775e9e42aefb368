//! The command line's way to its broker.

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::tests_origin::{Authority, Origin, Step, answer, send};
use super::{EgressError, Endpoint, Payload, TlsFault};
use crate::secret::Secret;

#[tokio::test]
async fn a_unix_socket_is_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        request.truncate(read);
        let answer = b"HTTP/1.1 201 Created\r\nx-a: b\r\ncontent-length: 4\r\n\r\ndone";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let headers = vec![(AUTHORIZATION, HeaderValue::from_static("Bearer me"))];
    let body = Payload::Secret(Secret::copy_of(b"{\"value\":\"v\"}"));
    let endpoint = Endpoint::unix(&path);
    let reply = endpoint
        .send(Method::POST, "/v1/secrets?x=1", headers, Some(body))
        .await
        .unwrap();
    assert_eq!((reply.status, &reply.body[..]), (201, &b"done"[..]));
    assert_eq!(reply.headers["x-a"], "b");
    let request = served.await.unwrap();
    assert!(
        request.starts_with("POST /v1/secrets?x=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("authorization: Bearer me\r\n"));
    assert!(request.contains("host: localhost\r\n"));
    assert!(request.ends_with("\r\n\r\n{\"value\":\"v\"}"), "{request}");
    drop(folder);
    let gone = Endpoint::unix(&path)
        .send(Method::GET, "/", Vec::new(), None)
        .await;
    assert_eq!(gone.err(), Some(EgressError::Connect));
}

#[tokio::test]
async fn cleartext_goes_to_this_machine_only() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}", origin.address.port());
        let endpoint = Endpoint::url(&url, Vec::new()).unwrap();
        let reply = endpoint
            .send(Method::GET, "/healthz", Vec::new(), None)
            .await
            .unwrap();
        assert_eq!(&reply.body[..], b"ok");
    }
    for url in [
        "http://broker.corp",
        "http://10.0.0.1",
        "http://localhost.evil.test",
    ] {
        let made = Endpoint::url(url, Vec::new());
        assert_eq!(made.err(), Some(EgressError::Cleartext), "{url}");
    }
    assert!(Endpoint::url("https://broker.corp/path", Vec::new()).is_err());
}

#[tokio::test]
async fn dc_15_the_users_key_goes_to_a_verified_broker_only() {
    let authority = Authority::new();
    let server = authority.server("localhost", (2020, 2050));
    let origin = Origin::start(Some(server), |_| answer("ok")).await;
    let url = format!("https://localhost:{}", origin.address.port());
    let stranger = Endpoint::url(&url, Vec::new()).unwrap();
    let refused = stranger.send(Method::GET, "/", Vec::new(), None).await;
    let reason = TlsFault::UnknownIssuer;
    assert_eq!(refused.err(), Some(EgressError::Tls { reason }));
    assert_eq!(origin.bytes(), 0);
    let known = Endpoint::url(&url, vec![authority.root()]).unwrap();
    let reply = known
        .send(Method::GET, "/", Vec::new(), None)
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn an_answer_over_16_mib_is_refused_whole_and_streams_otherwise() {
    let big = || {
        let head = send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut chunk = format!("{:x}\r\n", 1 << 20).into_bytes();
        chunk.resize(chunk.len() + (1 << 20), b'x');
        chunk.extend_from_slice(b"\r\n");
        [head, vec![Step::Send(chunk); 17], send("0\r\n\r\n")].concat()
    };
    let origin = Origin::start(None, move |_| big()).await;
    let url = format!("http://127.0.0.1:{}", origin.address.port());
    let endpoint = Endpoint::url(&url, Vec::new()).unwrap();
    let whole = endpoint.send(Method::GET, "/", Vec::new(), None).await;
    assert_eq!(whole.err(), Some(EgressError::TooLarge));
    let mut streamed = endpoint
        .send_streaming(Method::GET, "/", Vec::new(), None)
        .await
        .unwrap();
    let mut bytes = 0;
    while let Some(frame) = streamed.body.frame().await {
        bytes += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(bytes, 17 << 20);
}
