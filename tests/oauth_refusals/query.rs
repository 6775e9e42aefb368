//! What a callback may look like (B6, A7), and where it may send a browser (B9).

use crate::harness::chromium::Chromium;
use crate::harness::connect::{self, Stage, changed, connections, start};
use crate::harness::fault_provider::Answer;
use crate::harness::jar::Jar;
use crate::{answer, leave, refused, with_fault};
use serde_json::json;

#[test]
fn b6_an_answer_that_says_something_twice_or_too_much_or_in_no_language_is_not_looked_at() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let many: String = (0..70).map(|n| format!("&a{n}=b")).collect();
    for more in [
        "&code=another",
        "&c%6Fde=another",
        "&state=another",
        "&error=a&error=b",
        "&x=1&x=1",
        "&x=%ff",
        "&%c3%28=x",
        "&x=%ED%A0%80",
        &many,
        &format!("&{}=x", "n".repeat(129)),
    ] {
        refused(&jar.get(&format!("{answer}{more}")), 400, "bad_callback");
    }
    // Longer than any other address may be here: people are told in our words all the same.
    for long in [4 * 1024 + 1, 8 * 1024, 9 * 1024] {
        let page = jar.get(&changed(&answer, "code", Some(&"c".repeat(long))));
        refused(&page, 400, "bad_callback");
    }
    let elsewhere = format!("{}/v1/status?x={}", stage.broker.origin(), "x".repeat(5000));
    assert_eq!(jar.get(&elsewhere).status(), 414);
    assert_eq!(flow.seen(&mia)["status"], "confirmed");
    stage.no_call();
    assert!(jar.get(&answer).location().is_some());
}

#[test]
fn b6_an_answer_of_the_right_form_with_nothing_in_it_ends_the_flow_and_makes_no_call() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let codes = ["", "%00", "a%0d%0aX-Evil:1", "%C3%A9", "%7F", "a%09b"];
    let iss = &stage.peer.origin();
    for code in codes.map(Some).into_iter().chain([None]) {
        let flow = start(&mia, "peer", "");
        let mut jar = Jar::new();
        let back = answer(&leave(&mut jar, &flow), "CODE");
        let back = match code {
            Some(code) => back.replace("CODE", code),
            None => changed(&back, "code", None),
        };
        let page = jar.open(&format!("{back}&iss={iss}"));
        assert!(
            page.text().contains("<code>bad_answer</code>"),
            "{code:?}: {}",
            page.words()
        );
    }
    // Both an error and a code: neither is believed.
    let flow = start(&mia, "peer", "");
    let mut jar = Jar::new();
    let back = answer(&leave(&mut jar, &flow), "CODE");
    let page = jar.open(&format!("{back}&iss={iss}&error=access_denied"));
    assert!(
        page.text().contains("<code>bad_answer</code>"),
        "{}",
        page.words()
    );
    stage.no_call();
}

#[test]
fn a7_an_answer_that_carries_a_token_is_refused() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    for name in [
        "access_token",
        "id_token",
        "refresh_token",
        "access%5Ftoken",
    ] {
        for value in ["", "abc.def.ghi"] {
            refused(
                &jar.get(&format!("{answer}&{name}={value}")),
                400,
                "bad_callback",
            );
        }
    }
    let bare = changed(&answer, "code", None);
    refused(
        &jar.get(&format!("{bare}&access_token=x&token_type=Bearer")),
        400,
        "bad_callback",
    );
    stage.no_call();
}

