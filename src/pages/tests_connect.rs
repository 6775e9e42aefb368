//! The page of a flow, and agreeing to it.

use http::{Method, StatusCode};

use super::tests_rig::{Answer, Browser, Rig};
use crate::oauth::flow::tests_rig::{GIT, MAIL, URL, ask, loopback};
use crate::oauth::flow::{Failure, FlowId, PublicUrl, ReturnTo, Tell};

#[tokio::test]
async fn x1_a_link_that_is_none_any_more_looks_like_one_that_never_was() {
    let rig = Rig::new();
    let mut pages = Vec::new();
    // Never was, in and out of form.
    pages.push(
        rig.browser()
            .get("/connect/aaaaaaaaaaaaaaaaaaaaaaaaaa")
            .await,
    );
    pages.push(rig.browser().get("/connect/x").await);
    pages.push(rig.browser().get("/connect/x/result").await);
    // Another browser agreed.
    let started = rig.begin(GIT, loopback());
    let path = format!("/connect/{}", started.flow);
    rig.browser().agree(&started).await;
    pages.push(rig.browser().get(&path).await);
    pages.push(rig.browser().get(&format!("{path}/result")).await);
    // Its time is over.
    let started = rig.begin(GIT, loopback());
    rig.clock.advance_millis(600_000);
    pages.push(
        rig.browser()
            .get(&format!("/connect/{}", started.flow))
            .await,
    );
    for page in &pages {
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert_eq!(page.body, pages[0].body);
        assert_eq!(page.headers, pages[0].headers);
        assert!(!page.headers.contains_key("set-cookie"));
        assert_eq!(page.code(), "flow_unknown");
    }
}

#[tokio::test]
async fn a_provider_s_picture_is_drawn_in_the_page_itself_or_is_a_letter() {
    let rig = Rig::new();
    let page = async |file: &str| {
        let started = rig.begin(file, loopback());
        let path = format!("/connect/{}", started.flow);
        rig.browser().get(&path).await.body
    };
    let plain = page(GIT).await;
    assert!(plain.contains("<span class=\"tile\">A</span>"), "{plain}");
    let named = "display_name = \"Acme Git\"\n";
    let drawn = GIT.replace(named, &format!("{named}icon = \"M4 4h16v16H4z\"\n"));
    let drawn = page(&drawn).await;
    assert!(drawn.contains("<path d=\"M4 4h16v16H4z\">"), "{drawn}");
    assert!(!drawn.contains("<span class=\"tile\">A</span>"));
}

