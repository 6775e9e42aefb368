//! The way back, as a browser goes it.

use http::{Method, StatusCode};

use super::tests_rig::{Browser, Rig, connected};
use crate::oauth::flow::tests_rig::{GIT, URL, loopback, org, user};
use crate::oauth::flow::{Failure, Outcome, PublicUrl, ReturnTo, Tell};

fn back(id: &str, query: &str) -> String {
    format!("/v1/oauth/callback/{id}?{query}")
}

fn home(popup: bool) -> Tell {
    let own = PublicUrl::parse(URL).unwrap();
    let to = ReturnTo::judge("/apps", &own, &[]).unwrap();
    Tell::Return { to, popup }
}

#[tokio::test]
async fn b1_every_wrong_state_has_the_same_page() {
    let rig = Rig::new();
    let mut browser = rig.browser();
    let state = browser
        .agree(&rig.begin(GIT, loopback()))
        .await
        .remove("state")
        .unwrap();
    let good = format!("code=c&state={state}");
    let mut pages = vec![
        browser.get(&back("acme-git", "code=c&state=unknown")).await,
        browser.get(&back("acme-git", "code=c")).await,
        browser.get(&back("NOT_AN_ID", &good)).await,
    ];
    let taken = browser.get(&back("acme-git", &good)).await;
    assert_eq!(taken.status, StatusCode::SEE_OTHER);
    pages.push(browser.get(&back("acme-git", &good)).await);
    let other = browser
        .agree(&rig.begin(GIT, loopback()))
        .await
        .remove("state")
        .unwrap();
    pages.push(
        browser
            .get(&back("acme-mail", &format!("code=c&state={other}")))
            .await,
    );
    let late = browser
        .agree(&rig.begin(GIT, loopback()))
        .await
        .remove("state")
        .unwrap();
    rig.clock.advance_millis(600_000);
    pages.push(
        browser
            .get(&back("acme-git", &format!("code=c&state={late}")))
            .await,
    );
    for page in &pages {
        assert_eq!(page.body, pages[0].body);
        assert_eq!(page.headers, pages[0].headers);
    }
    let shown = browser.refusal(&pages[0]).await;
    assert_eq!(
        (shown.status, shown.code()),
        (StatusCode::NOT_FOUND, "flow_unknown")
    );
    assert!(!rig.calls().iter().any(|call| call.starts_with("redeem")));
}

#[tokio::test]
async fn b2_fifty_callbacks_redeem_one_code() {
    let rig = Rig::new();
    let started = rig.begin(GIT, Tell::Code);
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    let path = back("acme-git", &format!("code=c&state={state}"));
    let all = (0..50).map(|_| {
        let (mut browser, path) = (browser.clone(), path.clone());
        tokio::spawn(async move { browser.get(&path).await.location().to_owned() })
    });
    let all: Vec<_> = all.collect();
    let mut sent = 0;
    for one in all {
        sent += usize::from(!one.await.unwrap().contains("/refused/"));
    }
    assert_eq!(sent, 1);
    assert_eq!(rig.calls(), ["confirming acme-git", "redeem c"]);
    assert_eq!(rig.status(&started.flow), "connected");
}

#[tokio::test]
async fn x2_x4_another_browser_is_told_where_to_go_and_nothing_is_redeemed() {
    let rig = Rig::new();
    let started = rig.begin(GIT, Tell::Code);
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    let path = back("acme-git", &format!("code=c&state={state}"));
    let wrong = rig.browser().get(&path).await;
    let wrong = rig.browser().refusal(&wrong).await;
    assert_eq!(
        (wrong.status, wrong.code()),
        (StatusCode::FORBIDDEN, "wrong_browser")
    );
    assert!(
        wrong
            .body
            .contains("Open it in the browser where you started")
    );
    assert_eq!(rig.status(&started.flow), "confirmed");
    assert_eq!(rig.calls(), ["confirming acme-git"]);
    let right = browser.get(&path).await;
    assert_eq!(
        right.location(),
        format!("{URL}/connect/{}/result", started.flow)
    );
}

