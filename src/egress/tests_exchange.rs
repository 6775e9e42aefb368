//! One exchange: what reaches the origin, what comes back, and how long and large it may be.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::tests_origin::{Origin, Step, answer, fetch, get, loopback, plain, send, settle, text};
use super::{BodyError, EgressError, Incoming, Limits, Outgoing, Phase, Url, credential_value};

async fn exchange(origin: &Origin, request: Outgoing) -> Result<Incoming, EgressError> {
    let egress = plain(Limits::default());
    let target = egress
        .admit(origin.url("http", "api.test"), &loopback())
        .await?;
    egress.connect(target).await?.send(request).await
}

#[tokio::test]
async fn dc_1_redirects_are_answers_and_nobody_follows_them() {
    let elsewhere = Origin::start(None, |_| answer("followed")).await;
    for status in [301, 302, 303, 307, 308] {
        let to = elsewhere.url("http", "other.test").origin().to_string();
        let origin = Origin::start(None, move |_| {
            let head = format!("HTTP/1.1 {status} Away\r\nlocation: {to}/x\r\n");
            send(&format!("{head}content-length: 0\r\n\r\n"))
        })
        .await;
        let redirect = exchange(&origin, get("/")).await.unwrap();
        assert_eq!(redirect.status, status);
        assert_eq!(redirect.reason.as_deref(), Some(&b"Away"[..]));
        assert!(redirect.headers.contains_key("location"));
        settle().await;
        assert_eq!(origin.requests().len(), 1);
    }
    assert_eq!(elsewhere.accepts(), 0);
}

#[tokio::test]
async fn ht_4_the_origin_sees_one_credential_our_host_and_no_hop_headers() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer caller"),
        ("proxy-authorization", "Basic x"),
        ("cookie", "session=1"),
        ("host", "evil.test"),
        ("range", "bytes=0-4"),
        ("connection", "upgrade, x-secret-hop"),
        ("x-secret-hop", "1"),
        ("upgrade", "websocket"),
        ("expect", "100-continue"),
        ("accept-encoding", "gzip, br"),
        ("content-length", "999"),
        ("transfer-encoding", "chunked"),
        ("x-runtools-handle", "rth_x"),
        ("x-custom", "kept"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers.append(AUTHORIZATION, credential_value(b"Bearer placed").unwrap());
    let path = PathAndQuery::from_static("/v1/things?x=1");
    let request = Outgoing::full(Method::POST, path, headers, Bytes::from_static(b"body"));
    text(exchange(&origin, request).await.unwrap())
        .await
        .unwrap();
    let request = origin.requests().pop().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.split("\r\n").collect();
    lines.sort_unstable();
    let host = format!("host: api.test:{}", origin.address.port());
    let mut expected = vec![
        "POST /v1/things?x=1 HTTP/1.1",
        "accept-encoding: identity",
        "authorization: Bearer placed",
        "content-length: 4",
        &host,
        "x-custom: kept",
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(body, "body");
}

#[tokio::test]
async fn ex_9_and_ht_5_what_must_not_be_sent_leaves_no_byte() {
    let origin = Origin::start(None, |_| answer("echo")).await;
    let path = PathAndQuery::from_static("/");
    let trace = Outgoing::full(Method::TRACE, path.clone(), HeaderMap::new(), Bytes::new());
    assert_eq!(
        exchange(&origin, trace).await.err(),
        Some(EgressError::Method)
    );
    let mut odd = HeaderValue::from_bytes(b"\xff").unwrap();
    odd.set_sensitive(true);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, odd)]);
    let request = Outgoing::full(Method::GET, path, headers, Bytes::new());
    assert_eq!(
        exchange(&origin, request).await.err(),
        Some(EgressError::HeaderValue)
    );
    settle().await;
    assert_eq!(origin.bytes(), 0);
}

fn pieces(pieces: Vec<Result<&'static str, &'static str>>, length: Option<u64>) -> Outgoing {
    let frames = pieces.into_iter().map(|piece| {
        let piece = piece.map(|text| Frame::data(Bytes::from_static(text.as_bytes())));
        piece.map_err(BodyError::from)
    });
    let body = StreamBody::new(stream::iter(frames));
    let path = PathAndQuery::from_static("/up");
    Outgoing::stream(Method::PUT, path, HeaderMap::new(), body, length)
}

