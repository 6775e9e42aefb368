//! How many device flows there may be at once, and what the next one hears.

use std::time::Duration;

use serde_json::json;

use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::{faulty, start};

#[test]
fn an_organisation_has_a_hundred_attempts_and_the_next_hears_when_to_come_back() {
    let fault = FaultProvider::start();
    let (broker, admin) = faulty(&fault);
    let begun = json!({
        "device_code": "a-device-code", "user_code": "WDJB-MJHT", "expires_in": 600, "interval": 60,
        "verification_uri": "http://127.0.0.1:9/device",
    });
    fault.always("/device", Answer::json(200, &begun));
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let members: Vec<_> = (0..20)
        .map(|number| broker.member(&format!("M {number}")))
        .collect();
    let all = members.iter().flat_map(|member| [member; 5]);
    let attempts: Vec<_> = all.map(|member| start(member, "fault")).collect();
    assert_eq!(attempts.len(), 100);
    let late = admin.post("/v1/oauth/device/start/fault", &json!({}));
    assert_eq!(late.headers["retry-after"], "60");
    assert_eq!(late.refused(503), "too_many_flows");
    let hint = late.value()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("in a few minutes"), "{hint}");
    // One that ends makes room, and what is there outlives its broker.
    let ended = json!({"attemptToken": attempts[0]["attemptToken"]});
    let cancel = "/v1/oauth/device/cancel/fault";
    members[0].post(cancel, &ended).expect(200);
    start(&admin, "fault");
    let late = admin.post("/v1/oauth/device/start/fault", &json!({}));
    assert_eq!(late.refused(503), "too_many_flows");
    let mut broker = broker;
    broker.restart();
    std::thread::sleep(Duration::from_millis(200));
    let late = broker
        .operator()
        .post("/v1/oauth/device/start/fault", &json!({}));
    assert_eq!(late.refused(503), "too_many_flows");
}

#[test]
fn an_admin_switches_device_flows_off_and_on_again() {
    let fault = FaultProvider::start();
    let (broker, admin) = faulty(&fault);
    let member = broker.member("Ann");
    let policy = |on: bool| {
        let body = json!({"settings": {"deviceFlows": on}});
        admin
            .json("PATCH", "/v1/organizations/current", &body)
            .expect(200)
    };
    assert_eq!(policy(false)["data"]["settings"]["deviceFlows"], false);
    for client in [&admin, &member] {
        let refused = client.post("/v1/oauth/device/start/fault", &json!({}));
        assert_eq!(refused.refused(403), "device_flows_off");
    }
    assert!(fault.asked("/device").is_empty(), "nobody was asked");
    policy(true);
    start(&member, "fault");
    let log = admin.get("/v1/audit?action=org.update").expect(200);
    let codes: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["device_flows_on", "device_flows_off"]);
}
