//! T5: a provider's name may say that it is anywhere; nobody is called where providers have no business.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::net::TcpListener;

use super::outbound::{Outbound, Silence};
use super::tests_issuer::Issuer;
use super::token::{Accepts, NoReply, TokenRequest};
use crate::clock::{ManualClock, Timestamp};
use crate::egress::tests_origin::Told;
use crate::egress::{Egress, EgressOptions, Limits, Url};
use crate::id::OrgId;
use crate::secret::Secret;

const ORG: OrgId = OrgId::from_bytes([1; 16]);

fn outbound(resolver: &Arc<Told>, private: &[&str]) -> Outbound {
    let resolver = Arc::<Told>::clone(resolver);
    let egress = Egress::new(EgressOptions {
        extra_roots: Vec::new(),
        resolver,
        limits: Limits::default(),
        own: Vec::new(),
    });
    let private: Vec<_> = private.iter().map(|range| range.parse().unwrap()).collect();
    Outbound::new(egress.unwrap(), &private)
}

/// A request that carries a secret.
fn request(scheme: &str, port: u16) -> TokenRequest {
    TokenRequest {
        method: http::Method::POST,
        url: Url::parse(&format!("{scheme}://login.provider.example:{port}/token")).unwrap(),
        path_and_query: zeroize::Zeroizing::new("/token".to_owned()),
        headers: HeaderMap::new(),
        body: Secret::copy_of(b"refresh_token=rt-0"),
        accepts: Accepts {
            timeout: Duration::from_secs(5),
            max_body: 1024,
        },
    }
}

#[tokio::test]
async fn t5_no_private_address_is_called_however_the_name_comes_by_it() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let called = tokio::spawn(async move { listener.accept().await.map(|(_, from)| from) });
    for addresses in [
        &["127.0.0.1"][..],
        &["127.8.8.8"],
        &["0.0.0.0"],
        &["10.0.0.1"],
        &["172.16.0.1"],
        &["192.168.1.1"],
        &["169.254.169.254"],
        &["100.64.0.1"],
        &["::1"],
        &["::"],
        &["fe80::1"],
        &["fd00:ec2::254"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        // One bad address among good ones is enough.
        &["93.184.215.14", "127.0.0.1"],
        &["127.0.0.1", "93.184.215.14"],
    ] {
        let resolver = Told::new(&[addresses]);
        for private in [&[][..], &["10.9.0.0/16"]] {
            let outbound = outbound(&resolver, private);
            let answered = outbound.send(ORG, request("https", port)).await;
            let refused = Err(Silence::Unsent(NoReply::Refused));
            assert_eq!(answered.map(|reply| reply.status), refused, "{addresses:?}");
        }
        assert_eq!(resolver.asked(), 2, "once for each: {addresses:?}");
    }
    assert!(!called.is_finished(), "somebody was called");
    called.abort();
}

#[tokio::test]
async fn t5_a_name_that_turns_inwards_is_dialled_where_it_was_checked_and_then_not_at_all() {
    let issuer = Issuer::start(ManualClock::at(Timestamp::default()), true, 0).await;
    let port = issuer.addr.port();
    // The range stands for what is public; the name turns elsewhere after the first look.
    let resolver = Told::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let outward = outbound(&resolver, &["127.0.0.1/32"]);
    let answered = outward.send(ORG, request("http", port)).await.unwrap();
    assert_eq!((answered.status, resolver.asked()), (200, 1));
    // Another organisation has no connection that was kept, so that the name is looked up again.
    let other = OrgId::from_bytes([2; 16]);
    let refused = outward.send(other, request("http", port)).await;
    assert_eq!(
        refused.map(|reply| reply.status),
        Err(Silence::Unsent(NoReply::Refused))
    );
    assert_eq!((issuer.asked("/token").len(), resolver.asked()), (1, 2));
}
