//! Answers that come in other ways: signed, posted, by the short path; and the pages of those that are refused.

use http::{Method, StatusCode};

use super::tests_rig::{Browser, Rig};
use crate::crypto::{CryptoError, Random, hmac_of};
use crate::oauth::flow::Tell;
use crate::oauth::flow::tests_rig::{GIT, MAIL, SHOP, URL};
use crate::secret::Secret;
#[tokio::test]
async fn b16_a_signed_answer_is_checked_before_it_is_taken() {
    for (code, expected) in [("c", "connected"), ("d", "bad_signature")] {
        let rig = Rig::new();
        let started = rig.begin(SHOP, Tell::Code);
        let mut browser = rig.browser();
        let state = browser.agree(&started).await.remove("state").unwrap();
        let rest = format!("code=c&shop=acme.shop.example&state={state}&timestamp=1700000000");
        let mac = hmac_of(&Secret::copy_of(b"client-secret"), rest.as_bytes());
        let mac = data_encoding::HEXLOWER.encode(&mac);
        let rest = rest.replace("code=c", &format!("code={code}"));
        let sent = browser
            .get(&format!("/v1/oauth/callback/acme-shop?{rest}&hmac={mac}"))
            .await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER);
        assert_eq!(rig.status(&started.flow), expected);
    }
}

#[tokio::test]
async fn an_answer_that_was_posted_comes_again_as_a_navigation() {
    let rig = Rig::new();
    let started = rig.begin(MAIL, Tell::Code);
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    let posted = format!("code=c%2B1&state={state}");
    // A cross-site POST carries no cookie of ours.
    let bounced = rig
        .browser()
        .post("/v1/oauth/callback/acme-mail", &posted)
        .await;
    assert!(!bounced.headers.contains_key("set-cookie"));
    let target = format!("{URL}/v1/oauth/callback/acme-mail?{posted}");
    assert_eq!(bounced.location(), target);
    let sent = browser.get(&target).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    assert_eq!(rig.calls()[1], "redeem c+1");
    let here = "/v1/oauth/callback/acme-mail";
    for bad in [
        "code=a&code=b",
        "code=a b",
        "code=a\r\nx: y",
        "code=%ff",
        "code=é",
    ] {
        let refused = rig.browser().post(here, bad).await;
        let refused = rig.browser().refusal(&refused).await;
        assert_eq!(refused.code(), "bad_callback", "{bad:?}");
    }
}

#[tokio::test]
async fn the_short_path_is_the_same_place() {
    let rig = Rig::new();
    let started = rig.begin(GIT, Tell::Code);
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    let sent = browser
        .get(&format!("/oauth/callback/acme-git?code=c&state={state}"))
        .await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    assert_eq!(rig.status(&started.flow), "connected");
}

#[tokio::test]
async fn b8_a_refusal_s_page_is_the_same_for_everybody_and_there_are_no_others() {
    let rig = Rig::new();
    for (code, status) in [
        ("flow_unknown", StatusCode::NOT_FOUND),
        ("wrong_browser", StatusCode::FORBIDDEN),
        ("bad_callback", StatusCode::BAD_REQUEST),
        ("sealed", StatusCode::SERVICE_UNAVAILABLE),
        ("internal_error", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let path = format!("/connect/refused/{code}");
        let page = rig.browser().get(&path).await;
        assert_eq!((page.status, page.code()), (status, code));
    }
    for other in ["method_not_allowed", "loaded_ahead", "x", "%3Cscript%3E"] {
        let path = format!("/connect/refused/{other}");
        let page = rig.browser().get(&path).await;
        assert_eq!(page.code(), "flow_unknown", "{other}");
    }
}

#[tokio::test]
async fn b15_that_a_page_was_opened_is_told_once_and_not_of_a_browser_that_loads_ahead() {
    let rig = Rig::new();
    let flow = rig.begin(GIT, Tell::Code).flow;
    let path = format!("/connect/{flow}");
    let ahead = Browser::request(Method::GET, &path).header("sec-purpose", "prefetch");
    let page = rig.browser().send(ahead, "").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(rig.fake.opened.lock().unwrap().is_empty());
    assert_eq!(rig.status(&flow), "waiting");
    for _ in 0..3 {
        rig.browser().get(&path).await;
    }
    rig.browser()
        .get("/connect/aaaaaaaaaaaaaaaaaaaaaaaaaa")
        .await;
    assert_eq!(*rig.fake.opened.lock().unwrap(), [flow.to_string()]);
    assert_eq!(rig.status(&flow), "opened");
}

#[tokio::test]
async fn a_sealed_vault_is_the_reason_that_is_said_for_every_flow_alike() {
    let rig = Rig::new();
    let started = rig.begin(GIT, Tell::Code);
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    rig.book.forget();
    *rig.fake.sealed.lock().unwrap() = true;
    let page = format!("/connect/{}", started.flow);
    let none = "/connect/aaaaaaaaaaaaaaaaaaaaaaaaaa";
    for path in [&page, &format!("{page}/result"), none] {
        let said = browser.get(path).await;
        assert_eq!(
            (said.status, said.code()),
            (StatusCode::SERVICE_UNAVAILABLE, "sealed")
        );
    }
    let answer = format!("/v1/oauth/callback/acme-git?code=c&state={state}");
    let sent = browser.get(&answer).await;
    assert_eq!(sent.location(), format!("{URL}/connect/refused/sealed"));
    assert_eq!(browser.refusal(&sent).await.code(), "sealed");
    *rig.fake.sealed.lock().unwrap() = false;
    assert_eq!(browser.get(&page).await.code(), "flow_unknown");
}

/// A machine that has no random bytes.
#[derive(Debug)]
struct Dry;

impl Random for Dry {
    fn fill(&self, _: &mut [u8]) -> Result<(), CryptoError> {
        Err(CryptoError::Random)
    }
}

#[tokio::test]
async fn what_fails_on_our_side_is_said_to_be_ours() {
    let rig = Rig::with(URL, std::sync::Arc::new(Dry));
    let flow = rig.begin(GIT, Tell::Code).flow;
    let page = rig.browser().get(&format!("/connect/{flow}")).await;
    assert_eq!(
        (page.status, page.code()),
        (StatusCode::INTERNAL_SERVER_ERROR, "internal_error")
    );
    assert!(page.body.contains("Something failed on our side"));
    assert!(!page.headers.contains_key("set-cookie"));
}
