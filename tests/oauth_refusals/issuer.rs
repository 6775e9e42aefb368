//! Who answered, by its own word (B5, RFC 9207): compared as text, on errors too, before a code is sent.

use crate::harness::connect::{Stage, changed, connections, member, start};
use crate::harness::jar::Jar;
use crate::harness::oidc::Peer;
use crate::{answer, leave, refused, with_fault};

/// The answer of the peer, changed on its way, to a new flow of `stage`: the code that the flow ends with.
fn ended(stage: &Stage, change: impl Fn(&str) -> String) -> String {
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let told = jar.get(&change(&answer)).location().unwrap();
    assert_eq!(member(told.as_str(), "ticket"), None);
    assert_eq!(connections(&mia).len(), 0);
    refused(&jar.get(&answer), 404, "flow_unknown");
    let code = member(told.as_str(), "error").unwrap();
    assert_eq!(flow.seen(&mia)["error"], code);
    code
}

/// What the issuer may be called by somebody who is not it.
fn others(origin: &str) -> Vec<Option<String>> {
    let others = [
        format!("{origin}/"),
        origin.replace("http:", "https:"),
        origin.replace("http:", "HTTP:"),
        origin.replace("127.0.0.1", "localhost"),
        format!("{origin}.evil.example"),
        format!(" {origin}"),
        "http://127.0.0.1:1".to_owned(),
        String::new(),
    ];
    let mut others: Vec<_> = others.into_iter().map(Some).collect();
    others.push(None);
    others
}

#[test]
fn b5_an_answer_in_another_issuer_s_name_or_in_none_is_not_redeemed() {
    let stage = Stage::open();
    for iss in others(&stage.peer.origin()) {
        let code = ended(&stage, |answer| changed(answer, "iss", iss.as_deref()));
        assert_eq!(code, "wrong_issuer", "{iss:?}");
    }
    stage.no_call();
}

#[test]
fn b5_an_error_in_another_issuer_s_name_is_not_believed() {
    let stage = Stage::open();
    for iss in [Some("http://127.0.0.1:1"), None] {
        let code = ended(&stage, |answer| {
            let answer = changed(
                &changed(answer, "code", None),
                "error",
                Some("access_denied"),
            );
            changed(&answer, "iss", iss)
        });
        assert_eq!(code, "wrong_issuer", "{iss:?}");
    }
    stage.no_call();
}

#[test]
fn b5_an_issuer_that_is_named_twice_is_not_looked_at() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let iss = member(&answer, "iss").unwrap();
    for again in [&*iss, "http://127.0.0.1:1"] {
        refused(
            &jar.get(&format!("{answer}&iss={again}")),
            400,
            "bad_callback",
        );
    }
    stage.no_call();
    assert!(jar.get(&answer).location().is_some());
}

#[test]
fn b5_a_discovered_issuer_that_says_it_names_itself_must() {
    let peer = Peer::start();
    let file = peer.provider_file("peer-discovery", "peer");
    // The file leaves it to what the issuer says of itself.
    let file = file.replace("[callback]\niss = \"required\"\n", "");
    assert!(!file.contains("iss = "));
    let stage = Stage::of(peer, &[("peer", file)], "");
    for iss in [None, Some("http://127.0.0.1:1")] {
        let code = ended(&stage, |answer| changed(answer, "iss", iss));
        assert_eq!(code, "wrong_issuer", "{iss:?}");
    }
    stage.no_call();
    stage.connect(&stage.broker.member("Noa"), "noa");
}

#[test]
fn b5_an_issuer_that_never_names_itself_need_not_and_is_held_to_it_when_it_does() {
    let (provider, broker) = with_fault(|file| {
        let issuer = "display_name = \"Fault\"\nissuer = \"https://issuer.example\"";
        file.replace("display_name = \"Fault\"", issuer)
    });
    let mia = broker.member("Mia");
    let mut jar = Jar::new();
    let flow = start(&mia, "fault", "");
    let back = answer(&leave(&mut jar, &flow), "code-1");
    let page = jar.open(&format!("{back}&iss=https://issuer.example/"));
    assert!(
        page.text().contains("<code>wrong_issuer</code>"),
        "{}",
        page.words()
    );
    assert_eq!(provider.asked("/token").len(), 0);
    for iss in ["", "&iss=https://issuer.example"] {
        let flow = start(&mia, "fault", "");
        let back = answer(&leave(&mut jar, &flow), "code-2");
        let page = jar.open(&format!("{back}{iss}"));
        assert!(
            page.text().contains("Fault is connected"),
            "{}",
            page.words()
        );
    }
    assert_eq!(connections(&mia).len(), 1);
}
