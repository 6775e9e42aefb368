//! What goes wrong on purpose: with the real server, and with the one that is never right.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::fault_provider::{Answer, FaultProvider};
use super::harness::oidc::{Fault, Then};
use super::harness::{Client, eventually};
use super::*;

#[test]
fn a_request_is_refused_before_the_server_sees_it_as_often_as_it_was_said() {
    let peer = Peer::start();
    let client = peer.basic();
    let tokens = tokens(&peer, &client, "ann");
    let token = text(&tokens["refresh_token"]);
    let busy = Then::Reply(503, vec![("retry-after", "7".into())], "busy".into());
    peer.fault(
        &Fault::before("/token", busy)
            .grant("refresh_token")
            .times(2),
    );
    for _ in 0..2 {
        let reply = refresh(&peer, &client, token).unwrap();
        assert_eq!((reply.status, &*reply.body), (503, &b"busy"[..]));
        assert_eq!(reply.headers["retry-after"], "7");
    }
    refresh(&peer, &client, token).unwrap().expect(200);
    let statuses: Vec<_> = peer
        .granted("refresh_token")
        .iter()
        .map(|asked| (asked.processed, asked.status))
        .collect();
    assert_eq!(
        statuses,
        [(None, Some(503)), (None, Some(503)), (Some(200), Some(200))]
    );
}

#[test]
fn an_answer_is_lost_after_the_token_was_spent() {
    let peer = Peer::start();
    let client = peer.basic();
    let tokens = tokens(&peer, &client, "ann");
    let token = text(&tokens["refresh_token"]);
    peer.fault(&Fault::after("/token", Then::Close));
    refresh(&peer, &client, token).unwrap_err();
    let asked = peer.granted("refresh_token");
    assert_eq!(asked.len(), 1);
    assert!(asked[0].is_lost(), "{asked:?}");
    assert_eq!(asked[0].processed, Some(200));
    refused(
        &refresh(&peer, &client, token).unwrap(),
        400,
        "invalid_grant",
    );
}

#[test]
fn another_answer_is_sent_in_place_of_the_true_one() {
    let peer = Peer::start();
    let client = peer.basic();
    let error = Then::json(500, &json!({ "error": "invalid_grant" }));
    let code = code(&peer, &client, "ann");
    peer.fault(&Fault::after("/token", error));
    refused(
        &redeem(&peer, &client, &code, VERIFIER),
        500,
        "invalid_grant",
    );
    let asked = peer.granted("authorization_code");
    assert_eq!(
        (asked[0].processed, asked[0].status),
        (Some(200), Some(500))
    );
}

#[test]
fn requests_are_held_before_or_after_the_work_until_they_are_released() {
    for after in [false, true] {
        let peer = Peer::start();
        let client = peer.basic();
        let tokens = tokens(&peer, &client, "ann");
        let token = text(&tokens["refresh_token"]);
        let fault = if after { Fault::after } else { Fault::before };
        peer.fault(&fault("/token", Then::Hold));
        std::thread::scope(|scope| {
            let held = scope.spawn(|| refresh(&peer, &client, token).unwrap().expect(200));
            peer.wait_held(1);
            let asked = &peer.granted("refresh_token")[0];
            assert_eq!(asked.processed, after.then_some(200));
            assert_eq!(asked.status, None);
            peer.release();
            let new = held.join().unwrap();
            assert_ne!(new["refresh_token"], token);
        });
        let asked = &peer.granted("refresh_token")[0];
        assert_eq!((asked.processed, asked.status), (Some(200), Some(200)));
    }
}

#[test]
fn an_answer_comes_late() {
    let peer = Peer::start();
    let late = Duration::from_millis(300);
    peer.fault(&Fault::before("/me", Then::GoOn).late(late));
    let begun = Instant::now();
    assert_eq!(peer.userinfo("nonsense").status, 401);
    assert!(begun.elapsed() >= late);
    peer.fault(&Fault::before("/me", Then::Close).times(100));
    peer.mend();
    assert_eq!(peer.userinfo("nonsense").status, 401);
}

