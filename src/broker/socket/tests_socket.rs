//! Conversations: what passes, what does not, and how they end.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use super::frame::{Head, Kind};
use super::tests_rig::{VALUE, ended, masked, stage, text};
use super::{Cut, End, Fault, Side, SocketLimits, Trouble};
use crate::broker::placeholder::Placeholder;
use crate::crypto::SystemRandom;

#[tokio::test]
async fn messages_pass_both_ways_and_a_goodbye_ends_both() {
    let mut stage = stage(SocketLimits::default());
    let long = "x".repeat(200_000);
    for message in ["", "hello", &long] {
        stage
            .caller
            .send(true, Kind::Text, message.as_bytes())
            .await;
        assert_eq!(stage.upstream.message().await, text(message));
        stage
            .upstream
            .send(true, Kind::Text, message.as_bytes())
            .await;
        assert_eq!(stage.caller.message().await, text(message));
    }
    stage.caller.send(true, Kind::Ping, b"there?").await;
    assert_eq!(stage.upstream.next().await.unwrap().kind, Kind::Ping);
    let load = |count: &AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(load(&stage.counts.0), 200_005);
    assert_eq!(load(&stage.counts.1), 200_011);
    stage.caller.send(true, Kind::Close, b"\x03\xe8bye").await;
    assert_eq!(stage.upstream.next().await.unwrap().payload, b"\x03\xe8bye");
    stage.upstream.send(true, Kind::Close, b"\x03\xe8").await;
    stage.caller.closes_with(1000).await;
    assert_eq!(ended(stage).await, End::Closed);
}

#[tokio::test]
async fn ex_8_a_value_is_masked_in_every_kind_of_frame_however_it_is_cut() {
    let mut stage = stage(SocketLimits::default());
    for kind in [Kind::Text, Kind::Binary] {
        for cut in 0..=VALUE.len() {
            let (left, right) = VALUE.split_at(cut);
            stage.upstream.send(false, kind, left.as_bytes()).await;
            stage.upstream.send(true, Kind::Ping, b"between").await;
            stage
                .upstream
                .send(true, Kind::More, right.as_bytes())
                .await;
            let mut seen = Vec::new();
            loop {
                let frame = stage.caller.next().await.unwrap();
                if frame.kind == Kind::Ping {
                    continue;
                }
                seen.extend_from_slice(&frame.payload);
                if frame.last {
                    break;
                }
            }
            assert_eq!(seen, masked().as_bytes(), "{kind:?} {cut}");
        }
    }
    for kind in [Kind::Ping, Kind::Pong] {
        stage.upstream.send(true, kind, VALUE.as_bytes()).await;
        let frame = stage.caller.next().await.unwrap();
        assert_eq!((frame.kind, frame.payload), (kind, masked().into_bytes()));
    }
    let reason = [&[3, 232], VALUE.as_bytes()].concat();
    stage.upstream.send(true, Kind::Close, &reason).await;
    let frame = stage.caller.next().await.unwrap();
    assert_eq!(frame.payload[2..], *masked().as_bytes());
}

#[tokio::test]
async fn ex_8_of_a_value_spread_over_messages_only_what_was_out_is_seen() {
    let mut stage = stage(SocketLimits::default());
    let (left, right) = VALUE.split_at(11);
    // The first message is not kept back: nothing may follow it for long.
    stage.upstream.send(true, Kind::Text, left.as_bytes()).await;
    assert_eq!(stage.caller.message().await, text(left));
    stage
        .upstream
        .send(true, Kind::Text, right.as_bytes())
        .await;
    assert_eq!(stage.caller.message().await, text(&"*".repeat(right.len())));
}

