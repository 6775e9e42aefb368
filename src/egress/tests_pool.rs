//! Which connections are used again, and which never are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;

use super::tests_origin::{
    Origin, Step, Told, answer, egress, fetch, get, loopback, plain, send, settle, text,
};
use super::{Egress, EgressError, Limits, Outgoing, Private};
use crate::id::OrgId;

#[tokio::test]
async fn a_connection_whose_body_was_read_is_used_again_without_asking_dns() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let resolver = Told::new(&[&["127.0.0.1"]]);
    let egress = egress(None, Arc::clone(&resolver), Limits::default());
    for _ in 0..5 {
        let answer = fetch(&egress, origin.url("http", "api.test"))
            .await
            .unwrap();
        assert_eq!(text(answer).await.unwrap(), "ok");
        settle().await;
    }
    assert_eq!(
        (origin.accepts(), origin.requests().len(), resolver.asked()),
        (1, 5, 1)
    );
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_a_body_that_not_every_server_reads() {
    let origin = Origin::start(None, |_| answer("")).await;
    let egress = plain(Limits::default());
    let mut opened = 0;
    for (method, body, kept) in [
        (Method::GET, "", true),
        (Method::DELETE, "", true),
        (Method::POST, "GET /x HTTP/1.1\r\n\r\n", true),
        (Method::GET, "GET /x HTTP/1.1\r\n\r\n", false),
        (Method::HEAD, "{}", false),
        (Method::DELETE, "{}", false),
        (Method::OPTIONS, "{}", false),
        (Method::PUT, "{}", true),
    ] {
        let path = PathAndQuery::from_static("/");
        let request = Outgoing::full(method.clone(), path, HeaderMap::new(), Bytes::from(body));
        let url = origin.url("http", "api.test");
        let target = egress.admit(url, &loopback()).await.unwrap();
        let peer = egress.connect(target).await.unwrap();
        text(peer.send(request).await.unwrap()).await.unwrap();
        settle().await;
        text(
            fetch(&egress, origin.url("http", "api.test"))
                .await
                .unwrap(),
        )
        .await
        .unwrap();
        settle().await;
        opened += usize::from(!kept) + usize::from(opened == 0);
        assert_eq!(origin.accepts(), opened, "{method} {body}");
    }
}

#[tokio::test]
async fn a_connection_whose_body_was_dropped_is_not_used_again() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab";
    let slow = |_| [send(head), vec![Step::Wait(100)], send("cde")].concat();
    let origin = Origin::start(None, slow).await;
    let egress = plain(Limits::default());
    let mut first = fetch(&egress, origin.url("http", "api.test"))
        .await
        .unwrap();
    assert!(first.body.frame().await.is_some());
    drop(first);
    settle().await;
    let second = fetch(&egress, origin.url("http", "api.test"))
        .await
        .unwrap();
    assert_eq!(text(second).await.unwrap(), "abcde");
    assert_eq!(origin.accepts(), 2);
}

#[tokio::test]
async fn grants_and_organisations_do_not_share_connections() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let egress = plain(Limits::default());
    let narrow = Private::Granted(vec!["127.0.0.1/32".parse().unwrap()]);
    let [one, two] = [1, 2].map(|n| egress.for_org(OrgId::from_bytes([n; 16])));
    for (egress, private) in [
        (&egress, &loopback()),
        (&egress, &narrow),
        (&one, &narrow),
        (&two, &narrow),
    ] {
        for _ in 0..2 {
            let target = egress
                .admit(origin.url("http", "api.test"), private)
                .await
                .unwrap();
            let answer = egress
                .connect(target)
                .await
                .unwrap()
                .send(get("/"))
                .await
                .unwrap();
            text(answer).await.unwrap();
            settle().await;
        }
    }
    assert_eq!((origin.accepts(), origin.requests().len()), (4, 8));
}

