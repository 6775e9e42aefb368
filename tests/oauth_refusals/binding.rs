//! One browser, one person: what ties an answer to the browser that agreed (B3, B15), and the flow to
//! whoever began it (X1 to X6).

use crate::harness::Client;
use crate::harness::connect::{Stage, TERMINAL, changed, connections, member, start, ticket_of};
use crate::harness::jar::{Jar, Page};
use crate::{leave, refused};

fn cookie_name(flow: &crate::harness::connect::Flow) -> String {
    format!("rt_flow_{}", flow.id)
}

#[test]
fn b3_x4_another_browser_with_the_right_code_and_state_is_told_to_go_back() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let mut without = Jar::new();
    let page = without.get(&answer);
    refused(&page, 403, "wrong_browser");
    let shown = without.follow(page);
    assert!(
        shown
            .text()
            .contains("Open it in the browser where you started")
    );
    for forged in ["", "wrong", &"A".repeat(43), &"A".repeat(5000)] {
        let mut jar = Jar::new();
        jar.put(
            "127.0.0.1",
            &format!("{}={forged}; Path=/", cookie_name(&flow)),
        );
        refused(&jar.get(&answer), 403, "wrong_browser");
    }
    // Its own cookie of another flow helps it nothing.
    let mut other = Jar::new();
    let theirs = stage.start(&mia);
    leave(&mut other, &theirs);
    let borrowed = other.cookie(&cookie_name(&theirs)).unwrap().to_owned();
    other.put(
        "127.0.0.1",
        &format!("{}={borrowed}; Path=/", cookie_name(&flow)),
    );
    refused(&other.get(&answer), 403, "wrong_browser");
    // Nor does the result's page open for it.
    refused(
        &without.get(&format!("{}/result", flow.page)),
        404,
        "flow_unknown",
    );
    stage.no_call();
    // The browser that left is not hindered.
    let ticket = ticket_of(&jar.get(&answer).location().unwrap());
    assert_eq!(
        flow.finish(&mia, &ticket).expect(200)["data"]["status"],
        "connected"
    );
    stage.calls(1);
}

#[test]
fn b15_who_only_looks_leaves_the_flow_to_the_browser() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let target = answer
        .strip_prefix(stage.broker.origin())
        .unwrap()
        .to_owned();
    let scanner = stage.broker.anonymous();
    let looked = scanner.get(&target);
    let there = looked.headers["location"].to_str().unwrap().to_owned();
    assert!(
        there.ends_with("/connect/refused/wrong_browser#"),
        "{there}"
    );
    assert_eq!(scanner.send("HEAD", &target, None).status, 405);
    // The person's own browser, loading ahead, with all its cookies.
    let cookies: Vec<_> = jar
        .cookies()
        .iter()
        .map(|c| format!("{}={}", c.name, c.value))
        .collect();
    let own = scanner.header("cookie", &cookies.join("; "));
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
    ] {
        let ahead = own.header(name, value).get(&target);
        assert_eq!(ahead.status, 503, "{name}: {value}");
        assert!(!ahead.headers.contains_key("location"));
    }
    let looked = own.send("HEAD", &target, None);
    assert_eq!(
        (looked.status, looked.headers.contains_key("location")),
        (405, false)
    );
    assert_eq!(flow.seen(&mia)["status"], "confirmed");
    stage.no_call();
    let ticket = ticket_of(&jar.get(&answer).location().unwrap());
    flow.finish(&mia, &ticket).expect(200);
    assert_eq!(connections(&mia).len(), 1);
}

/// Somebody who wants an account of another's.
struct Attack {
    stage: Stage,
    mallory: Client,
    victim: Client,
}

impl Attack {
    fn new() -> Self {
        let stage = Stage::open();
        Self {
            mallory: stage.broker.member("Mallory"),
            victim: stage.broker.member("Victoria"),
            stage,
        }
    }

    #[track_caller]
    fn failed(&self) {
        self.stage.no_call();
        for client in [&self.mallory, &self.victim] {
            assert_eq!(connections(client).len(), 0);
        }
    }
}

