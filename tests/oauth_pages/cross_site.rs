//! A provider on another site than the broker, as providers are: which cookies a real browser sends on
//! the way back (rule 3.3, 5).

use serde_json::Value;

use crate::agree;
use crate::harness::agreeable::with_one_account;
use crate::harness::chromium::Chromium;
use crate::harness::connect::{Front, connections, start};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::{Broker, Client};

/// A broker that browsers reach as `localhost`, and a provider at 127.0.0.1.
fn two_sites() -> (FaultProvider, Front, Broker, Client) {
    let front = Front::open();
    let more = format!("public_url = \"{}\"", front.origin());
    let (provider, broker) = with_one_account(|file| file, &more);
    front.lead_to(&broker);
    let mia = broker.member("Mia");
    (provider, front, broker, mia)
}

#[test]
fn a_flow_s_cookie_is_for_no_script_and_comes_back_from_another_site() {
    let (provider, front, _broker, mia) = two_sites();
    provider.script("/authorize", |seen| {
        let (back, state) = (
            seen.query("redirect_uri").unwrap(),
            seen.query("state").unwrap(),
        );
        // Somebody clicks there.
        let page = format!("<a id=back href='{back}?code=code-1&state={state}'>Back</a>");
        Answer::text(200, "text/html", &page)
    });
    let browser = Chromium::start();
    let flow = start(&mia, "fault", "");
    assert!(
        flow.page
            .starts_with(&format!("{}/connect/", front.origin()))
    );
    agree(&browser, &flow);
    browser.click("#back");
    browser.wait_text("Fault is connected");
    let cookies = browser.cookies();
    let named = |name: &str| {
        cookies
            .iter()
            .find(|cookie| cookie["name"] == name)
            .unwrap()
    };
    for name in [format!("rt_flow_{}", flow.id), "rt_form".to_owned()] {
        let cookie = named(&name);
        assert_eq!(cookie["httpOnly"], true, "{cookie}");
        assert_eq!(cookie["sameSite"], "Lax", "{cookie}");
        assert_eq!(cookie["path"], "/", "{cookie}");
        assert_eq!(cookie["domain"], "localhost", "{cookie}");
    }
    assert_eq!(browser.script("return document.cookie"), "");
    assert_eq!(flow.seen(&mia)["account"], "Mia M");
}

#[test]
fn an_answer_that_another_site_posts_is_taken_when_it_comes_again_with_the_cookie() {
    let (provider, _front, _broker, mia) = two_sites();
    provider.script("/authorize", |seen| {
        let (back, state) = (
            seen.query("redirect_uri").unwrap(),
            seen.query("state").unwrap(),
        );
        let page = format!(
            "<form method=post action='{back}'><input name=code value='code+1/=&amp;x'>\
             <input name=state value='{state}'></form><script>document.forms[0].submit()</script>"
        );
        Answer::text(200, "text/html", &page)
    });
    let browser = Chromium::start();
    let flow = start(&mia, "fault", "");
    agree(&browser, &flow);
    browser.wait_text("Fault is connected");
    let asked = provider.asked("/token");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].form("code").as_deref(), Some("code+1/=&x"));
    assert_eq!(connections(&mia).len(), 1);
    // Another browser's post is sent on as well, and is still another browser's.
    let stranger = Chromium::start();
    let flow = start(&mia, "fault", "");
    let mut jar = crate::harness::jar::Jar::new();
    let page = jar.get(&flow.page);
    let left = jar.submit(&page, &[("code", flow.code.as_deref().unwrap())]);
    stranger.open(left.location().unwrap().as_str());
    stranger.wait_text("Open it in the browser where you started");
    assert_eq!(provider.asked("/token").len(), 1);
}

#[test]
fn x2_another_site_agrees_for_nobody() {
    let (provider, front, _broker, mia) = two_sites();
    let flow = start(&mia, "fault", "redirect_uri=http://127.0.0.1:19999/back");
    let browser = Chromium::start();
    // The person has looked at the page, so that the browser has its cookie.
    browser.open(&flow.page);
    let token = browser.script("return document.querySelector('[name=token]').value");
    let token = token.as_str().unwrap().to_owned();
    let page = format!(
        "<form method=post action='{}/connect/{}'><input name=token value='{token}'></form>\
         <script>document.forms[0].submit()</script>",
        front.origin(),
        flow.id
    );
    provider.always("/attack", Answer::text(200, "text/html", &page));
    browser.open(&format!("{}/attack", provider.origin()));
    browser.wait_text("form_expired");
    assert_eq!(flow.seen(&mia)["status"], "opened");
    assert_eq!(provider.asked("/authorize").len(), 0);
    // Nor does a script over there read the page, or post with the cookie.
    let fetched = browser_reads(&browser, &provider, &flow.page);
    assert_eq!(fetched, "refused");
}

/// What a script of another site makes of a page of ours.
fn browser_reads(browser: &Chromium, provider: &FaultProvider, page: &str) -> Value {
    let script = format!(
        "<script>fetch('{page}', {{credentials: 'include'}}).then((r) => r.text())\
         .then((t) => {{ window.got = t }}, () => {{ window.got = 'refused' }})</script>"
    );
    provider.always("/read", Answer::text(200, "text/html", &script));
    browser.open(&format!("{}/read", provider.origin()));
    crate::harness::eventually(|| {
        Some(browser.script("return window.got || null")).filter(|got| !got.is_null())
    })
}
