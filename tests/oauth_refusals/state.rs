//! The state: which flow an answer is of, once (B1, B2), and by one provider's path (A5).

use crate::harness::connect::{Stage, changed, connections, member, start, ticket_of};
use crate::harness::jar::{Jar, Page};
use crate::harness::oidc::Peer;
use crate::{leave, refused};

/// Room for fifty browsers at once.
const CROWD: &str = "[limits]\nconnections_per_source = 64";

/// What a browser is shown, without where it asked.
fn shown(page: &Page) -> (u16, Vec<(String, String)>, String) {
    let moving = [
        "date",
        "x-request-id",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ];
    let headers = page.reply.headers.iter();
    let headers = headers.filter(|(name, _)| !moving.contains(&name.as_str()));
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (page.status(), headers.collect(), page.text())
}

#[test]
fn b1_a_state_that_is_none_any_more_looks_like_one_that_never_was() {
    let peer = Peer::start();
    let files = [
        ("peer", peer.provider_file("peer", "peer")),
        ("twin", peer.provider_file("peer", "twin")),
    ];
    let stage = Stage::of(peer, &files, "");
    let mia = stage.broker.member("Mia");
    let mut pages = Vec::new();

    let mut jar = Jar::new();
    let flow = stage.start(&mia);
    let answer = stage.answer(&mut jar, &flow, "mia");
    for unknown in [Some("unknown"), Some(""), None, Some(&*"a".repeat(43))] {
        pages.push(jar.get(&changed(&answer, "state", unknown)));
    }
    // Used.
    assert!(jar.get(&answer).location().is_some());
    pages.push(jar.get(&answer));
    // Cancelled by whoever began.
    let flow = stage.start(&mia);
    let answer = stage.answer(&mut jar, &flow, "mia");
    mia.delete(&format!("/v1/oauth/flows/{}", flow.id))
        .expect(200);
    pages.push(jar.get(&answer));
    // Made before the person set out once more.
    let flow = stage.start(&mia);
    let old = stage.answer(&mut jar, &flow, "mia");
    let _again = leave(&mut jar, &flow);
    pages.push(jar.get(&old));
    // Too many others since.
    let flow = stage.start(&mia);
    let answer = stage.answer(&mut jar, &flow, "mia");
    for _ in 0..20 {
        stage.start(&mia);
    }
    pages.push(jar.get(&answer));
    // Another provider's.
    let flow = stage.start(&mia);
    let answer = stage.answer(&mut jar, &flow, "mia");
    pages.push(jar.get(&answer.replace("callback/peer?", "callback/twin?")));
    pages.push(jar.get(&answer.replace("callback/peer?", "callback/no-such?")));
    // No flow at all, and no browser that was here.
    pages.push(Jar::new().get(&changed(&answer, "state", Some("never"))));

    refused(&pages[0], 404, "flow_unknown");
    for page in &pages {
        assert_eq!(shown(page), shown(&pages[0]), "{}", page.url);
    }
    stage.no_call();
    assert_eq!(connections(&mia).len(), 0);
}

#[test]
fn b2_fifty_copies_of_a_callback_make_one_token_request() {
    let stage = Stage::with("peer", CROWD);
    let mia = stage.broker.member("Mia");
    let flow = start(&mia, "peer", "");
    let mut jar = Jar::new();
    let door = leave(&mut jar, &flow);
    let answer = jar.agree(&door, "mia", &stage.back());
    let pages: Vec<Page> = std::thread::scope(|scope| {
        let copies: Vec<_> = (0..50)
            .map(|_| (jar.clone(), &answer))
            .map(|(mut jar, answer)| scope.spawn(move || jar.get(answer)))
            .collect();
        copies
            .into_iter()
            .map(|copy| copy.join().unwrap())
            .collect()
    });
    let taken: Vec<_> = pages
        .iter()
        .filter(|page| !page.header("location").contains("/connect/refused/"))
        .collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].status(), 303);
    for page in &pages {
        if !std::ptr::eq(page, taken[0]) {
            refused(page, 404, "flow_unknown");
        }
    }
    stage.calls(1);
    assert_eq!(connections(&mia).len(), 1);
    assert_eq!(flow.seen(&mia)["status"], "connected");
}

#[test]
fn b2_fifty_copies_of_a_ticket_make_one_token_request() {
    let stage = Stage::with("peer", CROWD);
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let ticket = ticket_of(&jar.get(&answer).location().unwrap());
    // A wrong one takes nothing.
    assert_eq!(flow.finish(&mia, "wrong").refused(409), "wrong_ticket");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let one = || flow.finish(&mia, &ticket).status;
        let copies: Vec<_> = (0..50).map(|_| scope.spawn(one)).collect();
        copies
            .into_iter()
            .map(|copy| copy.join().unwrap())
            .collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| [200, 409].contains(status)),
        "{statuses:?}"
    );
    stage.calls(1);
    assert_eq!(connections(&mia).len(), 1);
}

#[test]
fn b2_an_error_uses_the_state_up_as_a_code_does() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let no = changed(
        &changed(&answer, "code", None),
        "error",
        Some("access_denied"),
    );
    let told = jar.get(&no).location().unwrap();
    assert_eq!(
        member(told.as_str(), "error").as_deref(),
        Some("access_denied")
    );
    assert_eq!(member(told.as_str(), "ticket"), None);
    refused(&jar.get(&answer), 404, "flow_unknown");
    assert_eq!(flow.seen(&mia)["error"], "access_denied");
    stage.no_call();
}

#[test]
fn somebody_who_says_no_at_the_peer_has_connected_nothing() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = start(&mia, "peer", "");
    let mut jar = Jar::new();
    let door = leave(&mut jar, &flow);
    let no = jar.deny(&door, "mia", &stage.back());
    let page = jar.open(&no);
    assert!(
        page.text().contains("Peer was not connected"),
        "{}",
        page.words()
    );
    assert!(page.text().contains("<code>access_denied</code>"));
    assert_eq!(flow.seen(&mia)["error"], "access_denied");
    stage.no_call();
}

#[test]
fn a5_a_code_of_one_provider_on_another_s_path_goes_nowhere() {
    let peer = Peer::start();
    let files = [
        ("peer", peer.provider_file("peer", "peer")),
        ("twin", peer.provider_file("peer", "twin")),
    ];
    let stage = Stage::of(peer, &files, "");
    let mia = stage.broker.member("Mia");
    let flow = start(&mia, "peer", "");
    let mut jar = Jar::new();
    let door = leave(&mut jar, &flow);
    let answer = jar.agree(&door, "mia", &stage.back());
    // Somebody else's browser cannot even end the flow that way.
    let crossed = answer.replace("callback/peer?", "callback/twin?");
    refused(&Jar::new().get(&crossed), 404, "flow_unknown");
    assert_eq!(flow.seen(&mia)["status"], "confirmed");
    refused(&jar.get(&crossed), 404, "flow_unknown");
    refused(&jar.get(&answer), 404, "flow_unknown");
    assert_eq!(flow.seen(&mia)["error"], "wrong_provider");
    stage.no_call();
}