#[test]
fn a_fault_provider_says_what_it_is_told_and_keeps_what_it_was_asked() {
    let provider = FaultProvider::start();
    let client = Client::origin(&provider.origin());
    assert_eq!(client.get("/token").status, 404);
    provider.always("/token", Answer::tokens("a", "r"));
    provider.next("/token", Answer::error(400, "slow_down"));
    provider.next("/token", Answer::empty(400));
    let form = |body: &str| {
        let kind = "application/x-www-form-urlencoded";
        client.send("POST", "/token?q=1", Some((kind, body.as_bytes())))
    };
    refused(&form("grant_type=x"), 400, "slow_down");
    assert_eq!(form("").expect(400), Value::Null);
    assert_eq!(form("").expect(200)["access_token"], "a");
    assert_eq!(form("").expect(200)["refresh_token"], "r");
    let asked = provider.asked("/token");
    assert_eq!(asked.len(), 5);
    assert_eq!(asked[1].form("grant_type").as_deref(), Some("x"));
    assert_eq!(asked[1].query("q").as_deref(), Some("1"));

    provider.script("/token", |seen| {
        Answer::json(200, &json!({ "echo": seen.form("code") }))
    });
    assert_eq!(form("code=c").expect(200)["echo"], "c");
    let elsewhere = Answer::redirect(307, "http://127.0.0.1:9/").with("x-more", "yes");
    provider.next("/token", elsewhere);
    let reply = form("");
    assert_eq!(reply.status, 307);
    assert_eq!(reply.headers["location"], "http://127.0.0.1:9/");
    assert_eq!(reply.headers["x-more"], "yes");
}

/// A request by hand: the first `most` bytes of the answer, and whether it was over.
fn read(provider: &FaultProvider, path: &str, most: usize) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(("127.0.0.1", provider.port())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = vec![0; most];
    let mut filled = 0;
    while filled < most {
        match stream.read(&mut answer[filled..]).unwrap() {
            0 => {
                answer.truncate(filled);
                return (answer, true);
            }
            read => filled += read,
        }
    }
    (answer, false)
}

#[test]
fn answers_without_end_go_on_until_the_other_side_leaves() {
    let provider = FaultProvider::start();
    let megabytes = 8 << 20;
    for (answer, sign) in [
        (
            Answer::Endless { announced: true },
            "content-length: 5368709120",
        ),
        (
            Answer::Endless { announced: false },
            "connection: close\r\n\r\n{",
        ),
        (Answer::EndlessHeaders, "x-header-99: x"),
    ] {
        provider.next("/", answer);
        let before = provider.sent();
        let (bytes, over) = read(&provider, "/", megabytes);
        assert!(!over);
        assert!(String::from_utf8_lossy(&bytes).contains(sign), "{sign}");
        // What was written is counted afterwards, so what was read may be ahead of the count.
        eventually(|| (provider.sent() - before >= 8 << 20).then_some(()));
        let settled = eventually(|| {
            let now = provider.sent();
            std::thread::sleep(Duration::from_millis(50));
            (provider.sent() == now).then_some(now)
        });
        assert!(settled - before < 64 << 20, "it goes on with nobody there");
    }
}

#[test]
fn a_drip_takes_its_time_and_a_bomb_is_small_until_it_is_opened() {
    let provider = FaultProvider::start();
    let pause = Duration::from_millis(50);
    provider.next("/", Answer::Drip(pause, b"{\"a\":1}".to_vec()));
    let begun = Instant::now();
    let (bytes, over) = read(&provider, "/", 1 << 20);
    assert!(over && bytes.ends_with(b"{\"a\":1}"));
    assert!(begun.elapsed() >= pause * 7);

    provider.next("/", Answer::GzipBomb(64 << 20));
    let (bytes, over) = read(&provider, "/", 64 << 20);
    assert!(over && bytes.len() < 1 << 20, "{}", bytes.len());
    let start = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let mut opened = flate2::read::GzDecoder::new(&bytes[start..]);
    assert_eq!(
        std::io::copy(&mut opened, &mut std::io::sink()).unwrap(),
        64 << 20
    );
}

#[test]
fn a_connection_ends_before_half_of_or_without_an_answer() {
    let provider = FaultProvider::start();
    provider.next("/", Answer::Close);
    assert_eq!(read(&provider, "/", 100), (vec![], true));
    provider.next("/", Answer::Half(b"{\"a\"".to_vec()));
    let (bytes, over) = read(&provider, "/", 1000);
    assert!(over && bytes.ends_with(b"{\"a\""));
    assert!(String::from_utf8_lossy(&bytes).contains("content-length: 8"));
    provider.next("/", Answer::Raw(b"220 mail.example ESMTP\r\n".to_vec()));
    assert!(read(&provider, "/", 100).0.starts_with(b"220 mail"));

    provider.next("/", Answer::Hang);
    let mut stream = TcpStream::connect(("127.0.0.1", provider.port())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let nothing = stream.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(provider.asked("/").len(), 4);

    let late = Duration::from_millis(200);
    provider.next("/", Answer::Late(late, Box::new(Answer::empty(204))));
    let begun = Instant::now();
    assert!(read(&provider, "/", 1000).0.starts_with(b"HTTP/1.1 204"));
    assert!(begun.elapsed() >= late);
}