#[test]
fn x1_a_victim_who_follows_the_link_and_agrees_gives_the_attacker_nothing() {
    let attack = Attack::new();
    let stage = &attack.stage;
    let flow = stage.start(&attack.mallory);
    // The page says whose flow it is.
    let mut victims = Jar::new();
    let page = victims.get(&flow.page);
    assert!(page.text().contains("Mallory") && !page.text().contains("Victoria"));
    let answer = stage.answer(&mut victims, &flow, "victoria");
    // The ticket goes to the machine of the browser, which is not Mallory's.
    let ticket = ticket_of(&victims.get(&answer).location().unwrap());
    assert_eq!(flow.seen(&attack.mallory)["status"], "returned");
    for guess in ["", "guess", &flow.id, &member(&answer, "state").unwrap()] {
        assert_eq!(
            flow.finish(&attack.mallory, guess).refused(409),
            "wrong_ticket"
        );
    }
    // A dashboard that is Victoria's finishes no flow of Mallory's.
    assert_eq!(
        flow.finish(&attack.victim, &ticket).refused(404),
        "not_found"
    );
    let looked = attack.victim.get(&format!("/v1/oauth/flows/{}", flow.id));
    assert_eq!(looked.refused(404), "not_found");
    // Mallory's own browser finds the link used.
    let mut own = Jar::new();
    let late = own.get(&flow.page);
    refused(&late, 404, "flow_unknown");
    assert!(own.cookie(&cookie_name(&flow)).is_none());
    attack.failed();
}

#[test]
fn x1_a_victim_who_lacks_the_code_is_sent_nowhere() {
    let attack = Attack::new();
    let flow = start(&attack.mallory, "peer", "");
    let mut victims = Jar::new();
    let page = victims.get(&flow.page);
    for typed in ["", "BBBBBBBB"] {
        let again = victims.submit(&page, &[("code", typed)]);
        assert_eq!((again.status(), again.location()), (422, None));
    }
    assert!(victims.cookie(&cookie_name(&flow)).is_none());
    assert!(attack.stage.peer.log().is_empty());
    attack.failed();
}

#[test]
fn x2_a_provider_s_address_with_the_attacker_s_state_gives_nothing_in_the_victim_s_browser() {
    let attack = Attack::new();
    let stage = &attack.stage;
    for query in [format!("redirect_uri={TERMINAL}"), String::new()] {
        let flow = start(&attack.mallory, "peer", &query);
        let mut own = Jar::new();
        let door = leave(&mut own, &flow);
        let mut victims = Jar::new();
        let answer = victims.agree(&door, "victoria", &stage.back());
        refused(&victims.get(&answer), 403, "wrong_browser");
        attack.failed();
    }
}

#[test]
fn x3_the_attacker_s_answer_in_a_browser_with_a_flow_of_its_own_is_not_taken_for_it() {
    let attack = Attack::new();
    let stage = &attack.stage;
    let theirs = start(&attack.mallory, "peer", "");
    let mut own = Jar::new();
    let door = leave(&mut own, &theirs);
    let planted = own.agree(&door, "mallory", &stage.back());
    let flow = start(&attack.victim, "peer", "");
    let mut victims = Jar::new();
    let door = leave(&mut victims, &flow);
    refused(&victims.get(&planted), 403, "wrong_browser");
    // Nor with the cookies' names changed about.
    let value = victims.cookie(&cookie_name(&flow)).unwrap().to_owned();
    let mut confused = victims.clone();
    confused.put(
        "127.0.0.1",
        &format!("{}={value}; Path=/", cookie_name(&theirs)),
    );
    refused(&confused.get(&planted), 403, "wrong_browser");
    attack.failed();
    // Victoria's own flow goes on.
    let answer = victims.agree(&door, "victoria", &stage.back());
    victims.get(&answer);
    assert_eq!(flow.seen(&attack.victim)["account"], "victoria");
}

#[test]
fn a2_a_planted_code_in_the_right_browser_with_the_right_state_lacks_its_verifier() {
    let attack = Attack::new();
    let stage = &attack.stage;
    let theirs = start(&attack.mallory, "peer", "");
    let mut own = Jar::new();
    let door = leave(&mut own, &theirs);
    let planted = own.agree(&door, "mallory", &stage.back());
    let flow = start(&attack.victim, "peer", "");
    let mut victims = Jar::new();
    let door = leave(&mut victims, &flow);
    let answer = victims.agree(&door, "victoria", &stage.back());
    let code = member(&planted, "code").unwrap();
    let page = victims.open(&changed(&answer, "code", Some(&code)));
    assert!(
        page.text().contains("<code>provider_refused</code>"),
        "{}",
        page.words()
    );
    let asked = stage.peer.granted("authorization_code");
    assert_eq!((asked.len(), asked[0].status), (1, Some(400)));
    assert_eq!(connections(&attack.victim).len(), 0);
}

