//! Connecting an account by a code that is typed on another device, at a real authorization server and
//! at one that answers what a real one cannot be told to.

mod harness;

mod oauth_device {
    mod caps;
    mod counted;
    mod restart;
}

use std::time::Duration;

use harness::agreeable::{fault_client, fault_file};
use harness::connect::{Stage, broker, connections, set_client};
use harness::fault_provider::{Answer, FaultProvider};
use harness::jar::Jar;
use harness::{Broker, Canaries, Client, eventually};
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
    let (_, file) = fault_file(fault, &[]);
    of_file(fault, file)
}

fn of_file(fault: &FaultProvider, file: String) -> (Broker, Client) {
    let broker = broker(&[("fault", file)], "");
    let admin = broker.operator();
    set_client(&admin, "fault", &fault_client()).expect(200);
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
fn d3_nobody_is_sent_to_a_page_that_is_not_the_providers() {
    let fault = FaultProvider::start();
    let (_broker, admin) = faulty(&fault);
    for page in [
        "https://evil.example/device",
        "http://127.0.0.1.evil.example/device",
        "https://127.0.0.1@evil.example/device",
        "https://evil.example\\@127.0.0.1/device",
        "javascript:alert(1)//127.0.0.1",
        "data:text/html,127.0.0.1",
        "file:///127.0.0.1",
        "//127.0.0.1/device",
        "127.0.0.1/device",
        "http://localhost/device",
        "",
    ] {
        let answer = json!({
            "device_code": "x", "user_code": "WDJB-MJHT", "expires_in": 60, "interval": 1,
            "verification_uri": page,
        });
        fault.always("/device", Answer::json(200, &answer));
        let reply = admin.post("/v1/oauth/device/start/fault", &json!({}));
        assert_eq!(reply.refused(502), "protocol", "{page}");
        let told = String::from_utf8(reply.body).unwrap();
        assert!(page.is_empty() || !told.contains(page), "{told}");
    }
    // A page with the code filled in is held to the same, and done without.
    let answer = json!({
        "device_code": "x", "user_code": "WDJB-MJHT", "expires_in": 60, "interval": 1,
        "verification_uri": "http://127.0.0.1:9/device",
        "verification_uri_complete": "https://evil.example/device?code=WDJB-MJHT",
    });
    fault.always("/device", Answer::json(200, &answer));
    let reply = admin.post("/v1/oauth/device/start/fault", &json!({}));
    assert!(
        !String::from_utf8(reply.body)
            .unwrap()
            .contains("evil.example")
    );
    assert_eq!(fault.asked("/token").len(), 0);
}

#[test]
fn d3_what_the_provider_is_asked_with_is_told_to_nobody() {
    let fault = FaultProvider::start();
    let (broker, admin) = faulty(&fault);
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let reply = admin.post("/v1/oauth/device/start/fault", &json!({}));
    let started = reply.value()["data"].clone();
    let asked = eventually(|| fault.asked("/token").first().cloned());
    let code = asked.form("device_code").unwrap();
    assert_eq!(code, "a-device-code-that-nobody-sees");
    let mut canaries = Canaries::new();
    canaries.also(&code);
    let body = json!({"attemptToken": started["attemptToken"]});
    let stands = admin.post("/v1/oauth/device/status/fault", &body);
    let audit = admin.get("/v1/audit?all=true&limit=200");
    for (what, reply) in [("start", &reply), ("status", &stands), ("audit", &audit)] {
        canaries.absent_from(what, &reply.body);
    }
    canaries.absent_from("the log", &broker.log_bytes());
    for (path, bytes) in broker.files() {
        canaries.absent_from(&path.display().to_string(), &bytes);
    }
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

/// A moment in which a provider would have been asked again, had it not been left alone.
const AWHILE: Duration = Duration::from_millis(2_500);

#[test]
fn d4_an_attempt_that_was_cancelled_is_asked_for_no_more_and_keeps_nothing() {
    let fault = FaultProvider::start();
    let (_broker, admin) = faulty(&fault);
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let started = start(&admin, "fault");
    eventually(|| (!fault.asked("/token").is_empty()).then_some(()));
    let asked = json!({"attemptToken": started["attemptToken"]});
    admin
        .post("/v1/oauth/device/cancel/fault", &asked)
        .expect(200);
    // Whoever asked now would be given tokens.
    let before = fault.asked("/token").len();
    fault.always(
        "/token",
        Answer::tokens("too-late-access", "too-late-refresh"),
    );
    std::thread::sleep(AWHILE);
    let now = status(&admin, "fault", &started);
    assert_eq!(
        (&now["status"], &now["error"]),
        (&json!("failed"), &json!("cancelled"))
    );
    assert!(
        fault.asked("/token").len() <= before + 1,
        "one was on its way"
    );
    assert!(connections(&admin).is_empty());
}

/// The codes of the records of an action, the newest first.
fn records(admin: &Client, action: &str) -> Vec<Value> {
    let path = format!("/v1/audit?action={action}");
    let found = admin.get(&path).expect(200)["data"].clone();
    let found = found.as_array().unwrap().iter();
    let code = |record: &Value| match &record["decision"]["denied"] {
        Value::Null => record["code"].clone(),
        denied => denied.clone(),
    };
    found.map(code).collect()
}

#[test]
fn a_question_leaves_no_record_and_the_end_leaves_one() {
    let fault = FaultProvider::start();
    let (_broker, admin) = faulty(&fault);
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let started = start(&admin, "fault");
    eventually(|| (fault.asked("/token").len() >= 3).then_some(()));
    assert_eq!(records(&admin, "oauth.start"), ["device"]);
    fault.always("/token", Answer::error(400, "access_denied"));
    assert_eq!(ended(&admin, "fault", &started)["status"], "denied");
    let asked = fault.asked("/token").len();
    let denied = eventually(|| {
        let found = records(&admin, "oauth.deny");
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(denied, ["access_denied"]);
    assert_eq!(records(&admin, "oauth.start"), ["device"]);
    // Nobody asks on.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(fault.asked("/token").len(), asked);
    // Who cancels leaves one, too, and the provider's answer no second one.
    fault.always("/token", Answer::error(400, "authorization_pending"));
    let started = start(&admin, "fault");
    let cancel = json!({"attemptToken": started["attemptToken"]});
    admin
        .post("/v1/oauth/device/cancel/fault", &cancel)
        .expect(200);
    assert_eq!(
        records(&admin, "oauth.deny"),
        ["cancelled", "access_denied"]
    );
}

/// As `openai-codex` does it: the last answer is a code with its verifier, made for a redirect URI of the
/// provider's own, and is redeemed as any other.
#[test]
fn d5_a_code_that_is_handed_over_is_redeemed_once() {
    let fault = FaultProvider::start();
    let port = fault.port();
    let section = format!("[device]\nurl = \"http://127.0.0.1:{port}/device\"\n");
    let hand_off = format!(
        "{section}style = \"code_handoff\"\ntoken_url = \"http://127.0.0.1:{port}/poll\"\n\
         body = \"json\"\nmax_wait_s = 60\nrequest = {{ client_id = \"{{client_id}}\" }}\n\
         poll = {{ device_auth_id = \"{{handle}}\", user_code = \"{{user_code}}\" }}\n\
         pending_statuses = [403, 404]\nverification_uri = \"http://127.0.0.1:{port}/here\"\n\n\
         [device.reply]\nhandle = [\"/device_auth_id\"]\nuser_code = [\"/usercode\"]\n\n\
         [device.handoff]\ncode = \"/authorization_code\"\nverifier = \"/code_verifier\"\n\
         redirect_uri = \"http://127.0.0.1:{port}/theirs\"\n"
    );
    let (_, file) = fault_file(&fault, &[]);
    assert!(file.contains(&section), "{file}");
    let (_broker, admin) = of_file(&fault, file.replace(&section, &hand_off));
    let begun = json!({"device_auth_id": "handle-1", "usercode": "WDJB-MJHT", "interval": "1"});
    fault.always("/device", Answer::json(200, &begun));
    fault.always("/poll", Answer::empty(403));
    let started = start(&admin, "fault");
    assert_eq!(started["userCode"], "WDJB-MJHT");
    assert_eq!(started["interval"], 1);
    let here = format!("http://127.0.0.1:{port}/here");
    assert_eq!(started["verificationUri"], here);
    eventually(|| (!fault.asked("/poll").is_empty()).then_some(()));
    fault.always("/token", Answer::tokens("access-of-ann", "refresh-of-ann"));
    fault.always("/me", Answer::json(200, &json!({"id": "1", "name": "ann"})));
    let verifier = "v".repeat(43);
    let handed = json!({"authorization_code": "a-code-once", "code_verifier": verifier});
    fault.always("/poll", Answer::json(200, &handed));
    let done = ended(&admin, "fault", &started);
    assert_eq!(
        (&done["status"], &done["account"]),
        (&json!("connected"), &json!("ann"))
    );
    let polled = fault.asked("/poll").pop().unwrap();
    let polled: Value = serde_json::from_slice(&polled.body).unwrap();
    let asked_with = json!({"device_auth_id": "handle-1", "user_code": "WDJB-MJHT"});
    assert_eq!(polled, asked_with);
    let redeemed = fault.asked("/token");
    assert_eq!(redeemed.len(), 1);
    let theirs = format!("http://127.0.0.1:{port}/theirs");
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "a-code-once"),
        ("code_verifier", &verifier),
        ("redirect_uri", &theirs),
    ] {
        assert_eq!(redeemed[0].form(name).as_deref(), Some(value), "{name}");
    }
    // Neither handle, code nor verifier is told to whoever asks.
    let told = format!("{started}{done}");
    for hidden in ["handle-1", "a-code-once", &verifier, "access-of-ann"] {
        assert!(!told.contains(hidden), "{hidden}");
    }
    assert_eq!(records(&admin, "oauth.connect"), ["device"]);
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