#[tokio::test]
async fn b15_link_scanners_and_loading_ahead_leave_the_flow_alone() {
    let rig = Rig::new();
    let started = rig.begin(GIT, Tell::Code);
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    let path = back("acme-git", &format!("code=c&state={state}"));
    let look = browser
        .send(Browser::request(Method::HEAD, &path), "")
        .await;
    assert_eq!(look.status, StatusCode::METHOD_NOT_ALLOWED);
    let ahead = Browser::request(Method::GET, &path).header("sec-purpose", "prefetch;prerender");
    let ahead = browser.send(ahead, "").await;
    assert_eq!(ahead.code(), "loaded_ahead");
    rig.browser().get(&path).await;
    assert_eq!(rig.status(&started.flow), "confirmed");
    let taken = browser.get(&path).await;
    assert!(!taken.location().contains("/refused/"));
}

#[tokio::test]
async fn b6_a7_an_answer_that_breaks_a_rule_is_not_looked_at() {
    let rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    for query in [
        format!("code=a&code=b&state={state}"),
        format!("code=a&state={state}&state={state}"),
        format!("code=%ff&state={state}"),
        format!("code={}&state={state}", "a".repeat(4_097)),
        format!("code=a&state={state}&x={}", "a".repeat(8_192)),
        format!("access_token=a&state={state}"),
        format!("code=a&id_token=a&state={state}"),
    ] {
        let refused = browser.get(&back("acme-git", &query)).await;
        let refused = browser.refusal(&refused).await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::BAD_REQUEST, "bad_callback")
        );
        assert_eq!(rig.status(&started.flow), "confirmed");
    }
}

#[tokio::test]
async fn b7_a_provider_s_words_are_shown_as_text() {
    let rig = Rig::new();
    for said in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "\u{202e}evil\u{2066}",
        "\u{0}\r\n\u{7}x",
    ] {
        let started = rig.begin(GIT, Tell::Code);
        let mut browser = rig.browser();
        let state = browser.agree(&started).await.remove("state").unwrap();
        let said = percent_encoding::utf8_percent_encode(said, percent_encoding::NON_ALPHANUMERIC);
        let query = format!("error=access_denied&error_description={said}&state={state}");
        let sent = browser.get(&back("acme-git", &query)).await;
        assert_eq!(
            sent.location(),
            format!("{URL}/connect/{}/result", started.flow)
        );
        let page = browser.get(sent.location()).await;
        assert_eq!(page.code(), "access_denied");
        for raw in ["<script", "<img", "\u{202e}", "\u{2066}", "\u{0}", "\u{7}"] {
            assert!(!page.body.contains(raw), "{raw:?}");
        }
        assert!(page.body.contains("In the provider's words"));
    }
    let started = rig.begin(GIT, Tell::Code);
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    let long = format!(
        "error=x&state={state}&error_description={}",
        "a".repeat(4_000)
    );
    let sent = browser
        .get(&back("acme-git", &long))
        .await
        .location()
        .to_owned();
    let page = browser.get(&sent).await;
    assert!(page.body.contains(&"a".repeat(199)) && !page.body.contains(&"a".repeat(200)));
}

#[tokio::test]
async fn b8_the_last_address_has_neither_code_nor_state() {
    let rig = Rig::new();
    for tell in [loopback(), Tell::Code, home(false), home(true)] {
        let mut browser = rig.browser();
        let started = rig.begin(GIT, tell);
        let state = browser.agree(&started).await.remove("state").unwrap();
        let query = format!("code=the-code&state={state}");
        let sent = browser.get(&back("acme-git", &query)).await;
        assert!(!sent.location().contains("the-code") && !sent.location().contains(&state));
        // What the provider put into a fragment does not come along.
        assert!(sent.header("location").ends_with('#'));
        assert_eq!(sent.body, "");
        assert_eq!(sent.header("referrer-policy"), "no-referrer");
        let page = browser
            .get(&format!("/connect/{}/result", started.flow))
            .await;
        assert!(!page.body.contains("the-code") && !page.body.contains(&state));
    }
}

