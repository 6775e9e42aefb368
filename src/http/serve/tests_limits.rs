//! Each limit, against a client that breaks it.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::tests_harness::{Server, all, lasts, short};
use super::{Cut, ServeLimits};

const GOOD: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
/// A limit, and the second it may be late.
const CUT_BY: Duration = Duration::from_millis(1400);

fn status(text: &str) -> Option<StatusCode> {
    text.get(9..12)?.parse().ok()
}

#[tokio::test]
async fn a_client_that_stops_before_a_request_is_whole_is_cut() {
    let server = Server::plain(short()).await;
    let mut dripping = server.connect().await;
    let drip = tokio::spawn(async move {
        let began = std::time::Instant::now();
        for byte in GOOD.bytes() {
            if dripping.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        began.elapsed()
    });
    let (silent, half) = tokio::join!(
        lasts(server.connect().await, b""),
        lasts(server.connect().await, b"GET / HTTP/1.1\r\nhost: x"),
    );
    for (took, text) in [silent, half] {
        assert!(took >= Duration::from_millis(400), "{took:?}");
        assert!(took < CUT_BY, "{took:?}");
        assert_eq!(text, "");
    }
    let took = drip.await.unwrap();
    assert!(took < CUT_BY, "{took:?}");
    let cuts = server.seen.cuts();
    assert!(cuts.contains(&Cut::Silent) && cuts.contains(&Cut::Header));
    assert_eq!(cuts.len(), 3);
}

#[tokio::test]
async fn a_half_body_is_answered_with_408() {
    let server = Server::plain(short()).await;
    let half = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
    let (took, text) = lasts(server.connect().await, half).await;
    assert_eq!(status(&text), Some(StatusCode::REQUEST_TIMEOUT));
    assert!(took >= Duration::from_millis(400), "{took:?}");
    // What follows the answer is lingering: the client could have left.
    assert!(took < CUT_BY + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_body_that_drips_is_answered_with_408_at_the_limit_of_the_whole_request() {
    let server = Server::plain(short()).await;
    let (mut read, mut write) = server.connect().await.into_split();
    write
        .write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        .await
        .unwrap();
    let drip = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    });
    let began = std::time::Instant::now();
    let mut first = [0; 12];
    read.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 408");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1100), "{took:?}");
    assert!(took < Duration::from_millis(2200), "{took:?}");
    all(&mut read).await;
    drip.await.unwrap();
}

#[tokio::test]
async fn a_route_that_takes_too_long_is_answered_for_with_408_unless_it_asked_for_more() {
    let server = Server::plain(short()).await;
    let (hang, lifted, stream) = tokio::join!(
        server.ask("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n"),
        server.ask("GET /lifted HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        server.ask("GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    );
    assert_eq!(status(&hang), Some(StatusCode::REQUEST_TIMEOUT));
    assert!(hang.contains("request_timeout"));
    assert!(lifted.ends_with("done"), "{lifted}");
    assert_eq!(stream.matches("piece").count(), 10);
    assert!(stream.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    let server = Server::plain(short()).await;
    let mut stuck = server.connect().await;
    stuck
        .write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    sleep(CUT_BY).await;
    assert_eq!(server.seen.cuts(), [Cut::Stalled]);
    assert_eq!(server.seen.open(), 0);
}

#[tokio::test]
async fn an_idle_connection_serves_again_within_its_time_and_is_closed_after_it() {
    let server = Server::plain(short()).await;
    let mut stream = server.connect().await;
    let mut answer = [0; 512];
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        sleep(Duration::from_millis(200)).await;
    }
    let (took, text) = lasts(stream, b"").await;
    assert!(took < CUT_BY, "{took:?}");
    assert_eq!(text, "");
    assert_eq!(server.seen.cuts(), [Cut::Idle]);
}

#[tokio::test]
async fn two_hundred_stuck_clients_do_not_stop_a_good_one() {
    let limits = ServeLimits {
        first_byte: Duration::from_secs(3),
        header_read: Duration::from_secs(3),
        ..short()
    };
    let server = Server::plain(limits).await;
    let mut stuck = Vec::new();
    for i in 0..200 {
        let mut stream = server.connect_from("127.0.0.9").await;
        if i % 2 == 0 {
            // A refused one may be gone already.
            drop(stream.write_all(b"GET / HT").await);
        }
        stuck.push(stream);
    }
    let began = std::time::Instant::now();
    let answer = server.ask(GOOD).await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(server.seen.refused(), 200 - 32);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(server.seen.open(), 0);
}

#[tokio::test]
async fn one_source_may_hold_only_its_share_of_connections() {
    let limits = ServeLimits {
        connections_per_source: 2,
        ..short()
    };
    let server = Server::plain(limits).await;
    let first = server.connect().await;
    let second = server.connect().await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(server.ask("").await, "");
    let mut other = server.connect_from("127.0.0.7").await;
    other.write_all(GOOD.as_bytes()).await.unwrap();
    assert!(all(&mut other).await.ends_with("hello"));
    drop((first, second));
    sleep(Duration::from_millis(50)).await;
    assert!(server.ask(GOOD).await.ends_with("hello"));
}

#[tokio::test]
async fn headers_and_uris_at_the_limit_pass_and_one_over_are_refused() {
    let server = Server::plain(short()).await;
    let header = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nconnection: close\r\nx: ";
        let pad = "x".repeat(bytes - start.len() - 4);
        format!("{start}{pad}\r\n\r\n")
    };
    let fields = |count: usize| {
        let many = "x: 1\r\n".repeat(count - 1);
        format!("GET / HTTP/1.1\r\nconnection: close\r\n{many}\r\n")
    };
    let uri = |bytes: usize| {
        let pad = "x".repeat(bytes - 2);
        format!("GET /?{pad} HTTP/1.1\r\nconnection: close\r\n\r\n")
    };
    for (request, expected) in [
        (header(16 * 1024), StatusCode::OK),
        (
            header(16 * 1024 + 1),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        (
            header(200 * 1024),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        (fields(64), StatusCode::OK),
        (fields(65), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (uri(4096), StatusCode::OK),
        (uri(4097), StatusCode::URI_TOO_LONG),
    ] {
        let answer = server.ask(&request).await;
        let start = request.get(..20);
        assert_eq!(
            status(&answer),
            Some(expected),
            "{start:?} {}",
            request.len()
        );
    }
}

#[tokio::test]
async fn more_requests_than_may_run_are_told_to_come_back() {
    let limits = ServeLimits {
        in_flight: 1,
        ..short()
    };
    let server = Server::plain(limits).await;
    let mut running = server.connect().await;
    running
        .write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    sleep(Duration::from_millis(100)).await;
    let answer = server.ask(GOOD).await;
    assert_eq!(status(&answer), Some(StatusCode::SERVICE_UNAVAILABLE));
    assert!(answer.contains("retry-after: 1"), "{answer}");
    assert!(all(&mut running).await.ends_with("done"));
    assert!(server.ask(GOOD).await.ends_with("hello"));
}

#[tokio::test]
async fn an_answer_that_streams_keeps_nobody_from_running() {
    let limits = ServeLimits {
        in_flight: 1,
        ..short()
    };
    let server = Server::plain(limits).await;
    let mut streaming = server.connect().await;
    streaming
        .write_all(b"GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut begins = [0; 12];
    streaming.read_exact(&mut begins).await.unwrap();
    assert_eq!(&begins, b"HTTP/1.1 200");
    assert!(server.ask(GOOD).await.ends_with("hello"));
    let rest = all(&mut streaming).await;
    assert_eq!(rest.matches("piece").count(), 10, "{rest}");
}