#[tokio::test]
async fn ex_10_a_placeholder_in_a_message_ends_it_with_nothing_of_it_sent() {
    let placeholder = Placeholder::draw(Some("sk-"), &SystemRandom).unwrap();
    let plain = placeholder.text();
    let percent: String = plain.bytes().map(|b| format!("%{b:02x}")).collect();
    let json: String = plain.bytes().map(|b| format!("\\u{b:04x}")).collect();
    let base64 = data_encoding::BASE64.encode(plain.as_bytes());
    for spelled in [plain, &percent, &json, &base64] {
        let mut stage = stage(SocketLimits::default());
        let message = format!("{{\"token\": \"{spelled}\"}}");
        stage
            .caller
            .send(true, Kind::Text, message.as_bytes())
            .await;
        stage.caller.closes_with(1008).await;
        stage.upstream.closes_with(1001).await;
        let trouble = Trouble::Placeholder;
        let side = Side::Caller;
        assert_eq!(ended(stage).await, End::Fault(Fault { side, trouble }));
    }
    // However it is cut, its mark never leaves.
    for cut in 1..plain.len() {
        let mut stage = stage(SocketLimits::default());
        stage
            .caller
            .send(false, Kind::Text, &plain.as_bytes()[..cut])
            .await;
        stage
            .caller
            .send(true, Kind::More, &plain.as_bytes()[cut..])
            .await;
        stage.caller.closes_with(1008).await;
        let mut sent = Vec::new();
        while let Some(frame) = stage.upstream.next().await {
            sent.extend_from_slice(&frame.payload);
        }
        assert!(!String::from_utf8_lossy(&sent).contains("rtPlaceh0lder"));
    }
    let mut stage = stage(SocketLimits::default());
    stage.caller.send(true, Kind::Ping, plain.as_bytes()).await;
    stage.caller.closes_with(1008).await;
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_both() {
    let broken: [(&str, &[u8]); 5] = [
        ("a bit of an extension", &[0xc1, 0x80, 0, 0, 0, 0]),
        ("an unmasked frame", &[0x81, 0x01, b'a']),
        ("more of nothing", &[0x80, 0x80, 0, 0, 0, 0]),
        ("a goodbye without its code", &[0x88, 0x81, 0, 0, 0, 0, 1]),
        (
            "a goodbye that may not be said",
            &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed],
        ),
    ];
    let trouble = Trouble::Malformed;
    for (what, bytes) in broken {
        let mut stage = stage(SocketLimits::default());
        stage.caller.raw(bytes).await;
        stage.caller.closes_with(1002).await;
        stage.upstream.closes_with(1001).await;
        let side = Side::Caller;
        assert_eq!(
            ended(stage).await,
            End::Fault(Fault { side, trouble }),
            "{what}"
        );
    }
    let mut stage = stage(SocketLimits::default());
    stage.upstream.raw(&[0x81, 0x81, 0, 0, 0, 0, b'a']).await;
    stage.upstream.closes_with(1002).await;
    stage.caller.closes_with(1011).await;
    let side = Side::Upstream;
    assert_eq!(ended(stage).await, End::Fault(Fault { side, trouble }));
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_its_head() {
    let limits = SocketLimits {
        frame: 1_000,
        message: 1_500,
        ..SocketLimits::default()
    };
    let trouble = Trouble::TooLarge;
    // The head alone: none of its payload is waited for.
    let mut one = stage(limits);
    one.caller.raw(&[0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0]).await;
    one.caller.closes_with(1009).await;
    one.upstream.closes_with(1001).await;
    let side = Side::Caller;
    assert_eq!(ended(one).await, End::Fault(Fault { side, trouble }));
    let mut two = stage(limits);
    for (last, kind) in [(false, Kind::Binary), (true, Kind::More)] {
        two.upstream.send(last, kind, &[0; 800]).await;
    }
    assert_eq!(two.caller.next().await.unwrap().payload.len(), 800);
    two.caller.closes_with(1011).await;
    two.upstream.closes_with(1009).await;
    let side = Side::Upstream;
    assert_eq!(ended(two).await, End::Fault(Fault { side, trouble }));
}

#[tokio::test]
async fn who_goes_without_a_word_takes_the_other_side_along() {
    let one = stage(SocketLimits::default());
    let (caller, mut upstream) = (one.caller, one.upstream);
    drop(caller);
    upstream.closes_with(1001).await;
    let (side, trouble) = (Side::Caller, Trouble::Gone);
    assert_eq!(
        one.talk.await.unwrap(),
        Some(End::Fault(Fault { side, trouble }))
    );
    let two = stage(SocketLimits::default());
    let (mut caller, upstream) = (two.caller, two.upstream);
    drop(upstream);
    assert_eq!(caller.next().await, None);
    let side = Side::Upstream;
    assert_eq!(
        two.talk.await.unwrap(),
        Some(End::Fault(Fault { side, trouble }))
    );
}

#[tokio::test]
async fn time_and_orders_end_it() {
    let limits = SocketLimits {
        idle: Duration::from_millis(50),
        ..SocketLimits::default()
    };
    let mut idle = stage(limits);
    idle.caller.closes_with(1001).await;
    idle.upstream.closes_with(1001).await;
    assert_eq!(ended(idle).await, End::Idle);
    for (order, code) in [
        (End::Cut(Cut::Handle), 1008),
        (End::Cut(Cut::Sealed), 1001),
        (End::Cut(Cut::Late), 1001),
        (End::Leaving, 1001),
    ] {
        let mut one = stage(SocketLimits::default());
        one.cut.send(order).unwrap();
        one.caller.closes_with(code).await;
        one.upstream.closes_with(1001).await;
        assert_eq!(one.talk.await.unwrap(), Some(order));
    }
}

#[tokio::test]
async fn ht_9_who_reads_nothing_stops_the_other_and_is_left_in_time() {
    let limits = SocketLimits {
        stall: Duration::from_millis(300),
        ..SocketLimits::default()
    };
    let stage = stage(limits);
    let (caller, mut upstream) = (stage.caller, stage.upstream);
    // More than all buffers on the way hold; it is not taken, because nobody takes it at the other end.
    let flood = async {
        for sent in 0.. {
            let mut out = BytesMut::new();
            let head = Head {
                last: true,
                kind: Kind::Binary,
                mask: None,
                length: 64 * 1024,
            };
            head.write(&mut out);
            out.resize(out.len() + 64 * 1024, 0);
            if upstream.pipe.write_all(&out).await.is_err() {
                return sent;
            }
        }
        0
    };
    let sent = flood.await;
    assert!((4..40).contains(&sent), "{sent}");
    let (side, trouble) = (Side::Caller, Trouble::Stalled);
    assert_eq!(
        stage.talk.await.unwrap(),
        Some(End::Fault(Fault { side, trouble }))
    );
    drop(caller);
}

#[tokio::test]
async fn ht_9_an_upstream_that_takes_nothing_is_left_in_time_and_the_caller_hears_why() {
    let limits = SocketLimits {
        stall: Duration::from_millis(300),
        ..SocketLimits::default()
    };
    let stage = stage(limits);
    let (mut caller, upstream) = (stage.caller, stage.upstream);
    let mut frame = BytesMut::new();
    let head = Head {
        last: true,
        kind: Kind::Binary,
        mask: Some([0; 4]),
        length: 64 * 1024,
    };
    head.write(&mut frame);
    frame.resize(frame.len() + 64 * 1024, 0);
    while caller.pipe.write_all(&frame).await.is_ok() {}
    caller.closes_with(1011).await;
    let (side, trouble) = (Side::Upstream, Trouble::Stalled);
    assert_eq!(
        stage.talk.await.unwrap(),
        Some(End::Fault(Fault { side, trouble }))
    );
    drop(upstream);
}

#[tokio::test]
async fn ht_9_who_leaves_a_goodbye_unanswered_is_not_waited_for() {
    let limits = SocketLimits {
        closing: Duration::from_millis(100),
        ..SocketLimits::default()
    };
    for by_caller in [true, false] {
        let mut stage = stage(limits);
        let (first, second) = if by_caller {
            (&mut stage.caller, &mut stage.upstream)
        } else {
            (&mut stage.upstream, &mut stage.caller)
        };
        first.send(true, Kind::Close, b"\x03\xe8bye").await;
        second.closes_with(1000).await;
        assert_eq!(first.next().await, None, "it hears no goodbye of the other");
        assert_eq!(ended(stage).await, End::Closed);
    }
}
