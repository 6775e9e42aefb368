//! A broker that ends, or is sealed, while somebody types a code elsewhere (D4).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::connect::{Stage, connections};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::jar::Jar;
use crate::harness::{Broker, Canaries, Client, eventually};
use crate::{AWHILE, device, ended, faulty, records, start, status};

fn agreeing(fault: &FaultProvider) {
    let tokens = Answer::tokens("an-access-token-of-ann", "a-refresh-token-of-ann");
    fault.always("/token", tokens);
    fault.always("/me", Answer::json(200, &json!({"id": "1", "name": "ann"})));
}

fn asked_once(fault: &FaultProvider) {
    eventually(|| (!fault.asked("/token").is_empty()).then_some(()));
}

fn unknown(admin: &Client, started: &Value) {
    let asked = json!({"attemptToken": started["attemptToken"]});
    let gone = admin.post("/v1/oauth/device/status/fault", &asked);
    assert_eq!(gone.refused(404), "unknown_attempt");
    let hint = gone.value()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("runtools oauth connect"), "{hint}");
}

/// kill -9, and started again: the operator.
fn killed(broker: &mut Broker) -> Client {
    broker.kill();
    broker.restart();
    broker.operator()
}

#[test]
fn d4_whoever_agrees_after_a_kill_is_connected_and_once() {
    let mut stage = Stage::open();
    let started = start(&stage.admin, "peer");
    assert_eq!(status(&stage.admin, "peer", &started)["status"], "pending");
    let admin = killed(&mut stage.broker);
    assert_eq!(status(&admin, "peer", &started)["status"], "pending");
    let (page, code) = (&started["verificationUri"], &started["userCode"]);
    Jar::new().agree_device(page.as_str().unwrap(), code.as_str().unwrap(), "ann");
    let done = ended(&admin, "peer", &started);
    assert_eq!(
        (&done["status"], &done["account"]),
        (&json!("connected"), &json!("ann"))
    );
    let made = connections(&admin);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0]["id"], done["connectionId"]);
    assert_eq!(records(&admin, "oauth.start"), ["device_resumed", "device"]);
    // What was made goes on alone.
    let admin = killed(&mut stage.broker);
    std::thread::sleep(AWHILE);
    assert_eq!(connections(&admin), made);
    assert_eq!(records(&admin, "oauth.connect"), ["device"]);
}

#[test]
fn d4_what_is_asked_with_survives_a_kill_and_is_nowhere_on_disk_in_the_clear() {
    let fault = FaultProvider::start();
    let (mut broker, admin) = faulty(&fault);
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let started = start(&admin, "fault");
    asked_once(&fault);
    broker.kill();
    let before = fault.asked("/token").len();
    let mut canaries = Canaries::new();
    canaries.also("a-device-code-that-nobody-sees");
    canaries.also(started["attemptToken"].as_str().unwrap());
    canaries.also("WDJB-MJHT");
    for (path, bytes) in broker.files() {
        canaries.absent_from(&path.display().to_string(), &bytes);
    }
    agreeing(&fault);
    broker.restart();
    // Nobody asks us how it stands.
    let admin = broker.operator();
    let made = eventually(|| Some(connections(&admin)).filter(|made| !made.is_empty()));
    assert_eq!((made.len(), &made[0]["account"]), (1, &json!("ann")));
    let asked = fault.asked("/token");
    assert_eq!(asked.len(), before + 1);
    let code = asked[before].form("device_code").unwrap();
    assert_eq!(code, "a-device-code-that-nobody-sees");
    canaries.absent_from("the log", &broker.log_bytes());
}

#[test]
fn d4_an_attempt_goes_on_after_the_vault_was_sealed_and_unsealed() {
    let fault = FaultProvider::start();
    let (broker, admin) = faulty(&fault);
    let words = json!({"kind": "passphrase", "label": "mine", "passphrase": "seven words of mine"});
    admin.post("/v1/operator/slots", &words).expect(201);
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let started = start(&admin, "fault");
    asked_once(&fault);
    admin.send("POST", "/v1/operator/seal", None).expect(200);
    let before = fault.asked("/token").len();
    agreeing(&fault);
    std::thread::sleep(AWHILE);
    assert_eq!(fault.asked("/token").len(), before, "nobody asks meanwhile");
    let words = json!({"passphrase": "seven words of mine"});
    admin.post("/v1/operator/unseal", &words).expect(200);
    let done = ended(&admin, "fault", &started);
    assert_eq!(done["status"], "connected", "{done}");
    assert_eq!(connections(&broker.operator()).len(), 1);
    assert_eq!(fault.asked("/token").len(), before + 1);
}

