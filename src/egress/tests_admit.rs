//! What is refused before a byte is sent: addresses, cleartext, peers that prove nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::tests_guard::RANGES;
use super::tests_origin::{
    Authority, Origin, Told, answer, egress, fetch, get, loopback, plain, self_signed, text,
};
use super::{
    AddressKind, Egress, EgressError, EgressOptions, Limits, Phase, Private, TlsFault, Url, Verdict,
};
use crate::id::OrgId;

const NOW: (i32, i32) = (2020, 2050);

#[tokio::test]
async fn dc_15_a_verified_peer_is_sent_to() {
    let authority = Authority::new();
    for host in ["api.test", "127.0.0.1"] {
        let origin = Origin::start(Some(authority.server(host, NOW)), |_| answer("hello")).await;
        let resolver = Told::new(&[&["127.0.0.1"]]);
        let egress = egress(Some(authority.root()), resolver, Limits::default());
        let target = egress
            .admit(origin.url("https", host), &loopback())
            .await
            .unwrap();
        let peer = egress.connect(target).await.unwrap();
        assert_eq!(peer.peer_addr(), origin.address);
        assert_eq!(
            text(peer.send(get("/a?b=c")).await.unwrap()).await.unwrap(),
            "hello"
        );
        let request = origin.requests().pop().unwrap();
        assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: {host}:{}\r\n", origin.address.port())));
    }
}

/// Connects to an origin with `acceptor` and says why that failed, having seen that no HTTP arrived.
async fn refusal(acceptor: tokio_rustls::TlsAcceptor, authority: &Authority) -> TlsFault {
    let origin = Origin::start(Some(acceptor), |_| answer("leak")).await;
    let resolver = Told::new(&[&["127.0.0.1"]]);
    let egress = egress(Some(authority.root()), resolver, Limits::default());
    let error = fetch(&egress, origin.url("https", "api.test"))
        .await
        .unwrap_err();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!((origin.accepts(), origin.bytes()), (1, 0), "{error}");
    match error {
        EgressError::Tls { reason } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn dc_15_wrong_name_gets_no_byte() {
    let authority = Authority::new();
    let wrong = refusal(authority.server("other.test", NOW), &authority).await;
    assert_eq!(wrong, TlsFault::WrongName);
    let wrong = refusal(authority.server("127.0.0.1", NOW), &authority).await;
    assert_eq!(
        wrong,
        TlsFault::WrongName,
        "the address is right, the name is not"
    );
}

#[tokio::test]
async fn dc_15_expired_and_future_certificates_get_no_byte() {
    let authority = Authority::new();
    let expired = refusal(authority.server("api.test", (2015, 2020)), &authority).await;
    assert_eq!(expired, TlsFault::Expired);
    let future = refusal(authority.server("api.test", (2060, 2070)), &authority).await;
    assert_eq!(future, TlsFault::NotYetValid);
}

#[tokio::test]
async fn dc_15_self_signed_and_unknown_issuers_get_no_byte() {
    let authority = Authority::new();
    let own = refusal(self_signed("api.test"), &authority).await;
    assert_eq!(own, TlsFault::UnknownIssuer);
    let stranger = refusal(Authority::named("X").server("api.test", NOW), &authority).await;
    assert_eq!(stranger, TlsFault::UnknownIssuer);
    let impostor = refusal(Authority::new().server("api.test", NOW), &authority).await;
    assert_eq!(
        impostor,
        TlsFault::Other,
        "the issuer's name is known, its key is not"
    );
}

#[tokio::test]
async fn dc_15_every_connection_sees_the_certificate_itself() {
    let authority = Authority::new();
    let origin = Origin::start(Some(authority.server("api.test", NOW)), |_| answer("ok")).await;
    let resolver = Told::new(&[&["127.0.0.1"]]);
    let egress = egress(Some(authority.root()), resolver, Limits::default());
    for org in 1..=3 {
        let egress = egress.for_org(OrgId::from_bytes([org; 16]));
        let answer = fetch(&egress, origin.url("https", "api.test"))
            .await
            .unwrap();
        assert_eq!(text(answer).await.unwrap(), "ok");
    }
    assert_eq!((origin.accepts(), origin.resumed()), (3, 0));
}

#[tokio::test]
async fn dc_15_a_cleartext_server_behind_https_gets_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        drop(tcp.read_to_end(&mut seen).await);
        seen
    });
    let url = Url::parse(&format!("https://api.test:{port}/")).unwrap();
    let refused = fetch(&plain(Limits::default()), url).await.unwrap_err();
    let reason = TlsFault::Other;
    assert_eq!(refused, EgressError::Tls { reason });
    let seen = served.await.unwrap();
    assert!(
        !seen.windows(4).any(|bytes| bytes == b"HTTP"),
        "a TLS hello and nothing else"
    );
}

