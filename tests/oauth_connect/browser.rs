//! A person with a browser: Chromium from the first click to the page that says it is done.

use crate::harness::Canaries;
use crate::harness::chromium::Chromium;
use crate::harness::connect::{Stage, Terminal, connections, start, text};
use serde_json::json;

/// Signs in and agrees at the peer.
pub(crate) fn agree_at_the_peer(browser: &Chromium, stage: &Stage, login: &str) {
    browser.wait_url(&stage.peer.origin());
    browser.type_into("input[name=login]", login);
    browser.type_into("input[name=password]", "any\u{E007}");
    browser.wait_text("Authorize");
    browser.click("button[type=submit]");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a journey, told in its order")]
fn a_member_connects_from_the_terminal_with_a_browser_beside_it() {
    let stage = Stage::open();
    let acme = json!({"name": "Acme Works"});
    stage
        .admin
        .json("PATCH", "/v1/organizations/current", &acme)
        .expect(200);
    let mia = stage.broker.member("Mia Member");
    let (terminal, browser) = (Terminal::listen(&stage.broker), Chromium::start());
    let flow = start(&mia, "peer", &format!("redirect_uri={}", terminal.uri()));
    // Rule 3.3, 1: our own page, and no code where the terminal is on this machine.
    let page = format!("{}/connect/{}", stage.broker.origin(), flow.id);
    assert_eq!((&*flow.page, &flow.code), (&*page, &None));
    assert_eq!(flow.seen(&mia)["status"], "waiting");

    browser.open(&flow.page);
    let asked = browser.text();
    for part in [
        "Mia Member",
        "Acme Works",
        "Peer",
        "127.0.0.1",
        "Write",
        "openid",
        "read",
    ] {
        let there = asked.contains(part);
        assert_eq!(there, part != "Write", "{part}: {asked}");
    }
    assert_eq!(flow.seen(&mia)["status"], "opened");
    // Rule 3.3, 4: nothing is made for the provider before the click.
    assert!(stage.peer.log().is_empty());
    assert!(
        !browser
            .cookies()
            .iter()
            .any(|cookie| text(&cookie["name"]).contains("rt_flow"))
    );

    browser.click("button[type=submit]");
    browser.wait_url(&stage.peer.origin());
    assert_eq!(flow.seen(&mia)["status"], "confirmed");
    agree_at_the_peer(&browser, &stage, "mia");
    let brought = terminal.wait();
    assert_eq!(brought.keys().collect::<Vec<_>>(), ["flow", "ticket"]);
    assert_eq!(brought["flow"], flow.id);
    assert_eq!(flow.seen(&mia)["status"], "returned");
    stage.no_call();
    browser.wait_text("Connecting Peer");

    let ended = flow.finish(&mia, &brought["ticket"]).expect(200)["data"].clone();
    assert_eq!(ended["status"], "connected", "{ended}");
    assert_eq!(ended["account"], "mia");
    // The page looks again by itself.
    browser.wait_text("Peer is connected");
    let shown = browser.text();
    assert!(
        shown.contains("mia") && shown.contains("Mia Member"),
        "{shown}"
    );
    let there = browser.url().trim_end_matches('#').to_owned();
    assert_eq!(
        there,
        format!("{page}/result"),
        "no code, no state, no ticket"
    );

    let made = connections(&mia);
    assert_eq!(made.len(), 1);
    let made = &made[0];
    assert_eq!(made["id"], ended["connectionId"]);
    assert_eq!(
        (&made["account"], &made["accountId"]),
        (&json!("mia"), &json!("mia"))
    );
    assert_eq!(made["email"], "mia@peer.example");
    assert_eq!(
        (&made["status"], &made["isDefault"]),
        (&json!("active"), &json!(true))
    );
    let status = mia.get("/v1/oauth/status/peer").expect(200)["data"].clone();
    assert_eq!(
        (&status["connected"], &status["accounts"]),
        (&json!(true), &json!(1))
    );

    a2_a_code_is_asked_for_with_a_challenge_and_redeemed_with_its_verifier(&stage);
    nothing_of_it_is_told_or_lies_about(&stage, &browser);
}

/// A2, A4, A6, A7, T1: as the peer saw it.
fn a2_a_code_is_asked_for_with_a_challenge_and_redeemed_with_its_verifier(stage: &Stage) {
    let left = &stage.peer.asked("/auth")[0];
    let asked = stage.peer.granted("authorization_code");
    assert_eq!(asked.len(), 1);
    let (redeemed, verifier) = (&asked[0], asked[0].form("code_verifier").unwrap());
    assert_eq!(left.query("response_type"), Some("code"));
    assert_eq!(left.query("code_challenge_method"), Some("S256"));
    let challenge = crate::harness::oidc::challenge(verifier);
    assert_eq!(left.query("code_challenge"), Some(&*challenge));
    assert!((43..=128).contains(&verifier.len()), "{verifier}");
    assert_eq!(left.query("redirect_uri"), Some(&*stage.back()));
    assert_eq!(redeemed.form("redirect_uri"), Some(&*stage.back()));
    assert!(left.query("nonce").is_some_and(|nonce| nonce.len() >= 43));
    assert!(left.query("state").is_some_and(|state| state.len() >= 43));
    assert_eq!(redeemed.auth, "basic");
}

/// T10: tokens, codes and the rest of what the peer knows are nowhere else.
fn nothing_of_it_is_told_or_lies_about(stage: &Stage, browser: &Chromium) {
    let mut canaries = Canaries::new();
    for secret in stage.peer.secrets() {
        canaries.also(&secret);
    }
    canaries.absent_from("the log", &stage.broker.log_bytes());
    for (path, bytes) in stage.broker.files() {
        canaries.absent_from(&path.display().to_string(), &bytes);
    }
    canaries.absent_from("the page", browser.html().as_bytes());
    let list = stage.admin.get("/v1/oauth/connections?all=true");
    canaries.absent_from("the list", &list.body);
    let audit = stage.admin.get("/v1/audit?all=true&limit=200");
    canaries.absent_from("the audit", &audit.body);
}
