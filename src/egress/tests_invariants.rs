//! What holds in whatever order requests come: of the six invariants of the broker those two that are kept
//! here. That nothing else of the process dials is read off the sources (`tests/architecture.rs`, doors).

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::tests_origin::{Authority, Origin, Told, answer, egress, loopback, self_signed, settle};
use super::{
    Egress, EgressError, EgressOptions, Incoming, Limits, Outgoing, Private, Url, credential_value,
};
use crate::id::OrgId;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A request that carries `credential`.
fn with(credential: &str) -> Outgoing {
    let value = credential_value(credential.as_bytes()).unwrap();
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
    let path = PathAndQuery::from_static("/");
    Outgoing::full(Method::GET, path, headers, Bytes::new())
}

const NAMES: [&str; 3] = ["api.test", "other.test", "127.0.0.1"];

/// A listener with a certificate for `name`, and whether that is one to be trusted.
struct Peer {
    origin: Origin,
    name: &'static str,
    good: bool,
}

/// Listeners for each name: one that is who it says, and one for each way in which one may not be.
async fn peers(authority: &Authority) -> Vec<Peer> {
    let (now, before, after) = ((2020, 2050), (2001, 2002), (2060, 2070));
    let mut peers = Vec::new();
    for name in NAMES {
        for (acceptor, good) in [
            (authority.server(name, now), true),
            (authority.server(name, before), false),
            (authority.server(name, after), false),
            (authority.server("elsewhere.test", now), false),
            (self_signed(name), false),
            // Of a stranger, and of one who has taken our own's name.
            (Authority::named("X").server(name, now), false),
            (Authority::new().server(name, now), false),
        ] {
            let origin = Origin::start(Some(acceptor), |_| answer("ok")).await;
            peers.push(Peer { origin, name, good });
        }
    }
    peers
}

/// One request: to which listener, under which name, for which organisation.
type Step = (usize, usize, u8);

/// How many listeners there are of each name.
const KINDS: usize = 7;

/// Every other one to the listener that is who it says, under this or another name.
fn steps() -> impl Strategy<Value = Step> {
    let names = || 0..NAMES.len();
    let whoever = (0..NAMES.len() * KINDS, names(), 0_u8..2);
    let good = (names(), names(), 0_u8..2, any::<bool>());
    let good = good.prop_map(|(name, other, org, same)| {
        let asked = if same { name } else { other };
        (name * KINDS, asked, org)
    });
    prop_oneof![whoever, good]
}

/// Sends them all at once; whether each arrived.
async fn sent(egress: &Egress, peers: &[Peer], steps: &[Step]) -> Vec<Result<(), EgressError>> {
    let requests = steps.iter().map(async |(which, name, org)| {
        let peer = &peers[*which];
        let host = NAMES[*name];
        let egress = egress.for_org(OrgId::from_bytes([*org; 16]));
        let url = peer.origin.url("https", host);
        let target = egress.admit(url, &loopback()).await?;
        let connected = egress.connect(target).await?;
        let answer: Incoming = connected.send(with(&format!("value-for-{host}"))).await?;
        super::tests_origin::text(answer).await.map(drop)
    });
    join_all(requests).await
}

/// Says what failed, and writes nothing down.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    })
}

#[test]
fn invariant_1_no_value_is_written_to_who_has_not_proved_to_be_its_host_on_that_connection() {
    let (runtime, authority) = (runtime(), Authority::new());
    let peers = runtime.block_on(peers(&authority));
    assert_eq!(peers.len(), NAMES.len() * KINDS);
    let batches = prop::collection::vec(prop::collection::vec(steps(), 1..4), 1..8);
    let mut runner = runner(48);
    let ran = runner.run(&batches, |batches| {
        runtime.block_on(async {
            // Connections are kept from one batch to the next.
            let resolver = Told::new(&[&["127.0.0.1"]]);
            let egress = egress(Some(authority.root()), resolver, Limits::default());
            for steps in &batches {
                let sent = sent(&egress, &peers, steps).await;
                for ((which, name, _), sent) in steps.iter().zip(sent) {
                    let peer = &peers[*which];
                    let proved = peer.good && peer.name == NAMES[*name];
                    prop_assert_eq!(sent.is_ok(), proved, "{:?} {:?}", peer.name, sent);
                    if !proved {
                        prop_assert!(matches!(sent, Err(EgressError::Tls { .. })), "{:?}", sent);
                    }
                }
            }
            Ok(())
        })
    });
    ran.unwrap();
    runtime.block_on(settle());
    let mut arrived = 0;
    for peer in &peers {
        if !peer.good {
            assert_eq!(peer.origin.bytes(), 0, "{}", peer.name);
        }
        for request in peer.origin.requests() {
            let own = format!("authorization: value-for-{}\r\n", peer.name);
            assert!(request.contains(&own), "{}: {request}", peer.name);
            arrived += 1;
        }
    }
    assert!(arrived > 20, "{arrived}");
}