#[test]
fn d4_a_provider_that_wanted_to_be_asked_less_often_is_so_after_a_kill() {
    let fault = FaultProvider::start();
    let (mut broker, admin) = faulty(&fault);
    fault.next("/token", Answer::error(400, "slow_down"));
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let started = start(&admin, "fault");
    eventually(|| (status(&admin, "fault", &started)["interval"] == 6).then_some(()));
    // Whoever asks waits in the store's queue behind what was noted.
    admin.make_key(&[]);
    broker.kill();
    let before = fault.asked("/token").len();
    let begun = Instant::now();
    broker.restart();
    let admin = broker.operator();
    assert_eq!(status(&admin, "fault", &started)["interval"], 6);
    let next = eventually(|| {
        let came = fault.asked("/token").len() > before;
        came.then(|| begun.elapsed())
    });
    assert!(next >= Duration::from_secs(6), "{next:?}");
}

#[test]
fn d4_what_ended_meanwhile_is_asked_for_no_more() {
    let fault = FaultProvider::start();
    let (mut broker, admin) = faulty(&fault);
    fault.always("/device", device(2));
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let late = start(&admin, "fault");
    fault.always("/device", device(60));
    let cancelled = start(&admin, "fault");
    let asked = json!({"attemptToken": cancelled["attemptToken"]});
    admin
        .post("/v1/oauth/device/cancel/fault", &asked)
        .expect(200);
    broker.kill();
    let before = fault.asked("/token").len();
    agreeing(&fault);
    std::thread::sleep(AWHILE);
    broker.restart();
    let admin = broker.operator();
    unknown(&admin, &late);
    unknown(&admin, &cancelled);
    std::thread::sleep(AWHILE);
    assert_eq!(fault.asked("/token").len(), before, "nobody asks any more");
    assert!(connections(&admin).is_empty());
    assert_eq!(records(&admin, "oauth.deny"), ["expired", "cancelled"]);
    // Nothing of them is left to be ended once more.
    let admin = killed(&mut broker);
    unknown(&admin, &late);
    assert_eq!(records(&admin, "oauth.deny"), ["expired", "cancelled"]);
}

#[test]
fn d4_no_more_come_back_than_a_member_may_have() {
    let fault = FaultProvider::start();
    let (mut broker, admin) = faulty(&fault);
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let all: Vec<_> = (0..7).map(|_| start(&admin, "fault")).collect();
    let admin = killed(&mut broker);
    for gone in &all[..2] {
        unknown(&admin, gone);
    }
    for goes_on in &all[2..] {
        assert_eq!(status(&admin, "fault", goes_on)["status"], "pending");
    }
    let resumed = records(&admin, "oauth.start");
    let resumed = resumed.iter().filter(|code| **code == "device_resumed");
    assert_eq!(resumed.count(), 5);
}

#[test]
fn d4_nobody_is_connected_who_was_removed_while_the_broker_was_away() {
    let fault = FaultProvider::start();
    let (mut broker, admin) = faulty(&fault);
    let ann = broker.member("Ann");
    fault.always("/token", Answer::error(400, "authorization_pending"));
    start(&ann, "fault");
    asked_once(&fault);
    let me = ann.get("/v1/me").expect(200)["data"]["id"].clone();
    let members = "/v1/organizations/current/members";
    let listed = admin.get(members).expect(200)["data"].clone();
    let mut listed = listed.as_array().unwrap().iter();
    let hers = listed.find(|member| member["userId"] == me).unwrap();
    let id = hers["id"].as_str().unwrap();
    admin.delete(&format!("{members}/{id}")).expect(200);
    broker.kill();
    let before = fault.asked("/token").len();
    agreeing(&fault);
    broker.restart();
    let admin = broker.operator();
    let denied = eventually(|| Some(records(&admin, "oauth.deny")).filter(|all| !all.is_empty()));
    assert_eq!(denied, ["not_member"]);
    assert_eq!(fault.asked("/token").len(), before);
}
