//! The real browser, on the peer's own pages and on pages that are there to be told apart.

use bytes::Bytes;
use http::Response;

use super::harness::Upstream;
use super::harness::chromium::{Chromium, Screen};
use super::*;

fn page(body: &str) -> Response<Bytes> {
    let page = format!("<!doctype html><title>A page</title><body>{body}");
    let response = Response::builder().header("content-type", "text/html; charset=utf-8");
    response.body(Bytes::from(page)).unwrap()
}

#[test]
fn somebody_logs_in_and_agrees_in_chromium_and_is_sent_back_with_a_code() {
    let peer = Peer::start();
    let app = Upstream::plain(|_| page("<p id=done>Back again"));
    let callback = format!("http://127.0.0.1:{}/callback", app.port());
    peer.call_back(&[&callback]);
    let client = peer.basic();
    let url = peer.authorize_url(&client, &callback, SCOPE, "state-1", VERIFIER);
    let browser = Chromium::start();
    browser.open(&url);
    assert_eq!(browser.title(), "Sign-in");
    browser.type_into("input[name=login]", "ann");
    browser.type_into("input[name=password]", "any");
    browser.click("button[type=submit]");
    browser.wait_text("offline access");
    browser.click("button[type=submit]");
    let back = browser.wait_url(&callback);
    assert_eq!(browser.text_of("#done"), "Back again");
    assert_eq!(query(&back, "state").as_deref(), Some("state-1"));
    let params = [
        ("grant_type", "authorization_code"),
        ("code", &query(&back, "code").unwrap()),
        ("redirect_uri", &callback),
        ("code_verifier", VERIFIER),
    ];
    let tokens = peer.call(&client, "/token", &params).unwrap().expect(200);
    let person = peer.userinfo(text(&tokens["access_token"])).expect(200);
    assert_eq!(person["sub"], "ann");

    // The peer's pages ask for a font of somebody else's: that is seen, and goes nowhere.
    let own = [
        &*peer.origin(),
        &*format!("http://127.0.0.1:{}", app.port()),
    ];
    let foreign = browser.foreign(&own);
    assert!(!foreign.is_empty());
    assert!(
        foreign
            .iter()
            .all(|url| url.starts_with("https://fonts.googleapis.com/")),
        "{foreign:?}"
    );
    assert!(browser.requests().contains(&url));
    assert!(
        browser
            .foreign(&[own[0], own[1], "https://fonts.googleapis.com"])
            .is_empty()
    );
}

#[test]
fn a_device_flow_is_agreed_to_in_chromium_on_a_telephone() {
    let peer = Peer::start();
    let client = peer.native();
    let begun = peer
        .call(&client, "/device/auth", &[("scope", SCOPE)])
        .unwrap()
        .expect(200);
    let browser = Chromium::start();
    browser.screen(Screen::Phone);
    browser.open(text(&begun["verification_uri_complete"]));
    assert!(
        browser.text().contains(text(&begun["user_code"])),
        "{}",
        browser.text()
    );
    browser.click("button[autofocus]");
    browser.type_into("input[name=login]", "ann");
    browser.type_into("input[name=password]", "any\u{E007}");
    browser.click("button[autofocus]");
    browser.wait_text("Sign-in Success");
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let params = [
        ("grant_type", grant),
        ("device_code", text(&begun["device_code"])),
    ];
    peer.call(&client, "/token", &params).unwrap().expect(200);
}

#[test]
fn screens_colours_scripts_and_errors_of_the_console_are_told_apart() {
    let style =
        "<style>#dark{display:none}@media(prefers-color-scheme:dark){#dark{display:block}}</style>";
    let body = format!("{style}<p id=dark>dark<p id=plain>plain<noscript>no script</noscript>");
    let site = Upstream::plain(move |_| {
        page(&format!("{body}<script>console.error('it broke')</script>"))
    });
    let browser = Chromium::start();
    let url = format!("http://127.0.0.1:{}/", site.port());
    browser.open(&url);
    assert_eq!(browser.text(), "plain");
    assert_eq!(browser.script("return window.innerWidth"), 1280);
    assert_eq!(picture(&browser), (1280, 800));
    assert!(
        browser
            .console()
            .iter()
            .any(|error| error.contains("it broke"))
    );
    browser.dark(true);
    browser.screen(Screen::Phone);
    assert_eq!(browser.text_of("#dark"), "dark");
    assert_eq!(browser.script("return window.devicePixelRatio"), 2);
    let kept = browser.keep_screenshot("peers_work");
    assert!(std::fs::read(kept).unwrap().starts_with(b"\x89PNG"));
    browser.scripts(false);
    browser.open(&url);
    assert!(browser.html().contains("no script"));
    assert!(browser.has("noscript") && !browser.has("#other"));
}

/// The width and height that a picture of the page has.
fn picture(browser: &Chromium) -> (u32, u32) {
    let picture = browser.screenshot();
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn cookies_are_kept_by_the_browser_and_shared_by_its_tabs() {
    let site = Upstream::plain(|seen| {
        let mut page = page("<p id=sent>");
        if seen.target == "/set" {
            let headers = page.headers_mut();
            let flow = "__Host-flow=one; Secure; HttpOnly; SameSite=Lax; Path=/";
            headers.append("set-cookie", flow.parse().unwrap());
        }
        page
    });
    let browser = Chromium::start();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", site.port());
    browser.open(&url("/set"));
    let first = browser.tab();
    browser.new_tab();
    browser.open(&url("/see"));
    let asked = site
        .seen()
        .into_iter()
        .find(|seen| seen.target == "/see")
        .unwrap();
    assert_eq!(asked.header("cookie"), "__Host-flow=one");
    let cookies = browser.cookies();
    assert_eq!(cookies.len(), 1);
    assert_eq!(cookies[0]["httpOnly"], true);
    assert_eq!(browser.tabs().len(), 2);
    browser.look_at(&first);
    assert_eq!(browser.url(), url("/set"));
    browser.forget_cookies();
    browser.open(&url("/again"));
    let asked = site
        .seen()
        .into_iter()
        .find(|seen| seen.target == "/again")
        .unwrap();
    assert_eq!(asked.header("cookie"), "");
}

#[test]
fn a_page_on_another_machine_is_not_reached() {
    let browser = Chromium::start();
    let error = browser.try_open("http://example.com/").unwrap_err();
    assert!(error.contains("ERR_NAME_NOT_RESOLVED"), "{error}");
    let foreign = browser.foreign(&["http://127.0.0.1:1"]);
    assert_eq!(foreign[0], "http://example.com/");
}
