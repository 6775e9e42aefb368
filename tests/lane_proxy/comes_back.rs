//! What a hostile upstream answers through a tunnel, and what long bodies are sent with (reference: EX-*, DC-1,
//! HT-13).

use std::io::{Read, Write};

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use http::Response;
use runtools_broker::crypto::{hmac_of, sha256};
use runtools_broker::secret::Secret;
use serde_json::json;

use super::front::Front;
use super::tunnel::open;
use crate::harness::Upstream;
use crate::harness::memory::resident;
use crate::lanes::wire::unchunked;
use crate::stage::encoded::{self, FIXTURE, deflate, gzip};
use crate::stage::{Stage, tls_tool, with};
use crate::{MASK, Set, echo, proxied};

const MIB: usize = 1 << 20;

/// An origin that answers with `body` of the bearer's value, encoded as it says.
fn shows(coding: &'static str, body: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Upstream {
    Upstream::tls(&["localhost"], move |seen| {
        let shown = seen.header("authorization");
        let body = body(shown.trim_start_matches("Bearer "));
        let response = Response::builder().header("content-type", "text/plain");
        let response = match coding {
            "" => response,
            coding => response.header("content-encoding", coding),
        };
        response.body(Bytes::from(body)).unwrap()
    })
}

#[test]
fn ex_2_a_long_download_through_a_tunnel_is_searched_whole_and_takes_no_memory() {
    const PIECES: usize = 300;
    let front = Front::start();
    let mut stage = Stage::trusting(&front.root);
    let admin = stage.broker.admin(&[]);
    let value = stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tls_tool("custom-x", front.port));
    let handle = proxied(&stage, &admin, &json!({}));
    let mut tunnel = open(&handle, front.port);
    tunnel.get(&handle, front.port, "/large");
    let mut served = front.origin.next();
    let mut piece = vec![b'd'; MIB];
    // Across the end of one piece and the beginning of the next.
    let (left, right) = value.as_bytes().split_at(11);
    piece[..right.len()].copy_from_slice(right);
    piece[MIB - left.len()..].copy_from_slice(left);
    let total = PIECES * MIB;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n");
    served.write(head.as_bytes()).unwrap();
    let pid = stage.broker.pid();
    let (mut before, mut most) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..PIECES {
                served.write(&piece).unwrap();
                let now = resident(pid);
                if turn == 20 {
                    before = now;
                }
                most = most.max(now);
            }
        });
        let head = tunnel.until("\r\n\r\n");
        assert!(head.contains(&format!("content-length: {total}")), "{head}");
        let (mut tls, unread) = tunnel.into_parts();
        let (mut left, mut held) = (total - unread.len(), unread);
        let mut piece = vec![0; 256 << 10];
        while left > 0 {
            let read = tls.read(&mut piece).unwrap();
            assert!(read > 0, "{left} bytes are missing");
            left -= read;
            held.extend_from_slice(&piece[..read]);
            assert!(memchr::memmem::find(&held, value.as_bytes()).is_none());
            held.drain(..held.len().saturating_sub(value.len()));
        }
    });
    assert!(most < before + (16 << 20), "{before} {most}");
    let entry = stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["scrub_hits"], PIECES - 1, "{entry}");
    stage.finish();
}

#[test]
fn ex_3_what_is_encoded_is_decoded_and_searched_and_what_cannot_be_is_withheld() {
    let origins = [
        (shows("gzip", |value| gzip(value.as_bytes())), true),
        (shows("deflate", |value| deflate(value.as_bytes())), true),
        (
            shows("gzip, gzip", |value| gzip(&gzip(value.as_bytes()))),
            // One coding is undone, since none was asked for.
            false,
        ),
        (shows("x-own", |value| value.as_bytes().to_vec()), false),
        (shows("gzip", |value| value.as_bytes().to_vec()), false),
    ];
    for (number, (origin, readable)) in origins.into_iter().enumerate() {
        let set = Set::over(origin);
        let told = set.get("/run");
        // It may come in several chunks: a letter that could begin another value is held back.
        let masked = told.text.matches('*').count() == MASK.len();
        assert_eq!(masked, readable, "{number}: {told:?}");
        assert!(!told.text.contains(&set.value), "{number}: {told:?}");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(
            entry["outcome"]["status"] == "success",
            readable,
            "{number}: {entry}"
        );
        set.stage.finish();
    }
}

#[test]
fn ex_3_every_encoding_of_an_echo_is_decoded_and_searched() {
    for (encoding, body) in encoded::echoes() {
        let mut set = Set::over(shows(encoding, move |_| body.clone()));
        set.stage.canaries.also(FIXTURE);
        set.stage
            .secret_of(&set.admin, "FIXED", FIXTURE, &json!({}));
        set.handle = proxied(&set.stage, &set.admin, &with("FIXED"));
        let told = set.get("/run");
        let (_, body) = told.text.split_once("\r\n\r\n").unwrap();
        assert_eq!(unchunked(body), encoded::masked(), "{encoding}: {told:?}");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["scrub_hits"], 2, "{encoding}: {entry}");
        set.stage.finish();
    }
}