#[test]
fn x5_two_tabs_whose_answers_come_crosswise_both_connect() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let (first, second) = (start(&mia, "peer", ""), start(&mia, "peer", ""));
    let mut jar = Jar::new();
    let doors = [leave(&mut jar, &first), leave(&mut jar, &second)];
    // The peer knows one person a browser: each tab has one of its own there.
    let answers = [(&doors[0], "mia"), (&doors[1], "work")]
        .map(|(door, login)| Jar::new().agree(door, login, &stage.back()));
    assert!(jar.open(&answers[1]).text().contains("Peer is connected"));
    assert!(jar.open(&answers[0]).text().contains("Peer is connected"));
    assert_eq!(first.seen(&mia)["account"], "mia");
    assert_eq!(second.seen(&mia)["account"], "work");
    stage.calls(2);
}

#[test]
fn x6_a_cookie_that_another_host_of_the_domain_could_set_is_none() {
    let stage = Stage::with("peer", "public_url = \"https://broker.example.com\"");
    let public = "https://broker.example.com/v1/oauth/callback/peer";
    stage.peer.call_back(&[public]);
    let mia = stage.broker.member("Mia");
    let flow = start(&mia, "peer", &format!("redirect_uri={TERMINAL}"));
    assert!(flow.page.starts_with("https://broker.example.com/connect/"));
    // What stands before the broker takes the TLS off.
    let here = |url: &str| url.replace("https://broker.example.com", stage.broker.origin());
    let mut jar = Jar::new();
    let page = jar.get(&here(&flow.page));
    let left = jar.submit(&page, &[]);
    let host = format!("__Host-{}", cookie_name(&flow));
    let line = jar
        .cookies()
        .iter()
        .find(|cookie| cookie.name == host)
        .unwrap()
        .line
        .clone();
    for part in [
        "; Path=/",
        "; Max-Age=600",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Secure",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.to_lowercase().contains("domain"), "{line}");
    let answer = here(&jar.agree(left.location().unwrap().as_str(), "mia", public));
    let value = jar.cookie(&host).unwrap().to_owned();
    let wrong = |page: &Page| {
        let there = page.location().unwrap();
        assert!(
            there
                .as_str()
                .starts_with("https://broker.example.com/connect/refused/")
        );
        refused(&Jar::new().get(&here(there.as_str())), 403, "wrong_browser");
    };
    for planted in [
        cookie_name(&flow),
        format!("__Secure-{}", cookie_name(&flow)),
    ] {
        let mut sibling = Jar::new();
        sibling.put("127.0.0.1", &format!("{planted}={value}; Path=/"));
        wrong(&sibling.get(&answer));
    }
    // One that was pushed in beside the right one makes neither count.
    let mut pushed = jar.clone();
    pushed.put("127.0.0.1", &format!("{host}=planted; Path=/v1"));
    wrong(&pushed.get(&answer));
    stage.no_call();
    assert!(jar.get(&answer).location().is_some());
}

#[test]
fn a_click_is_needed_and_only_on_the_broker_s_own_page() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let path = format!("/connect/{}", flow.id);
    let mut jar = Jar::new();
    let token = jar.get(&flow.page).field("token").unwrap();
    let secret = jar.cookie("rt_form").unwrap().to_owned();
    let post = |headers: &[(&str, &str)], body: &str| {
        let mut client = stage.broker.anonymous();
        for (name, value) in headers {
            client = client.header(name, value);
        }
        let kind = "application/x-www-form-urlencoded";
        client.send("POST", &path, Some((kind, body.as_bytes())))
    };
    let (own, form) = (format!("rt_form={secret}"), format!("token={token}"));
    let other = stage.start(&mia);
    let others = Jar::new().get(&other.page).field("token").unwrap();
    let others = format!("token={others}");
    let cross = ("sec-fetch-site", "cross-site");
    let cookie = ("cookie", &*own);
    for (headers, body) in [
        (vec![], &*form),
        (vec![cookie], ""),
        (vec![cookie], "token="),
        (vec![cookie], &*others),
        (vec![cookie, cross], &*form),
        (vec![cookie, ("sec-fetch-site", "same-site")], &*form),
        (vec![cookie, ("origin", "http://127.0.0.1:1")], &*form),
        (vec![("cookie", "rt_form=x"), cookie], &*form),
        (vec![cookie], &format!("{form}&{form}")),
    ] {
        let reply = post(&headers, body);
        assert_eq!(reply.status, 403, "{headers:?} {body}");
        assert!(
            !reply.headers.contains_key("set-cookie"),
            "{headers:?} {body}"
        );
    }
    assert!(stage.peer.log().is_empty());
    assert_eq!(flow.seen(&mia)["status"], "opened");
    assert_eq!(post(&[cookie], &form).status, 303);
}
