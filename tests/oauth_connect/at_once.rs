//! A provider that asks nothing, because the person is signed in there and agreed before: the click is
//! followed by redirects alone, and browsers ask the page's policy about each of them.

use bytes::Bytes;
use http::Response;

use crate::harness::agreeable::with_one_account;
use crate::harness::chromium::Chromium;
use crate::harness::connect::{Terminal, connections, start, ticket_of};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::jar::Jar;
use crate::harness::{Broker, Upstream};

/// Answers at once, as one who agreed before is answered.
fn provider(more: &str) -> (FaultProvider, Broker) {
    let (provider, broker) = with_one_account(|file| file, more);
    provider.script("/authorize", |seen| {
        let (back, state) = (
            seen.query("redirect_uri").unwrap(),
            seen.query("state").unwrap(),
        );
        Answer::redirect(302, &format!("{back}?code=c-1&state={state}"))
    });
    (provider, broker)
}

#[test]
fn redirects_alone_lead_to_the_terminal() {
    let (provider, broker) = provider("");
    let mia = broker.member("Mia");
    let (terminal, browser) = (Terminal::listen(&broker), Chromium::start());
    let flow = start(&mia, "fault", &format!("redirect_uri={}", terminal.uri()));
    browser.open(&flow.page);
    browser.click("button[type=submit]");
    let ticket = terminal.wait()["ticket"].clone();
    flow.finish(&mia, &ticket).expect(200);
    browser.wait_text("Fault is connected");
    assert_eq!(connections(&mia)[0]["account"], "Mia M");
    assert_eq!(provider.asked("/token").len(), 1);
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn redirects_alone_lead_back_to_a_dashboard() {
    let home = Upstream::plain(|_| Response::new(Bytes::from_static(b"home")));
    let origin = format!("http://localhost:{}", home.port());
    let (_provider, broker) = provider(&format!("return_to = [\"{origin}/\"]"));
    let (mia, browser) = (broker.member("Mia"), Chromium::start());
    let flow = start(&mia, "fault", &format!("return_to={origin}/apps"));
    browser.open(&flow.page);
    browser.click("button[type=submit]");
    let url = browser.wait_url(&format!("{origin}/apps?"));
    let ticket = ticket_of(&url.parse().unwrap());
    flow.finish(&mia, &ticket).expect(200);
    // The page opens the way for this flow's dashboard, and for no other.
    let page = Jar::new().get(&start(&mia, "fault", "").page);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("form-action 'self' https:"), "{policy}");
    assert!(!policy.contains(&origin), "{policy}");
}
