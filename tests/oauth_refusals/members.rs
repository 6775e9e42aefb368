//! Who left in between, and what was ended in between (B4, X7).

use crate::harness::Client;
use crate::harness::connect::{Stage, connections, start, text, ticket_of};
use crate::harness::jar::Jar;
use crate::{leave, refused};

/// Takes the member of this name out of the organisation.
fn remove(stage: &Stage, name: &str) {
    let members = stage
        .admin
        .get("/v1/organizations/current/members")
        .expect(200);
    let members = members["data"].as_array().unwrap().iter();
    let found = members.clone().find(|member| member["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name}: {:?}", members.collect::<Vec<_>>()));
    let id = text(&found["id"]);
    let path = format!("/v1/organizations/current/members/{id}");
    stage.admin.delete(&path).expect(200);
}

fn nothing_was_made(stage: &Stage) {
    stage.no_call();
    let all = stage
        .admin
        .get("/v1/oauth/connections?all=true")
        .expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 0, "{all}");
}

#[test]
fn b4_x7_who_was_removed_before_the_answer_connects_nothing() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = start(&mia, "peer", "");
    let mut jar = Jar::new();
    let door = leave(&mut jar, &flow);
    let answer = jar.agree(&door, "mia", &stage.back());
    remove(&stage, "Mia");
    let page = jar.open(&answer);
    assert!(
        page.text().contains("<code>not_member</code>"),
        "{}",
        page.words()
    );
    nothing_was_made(&stage);
    let denied = stage
        .admin
        .get("/v1/audit?all=true&action=oauth.connect")
        .expect(200);
    assert!(denied.to_string().contains("not_member"), "{denied}");
}

#[test]
fn b4_x7_who_was_removed_before_finishing_connects_nothing() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let ticket = ticket_of(&jar.get(&answer).location().unwrap());
    remove(&stage, "Mia");
    assert_eq!(flow.finish(&mia, &ticket).refused(401), "unauthorized");
    nothing_was_made(&stage);
    // Nor does anybody else take it up.
    let noa = stage.broker.member("Noa");
    for other in [&noa, &stage.admin] {
        assert_eq!(flow.finish(other, &ticket).refused(404), "not_found");
    }
    nothing_was_made(&stage);
}

#[test]
fn b4_x7_who_was_removed_before_the_click_is_not_sent_to_the_provider() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let page = jar.get(&flow.page);
    remove(&stage, "Mia");
    let not = jar.submit(&page, &[]);
    assert_eq!(not.location(), None, "{}", not.words());
    assert!(jar.cookie(&format!("rt_flow_{}", flow.id)).is_none());
    assert!(stage.peer.log().is_empty());
    assert!(
        not.text().contains("<code>not_member</code>"),
        "{}",
        not.words()
    );
}

#[test]
fn b4_a_flow_that_was_cancelled_takes_no_answer() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let cancel = |client: &Client, id: &str| client.delete(&format!("/v1/oauth/flows/{id}"));
    // Before the click.
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let page = jar.get(&flow.page);
    assert_eq!(
        cancel(&stage.admin, &flow.id).refused(404),
        "not_found",
        "it is Mia's"
    );
    cancel(&mia, &flow.id).expect(200);
    refused(&jar.submit(&page, &[]), 404, "flow_unknown");
    // While at the provider.
    let flow = stage.start(&mia);
    let answer = stage.answer(&mut jar, &flow, "mia");
    cancel(&mia, &flow.id).expect(200);
    refused(&jar.get(&answer), 404, "flow_unknown");
    let result = jar.get(&format!("{}/result", flow.page));
    assert!(
        result.text().contains("<code>cancelled</code>"),
        "{}",
        result.words()
    );
    // While the answer waits.
    let flow = stage.start(&mia);
    let answer = stage.answer(&mut jar, &flow, "mia");
    let ticket = ticket_of(&jar.get(&answer).location().unwrap());
    cancel(&mia, &flow.id).expect(200);
    assert_eq!(flow.finish(&mia, &ticket).refused(409), "not_returned");
    assert_eq!(flow.seen(&mia)["error"], "cancelled");
    assert_eq!(cancel(&mia, &flow.id).refused(404), "not_found");
    nothing_was_made(&stage);
    assert_eq!(connections(&mia).len(), 0);
}

#[test]
fn b4_another_member_sees_nothing_of_a_flow_and_finishes_none() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let ticket = ticket_of(&jar.get(&answer).location().unwrap());
    let noa = stage.broker.member("Noa");
    for path in [&flow.id, "aaaaaaaaaaaaaaaaaaaaaaaaaa", "x"] {
        let path = format!("/v1/oauth/flows/{path}");
        assert_eq!(noa.get(&path).status, 404, "{path}");
    }
    assert_eq!(flow.finish(&noa, &ticket).refused(404), "not_found");
    let anonymous = stage.broker.anonymous();
    assert_eq!(
        flow.finish(&anonymous, &ticket).refused(401),
        "unauthorized"
    );
    // A key that may only read finishes nothing, and begins nothing.
    let reader = stage.broker.anonymous().key(&mia.make_key(&["oauth:read"]));
    assert_eq!(flow.finish(&reader, &ticket).refused(403), "missing_scope");
    assert_eq!(
        reader.get("/v1/oauth/start/peer").refused(403),
        "missing_scope"
    );
    nothing_was_made(&stage);
    flow.finish(&mia, &ticket).expect(200);
}