#[test]
fn a7_b8_a_token_in_a_fragment_is_not_taken_and_does_not_stay_in_the_address() {
    let (provider, broker) = with_fault(|file| file);
    provider.script("/authorize", |seen| {
        let (back, state) = (
            seen.query("redirect_uri").unwrap(),
            seen.query("state").unwrap(),
        );
        Answer::redirect(
            302,
            &format!("{back}?state={state}#access_token=token-in-a-fragment"),
        )
    });
    let (mia, browser) = (broker.member("Mia"), Chromium::start());
    let flow = start(&mia, "fault", "");
    browser.open(&flow.page);
    browser.type_into(
        "input[name=code]",
        &format!("{}\u{E007}", flow.code.unwrap()),
    );
    browser.wait_text("bad_answer");
    let there = browser.script("return location.href");
    assert!(
        !there.to_string().contains("token-in-a-fragment"),
        "{there}"
    );
    assert_eq!(provider.asked("/token").len(), 0);
    assert_eq!(connections(&mia).len(), 0);
}

#[test]
fn b9_a_browser_is_sent_back_to_the_broker_or_where_the_operator_said() {
    let stage = Stage::with("peer", "return_to = [\"https://dash.example.com/apps\"]");
    let mia = stage.broker.member("Mia");
    let path = |to: &str| {
        let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
        format!("/v1/oauth/start/peer?return_to={to}")
    };
    let long = format!("/{}", "a".repeat(3 * 1024));
    for to in [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "https:evil.example",
        "https://ok@evil.example",
        "https://dash.example.com@evil.example/apps",
        "https://dash.example.com.evil.example/apps",
        "https://dash.example.com:8443/apps",
        "https://dash.example.com/apps-of-mallory",
        "https://dash.example.com/apps/../admin",
        "https://dash.example.com/apps/%2e%2e/admin",
        "https://dash.example.com/apps#fragment",
        "http://dash.example.com/apps",
        "/%2f%2fevil.example",
        "%2f%2fevil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://dash.example.com/apps?ticket=1",
        "https://dash\u{3002}example.com/apps",
        "/\u{2024}\u{2024}/",
        "evil.example",
        &long,
    ] {
        let reply = mia.get(&path(to));
        assert_eq!(reply.refused(400), "bad_return_to", "{to:?}");
        assert!(
            !String::from_utf8_lossy(&reply.body).contains("evil"),
            "{to:?}"
        );
    }
    for to in ["/", "/apps?tab=2", "https://dash.example.com/apps/a"] {
        mia.get(&path(to)).expect(200);
    }
    let two = format!("{}&redirect_uri=http://127.0.0.1:4000/x", path("/"));
    assert_eq!(mia.get(&two).refused(400), "bad_request");
}

#[test]
fn b9_a_callback_has_no_say_in_where_the_browser_goes() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let evil = "return_to=https://evil.example&returnTo=https://evil.example&redirect_uri=https://evil.example";
    let there = jar.get(&format!("{answer}&{evil}")).location().unwrap();
    assert!(
        there
            .as_str()
            .starts_with(&format!("{}?flow=", connect::TERMINAL)),
        "{there}"
    );
}

#[test]
fn n1_a_terminal_is_on_this_machine_by_number_with_a_high_port_and_a_plain_path() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    for uri in [
        "http://localhost:4000/x",
        "http://127.0.0.2:4000/x",
        "http://127.0.0.1/x",
        "http://127.0.0.1:80/x",
        "http://127.0.0.1:70000/x",
        "http://127.0.0.1:4000",
        "http://127.0.0.1:4000/x?y=z",
        "http://127.0.0.1:4000/x%23",
        "http://127.0.0.1:4000@evil.example/x",
        "http://127.0.0.1:4000//evil.example",
        "https://127.0.0.1:4000/x",
        "http://0.0.0.0:4000/x",
        "http://evil.example/x",
        "javascript:alert(1)",
    ] {
        let uri: String = url::form_urlencoded::byte_serialize(uri.as_bytes()).collect();
        let reply = mia.get(&format!("/v1/oauth/start/peer?redirect_uri={uri}"));
        assert_eq!(reply.refused(400), "bad_redirect_uri", "{uri}");
    }
    assert_eq!(
        json!([]),
        stage.admin.get("/v1/oauth/connections").value()["data"]
    );
}