#[tokio::test]
async fn dc_15_a_root_that_is_none_is_said_at_the_start() {
    let made = Egress::new(EgressOptions {
        extra_roots: vec![vec![1, 2, 3].into()],
        resolver: Told::new(&[]),
        limits: Limits::default(),
        own: Vec::new(),
    });
    assert_eq!(made.err(), Some(EgressError::Root));
}

#[tokio::test]
async fn dc_14_cleartext_needs_a_granted_private_range() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let egress = plain(Limits::default());
    let refused = egress
        .admit(origin.url("http", "127.0.0.1"), &Private::Nowhere)
        .await;
    assert_eq!(refused.err(), Some(EgressError::Cleartext));
    let elsewhere = Private::Granted(vec!["10.0.0.0/8".parse().unwrap()]);
    let refused = egress
        .admit(origin.url("http", "127.0.0.1"), &elsewhere)
        .await;
    let kind = AddressKind::Loopback;
    assert_eq!(refused.err(), Some(EgressError::Refused { kind }));
    let everything = Private::Granted(vec!["0.0.0.0/0".parse().unwrap()]);
    let public = Url::parse("http://8.8.8.8/").unwrap();
    let refused = egress.admit(public, &everything).await;
    assert_eq!(refused.err(), Some(EgressError::Cleartext));
    assert_eq!(origin.accepts(), 0);
    let granted = fetch(&egress, origin.url("http", "127.0.0.1"))
        .await
        .unwrap();
    assert_eq!(text(granted).await.unwrap(), "ok");
}

#[tokio::test]
async fn dc_13_another_port_is_another_origin() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let other = Origin::start(None, |_| answer("other")).await;
    let egress = plain(Limits::default());
    let first = fetch(&egress, origin.url("http", "api.test"))
        .await
        .unwrap();
    assert_eq!(text(first).await.unwrap(), "ok");
    let second = fetch(&egress, other.url("http", "api.test")).await.unwrap();
    assert_eq!(
        text(second).await.unwrap(),
        "other",
        "no connection is shared between ports"
    );
    assert_ne!(
        origin.url("http", "api.test").origin(),
        other.url("http", "api.test").origin()
    );
}

#[tokio::test]
async fn ss_1_every_address_gets_the_same_verdict_as_a_literal_and_as_an_answer() {
    let origin = Origin::start(None, |_| answer("leak")).await;
    for (verdict, addresses) in RANGES {
        let expected = match *verdict {
            Verdict::Private(kind) | Verdict::Never(kind) => Some(EgressError::Refused { kind }),
            _ => None,
        };
        for ip in addresses.split_whitespace() {
            let egress = egress(None, Told::new(&[&[ip]]), Limits::default());
            let literal = if ip.contains(':') {
                format!("[{ip}]")
            } else {
                ip.to_owned()
            };
            for host in [&*literal, "api.test"] {
                let admitted = egress
                    .admit(origin.url("https", host), &Private::Nowhere)
                    .await;
                assert_eq!(admitted.err(), expected, "{host} {ip}");
            }
        }
    }
    assert_eq!(origin.accepts(), 0);
}

#[tokio::test]
async fn ss_2_metadata_is_refused_even_with_a_grant() {
    let everything = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let everything = Private::Granted(everything);
    for host in [
        "169.254.169.254",
        "[fd00:ec2::254]",
        "metadata.google.internal",
        "sly.test",
    ] {
        for scheme in ["http", "https"] {
            let egress = egress(None, Told::new(&[&["100.100.100.200"]]), Limits::default());
            let url = Url::parse(&format!("{scheme}://{host}/")).unwrap();
            let refused = egress.admit(url, &everything).await;
            assert_eq!(
                refused.err(),
                Some(EgressError::Metadata),
                "{scheme}://{host}"
            );
        }
    }
}