#[tokio::test]
async fn a_terminal_s_own_program_gets_flow_and_ticket_and_finishes() {
    let rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    let sent = browser
        .get(&back("acme-git", &format!("code=c&state={state}")))
        .await;
    let start = format!(
        "http://127.0.0.1:49152/callback?flow={}&ticket=",
        started.flow
    );
    let ticket = sent.location().strip_prefix(&start).unwrap().to_owned();
    assert_eq!(
        rig.calls(),
        ["confirming acme-git"],
        "nothing is redeemed yet"
    );
    let result = format!("/connect/{}/result", started.flow);
    let waiting = browser.get(&result).await;
    assert!(waiting.body.contains("http-equiv=\"refresh\"") && !waiting.body.contains(&ticket));
    let now = crate::oauth::flow::tests_rig::at(0);
    let pending = rig
        .book
        .finish(org(), user(1), &started.flow, &ticket, now)
        .unwrap();
    rig.book.settle(pending.key(), connected(), now);
    let page = browser.get(&result).await;
    assert!(page.body.contains("Acme Git is connected") && page.body.contains("octocat"));
}

#[tokio::test]
async fn b10_a_window_of_its_own_tells_that_one_origin_ids_only() {
    let rig = Rig::new();
    let started = rig.begin(GIT, home(true));
    let mut browser = rig.browser();
    let state = browser.agree(&started).await.remove("state").unwrap();
    let sent = browser
        .get(&back("acme-git", &format!("code=the-code&state={state}")))
        .await;
    assert_eq!(
        sent.location(),
        format!("{URL}/connect/{}/result", started.flow)
    );
    assert!(!sent.headers.contains_key("cross-origin-opener-policy"));
    let page = browser.get(sent.location()).await;
    assert_eq!(page.body.matches("<script").count(), 1);
    assert_eq!(page.attribute("data-origin="), URL);
    assert_eq!(page.attribute("data-flow="), started.flow.to_string());
    let ticket = page.attribute("data-ticket=");
    assert!(page.body.contains("postMessage(m,d.origin)"));
    assert!(!page.body.contains("'*'") && !page.body.contains("\"*\""));
    assert!(!page.body.contains("the-code"));
    assert!(!page.headers.contains_key("cross-origin-opener-policy"));
    let csp = page.header("content-security-policy");
    assert!(csp.contains("script-src 'sha256-") && !csp.contains("unsafe-inline"));
    // Without scripts, or without an opener, the way back is a link.
    let link = format!(
        "href=\"{URL}/apps?flow={}&amp;ticket={ticket}\"",
        started.flow
    );
    assert!(page.body.contains(&link));
    let now = crate::oauth::flow::tests_rig::at(0);
    assert!(
        rig.book
            .finish(org(), user(1), &started.flow, &ticket, now)
            .is_ok()
    );
}

#[tokio::test]
async fn x5_two_tabs_come_back_in_any_order() {
    let rig = Rig::new();
    let mut browser = rig.browser();
    let (one, two) = (rig.begin(GIT, Tell::Code), rig.begin(GIT, Tell::Code));
    let first = browser.agree(&one).await.remove("state").unwrap();
    let second = browser.agree(&two).await.remove("state").unwrap();
    for (code, state) in [("two", second), ("one", first)] {
        let sent = browser
            .get(&back("acme-git", &format!("code={code}&state={state}")))
            .await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(
        (rig.status(&one.flow), rig.status(&two.flow)),
        ("connected", "connected")
    );
}

#[tokio::test]
async fn x7_b4_b11_what_redeeming_says_is_what_the_page_says() {
    for (failure, text) in [
        (Failure::NotMember, "The user is not in Acme any more"),
        (Failure::TryAgain, "Acme Git did not answer"),
        (Failure::Mismatch, "That is another account"),
    ] {
        let rig = Rig::new();
        *rig.fake.outcome.lock().unwrap() = Some(Outcome::Failed(failure));
        let started = rig.begin(GIT, Tell::Code);
        let mut browser = rig.browser();
        let state = browser.agree(&started).await.remove("state").unwrap();
        let path = back("acme-git", &format!("code=c&state={state}"));
        let sent = browser.get(&path).await.location().to_owned();
        let page = browser.get(&sent).await;
        assert_eq!(page.code(), failure.code());
        assert!(page.body.contains(text), "{text}");
        // B11: the same code is never tried again.
        let again = browser.get(&path).await;
        assert_eq!(browser.refusal(&again).await.code(), "flow_unknown");
        assert_eq!(rig.calls(), ["confirming acme-git", "redeem c"]);
        assert_eq!(rig.status(&started.flow), failure.code());
    }
}
