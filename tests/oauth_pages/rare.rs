//! Ends that take more than an answer of the provider's: somebody was removed, something is full, time went by.

use std::sync::Arc;

use serde_json::json;

use super::ends::Eyes;
use crate::harness::agreeable::{fault_client, fault_file, with_one_account};
use crate::harness::connect::{self, TERMINAL, set_client, start, text};
use crate::harness::disk::Disk;
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::{Broker, Client};
use crate::{agree, answer_with};

/// Takes a member out of the organisation.
fn remove(operator: &Client, name: &str) {
    let path = "/v1/organizations/current/members";
    let members = operator.get(path).expect(200)["data"].clone();
    let mut members = members.as_array().unwrap().iter();
    let found = members.find(|member| member["name"] == name).unwrap();
    operator
        .delete(&format!("{path}/{}", text(&found["id"])))
        .expect(200);
}

#[test]
fn whoever_was_removed_and_whoever_has_enough_is_told_so() {
    let (provider, broker) = with_one_account(|file| file, "accounts_per_member = 1\n");
    answer_with(&provider, &[("code", "code-1")]);
    let (mia, bob) = (broker.member("Mia"), broker.member("Bob"));
    let mut eyes = Eyes::open();
    agree(&eyes.browser, &start(&mia, "fault", ""));
    eyes.browser.wait_text("Fault is connected");
    let other = json!({"id": "8", "name": "Somebody Else"});
    provider.next("/me", Answer::json(200, &other));
    agree(&eyes.browser, &start(&mia, "fault", ""));
    eyes.see("too_many_accounts");
    // Between the question and the click.
    let operator = broker.operator();
    provider.script("/authorize", move |seen| {
        remove(&operator, "Bob");
        let mut back = url::Url::parse(&seen.query("redirect_uri").unwrap()).unwrap();
        let state = seen.query("state").unwrap();
        back.query_pairs_mut()
            .extend_pairs([("state", &*state), ("code", "code-2")]);
        Answer::redirect(302, back.as_str())
    });
    agree(&eyes.browser, &start(&bob, "fault", ""));
    eyes.see("not_member");
}

/// A broker that knows the provider by two names.
fn by_two_names(provider: &FaultProvider) -> Broker {
    let (id, text) = fault_file(provider, &[]);
    let other = text.replace("id = \"fault\"", "id = \"other\"");
    let broker = connect::broker(&[(id, text), ("other", other)], "");
    for id in ["fault", "other"] {
        set_client(&broker.operator(), id, &fault_client()).expect(200);
    }
    broker
}

#[test]
fn an_answer_in_another_name_or_at_another_door_is_not_taken() {
    let provider = FaultProvider::start();
    let broker = by_two_names(&provider);
    let mia = broker.member("Mia");
    let mut eyes = Eyes::open();
    answer_with(
        &provider,
        &[("code", "code-1"), ("iss", "https://evil.example")],
    );
    agree(&eyes.browser, &start(&mia, "fault", ""));
    eyes.see("wrong_issuer");
    provider.script("/authorize", |seen| {
        let back = seen.query("redirect_uri").unwrap();
        let back = back.replace("/callback/fault", "/callback/other");
        let state = seen.query("state").unwrap();
        Answer::redirect(302, &format!("{back}?code=code-2&state={state}"))
    });
    let flow = start(&mia, "fault", "");
    agree(&eyes.browser, &flow);
    // At the door it is told nothing but that there is no such flow (B1); its own page knows.
    eyes.browser.wait_text("Code: flow_unknown");
    eyes.browser.open(&format!("{}/result", flow.page));
    eyes.see("wrong_provider");
    assert!(provider.asked("/token").is_empty(), "nothing was redeemed");
}

#[test]
fn a_code_that_a_terminal_took_too_late_is_told_of_in_the_browser() {
    let waits = "[callback]\nmax_code_age_s = 1\n\n[token]";
    let (provider, broker) = with_one_account(|file| file.replace("[token]", waits), "");
    answer_with(&provider, &[("code", "code-1")]);
    let mia = broker.member("Mia");
    let mut eyes = Eyes::open();
    let flow = start(&mia, "fault", &format!("redirect_uri={TERMINAL}"));
    eyes.browser.open(&flow.page);
    eyes.browser.click("button[type=submit]");
    eyes.browser.wait_url(TERMINAL);
    let ticket = connect::member(&eyes.browser.url(), "ticket").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let late = flow.finish(&mia, &ticket);
    assert_eq!(late.refused(409), "code_expired");
    eyes.browser.open(&format!("{}/result", flow.page));
    eyes.see("code_expired");
    assert!(provider.asked("/token").is_empty(), "nothing was redeemed");
}

/// Takes all room on the broker's disk while a code is redeemed, until the store refuses.
fn full_while_redeeming(provider: &FaultProvider, broker: &Broker, disk: &Arc<Disk>) {
    let (operator, disk) = (broker.operator(), Arc::clone(disk));
    provider.script("/token", move |_| {
        disk.fill();
        let value = "x".repeat(60_000);
        let full = (0..400).any(|number| {
            let secret = json!({"name": format!("FULL_{number}"), "value": value});
            operator.post("/v1/secrets", &secret).status != 201
        });
        assert!(full, "nothing was refused");
        Answer::tokens("access-of-a-full-disk", "refresh-of-a-full-disk")
    });
}

#[test]
fn what_could_not_be_kept_is_given_back_and_whoever_must_do_that_is_told_so() {
    let (provider, mut broker) = with_one_account(|file| file, "");
    answer_with(&provider, &[("code", "code-1")]);
    let mia = broker.member("Mia");
    assert_eq!(broker.stop(), Some(0));
    let disk = Arc::new(Disk::over(&broker.data(), "64m"));
    let mut eyes = Eyes::open();
    for (taken_back, code) in [(200, "internal_error"), (500, "not_kept")] {
        broker.restart();
        provider.always("/revoke", Answer::empty(taken_back));
        full_while_redeeming(&provider, &broker, &disk);
        let mia = mia.at(broker.origin());
        agree(&eyes.browser, &start(&mia, "fault", ""));
        eyes.see(code);
        assert!(!provider.asked("/revoke").is_empty());
        disk.free();
        broker.restart();
        let kept = connect::connections(&mia.at(broker.origin()));
        assert!(kept.is_empty(), "{kept:?}");
    }
}
