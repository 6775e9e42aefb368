//! A terminal on another machine than the browser: a code is carried from the one to the other.

use crate::harness::chromium::Chromium;
use crate::harness::connect::{Stage, connections, start};
use crate::harness::jar::Jar;
use crate::oauth_connect::browser::agree_at_the_peer;

const ENTER: &str = "\u{E007}";

#[test]
fn a_code_from_the_terminal_is_typed_into_the_page_and_the_rest_is_the_browsers() {
    let stage = Stage::open();
    let (mia, browser) = (stage.broker.member("Mia"), Chromium::start());
    let flow = start(&mia, "peer", "");
    let code = flow.code.clone().unwrap();
    assert_eq!((code.len(), &code[4..5]), (9, "-"));
    browser.open(&flow.page);
    assert!(
        !browser.html().contains(&code),
        "who has the link alone has not the code"
    );
    browser.type_into("input[name=code]", &format!("BBBB-BBBB{ENTER}"));
    browser.wait_text("4 more tries");
    assert!(stage.peer.log().is_empty());
    // As people type.
    let typed = code.to_lowercase().replace('-', " ");
    browser.type_into("input[name=code]", &format!("{typed}{ENTER}"));
    agree_at_the_peer(&browser, &stage, "mia");
    browser.wait_text("Peer is connected");
    assert!(browser.text().contains("go back to your terminal"));
    assert_eq!(browser.url(), format!("{}/result#", flow.page));
    // The terminal looks, and has nothing to finish.
    let seen = flow.seen(&mia);
    assert_eq!(
        (&seen["status"], &seen["account"]),
        (&"connected".into(), &"mia".into())
    );
    assert_eq!(flow.finish(&mia, "any").refused(409), "not_returned");
    assert_eq!(connections(&mia)[0]["id"], seen["connectionId"]);
    stage.calls(1);
}

#[test]
fn a_code_that_is_wrong_five_times_ends_the_flow() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = start(&mia, "peer", "");
    // Whoever guesses need not do so in one browser.
    for left in ["4 more", "3 more", "2 more", "One more"] {
        let mut jar = Jar::new();
        let page = jar.get(&flow.page);
        let again = jar.submit(&page, &[("code", "BBBB-BBBB")]);
        assert_eq!(again.status(), 422);
        assert!(again.text().contains(left), "{}", again.words());
        assert!(again.has_form() && jar.cookie(&format!("rt_flow_{}", flow.id)).is_none());
    }
    let mut jar = Jar::new();
    let page = jar.get(&flow.page);
    let over = jar.submit(&page, &[("code", "BBBB-BBBB")]);
    assert!(over.text().contains("too_many_tries"), "{}", over.words());
    assert!(!over.has_form() && over.location().is_none());
    let right = flow.code.clone().unwrap();
    let late = jar.submit(&page, &[("code", &right)]);
    assert!(late.text().contains("flow_unknown"), "{}", late.words());
    let seen = flow.seen(&mia);
    assert_eq!(
        (&seen["status"], &seen["error"]),
        (&"failed".into(), &"too_many_tries".into())
    );
    assert!(stage.peer.log().is_empty());
    let audit = stage
        .admin
        .get("/v1/audit?all=true&action=oauth.deny")
        .expect(200);
    assert_eq!(audit["data"].as_array().unwrap().len(), 1, "{audit}");
}