#[tokio::test]
async fn ss_4_one_bad_address_of_many_refuses_all() {
    let origin = Origin::start(None, |_| answer("leak")).await;
    for answers in [
        &["8.8.8.8", "127.0.0.1"][..],
        &["127.0.0.1", "8.8.8.8"],
        &["1.1.1.1", "::1"],
    ] {
        let egress = egress(None, Told::new(&[answers]), Limits::default());
        let refused = egress
            .admit(origin.url("https", "api.test"), &Private::Nowhere)
            .await;
        let kind = AddressKind::Loopback;
        assert_eq!(refused.err(), Some(EgressError::Refused { kind }));
    }
    let egress = egress(None, Told::new(&[&[]]), Limits::default());
    let none = egress
        .admit(origin.url("https", "api.test"), &Private::Nowhere)
        .await;
    assert_eq!(none.err(), Some(EgressError::NameNotFound));
    assert_eq!(origin.accepts(), 0);
}

#[tokio::test]
async fn ss_4_a_name_that_rebinds_is_asked_once_and_dialled_where_it_was_checked() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    // The second answer is one that the grant does not cover; nobody must ever see it.
    let resolver = Told::new(&[&["127.0.0.1"], &["127.0.0.2"], &["10.0.0.1"]]);
    let egress = egress(None, Arc::clone(&resolver), Limits::default());
    let target = egress
        .admit(origin.url("http", "api.test"), &loopback())
        .await
        .unwrap();
    assert_eq!(resolver.asked(), 1);
    let peer = egress.connect(target).await.unwrap();
    assert_eq!(peer.peer_addr(), origin.address);
    text(peer.send(get("/")).await.unwrap()).await.unwrap();
    assert_eq!((resolver.asked(), origin.accepts()), (1, 1));
}

#[tokio::test]
async fn ss_5_the_brokers_own_listeners_are_refused_under_any_name_and_grant() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let egress = Egress::new(EgressOptions {
        extra_roots: Vec::new(),
        resolver: Told::new(&[&["127.0.0.1"]]),
        limits: Limits::default(),
        own: vec![listener.local_addr().unwrap()],
    })
    .unwrap();
    for host in [
        "127.0.0.1",
        "127.0.0.9",
        "api.test",
        "localhost",
        "[::ffff:127.0.0.1]",
    ] {
        for scheme in ["http", "https"] {
            let url = Url::parse(&format!("{scheme}://{host}:{port}/")).unwrap();
            let refused = egress.admit(url, &loopback()).await;
            assert_eq!(
                refused.err(),
                Some(EgressError::Circular),
                "{scheme}://{host}"
            );
        }
    }
    let accepted = tokio::time::timeout(Duration::from_millis(30), listener.accept()).await;
    assert!(accepted.is_err(), "nothing was dialled");
}

#[tokio::test]
async fn a_second_address_is_tried_when_the_first_refuses() {
    let origin = Origin::start(None, |_| answer("ok")).await;
    let egress = egress(
        None,
        Told::new(&[&["127.0.0.77", "127.0.0.1"]]),
        Limits::default(),
    );
    let target = egress
        .admit(origin.url("http", "api.test"), &loopback())
        .await
        .unwrap();
    let peer = egress.connect(target).await.unwrap();
    assert_eq!(peer.peer_addr(), origin.address);
}

#[tokio::test]
async fn ht_9_a_handshake_that_never_comes_ends_in_time() {
    // A listener that accepts and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let limits = Limits {
        handshake: Duration::from_millis(50),
        ..Limits::default()
    };
    let url = Url::parse(&format!("https://api.test:{port}/")).unwrap();
    let late = fetch(&plain(limits), url).await.unwrap_err();
    let phase = Phase::Handshake;
    assert_eq!(late, EgressError::Timeout { phase });
}

#[tokio::test]
async fn a_closed_port_is_no_connection() {
    let origin = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = Url::parse(&format!("http://api.test:{}/", origin.port())).unwrap();
    let refused = fetch(&plain(Limits::default()), url).await.unwrap_err();
    assert_eq!(refused, EgressError::Connect);
}