#[test]
fn ex_5_an_echo_in_another_spelling_comes_back_masked_through_a_tunnel() {
    let set = Set::over(shows("", |value| {
        let each = |spell: &dyn Fn(u8) -> String| value.bytes().map(spell).collect::<String>();
        [
            BASE64.encode(value.as_bytes()),
            BASE64.encode(format!("x{value}").as_bytes()),
            BASE64.encode(format!("xy{value}").as_bytes()),
            each(&|b| format!("{b:02X}")),
            each(&|b| format!("%{b:02x}")),
            each(&|b| format!("\\u{b:04x}")),
            each(&|b| format!("&#{b};")),
        ]
        .join(" | ")
        .into_bytes()
    }));
    let told = set.get("/run");
    assert_eq!(told.status, 200, "{told:?}");
    let entry = set.stage.ended("broker.exchange");
    assert!(
        entry["outcome"]["scrub_hits"].as_u64().unwrap() >= 7,
        "{entry}"
    );
    // In no spelling did anything come out.
    set.stage.finish();
}

#[test]
fn ex_13_only_what_is_sent_is_signed_and_only_as_the_tool_says_inside_a_tunnel() {
    let set = Set::changed(echo(), |spec| {
        spec["bindings"][0]["slots"]["apiKey"] = json!([{"hmac": {
            "message": "{timestamp}\n{method}\n{target}\n{body_sha256}",
            "header": "x-signature", "timestampHeader": "x-timestamp",
        }}]);
    });
    let lines = ["X-Signature: 00", "X-Timestamp: 1", "X-Message: forged"];
    let told = set.ask(
        "POST /run?x=1&message=forged",
        &lines,
        "sub=admin&scopes=all",
    );
    assert_eq!(told.status, 200, "{told:?}");
    let seen = set.origin.last();
    let of = |name: &str| seen.headers.get_all(name).iter().count();
    assert_eq!((of("x-signature"), of("x-timestamp")), (1, 1));
    let time = seen.header("x-timestamp");
    assert_ne!(time, "1");
    let key = Secret::copy_of(set.value.as_bytes());
    let body = HEXLOWER.encode(&sha256(&seen.body));
    let message = format!("{time}\nPOST\n{}\n{body}", seen.target);
    let signature = HEXLOWER.encode(&hmac_of(&key, message.as_bytes()));
    assert_eq!(seen.header("x-signature"), signature);
    assert!(!told.text.contains(&signature), "{told:?}");
    set.stage.finish();
}

#[test]
fn ex_15_a_long_upload_through_a_tunnel_has_its_credential_in_the_head() {
    let front = Front::start();
    let mut stage = Stage::trusting(&front.root);
    let admin = stage.broker.admin(&[]);
    let value = stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tls_tool("custom-x", front.port));
    let handle = proxied(&stage, &admin, &json!({}));
    let mut tunnel = open(&handle, front.port);
    tunnel.write(&format!(
        "POST /up HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        front.port,
        handle.placeholder,
        64 * MIB
    ));
    let before = resident(stage.broker.pid());
    let mut served = std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..64 {
                tunnel.stream.write_all(&vec![b'u'; MIB]).unwrap();
            }
            tunnel.stream.flush().unwrap();
        });
        let mut served = front.origin.next();
        let bearer = format!("authorization: Bearer {value}");
        assert!(served.head.contains(&bearer), "{}", served.head);
        served.take(64 * MIB as u64);
        served
    });
    let after = resident(stage.broker.pid());
    assert!(after < before + (24 << 20), "{before} {after}");
    served.write(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    let answer = tunnel.until("\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let entry = stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["bytes_out"], 64 * MIB, "{entry}");
    stage.finish();
}

#[test]
fn dc_1_a_redirect_is_an_answer_inside_a_tunnel() {
    let elsewhere = echo();
    let port = elsewhere.port();
    let set = Set::over(Upstream::tls(&["localhost"], move |seen| {
        let shown = seen.header("authorization");
        let value = shown.trim_start_matches("Bearer ");
        let status = seen.target.trim_start_matches('/').parse::<u16>().unwrap();
        let response = Response::builder().status(status);
        let location = format!("https://localhost:{port}/?k={value}");
        response
            .header("location", location)
            .body(Bytes::new())
            .unwrap()
    }));
    for status in [301, 302, 303, 307, 308] {
        let told = set.get(&format!("/{status}"));
        assert_eq!(told.status, status, "{told:?}");
        assert!(told.text.contains(&format!("/?k={MASK}")), "{told:?}");
    }
    assert_eq!(elsewhere.accepted(), 0);
    set.stage.finish();
}

#[test]
fn ht_13_an_answer_that_grows_without_end_is_broken_off_inside_a_tunnel() {
    let set = Set::over(shows("gzip", |_| gzip(&vec![0; 64 * MIB])));
    let before = resident(set.stage.broker.pid());
    let told = set.get("/run");
    assert!(told.text.len() < 64 * MIB, "{} bytes came", told.text.len());
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "upstream_too_large", "{entry}");
    let grown = resident(set.stage.broker.pid()).saturating_sub(before);
    assert!(grown < 24 << 20, "memory grew by {grown} bytes");
    set.stage.finish();
}