#[tokio::test]
async fn a_target_or_peer_that_is_not_used_gives_its_connection_back() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let egress = plain(Limits::default());
    let private = loopback();
    let admit = || egress.admit(origin.url("http", "api.test"), &private);
    drop(egress.connect(admit().await.unwrap()).await.unwrap());
    settle().await;
    drop(admit().await.unwrap());
    let peer = egress.connect(admit().await.unwrap()).await.unwrap();
    text(peer.send(get("/")).await.unwrap()).await.unwrap();
    assert_eq!((origin.accepts(), origin.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_waiting_connection_that_died_is_replaced_by_a_fresh_one() {
    let once = |_| [answer("ok"), vec![Step::Wait(20), Step::Close]].concat();
    let origin = Origin::start(None, once).await;
    let resolver = Told::new(&[&["127.0.0.1"]]);
    let egress = egress(None, Arc::clone(&resolver), Limits::default());
    for _ in 0..3 {
        let answer = fetch(&egress, origin.url("http", "api.test"))
            .await
            .unwrap();
        assert_eq!(text(answer).await.unwrap(), "ok");
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!((origin.accepts(), origin.requests().len()), (3, 3));
    assert_eq!(resolver.asked(), 3, "each dial asks once");
}

#[tokio::test]
async fn a_connection_that_dies_between_connect_and_send_is_replaced_and_checked_again() {
    let once = |_| [answer("ok"), vec![Step::Wait(40), Step::Close]].concat();
    let origin = Origin::start(None, once).await;
    // The name moves to an address outside the grant before the second dial.
    let resolver = Told::new(&[&["127.0.0.1"], &["127.0.0.1"], &["10.0.0.1"]]);
    let egress = egress(None, Arc::clone(&resolver), Limits::default());
    let url = || origin.url("http", "api.test");
    text(fetch(&egress, url()).await.unwrap()).await.unwrap();
    for outcome in [Ok(200), Err("address_refused")] {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let target = egress.admit(url(), &loopback()).await.unwrap();
        let peer = egress.connect(target).await.unwrap();
        tokio::time::sleep(Duration::from_millis(80)).await;
        let answer = peer.send(get("/")).await;
        let got = answer.as_ref().map(|a| a.status).map_err(EgressError::code);
        assert_eq!(got, outcome);
        if let Ok(answer) = answer {
            text(answer).await.unwrap();
        }
    }
    assert_eq!((origin.accepts(), origin.requests().len()), (2, 2));
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_never_sent_twice() {
    // The second request on a kept connection arrives, and the origin hangs up on it.
    let hang_up = |n| {
        if n == 1 {
            answer("ok")
        } else {
            vec![Step::Close]
        }
    };
    let origin = Origin::start(None, hang_up).await;
    let egress = plain(Limits::default());
    text(
        fetch(&egress, origin.url("http", "api.test"))
            .await
            .unwrap(),
    )
    .await
    .unwrap();
    settle().await;
    let closed = fetch(&egress, origin.url("http", "api.test"))
        .await
        .unwrap_err();
    assert_eq!(closed, EgressError::Closed);
    settle().await;
    assert_eq!((origin.accepts(), origin.requests().len()), (1, 2));
}

#[tokio::test]
async fn waiting_connections_are_few_and_do_not_wait_for_ever() {
    let slow = |_| [vec![Step::Wait(50)], answer("ok")].concat();
    let origin = Origin::start(None, slow).await;
    let limits = Limits {
        pool_idle: Duration::from_millis(200),
        pool_per_origin: 2,
        connections: 4,
        ..Limits::default()
    };
    let egress = plain(limits);
    let all = || {
        (0..4).map(|_| async { text(fetch(&egress, origin.url("http", "api.test")).await?).await })
    };
    for answer in futures_util::future::join_all(all()).await {
        assert_eq!(answer.as_deref(), Ok("ok"));
    }
    assert_eq!(origin.accepts(), 4);
    settle().await;
    for answer in futures_util::future::join_all(all()).await {
        assert_eq!(answer.as_deref(), Ok("ok"));
    }
    assert_eq!(origin.accepts(), 6, "two of four were kept");
    tokio::time::sleep(Duration::from_millis(500)).await;
    text(
        fetch(&egress, origin.url("http", "api.test"))
            .await
            .unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(origin.accepts(), 7, "none was kept that long");
}

#[tokio::test]
async fn what_was_in_use_when_all_were_closed_is_not_used_again() {
    let slow = |_| {
        [
            send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no"),
            vec![Step::Wait(30)],
            send("k"),
        ]
        .concat()
    };
    let origin = Origin::start(None, slow).await;
    let egress = plain(Limits::default());
    let url = || origin.url("http", "api.test");
    let in_use = fetch(&egress, url()).await.unwrap();
    egress.close_idle();
    assert_eq!(text(in_use).await.unwrap(), "ok");
    settle().await;
    for _ in 0..2 {
        assert_eq!(
            text(fetch(&egress, url()).await.unwrap()).await.unwrap(),
            "ok"
        );
        settle().await;
    }
    assert_eq!(
        origin.accepts(),
        2,
        "the one from before is closed, the next is kept"
    );
}

#[tokio::test]
async fn an_operator_may_have_no_connection_wait_at_all() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let egress = plain(Limits {
        pool_per_origin: 0,
        ..Limits::default()
    });
    for _ in 0..2 {
        let answer = fetch(&egress, origin.url("http", "api.test"))
            .await
            .unwrap();
        assert_eq!(text(answer).await.unwrap(), "ok");
        settle().await;
    }
    assert_eq!(origin.accepts(), 2);
}

#[tokio::test]
async fn connections_are_limited_in_all_and_a_waiting_one_makes_room() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let egress = plain(limits);
    let held = fetch(&egress, origin.url("http", "one.test"))
        .await
        .unwrap();
    drop(text(held).await);
    settle().await;
    let private = loopback();
    let admit = |host| egress.admit(origin.url("http", host), &private);
    let peer = egress.connect(admit("two.test").await.unwrap()).await;
    let peer = peer.expect("the one that waits makes room");
    let busy = egress.connect(admit("three.test").await.unwrap()).await;
    assert_eq!(busy.err(), Some(EgressError::Busy));
    drop(peer);
}

#[tokio::test]
async fn one_organisations_connections_leave_room_for_the_others() {
    let slow = |_| [vec![Step::Wait(300)], answer("ok")].concat();
    let origin = Origin::start(None, slow).await;
    let limits = Limits {
        connections: 4,
        connections_per_org: 2,
        ..Limits::default()
    };
    let egress = plain(limits);
    let [one, two] = [1, 2].map(|n| egress.for_org(OrgId::from_bytes([n; 16])));
    let call =
        async |egress: &Egress| text(fetch(egress, origin.url("http", "api.test")).await?).await;
    let ended = futures_util::join!(call(&one), call(&one), call(&one), call(&two), call(&two));
    let refused = [&ended.0, &ended.1, &ended.2]
        .into_iter()
        .filter(|end| **end == Err(EgressError::Share));
    assert_eq!(refused.count(), 1, "{ended:?}");
    assert_eq!(
        (ended.3.as_deref(), ended.4.as_deref()),
        (Ok("ok"), Ok("ok"))
    );
    settle().await;
    // Its own connections that wait make room for another host; those of others stay.
    let elsewhere = fetch(&one, origin.url("http", "other.test")).await.unwrap();
    assert_eq!(origin.accepts(), 5);
    assert_eq!(call(&two).await.as_deref(), Ok("ok"));
    assert_eq!(origin.accepts(), 5, "the other organisation's waited on");
    drop(text(elsewhere).await);
}

#[tokio::test]
async fn an_upstream_that_asks_to_close_is_not_kept() {
    let close = |_| send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    let origin = Origin::start(None, close).await;
    let egress = plain(Limits::default());
    for _ in 0..2 {
        text(
            fetch(&egress, origin.url("http", "api.test"))
                .await
                .unwrap(),
        )
        .await
        .unwrap();
        settle().await;
    }
    assert_eq!(origin.accepts(), 2);
}

#[tokio::test]
async fn an_answer_nobody_asked_for_never_becomes_the_next_ones() {
    let twice = |n| match n {
        1 => [answer("mine"), answer("planted")].concat(),
        _ => answer("true"),
    };
    let together = move |n| {
        let bytes = twice(n).into_iter().map(|step| match step {
            Step::Send(bytes) => bytes,
            _ => Vec::new(),
        });
        vec![Step::Send(bytes.collect::<Vec<_>>().concat())]
    };
    let origin = Origin::start(None, together).await;
    let egress = plain(Limits::default());
    for expected in ["mine", "true"] {
        let answer = fetch(&egress, origin.url("http", "api.test"))
            .await
            .unwrap();
        assert_eq!(text(answer).await.unwrap(), expected);
    }
    assert_eq!(origin.accepts(), 2);
}
