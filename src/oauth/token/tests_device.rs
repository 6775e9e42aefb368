//! Device flows of both styles, by script.

use serde_json::{Value, json};

use super::tests_rig::{ID, Received, Rig, SECRET, json as answer, now, reply, shown};
use super::{
    CodeGrant, DeviceError, DeviceStart, NoReply, Poll, Reply, Subject, Told, code_request,
    device_request, poll_request, read_device_start, read_poll,
};

fn begin(id: &str, body: &Value) -> Result<DeviceStart, DeviceError> {
    let rig = Rig::shipped(id);
    read_device_start(&rig.via(), &answer(200, body), now())
}

fn sentry() -> Value {
    json!({
        "device_code": "DEVICE-c0de",
        "user_code": "WDJB-MJHT",
        "verification_uri": "https://sentry.io/oauth/device/",
        "verification_uri_complete": "https://sentry.io/oauth/device/?user_code=WDJB-MJHT",
        "expires_in": 600
    })
}

fn changed(changes: &Value) -> Value {
    let mut body = sentry();
    let changes = changes.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(changes);
    body
}

fn codex() -> Value {
    json!({"device_auth_id": "HANDLE-1", "usercode": "ABCD-1234", "interval": "5"})
}

fn poll(id: &str, reply: &Reply) -> Poll {
    let subject = Subject::Device;
    read_poll(
        &Rig::shipped(id).via(),
        Told::Reply { reply, subject },
        now(),
    )
}

fn word(poll: &Poll) -> &'static str {
    match poll {
        Poll::Pending => "pending",
        Poll::SlowDown => "slow_down",
        Poll::Later => "later",
        Poll::Tokens(_) => "tokens",
        Poll::HandOff(_) => "hand_off",
        Poll::Denied => "denied",
        Poll::Expired => "expired",
        Poll::Failed { .. } => "failed",
    }
}

#[test]
fn a_flow_of_the_standard_begins_and_is_asked_about() {
    let rig = Rig::shipped("sentry");
    let scopes = ["org:read".to_owned(), "project:read".to_owned()];
    let request = Received::of(&device_request(&rig.via(), &scopes).unwrap());
    assert_eq!(request.line, "POST https://sentry.io/oauth/device/code/");
    assert_eq!(request.member("client_id"), Some(ID));
    assert_eq!(request.member("client_secret"), Some(SECRET));
    assert_eq!(request.member("scope"), Some("org:read project:read"));
    let start = begin("sentry", &sentry()).unwrap();
    assert_eq!(start.user_code, "WDJB-MJHT");
    assert_eq!(start.verification_uri, "https://sentry.io/oauth/device/");
    assert!(start.verification_uri_complete.is_some());
    assert_eq!(start.expires_at, now().plus_seconds(600));
    assert_eq!(start.interval_s, 5, "D1: the answer says none");
    let request = Received::of(&poll_request(&rig.via(), &start).unwrap());
    assert_eq!(request.line, "POST https://sentry.io/oauth/token/");
    assert_eq!(
        request.member("grant_type"),
        Some("urn:ietf:params:oauth:grant-type:device_code")
    );
    assert_eq!(request.member("device_code"), Some("DEVICE-c0de"));
    assert_eq!(request.places_of(SECRET), 1, "T1");
    let tokens = json!({"access_token": "t", "user": {"id": "1"}});
    let Poll::Tokens(tokens) = poll("sentry", &answer(200, &tokens)) else {
        panic!();
    };
    assert_eq!(shown(&tokens.main.access), "t");
}

#[test]
fn discovery_tells_where_a_flow_begins() {
    let text = r#"schema = 1
id = "sample"
display_name = "Sample"
kind = "device"
issuer = "https://login.example.com"
discovery = "oidc"
revoke_reason = "a sample"
[device]
[token]
[identity]
source = "id_token"
id = "/sub"
[api]
hosts = []
"#;
    let rig = Rig::written(text);
    let request = Received::of(&device_request(&rig.via(), &[]).unwrap());
    assert_eq!(request.line, "POST https://login.example.com/device");
    assert_eq!(request.member("scope"), None);
    let body = changed(&json!({
        "verification_uri": "https://login.example.com/activate",
        "verification_uri_complete": null
    }));
    let start = read_device_start(&rig.via(), &answer(200, &body), now()).unwrap();
    let request = Received::of(&poll_request(&rig.via(), &start).unwrap());
    assert_eq!(request.line, "POST https://login.example.com/token");
}