#[tokio::test]
async fn looking_at_a_link_sets_no_flow_cookie_and_tells_nothing_to_the_provider() {
    let rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    let mut browser = rig.browser();
    let page = browser.get(&format!("/connect/{}", started.flow)).await;
    for text in [
        "Ann Example",
        "Acme",
        "Acme Git",
        "git.example",
        "Read and change repositories",
    ] {
        assert!(page.body.contains(text), "{text}");
    }
    let names: Vec<_> = browser.jar.keys().collect();
    assert_eq!(names, ["__Host-rt_form"]);
    assert!(!page.body.contains("oauth/authorize"));
    assert_eq!(rig.status(&started.flow), "opened");
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn agreeing_sets_the_cookie_and_sends_the_browser_to_the_provider() {
    let rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    let mut browser = rig.browser();
    let path = format!("/connect/{}", started.flow);
    let page = browser.get(&path).await;
    let token = page.attribute("name=\"token\" value=");
    let sent = browser.post(&path, &format!("token={token}")).await;
    assert!(
        sent.location()
            .starts_with("https://git.example/oauth/authorize?response_type=code&")
    );
    let cookie = sent.header("set-cookie");
    assert!(cookie.starts_with(&format!("__Host-rt_flow_{}=", started.flow)));
    assert!(cookie.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"));
    let state = url::Url::parse(sent.location()).unwrap();
    let state = state
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned();
    assert!(
        !cookie.contains(&state),
        "the cookie has nothing to do with the state"
    );
    assert_eq!(sent.header("referrer-policy"), "no-referrer");
    assert_eq!(rig.calls(), ["confirming acme-git"]);
    assert_eq!(rig.status(&started.flow), "confirmed");
}

#[tokio::test]
async fn a4_the_redirect_uri_does_not_come_from_the_request() {
    let rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    let mut browser = rig.browser();
    let path = format!("/connect/{}", started.flow);
    let page = browser.get(&path).await;
    let token = page.attribute("name=\"token\" value=");
    let request = Browser::request(Method::POST, &path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "http")
        .header("forwarded", "host=evil.example");
    let sent = browser.send(request, &format!("token={token}")).await;
    let expected =
        "redirect_uri=https%3A%2F%2Fbroker.example.com%2Fv1%2Foauth%2Fcallback%2Facme-git";
    assert!(sent.location().contains(expected));
    assert!(!sent.location().contains("evil"));
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn post(browser: &mut Browser, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Browser::request(Method::POST, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    browser.send(request, body).await
}

#[tokio::test]
async fn a_form_that_our_page_did_not_send_is_refused() {
    let rig = Rig::new();
    let (started, other) = (rig.begin(GIT, loopback()), rig.begin(GIT, loopback()));
    let path = format!("/connect/{}", started.flow);
    let mut browser = rig.browser();
    let token = browser.get(&path).await.attribute("name=\"token\" value=");
    let other = browser.get(&format!("/connect/{}", other.flow)).await;
    let other = other.attribute("name=\"token\" value=");
    for body in [
        String::new(),
        "token=".to_owned(),
        format!("token={other}"),
        format!("token={token}&token=x"),
        format!("token={token}&x=y"),
        format!("token={token}&code={}", "x".repeat(5_000)),
    ] {
        let refused = post(&mut browser, &path, &[FORM], &body).await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::FORBIDDEN, "form_expired")
        );
        assert!(!refused.headers.contains_key("set-cookie"));
    }
    let good = format!("token={token}");
    assert_eq!(
        rig.browser().post(&path, &good).await.code(),
        "form_expired"
    );
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn a_form_that_another_site_sent_is_refused_by_what_the_browser_says() {
    let rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    let path = format!("/connect/{}", started.flow);
    let mut browser = rig.browser();
    let token = browser.get(&path).await.attribute("name=\"token\" value=");
    let good = format!("token={token}");
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[FORM, ("sec-fetch-site", "cross-site")],
        &[FORM, ("sec-fetch-site", "same-site")],
        &[FORM, ("sec-fetch-site", "nonsense")],
        &[FORM, ("origin", "https://evil.example")],
        &[FORM, ("origin", "http://broker.example.com")],
    ] {
        let refused = post(&mut browser, &path, headers, &good).await;
        assert_eq!(refused.code(), "form_expired", "{headers:?}");
    }
    assert!(rig.calls().is_empty());
    // Chromium says `Origin: null` on pages that send no referrer: the word before it decides.
    for headers in [
        [FORM, ("sec-fetch-site", "same-origin"), ("origin", "null")],
        [FORM, ("origin", URL), ("x", "y")],
    ] {
        let sent = post(&mut browser, &path, &headers, &good).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn a_form_cookie_that_stands_there_twice_counts_for_nothing() {
    let rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    let path = format!("/connect/{}", started.flow);
    let mut browser = rig.browser();
    let token = browser.get(&path).await.attribute("name=\"token\" value=");
    let request = Browser::request(Method::POST, &path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "cookie",
            "__Host-rt_form=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        );
    let refused = browser.send(request, &format!("token={token}")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn two_tabs_can_both_be_agreed_to() {
    let rig = Rig::new();
    let (one, two) = (rig.begin(GIT, loopback()), rig.begin(MAIL, loopback()));
    let mut browser = rig.browser();
    let first = browser.get(&format!("/connect/{}", one.flow)).await;
    let second = browser.get(&format!("/connect/{}", two.flow)).await;
    for (started, page) in [(&one, first), (&two, second)] {
        let token = page.attribute("name=\"token\" value=");
        let path = format!("/connect/{}", started.flow);
        let sent = browser.post(&path, &format!("token={token}")).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn a_wrong_code_is_said_beside_the_field_and_five_end_the_flow() {
    let rig = Rig::new();
    let started = rig.begin(GIT, Tell::Code);
    let path = format!("/connect/{}", started.flow);
    let mut browser = rig.browser();
    let page = browser.get(&path).await;
    let token = page.attribute("name=\"token\" value=");
    assert!(page.body.contains("<label for=\"code\">"));
    assert!(!page.body.contains(&started.code.clone().unwrap()));
    let form = format!("token={token}&code=BBBB-BBBB");
    for left in [
        "4 more tries",
        "3 more tries",
        "2 more tries",
        "One more try",
    ] {
        let wrong = browser.post(&path, &form).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(wrong.body.contains(left) && wrong.body.contains("aria-invalid=\"true\""));
        assert!(
            !wrong.body.contains("BBBB"),
            "what was typed is not repeated"
        );
    }
    let over = browser.post(&path, &form).await;
    assert_eq!(over.code(), "too_many_tries");
    assert_eq!(rig.calls(), ["ended too_many_tries"]);
    assert_eq!(browser.get(&path).await.code(), "flow_unknown");
    let started = rig.begin(GIT, Tell::Code);
    browser.agree(&started).await;
    assert_eq!(rig.status(&started.flow), "confirmed");
}

#[tokio::test]
async fn nobody_is_sent_away_before_it_is_on_record() {
    for (failure, code) in [
        (Failure::Sealed, "sealed"),
        (Failure::Internal, "internal_error"),
        (Failure::NotMember, "not_member"),
    ] {
        let rig = Rig::new();
        let started = rig.begin(GIT, loopback());
        *rig.fake.refuses.lock().unwrap() = Some(failure);
        let path = format!("/connect/{}", started.flow);
        let mut browser = rig.browser();
        let token = browser.get(&path).await.attribute("name=\"token\" value=");
        let refused = browser.post(&path, &format!("token={token}")).await;
        assert_eq!(refused.code(), code);
        assert!(!refused.headers.contains_key("location"));
        // Once it can be recorded, the same page works.
        *rig.fake.refuses.lock().unwrap() = None;
        let sent = browser.post(&path, &format!("token={token}")).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn b8_every_page_keeps_to_itself() {
    let rig = Rig::new();
    let started = rig.begin(GIT, loopback());
    let mut browser = rig.browser();
    let paths = [
        format!("/connect/{}", started.flow),
        "/connect/none".to_owned(),
        "/connect/refused/bad_callback".to_owned(),
    ];
    for path in paths {
        let page = browser.get(&path).await;
        let csp = page.header("content-security-policy");
        assert!(
            csp.starts_with("default-src 'none'; style-src 'sha256-"),
            "{csp}"
        );
        assert!(
            csp.contains("frame-ancestors 'none'; base-uri 'none'") && !csp.contains("script-src")
        );
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("content-type", "text/html; charset=utf-8"),
        ] {
            assert_eq!(page.header(name), value, "{path} {name}");
        }
        assert!(page.header("permissions-policy").contains("camera=()"));
        assert!(!page.body.contains("<script"));
        for elsewhere in ["src=", "@import", "url(", "<iframe", "<form action"] {
            assert!(!page.body.contains(elsewhere), "{path} {elsewhere}");
        }
    }
}

/// Chromium asks the form's policy about every hop of a provider that asks nothing.
#[tokio::test]
async fn a_page_may_lead_on_to_whoever_is_told_in_the_end() {
    let rig = Rig::new();
    let (program, code) = (rig.begin(GIT, loopback()), rig.begin(GIT, Tell::Code));
    let policy = async |flow: FlowId| {
        let page = rig.browser().get(&format!("/connect/{flow}")).await;
        page.header("content-security-policy").to_owned()
    };
    let program = policy(program.flow).await;
    assert!(program.contains("form-action 'self' https: http://127.0.0.1:49152;"));
    assert!(
        policy(code.flow)
            .await
            .contains("form-action 'self' https:;")
    );
}

#[tokio::test]
async fn names_are_shown_as_text() {
    let rig = Rig::new();
    let mut ask = ask(GIT, loopback());
    ask.user_name = "<script>alert(1)</script>".to_owned();
    ask.org_name = "\"><img src=x onerror=alert(1)>".to_owned();
    let started = rig.begin_as(ask);
    let page = rig
        .browser()
        .get(&format!("/connect/{}", started.flow))
        .await;
    assert!(!page.body.contains("<script") && !page.body.contains("<img"));
    assert!(page.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[tokio::test]
async fn a_window_that_another_one_opened_keeps_its_opener() {
    let rig = Rig::new();
    let to = ReturnTo::judge("/apps", &PublicUrl::parse(URL).unwrap(), &[]).unwrap();
    let started = rig.begin(GIT, Tell::Return { to, popup: true });
    let page = rig
        .browser()
        .get(&format!("/connect/{}", started.flow))
        .await;
    assert!(!page.headers.contains_key("cross-origin-opener-policy"));
}

#[tokio::test]
async fn without_tls_on_this_machine_the_cookies_have_plain_names() {
    let rig = Rig::at("http://127.0.0.1:8420");
    let started = rig.begin(GIT, loopback());
    let mut browser = rig.browser();
    browser.agree(&started).await;
    let names: Vec<_> = browser.jar.keys().cloned().collect();
    assert_eq!(
        names,
        [format!("rt_flow_{}", started.flow), "rt_form".to_owned()]
    );
}
