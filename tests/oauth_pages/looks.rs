//! The way that all goes well.

use crate::harness::chromium::Chromium;
use crate::harness::connect::{Stage, Terminal, start};
use crate::on_every_screen;

const TAB: char = '\u{E004}';
const ENTER: char = '\u{E007}';
const SPACE: char = '\u{E00D}';

/// What has the focus.
fn focused(browser: &Chromium) -> String {
    let script =
        "const at = document.activeElement; return at.name || at.textContent || at.tagName";
    browser.script(script).as_str().unwrap().to_owned()
}

#[test]
fn every_page_of_a_flow_is_well_made_on_every_screen_and_asks_nobody_else() {
    let stage = Stage::open();
    let acme = serde_json::json!({"name": "Acme Works"});
    stage
        .admin
        .json("PATCH", "/v1/organizations/current", &acme)
        .expect(200);
    let mia = stage.broker.member("Mia Member");
    let (browser, terminal) = (Chromium::start(), Terminal::listen(&stage.broker));
    let by_code = start(&mia, "peer", "scopes=write");
    browser.open(&by_code.page);
    on_every_screen(&browser, "code");
    browser.type_into("input[name=code]", "BBBB-BBBB");
    browser.press(ENTER);
    browser.wait_text("4 more tries");
    on_every_screen(&browser, "code-wrong");

    let flow = start(&mia, "peer", &format!("redirect_uri={}", terminal.uri()));
    browser.open(&flow.page);
    on_every_screen(&browser, "connect");
    // All until here was the broker's own, and all was allowed.
    assert_eq!(
        browser.foreign(&[stage.broker.origin()]),
        Vec::<String>::new()
    );
    browser.click("button[type=submit]");
    browser.wait_url(&stage.peer.origin());
    let at_peer = browser.tab();
    browser.new_tab();
    browser.open(&format!("{}/result", flow.page));
    browser.wait_text("Waiting for Peer");
    on_every_screen(&browser, "waiting");
    browser.look_at(&at_peer);
    crate::agree_at_the_peer(&browser, &stage, "mia");
    let ticket = terminal.wait()["ticket"].clone();
    browser.wait_text("Connecting Peer");
    on_every_screen(&browser, "working");
    flow.finish(&mia, &ticket).expect(200);
    browser.wait_text("Peer is connected");
    on_every_screen(&browser, "connected");

    let own = [
        stage.broker.origin(),
        &stage.peer.origin(),
        &terminal.uri().replace("/back", ""),
    ];
    let strangers: Vec<_> = browser.foreign(&own);
    // The peer's own pages ask for their letters, and get none.
    assert!(
        strangers
            .iter()
            .all(|url| url.contains("fonts.googleapis.com")),
        "{strangers:?}"
    );
    let console = browser.console();
    assert!(
        console
            .iter()
            .all(|line| line.contains(&stage.peer.origin())
                || line.contains("fonts.googleapis.com")
                || line.contains("422")),
        "{console:?}"
    );
}

#[test]
fn a_keyboard_is_enough() {
    let stage = Stage::open();
    let (mia, browser) = (stage.broker.member("Mia"), Chromium::start());
    let flow = start(&mia, "peer", "");
    browser.open(&flow.page);
    browser.press(TAB);
    assert_eq!(focused(&browser), "code");
    for letter in "bbbbbbbb".chars() {
        browser.press(letter);
    }
    browser.press(TAB);
    assert_eq!(focused(&browser), "Continue to Peer");
    browser.press(SPACE);
    browser.wait_text("4 more tries");
    // What is wrong has the focus, and is said to whoever cannot see it.
    assert_eq!(focused(&browser), "code");
    let told = "const field = document.activeElement; return field.getAttribute('aria-describedby') \
                .split(' ').map((id) => document.getElementById(id).textContent).join(' ')";
    assert!(
        browser
            .script(told)
            .as_str()
            .unwrap()
            .contains("4 more tries")
    );
    assert_eq!(
        browser.script("return document.activeElement.ariaInvalid"),
        "true"
    );
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.script(outline), "solid");
    for letter in flow.code.as_deref().unwrap().chars() {
        browser.press(letter);
    }
    browser.press(ENTER);
    browser.wait_url(&stage.peer.origin());
    browser.wait_text("Sign-in");
    assert_eq!(flow.seen(&mia)["status"], "confirmed");
}

#[test]
fn no_script_is_needed() {
    let stage = Stage::open();
    let (mia, browser) = (stage.broker.member("Mia"), Chromium::start());
    browser.scripts(false);
    let flow = start(&mia, "peer", "");
    crate::agree(&browser, &flow);
    crate::agree_at_the_peer(&browser, &stage, "mia");
    browser.wait_text("Peer is connected");
    assert_eq!(flow.seen(&mia)["account"], "mia");
}