#[test]
fn d1_intervals_and_ends_are_read_and_bounded() {
    for (told, expected) in [
        (json!(7), 7),
        (json!("7"), 7),
        (json!(7.9), 7),
        (json!(0), 5),
        (json!(-3), 5),
        (json!(null), 5),
        (json!("soon"), 5),
        (json!(100_000), 300),
    ] {
        let start = begin("sentry", &changed(&json!({"interval": told}))).unwrap();
        assert_eq!(start.interval_s, expected, "{told}");
    }
    let end =
        |id: &str, body: &Value| begin(id, body).unwrap().expires_at.millis_since(now()) / 1000;
    for (told, expected) in [
        (json!(60), 60),
        (json!("60"), 60),
        (json!(0), 900),
        (json!(null), 900),
        (json!(1_000_000), 3600),
    ] {
        assert_eq!(
            end("sentry", &changed(&json!({"expires_in": told}))),
            expected,
            "{told}"
        );
    }
    assert_eq!(
        end("openai-codex", &codex()),
        900,
        "D5: a quarter of an hour"
    );
    let mut long = codex();
    long["expires_in"] = json!(3000);
    assert_eq!(end("openai-codex", &long), 900);
}

#[test]
fn d3_people_are_sent_to_https_on_the_files_own_hosts_only() {
    for page in [
        "javascript:alert(1)",
        "http://sentry.io/oauth/device/",
        "https://evil.example/device",
        "https://sentry.io.evil.example/",
        "https://user@sentry.io/",
        "https://evil.example/?https://sentry.io",
        "//sentry.io/oauth/device/",
        "data:text/html,x",
    ] {
        for member in ["verification_uri", "verification_uri_complete"] {
            let error = begin("sentry", &changed(&json!({member: page}))).unwrap_err();
            assert_eq!(error, DeviceError::Page, "{member}: {page}");
        }
    }
    let vercel = changed(&json!({
        "verification_uri": "https://vercel.com/device",
        "verification_uri_complete": "https://vercel.com/device?user_code=A"
    }));
    assert!(
        begin("vercel", &vercel).is_ok(),
        "the host of its authorization page"
    );
    let shown = format!("{:?}", begin("sentry", &sentry()).unwrap());
    assert!(!shown.contains("DEVICE-c0de"), "{shown}");
}

#[test]
fn what_is_missing_or_odd_begins_nothing() {
    for change in [
        json!({"device_code": null}),
        json!({"device_code": ""}),
        json!({"device_code": "a\nb"}),
        json!({"user_code": null}),
        json!({"user_code": "A B"}),
        json!({"user_code": "A".repeat(65)}),
        json!({"user_code": "\u{202e}AB"}),
        json!({"verification_uri": null}),
    ] {
        let error = begin("sentry", &changed(&change)).unwrap_err();
        assert_eq!(error, DeviceError::Form, "{change}");
    }
    let rig = Rig::shipped("sentry");
    let read = |reply: &Reply| read_device_start(&rig.via(), reply, now()).unwrap_err();
    assert_eq!(read(&reply(200, "text/html", "<html>")), DeviceError::Form);
    assert_eq!(read(&answer(404, &json!({}))), DeviceError::NotEnabled);
    for (status, body) in [
        (401, json!({"error": "invalid_client"})),
        (200, changed(&json!({"error": "invalid_client"}))),
    ] {
        let DeviceError::Refused(verdict) = read(&answer(status, &body)) else {
            panic!("{status}");
        };
        assert_eq!(verdict.class, super::Class::Client);
    }
    let none = Rig::shipped("google");
    assert!(device_request(&none.via(), &[]).is_err());
}