#[tokio::test]
async fn a_streamed_body_is_sent_with_its_length_or_in_chunks() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let request = pieces(vec![Ok("ab"), Ok("cde")], Some(5));
    assert_eq!(exchange(&origin, request).await.unwrap().status, 200);
    let request = pieces(vec![Ok("ab"), Ok("cde")], None);
    assert_eq!(exchange(&origin, request).await.unwrap().status, 200);
    let [known, chunked] = origin.requests().try_into().unwrap();
    assert!(known.contains("content-length: 5\r\n") && known.ends_with("\r\n\r\nabcde"));
    assert!(
        chunked.ends_with("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
        "{chunked}"
    );
    let cut = exchange(&origin, pieces(vec![Ok("ab"), Err("canary")], None)).await;
    let cut = cut.unwrap_err();
    assert_eq!(cut, EgressError::Upload);
    assert!(!cut.to_string().contains("canary"));
}

#[tokio::test]
async fn ht_9_a_head_that_does_not_come_ends_in_time() {
    let origin = Origin::start(None, |_| vec![Step::Wait(5_000)]).await;
    let limits = Limits {
        head: Duration::from_millis(60),
        ..Limits::default()
    };
    let late = fetch(&plain(limits), origin.url("http", "api.test"))
        .await
        .unwrap_err();
    let phase = Phase::Head;
    assert_eq!(late, EgressError::Timeout { phase });
    assert_eq!(origin.requests().len(), 1, "it is not sent again");
}

#[tokio::test]
async fn ht_9_a_head_that_drips_ends_in_time() {
    let drip = |_| {
        let mut steps = send("HTTP/1.1 200 OK\r\n");
        for _ in 0..40 {
            steps.extend([Step::Wait(20), Step::Send(b"x-a: b\r\n".into())]);
        }
        steps
    };
    let origin = Origin::start(None, drip).await;
    let limits = Limits {
        head: Duration::from_millis(120),
        ..Limits::default()
    };
    let late = fetch(&plain(limits), origin.url("http", "api.test"))
        .await
        .unwrap_err();
    let phase = Phase::Head;
    assert_eq!(late, EgressError::Timeout { phase });
}

#[tokio::test]
async fn an_upload_that_moves_outlives_the_limit_of_the_head() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let frames = stream::unfold(0, |sent| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let frame = Frame::data(Bytes::from_static(b"x"));
        (sent < 6).then_some((Ok::<_, BodyError>(frame), sent + 1))
    });
    let path = PathAndQuery::from_static("/");
    let body = StreamBody::new(frames);
    let request = Outgoing::stream(Method::POST, path, HeaderMap::new(), body, None);
    let limits = Limits {
        head: Duration::from_millis(150),
        ..Limits::default()
    };
    let egress = plain(limits);
    let target = egress
        .admit(origin.url("http", "api.test"), &loopback())
        .await
        .unwrap();
    let answer = egress
        .connect(target)
        .await
        .unwrap()
        .send(request)
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::OK.as_u16());
}

#[tokio::test]
async fn an_upload_goes_on_behind_its_answer_though_nobody_reads_that() {
    const PIECES: usize = 50;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let origin = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut seen = vec![0; 16];
        tcp.read_exact(&mut seen).await.unwrap();
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        tcp.write_all(head.as_bytes()).await.unwrap();
        while !seen.ends_with(b"0\r\n\r\n") {
            assert!(tcp.read_buf(&mut seen).await.unwrap() > 0);
        }
        tcp.write_all(b"2\r\nok\r\n0\r\n\r\n").await.unwrap();
        String::from_utf8(seen).unwrap().matches('~').count()
    });
    let frames = stream::unfold(0, |sent| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let frame = Frame::data(Bytes::from_static(b"~"));
        (sent < PIECES).then_some((Ok::<_, BodyError>(frame), sent + 1))
    });
    let (path, body) = (PathAndQuery::from_static("/"), StreamBody::new(frames));
    let request = Outgoing::stream(Method::POST, path, HeaderMap::new(), body, None);
    let url = Url::parse(&format!("http://api.test:{}/", address.port())).unwrap();
    let egress = plain(Limits::default());
    let target = egress.admit(url, &loopback()).await.unwrap();
    let peer = egress.connect(target).await.unwrap();
    let answer = peer.send(request).await.unwrap();
    let arrived = tokio::time::timeout(Duration::from_secs(20), origin).await;
    assert_eq!(arrived.expect("the upload stands still").unwrap(), PIECES);
    assert_eq!(text(answer).await.unwrap(), "ok");
}

