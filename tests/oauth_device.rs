//! Connecting an account by a code that is typed on another device, at a real authorization server and
//! at one that answers what a real one cannot be told to.

mod harness;

use std::time::Duration;

use harness::connect::{Stage, broker, set_client};
use harness::fault_provider::{Answer, FaultProvider};
use harness::jar::Jar;
use harness::oidc::{PeerClient, provider_file};
use harness::{Broker, Client, eventually};
use serde_json::{Value, json};

fn start(client: &Client, provider: &str) -> Value {
    let path = format!("/v1/oauth/device/start/{provider}");
    client.post(&path, &json!({})).expect(200)["data"].clone()
}

fn status(client: &Client, provider: &str, started: &Value) -> Value {
    let path = format!("/v1/oauth/device/status/{provider}");
    let asked = json!({"attemptToken": started["attemptToken"]});
    client.post(&path, &asked).expect(200)["data"].clone()
}

fn ended(client: &Client, provider: &str, started: &Value) -> Value {
    eventually(|| {
        let now = status(client, provider, started);
        (now["status"] != "pending").then_some(now)
    })
}

/// A broker with a provider that answers anything, which lets itself be asked each second.
fn faulty(fault: &FaultProvider) -> (Broker, Client) {
    let file = provider_file("fault", "fault", fault.port());
    let broker = broker(&[("fault", file)], "");
    let admin = broker.operator();
    let client = PeerClient {
        id: "an-id".to_owned(),
        secret: "a-client-secret-of-some-length".to_owned(),
        auth: "post",
    };
    set_client(&admin, "fault", &client).expect(200);
    fault.always("/device", device(60));
    (broker, admin)
}

fn device(expires: u32) -> Answer {
    Answer::json(
        200,
        &json!({
            "device_code": "a-device-code-that-nobody-sees",
            "user_code": "WDJB-MJHT",
            "verification_uri": "http://127.0.0.1:9/device",
            "expires_in": expires,
            "interval": 1,
        }),
    )
}

#[test]
fn an_account_is_connected_by_a_code_that_is_typed_elsewhere() {
    let stage = Stage::open();
    let started = start(&stage.admin, "peer");
    assert_eq!(started["authType"], "device_code");
    assert_eq!(status(&stage.admin, "peer", &started)["status"], "pending");
    let (page, code) = (
        started["verificationUri"].as_str().unwrap(),
        started["userCode"].as_str().unwrap(),
    );
    Jar::new().agree_device(page, code, "ann");
    let done = ended(&stage.admin, "peer", &started);
    assert_eq!(
        (&done["status"], &done["account"]),
        (&json!("connected"), &json!("ann"))
    );
    let all = stage.admin.get("/v1/oauth/connections").expect(200)["data"].clone();
    assert_eq!(all[0]["id"], done["connectionId"]);
    assert_eq!(all[0]["isDefault"], true);
    // The same account again, in a browser, renews it.
    let again = stage.connect(&stage.admin, "ann");
    assert_eq!(json!(again), done["connectionId"]);
}

#[test]
fn nobody_else_learns_how_an_attempt_stands() {
    let stage = Stage::open();
    let started = start(&stage.admin, "peer");
    let other = stage.broker.member("Olga");
    let path = "/v1/oauth/device/status/peer";
    let asked = json!({"attemptToken": started["attemptToken"]});
    other.post(path, &asked).expect(404);
    stage
        .admin
        .post(path, &json!({"attemptToken": "made-up"}))
        .expect(404);
}

#[test]
fn d1_a_provider_is_asked_no_more_often_than_it_says_whoever_asks_us() {
    let fault = FaultProvider::start();
    let (_broker, admin) = faulty(&fault);
    fault.next("/token", Answer::error(400, "slow_down"));
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let started = start(&admin, "fault");
    assert_eq!(started["interval"], 1);
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(status(&admin, "fault", &started)["status"], "pending");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Once after a second; then slow_down made it six.
    let asked = fault.asked("/token").len();
    assert!((1..=2).contains(&asked), "{asked} questions");
    assert_eq!(status(&admin, "fault", &started)["interval"], 6);
}

#[test]
fn d2_a_no_and_an_end_are_said_as_they_are() {
    let fault = FaultProvider::start();
    let (_broker, admin) = faulty(&fault);
    for (error, word) in [("access_denied", "denied"), ("expired_token", "expired")] {
        fault.always("/token", Answer::error(400, error));
        let started = start(&admin, "fault");
        assert_eq!(ended(&admin, "fault", &started)["status"], word, "{error}");
    }
    fault.always("/device", device(2));
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let started = start(&admin, "fault");
    assert_eq!(ended(&admin, "fault", &started)["status"], "expired");
}

#[test]
fn d3_a_page_on_a_host_of_nobody_s_is_not_shown() {
    let fault = FaultProvider::start();
    let (_broker, admin) = faulty(&fault);
    let answer = json!({
        "device_code": "x", "user_code": "WDJB-MJHT", "expires_in": 60, "interval": 1,
        "verification_uri": "https://evil.example/device",
    });
    fault.always("/device", Answer::json(200, &answer));
    let refused = admin.post("/v1/oauth/device/start/fault", &json!({}));
    assert_eq!(refused.expect(502)["error"]["code"], "protocol");
}

#[test]
fn a_grant_is_kept_although_its_terminal_was_closed() {
    let fault = FaultProvider::start();
    let (_broker, admin) = faulty(&fault);
    fault.next("/token", Answer::error(400, "authorization_pending"));
    fault.always(
        "/token",
        Answer::tokens("an-access-token-of-ann", "a-refresh-token-of-ann"),
    );
    fault.always("/me", Answer::json(200, &json!({"id": "1", "name": "ann"})));
    start(&admin, "fault");
    // Nobody asks us how it stands.
    let account = eventually(|| {
        let all = admin.get("/v1/oauth/connections").expect(200)["data"].clone();
        all.get(0).map(|one| one["account"].clone())
    });
    assert_eq!(account, "ann");
}

#[test]
fn an_attempt_that_was_cancelled_keeps_nothing() {
    let fault = FaultProvider::start();
    let (_broker, admin) = faulty(&fault);
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let started = start(&admin, "fault");
    let asked = json!({"attemptToken": started["attemptToken"]});
    admin
        .post("/v1/oauth/device/cancel/fault", &asked)
        .expect(200);
    let now = status(&admin, "fault", &started);
    assert_eq!(
        (&now["status"], &now["error"]),
        (&json!("failed"), &json!("cancelled"))
    );
}

#[test]
fn a_provider_without_a_device_flow_says_so() {
    let stage = Stage::open();
    let refused = stage.admin.post("/v1/oauth/device/start/slack", &json!({}));
    assert_eq!(refused.expect(409)["error"]["code"], "no_device_flow");
    let refused = stage
        .admin
        .post("/v1/oauth/device/start/nobody", &json!({}));
    assert_eq!(refused.expect(404)["error"]["code"], "no_such_provider");
}
