//! Pages that say no before anything is asked; and what browsers are kept from.

use bytes::Bytes;
use http::Response;

use crate::harness::chromium::Chromium;
use crate::harness::connect::{Stage, start};
use crate::harness::jar::Jar;
use crate::harness::{Upstream, eventually};
use crate::{COMPLAINTS, agree, on_every_screen, with_fault};

#[test]
fn every_refusal_can_be_reached_and_read() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let browser = Chromium::start();
    let see = |code: &str| {
        browser.wait_text(&format!("Code: {code}"));
        assert!(browser.text().contains("What to do"));
        on_every_screen(&browser, &format!("refusal-{code}"));
    };
    let at = |path: &str| format!("{}{path}", stage.broker.origin());
    browser.open(&at("/connect/aaaaaaaaaaaaaaaaaaaaaaaaaa"));
    see("flow_unknown");
    browser.open(&at("/v1/oauth/callback/peer?code=a&code=b&state=c"));
    see("bad_callback");
    let there = browser.script("return location.href").to_string();
    assert!(
        !there.contains("code=") && !there.contains("state="),
        "{there}"
    );
    // An answer in a browser that did not ask.
    let flow = stage.start(&mia);
    let answer = stage.answer(&mut Jar::new(), &flow, "mia");
    browser.open(&answer);
    see("wrong_browser");
    // A page whose cookie is gone.
    let flow = stage.start(&mia);
    browser.open(&flow.page);
    browser.forget_cookies();
    browser.click("button[type=submit]");
    see("form_expired");
    browser.open(&flow.page);
    browser.click("button[type=submit]");
    browser.wait_url(&stage.peer.origin());

    let mut jar = Jar::new();
    for path in [
        "/connect/none",
        "/connect/none/result",
        "/connect/refused/none",
    ] {
        let page = jar.get(&at(path));
        assert!(
            page.header("content-security-policy")
                .starts_with("default-src 'none'"),
            "{path}"
        );
    }
    let foreign = browser.foreign(&[stage.broker.origin(), &stage.peer.origin()]);
    assert!(
        foreign
            .iter()
            .all(|url| url.contains("fonts.googleapis.com")),
        "{foreign:?}"
    );
    // A vault that was sealed meanwhile, for an answer and for a page.
    let flow = stage.start(&mia);
    let answer = stage.answer(&mut Jar::new(), &flow, "mia");
    stage
        .admin
        .send("POST", "/v1/operator/seal", None)
        .expect(200);
    browser.open(&answer);
    see("sealed");
    browser.open(&flow.page);
    browser.wait_text("Code: sealed");
}

/// Puts the page in its fragment into a frame.
const FRAME: &str = r"<!doctype html><title>Frame</title><iframe id=frame></iframe><script>
frame.src = decodeURIComponent(location.hash.slice(1));
</script>";

#[test]
fn b8_a_page_stands_in_no_frame_of_anybody_s() {
    let (_provider, broker) = with_fault(&[]);
    let mia = broker.member("Mia");
    let other = Upstream::plain(|_| {
        let page = Response::builder().header("content-type", "text/html");
        page.body(Bytes::from_static(FRAME.as_bytes())).unwrap()
    });
    let browser = Chromium::start();
    let flow = start(&mia, "fault", "");
    let result = format!("{}/result", flow.page);
    let unknown = format!("{}/v1/oauth/callback/fault", broker.origin());
    for (number, page) in [&*flow.page, &result, &unknown].into_iter().enumerate() {
        browser.open(&format!(
            "http://127.0.0.1:{}/{number}#{page}",
            other.port()
        ));
        eventually(|| {
            let console = browser.console();
            let kept = console
                .iter()
                .filter(|line| line.contains("frame-ancestors 'none'"));
            (kept.count() == number + 1).then_some(())
        });
    }
}

#[test]
fn the_complaints_about_a_page_are_heard() {
    const BAD: &str = "<!doctype html><title>Bad</title><body style='background:#fff'>\
        <h1>One</h1><h1>Two</h1><p style='color:#bbb'>Pale</p><input><button style='height:9px'>x</button>\
        <div style='width:5000px'>Wide</div>";
    let other = Upstream::plain(|_| {
        let page = Response::builder().header("content-type", "text/html");
        page.body(Bytes::from_static(BAD.as_bytes())).unwrap()
    });
    let browser = Chromium::start();
    browser.open(&format!("http://127.0.0.1:{}/", other.port()));
    let heard = browser.script(COMPLAINTS).to_string();
    for complaint in [
        "no language",
        "title: Bad",
        "not one h1",
        "no viewport",
        "wider than the screen",
        "an input without label",
        "contrast 1.92: Pale",
        "too small for a finger",
    ] {
        assert!(heard.contains(complaint), "{complaint}: {heard}");
    }
}

#[test]
fn names_that_are_long_or_odd_stay_text_and_on_the_screen() {
    let (provider, broker) = with_fault(&[("code", "code-1")]);
    let name = format!("<b>Mia</b> & \"Co\" {}", "w".repeat(60));
    let org = serde_json::json!({ "name": format!("<i>Org</i>{}", "m".repeat(70)) });
    broker
        .operator()
        .json("PATCH", "/v1/organizations/current", &org)
        .expect(200);
    let mia = broker.member(&name);
    let account = "\u{202E}<script>document.title='owned'</script>".to_owned() + &"a".repeat(250);
    let me = serde_json::json!({"id": "7", "name": account});
    provider.always(
        "/me",
        crate::harness::fault_provider::Answer::json(200, &me),
    );
    let (browser, flow) = (Chromium::start(), start(&mia, "fault", ""));
    browser.open(&flow.page);
    on_every_screen(&browser, "long-names");
    let shown = browser.text();
    assert!(
        shown.contains("<b>Mia</b> & \"Co\"") && shown.contains("<i>Org</i>"),
        "{shown}"
    );
    agree(&browser, &flow);
    browser.wait_text("Fault is connected");
    on_every_screen(&browser, "long-account");
    assert!(browser.text().contains("<script>") && !browser.html().contains('\u{202E}'));
    assert!(!browser.has("script") && !browser.title().contains("owned"));
    assert_eq!(browser.console(), Vec::<String>::new());
}