#[tokio::test]
async fn ht_9_a_body_that_stops_ends_in_time_and_one_that_moves_does_not() {
    let limits = Limits {
        body_idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nab";
    let stops = Origin::start(None, |_| [send(head), vec![Step::Wait(5_000)]].concat()).await;
    let answer = fetch(&plain(limits), stops.url("http", "api.test"))
        .await
        .unwrap();
    let phase = Phase::Body;
    assert_eq!(text(answer).await, Err(EgressError::Timeout { phase }));
    let moves = Origin::start(None, |_| {
        let pause = || vec![Step::Wait(60)];
        [send(head), pause(), send("cd"), pause(), send("ef")].concat()
    })
    .await;
    let answer = fetch(&plain(limits), moves.url("http", "api.test"))
        .await
        .unwrap();
    assert_eq!(text(answer).await.as_deref(), Ok("abcdef"));
}

#[tokio::test]
async fn a_head_over_64_kib_or_128_headers_is_refused() {
    let with = |count: usize, value: usize| {
        let value = "v".repeat(value);
        let mut lines = String::new();
        for n in 0..count {
            write!(lines, "x-{n}: {value}\r\n").unwrap();
        }
        send(&format!(
            "HTTP/1.1 200 OK\r\n{lines}content-length: 0\r\n\r\n"
        ))
    };
    for (count, value, fits) in [
        (60, 1000, true),
        (66, 1000, false),
        (1, 70_000, false),
        (127, 1, true),
        (128, 1, false),
    ] {
        let origin = Origin::start(None, move |_| with(count, value)).await;
        let got = fetch(&plain(Limits::default()), origin.url("http", "api.test")).await;
        match got {
            Ok(answer) => assert!(fits && answer.headers.len() == count + 1, "{count} {value}"),
            Err(error) => assert!(
                !fits && error == EgressError::TooLarge,
                "{count} {value}: {error}"
            ),
        }
    }
}

#[tokio::test]
async fn ht_1_and_ht_11_answers_that_are_no_plain_http_are_refused() {
    for (bytes, expected) in [
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", EgressError::UpstreamProtocol),
        (
            "HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
            EgressError::UpstreamProtocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
            EgressError::UpstreamProtocol,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            EgressError::UpstreamProtocol,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na",
            EgressError::UpstreamProtocol,
        ),
        (
            "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            EgressError::UpstreamProtocol,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-le", EgressError::Closed),
    ] {
        let origin = Origin::start(None, move |_| [send(bytes), vec![Step::Close]].concat()).await;
        let error = fetch(&plain(Limits::default()), origin.url("http", "api.test")).await;
        assert_eq!(error.err(), Some(expected), "{bytes:?}");
        assert_eq!(origin.requests().len(), 1, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_trailers_are_frames() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    let origin = Origin::start(None, |_| [send(short), vec![Step::Close]].concat()).await;
    let answer = fetch(&plain(Limits::default()), origin.url("http", "api.test"))
        .await
        .unwrap();
    assert_eq!(text(answer).await, Err(EgressError::Closed));
    let chunked = "HTTP/1.1 200 Fine By Me\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                   3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
    let origin = Origin::start(None, |_| send(chunked)).await;
    let answer = fetch(&plain(Limits::default()), origin.url("http", "api.test"))
        .await
        .unwrap();
    assert_eq!(answer.reason.as_deref(), Some(&b"Fine By Me"[..]));
    let whole = answer.body.collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["x-sum"], "7");
    assert_eq!(whole.to_bytes(), "abc");
}