/// A listener on every address of this machine, and at which of them somebody came.
struct Everywhere {
    port: u16,
    came: Arc<Mutex<Vec<IpAddr>>>,
}

impl Everywhere {
    async fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::<Mutex<Vec<IpAddr>>>::default();
        let seen = Arc::clone(&came);
        tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                seen.lock().unwrap().push(tcp.local_addr().unwrap().ip());
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                drop(tcp.write_all(answer).await);
            }
        });
        Self { port, came }
    }

    fn take(&self) -> Vec<IpAddr> {
        std::mem::take(&mut self.came.lock().unwrap())
    }

    /// Where somebody came; the first is waited for where one is `expected`.
    async fn arrived(&self, expected: bool) -> Vec<IpAddr> {
        for _ in 0..2_000 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let came = self.take();
            if !expected || !came.is_empty() {
                return came;
            }
        }
        Vec::new()
    }
}

/// How a connection is asked for: with a request, or for somebody else's TLS.
async fn dialled(egress: &Egress, url: &Url, private: &Private, bare: bool) -> bool {
    if bare {
        return match egress.passage(url, private).await {
            Ok(passage) => passage.open().await.is_ok(),
            Err(_) => false,
        };
    }
    let Ok(target) = egress.admit(url.clone(), private).await else {
        return false;
    };
    let Ok(peer) = egress.connect(target).await else {
        return false;
    };
    drop(peer.send(with("a-value")).await);
    true
}

#[test]
#[expect(clippy::too_many_lines, reason = "a property is told in one piece")]
fn invariant_4_whoever_dials_the_guard_has_judged_every_address_and_only_those_are_dialled() {
    let runtime = runtime();
    let everywhere = runtime.block_on(Everywhere::start());
    let port = everywhere.port;
    let near = (1_u8..9).prop_map(|last| IpAddr::from([127, 0, 0, last]));
    let bad = prop::sample::select(vec![
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "fd00:ec2::254",
    ]);
    let bad = bad.prop_map(|text| text.parse::<IpAddr>().unwrap());
    let answers = prop::collection::vec(prop_oneof![9 => near, 1 => bad], 1..4);
    let granted = prop::collection::btree_set(1_u8..9, 1..8);
    let case = (
        answers,
        granted,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    let mut runner = runner(300);
    let (opened, refused) = (Cell::new(0), Cell::new(0));
    let ran = runner.run(&case, |(answers, granted, bare, literal, own)| {
        runtime.block_on(async {
            let net = |last: &u8| format!("127.0.0.{last}/32").parse().unwrap();
            let private = Private::Granted(granted.iter().map(net).collect());
            let texts: Vec<_> = answers.iter().map(ToString::to_string).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let own: Vec<SocketAddr> = own
                .then(|| ([0, 0, 0, 0], port).into())
                .into_iter()
                .collect();
            let is_own = !own.is_empty();
            let egress = Egress::new(EgressOptions {
                extra_roots: Vec::new(),
                resolver: Told::new(&[&texts]),
                limits: Limits {
                    connect: Duration::from_secs(5),
                    ..Limits::default()
                },
                own,
            });
            let egress = egress.unwrap();
            let host = match (literal, answers[0]) {
                (false, _) => "name.test".to_owned(),
                (true, IpAddr::V4(address)) => address.to_string(),
                (true, IpAddr::V6(address)) => format!("[{address}]"),
            };
            let asked: &[IpAddr] = if literal { &answers[..1] } else { &answers };
            let Ok(url) = Url::parse(&format!("http://{host}:{port}/")) else {
                return Ok(());
            };
            everywhere.take();
            let dialled = dialled(&egress, &url, &private, bare).await;
            let came = everywhere.arrived(dialled).await;
            let covered = |address: &IpAddr| match address {
                IpAddr::V4(address) => {
                    let [a, b, c, last] = address.octets();
                    [a, b, c] == [127, 0, 0] && granted.contains(&last)
                }
                IpAddr::V6(_) => false,
            };
            if is_own || !asked.iter().all(covered) {
                prop_assert!(!dialled, "{:?} {:?}", asked, granted);
                prop_assert_eq!(came, Vec::<IpAddr>::new());
                refused.set(refused.get() + 1);
            } else {
                prop_assert!(dialled, "{:?} {:?}", asked, granted);
                prop_assert!(!came.is_empty() && came.iter().all(|at| asked.contains(at)));
                opened.set(opened.get() + 1);
            }
            Ok(())
        })
    });
    ran.unwrap();
    let (opened, refused) = (opened.get(), refused.get());
    assert!(opened > 20 && refused > 20, "{opened} {refused}");
}
