//! The door for one visit, as browsers and strangers find it.

use http::{HeaderValue, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Loopback, MOST, Returned};
use crate::crypto::{SystemRandom, sha256};

const PAGE: &str = "http://127.0.0.1:8420/connect/FLOW";
const ONWARD: &str = "http://127.0.0.1:8420/connect/FLOW/result";

/// A door that is waited at: its port, its path, and what will be brought.
async fn door() -> (u16, String, JoinHandle<Returned>) {
    let loopback = Loopback::open(&SystemRandom).await.unwrap();
    let (port, path) = (loopback.port, loopback.path.clone());
    let waits = tokio::spawn(waited(loopback));
    (port, path, waits)
}

async fn waited(loopback: Loopback) -> Returned {
    let (page, onward) = (
        HeaderValue::from_static(PAGE),
        HeaderValue::from_static(ONWARD),
    );
    loopback.wait("FLOW", page, onward).await
}

async fn send(port: u16, head: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn get(port: u16, target: &str) -> String {
    let head = format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    send(port, &head).await.unwrap()
}

#[tokio::test]
async fn n1_the_browser_is_sent_on_and_the_door_is_closed() {
    let (port, path, waits) = door().await;
    let answer = get(port, &format!("{path}?flow=FLOW&ticket=t-1_2")).await;
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    assert!(
        answer.contains(&format!("location: {ONWARD}\r\n")),
        "{answer}"
    );
    assert!(answer.contains("cache-control: no-store\r\n") && !answer.contains("t-1_2"));
    assert_eq!(waits.await.unwrap(), Returned::Ticket("t-1_2".into()));
    let again = send(port, &format!("GET {path} HTTP/1.1\r\n\r\n")).await;
    assert_eq!(
        again.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn n1_the_browser_sets_out_from_here_and_what_it_is_started_with_says_nothing_of_the_flow() {
    let loopback = Loopback::open(&SystemRandom).await.unwrap();
    let (port, path, start) = (loopback.port, loopback.path.clone(), loopback.start());
    assert!(!start.contains(&path) && !start.contains("FLOW"));
    let origin = format!("http://127.0.0.1:{port}");
    let target = start.strip_prefix(&origin).unwrap().to_owned();
    let waits = tokio::spawn(waited(loopback));
    // As often as a browser likes.
    for _ in 0..2 {
        let answer = get(port, &target).await;
        assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
        assert!(
            answer.contains(&format!("location: {PAGE}\r\n")),
            "{answer}"
        );
    }
    for wrong in [
        format!("{target}?x"),
        format!("{target}x"),
        target.to_lowercase(),
    ] {
        let answer = get(port, &wrong).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    assert!(!waits.is_finished());
    get(port, &format!("{path}?flow=FLOW&ticket=mine")).await;
    assert_eq!(waits.await.unwrap(), Returned::Ticket("mine".into()));
}

#[test]
fn n1_a_program_of_another_user_is_told_that_nothing_is_there() {
    let awaited = super::Awaited {
        host: "127.0.0.1:4000".to_owned(),
        path: sha256(b"/back"),
        start: sha256(b"/start"),
        flow: "FLOW".to_owned(),
        page: HeaderValue::from_static(PAGE),
        onward: HeaderValue::from_static(ONWARD),
        brought: std::sync::OnceLock::new(),
    };
    for target in ["/start", "/back?flow=FLOW&ticket=t"] {
        let request = Request::get(target).header("host", "127.0.0.1:4000");
        let request = request.body(()).unwrap();
        let (theirs, ours) = (|| false, || true);
        assert_eq!(awaited.answer(&request, theirs).status(), 404, "{target}");
        assert!(awaited.brought.get().is_none());
        assert_eq!(awaited.answer(&request, ours).status(), 303, "{target}");
    }
}

#[tokio::test]
async fn n1_a_failure_comes_back_by_its_code() {
    let (port, path, waits) = door().await;
    get(port, &format!("{path}?flow=FLOW&error=access_denied")).await;
    assert_eq!(
        waits.await.unwrap(),
        Returned::Error("access_denied".into())
    );
}

#[tokio::test]
async fn n1_whoever_guesses_is_told_that_nothing_is_there() {
    let (port, path, waits) = door().await;
    let right = "flow=FLOW&ticket=mine";
    let short: String = path.chars().take(43).collect();
    for target in [
        "/".to_owned(),
        format!("/callback?{right}"),
        format!("/{}?{right}", "A".repeat(43)),
        format!("{path}/?{right}"),
        format!("{path}x?{right}"),
        format!("{short}?{right}"),
        path.to_lowercase(),
        path.clone(),
        format!("{path}?"),
        format!("{path}?flow=FLOW"),
        format!("{path}?ticket=mine"),
        format!("{path}?flow=OTHER&ticket=mine"),
        format!("{path}?{right}&ticket=yours"),
        format!("{path}?{right}&error=x"),
        format!("{path}?{right}&more=x"),
        format!("{path}?flow=FLOW&ticket=a%0ab"),
        format!("{path}?flow=FLOW&ticket={}", "x".repeat(513)),
    ] {
        let answer = get(port, &target).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{target} {answer}");
        assert!(!answer.contains("FLOW"), "{answer}");
    }
    assert!(!waits.is_finished());
    get(port, &format!("{path}?{right}")).await;
    assert_eq!(waits.await.unwrap(), Returned::Ticket("mine".into()));
}

#[tokio::test]
async fn n1_other_methods_and_names_for_this_machine_are_refused() {
    let (port, path, waits) = door().await;
    let right = format!("{path}?flow=FLOW&ticket=mine");
    for head in [
        format!("POST {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"),
        format!("HEAD {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"),
        format!("GET {right} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n"),
        format!("GET {right} HTTP/1.1\r\nhost: evil.example:{port}\r\n\r\n"),
        format!("GET {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nhost: evil\r\n\r\n"),
        format!("GET {right} HTTP/1.1\r\n\r\n"),
    ] {
        let answer = send(port, &head).await.unwrap();
        assert!(!answer.contains(" 303 "), "{head} {answer}");
    }
    assert!(!waits.is_finished());
}

#[tokio::test]
async fn n1_nothing_but_the_loopback_address_is_listened_on() {
    let loopback = Loopback::open(&SystemRandom).await.unwrap();
    assert_eq!(
        loopback.listener.local_addr().unwrap().ip().to_string(),
        "127.0.0.1"
    );
    let uri = loopback.redirect_uri();
    assert_eq!(
        uri,
        format!("http://127.0.0.1:{}{}", loopback.port, loopback.path)
    );
    // The broker takes ports from 1024, and paths of at most 65 plain characters.
    assert!(loopback.port >= 1024 && loopback.path.len() == 44);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_".contains(c);
    assert!(loopback.path.chars().all(plain));
    // Elsewhere on this machine, and in IPv6, the port is free.
    for address in ["127.0.0.2", "::1"] {
        assert!(TcpStream::connect((address, loopback.port)).await.is_err());
    }
    let another = Loopback::open(&SystemRandom).await.unwrap();
    assert_ne!(another.path, loopback.path);
}

#[tokio::test]
async fn n1_those_who_never_speak_do_not_keep_the_browser_out() {
    let (port, path, waits) = door().await;
    let mut silent = Vec::new();
    for _ in 0..2 * MOST {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    get(port, &format!("{path}?flow=FLOW&ticket=mine")).await;
    assert_eq!(waits.await.unwrap(), Returned::Ticket("mine".into()));
}

#[tokio::test]
async fn n1_a_flow_that_is_given_up_closes_the_door() {
    let (port, _, waits) = door().await;
    waits.abort();
    waits.await.unwrap_err();
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}