#[test]
fn d2_each_answer_goes_on_or_ends_the_flow() {
    for (status, body, expected) in [
        (400, json!({"error": "authorization_pending"}), "pending"),
        (428, json!({"error": "authorization_pending"}), "pending"),
        (200, json!({"error": "authorization_pending"}), "pending"),
        (400, json!({"error": "slow_down"}), "slow_down"),
        (429, json!({}), "slow_down"),
        (400, json!({"error": "access_denied"}), "denied"),
        (403, json!({"error": "access_denied"}), "denied"),
        (400, json!({"error": "expired_token"}), "expired"),
        (400, json!({"error": "invalid_grant"}), "failed"),
        (400, json!({"error": "something_new"}), "failed"),
        (401, json!({"error": "invalid_client"}), "failed"),
        (400, json!({}), "failed"),
        (200, json!({}), "failed"),
        (302, json!({}), "failed"),
        (500, json!({"error": "authorization_pending"}), "later"),
        (503, json!({}), "later"),
        (408, json!({}), "later"),
    ] {
        let outcome = poll("sentry", &answer(status, &body));
        assert_eq!(word(&outcome), expected, "{status} {body}");
    }
    let Poll::Failed { code } = poll("sentry", &answer(400, &json!({"error": "something_new"})))
    else {
        panic!();
    };
    assert_eq!(code.unwrap().as_str(), "something_new");
    let rig = Rig::shipped("sentry");
    for kind in [NoReply::Timeout, NoReply::Connect, NoReply::Tls] {
        let outcome = read_poll(&rig.via(), Told::NoReply(kind), now());
        assert_eq!(word(&outcome), "later");
    }
    let outcome = read_poll(&rig.via(), Told::NoReply(NoReply::Refused), now());
    assert_eq!(word(&outcome), "failed");
}

#[test]
fn d5_a_handed_over_code_is_redeemed_with_its_own_verifier() {
    let rig = Rig::shipped("openai-codex");
    let request = Received::of(&device_request(&rig.via(), &["openid".to_owned()]).unwrap());
    assert_eq!(
        request.line,
        "POST https://auth.openai.com/api/accounts/deviceauth/usercode"
    );
    assert_eq!(request.body, format!(r#"{{"client_id":"{ID}"}}"#));
    let start = begin("openai-codex", &codex()).unwrap();
    assert_eq!(
        start.verification_uri,
        "https://auth.openai.com/codex/device"
    );
    assert_eq!(
        (start.interval_s, start.user_code.as_str()),
        (5, "ABCD-1234")
    );
    let request = Received::of(&poll_request(&rig.via(), &start).unwrap());
    assert_eq!(
        request.line,
        "POST https://auth.openai.com/api/accounts/deviceauth/token"
    );
    assert_eq!(request.members.len(), 2);
    assert_eq!(request.member("device_auth_id"), Some("HANDLE-1"));
    assert_eq!(request.member("user_code"), Some("ABCD-1234"));
    for status in [403, 404] {
        let waiting = poll("openai-codex", &answer(status, &json!({})));
        assert_eq!(word(&waiting), "pending", "{status}");
    }
    let whole =
        json!({"authorization_code": "C0DE", "code_verifier": "VERIFIER", "code_challenge": "x"});
    let Poll::HandOff(handed) = poll("openai-codex", &answer(200, &whole)) else {
        panic!();
    };
    let via = rig.via().with_redirect_uri(&handed.redirect_uri);
    let grant = CodeGrant {
        code: &handed.code,
        verifier: Some(&handed.verifier),
    };
    let request = Received::of(&code_request(&via, &grant).unwrap());
    assert_eq!(request.line, "POST https://auth.openai.com/oauth/token");
    assert_eq!(request.member("code"), Some("C0DE"));
    assert_eq!(request.member("code_verifier"), Some("VERIFIER"));
    assert_eq!(
        request.member("redirect_uri"),
        Some("https://auth.openai.com/deviceauth/callback")
    );
    assert_eq!(request.places_of(SECRET), 0, "a public client");
    for half in [
        json!({"authorization_code": "C0DE"}),
        json!({"code_verifier": "VERIFIER"}),
        json!({"authorization_code": "a\nb", "code_verifier": "VERIFIER"}),
        json!({}),
    ] {
        let outcome = poll("openai-codex", &answer(200, &half));
        assert_eq!(word(&outcome), "failed", "{half}");
    }
}

#[test]
fn d5_a_client_that_may_not_is_told_so_on_the_first_call() {
    let rig = Rig::shipped("openai-codex");
    let error = read_device_start(&rig.via(), &answer(404, &json!({})), now()).unwrap_err();
    assert_eq!(error, DeviceError::NotEnabled);
}
