//! A code is sent once (B11), and what was obtained with it is kept or revoked (B14), whoever goes away
//! meanwhile.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::connect::{Stage, TERMINAL, connections, start, ticket_of};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::jar::Jar;
use crate::harness::oidc::{Fault, Then};
use crate::harness::{Broker, Client, eventually};
use crate::{answer, leave, with_fault};

/// A flow up to its end: what became of it.
fn ended(broker: &Broker, client: &Client, code: &str) -> Value {
    let flow = start(client, "fault", &format!("redirect_uri={TERMINAL}"));
    let mut jar = Jar::new();
    let back = answer(&leave(&mut jar, &flow), code);
    assert!(back.starts_with(broker.origin()));
    let ticket = ticket_of(&jar.get(&back).location().unwrap());
    let ended = flow.finish(client, &ticket).expect(200)["data"].clone();
    // Neither the ticket nor the answer is good a second time.
    assert_eq!(flow.finish(client, &ticket).refused(409), "not_returned");
    crate::refused(&jar.get(&back), 404, "flow_unknown");
    ended
}

/// The codes that reached the token endpoint, in order.
fn codes(provider: &FaultProvider) -> Vec<String> {
    let asked = provider.asked("/token");
    asked
        .iter()
        .map(|asked| asked.form("code").unwrap())
        .collect()
}

#[test]
fn b11_a_code_is_sent_once_whatever_the_provider_answers() {
    let (provider, broker) = with_fault(|file| file);
    let elsewhere = FaultProvider::start();
    elsewhere.always("/token", Answer::tokens("a", "r"));
    let mia = broker.member("Mia");
    let to = format!("{}/token", elsewhere.origin());
    let cases = [
        (Answer::empty(500), "try_again"),
        (Answer::error(503, "invalid_grant"), "try_again"),
        (Answer::empty(429).with("retry-after", "1"), "try_again"),
        (Answer::Close, "try_again"),
        (
            Answer::Half(b"{\"access_token\":\"a\"".to_vec()),
            "try_again",
        ),
        (Answer::Raw(b"no HTTP at all\r\n\r\n".to_vec()), "try_again"),
        (Answer::redirect(307, &to), "protocol"),
        (Answer::redirect(302, &to), "protocol"),
        (
            Answer::text(200, "text/html", "<title>Sign in</title>"),
            "protocol",
        ),
        (Answer::empty(200), "protocol"),
        (Answer::empty(404), "protocol"),
        (Answer::error(400, "invalid_grant"), "provider_refused"),
        (Answer::error(200, "invalid_grant"), "provider_refused"),
        (Answer::error(401, "invalid_client"), "client_config"),
        (Answer::error(400, "unauthorized_client"), "client_config"),
    ];
    let count = cases.len();
    for (number, (reply, code)) in cases.into_iter().enumerate() {
        let what = format!("{reply:?}");
        provider.next("/token", reply);
        let ended = ended(&broker, &mia, &format!("code-{number}"));
        assert_eq!(ended["status"], "failed", "{what}: {ended}");
        assert_eq!(ended["error"], code, "{what}");
    }
    let sent: Vec<_> = (0..count).map(|number| format!("code-{number}")).collect();
    assert_eq!(codes(&provider), sent);
    assert_eq!(elsewhere.seen().len(), 0, "T3: a redirect is not followed");
    assert_eq!(connections(&mia), Vec::<Value>::new());
    assert_eq!(ended(&broker, &mia, "good")["status"], "connected");
}

#[test]
fn b11_a_code_that_waited_too_long_is_not_sent() {
    let (provider, broker) = with_fault(|file| {
        let waits = "[callback]\nmax_code_age_s = 1\n\n[token]";
        file.replace("[token]", waits)
    });
    let mia = broker.member("Mia");
    let flow = start(&mia, "fault", &format!("redirect_uri={TERMINAL}"));
    let mut jar = Jar::new();
    let back = answer(&leave(&mut jar, &flow), "code");
    let ticket = ticket_of(&jar.get(&back).location().unwrap());
    std::thread::sleep(Duration::from_millis(1100));
    let late = flow.finish(&mia, &ticket);
    assert_eq!(late.refused(409), "code_expired");
    assert_eq!(flow.seen(&mia)["error"], "code_expired");
    assert_eq!(provider.asked("/token").len(), 0);
}

#[test]
fn b14_tokens_of_nobody_are_revoked() {
    let (provider, broker) = with_fault(|file| file);
    let mia = broker.member("Mia");
    let nobody = [
        Answer::empty(500),
        Answer::json(200, &json!({"name": "Mia M"})),
        Answer::text(200, "text/html", "<title>Mia</title>"),
        Answer::json(200, &json!({"id": ""})),
    ];
    for (number, reply) in nobody.into_iter().enumerate() {
        let what = format!("{reply:?}");
        let (access, refresh) = (
            format!("access-of-{number}"),
            format!("refresh-of-{number}"),
        );
        provider.next("/token", Answer::tokens(&access, &refresh));
        provider.next("/me", reply.clone());
        provider.next("/me", reply);
        let ended = ended(&broker, &mia, "code");
        assert_eq!(ended["error"], "no_identity", "{what}: {ended}");
        assert_eq!(connections(&mia), Vec::<Value>::new());
        let revoked = || -> Vec<String> {
            let asked = provider.asked("/revoke");
            asked
                .iter()
                .map(|asked| asked.form("token").unwrap())
                .collect()
        };
        eventually(|| (revoked().len() == 2 * (number + 1)).then_some(()));
        assert_eq!(revoked()[2 * number..], [refresh, access], "{what}");
        assert_eq!(provider.asked("/me").len(), 2 * (number + 1), "{what}");
    }
    // Once is an accident.
    provider.next("/me", Answer::empty(500));
    assert_eq!(ended(&broker, &mia, "code")["status"], "connected");
    assert_eq!(provider.asked("/me").len(), 10);
    let log = broker.log_text();
    assert!(!log.contains("access-of-") && !log.contains("refresh-of-"));
}

#[test]
fn b14_v4_tokens_of_nobody_do_not_take_along_what_is_connected() {
    let (provider, broker) = with_fault(|file| {
        let all = "[[revoke]]\nwhen = \"last_connection\"\nscope = \"grant\"\n";
        file.replace("[[revoke]]\n", all)
    });
    let mia = broker.member("Mia");
    let id = ended(&broker, &mia, "code")["connectionId"].clone();
    for _ in 0..2 {
        provider.next("/me", Answer::empty(500));
    }
    assert_eq!(ended(&broker, &mia, "code")["error"], "no_identity");
    // Another member's account is no reason, either: whose it was is not known.
    let noa = broker.member("Noa");
    for _ in 0..2 {
        provider.next("/me", Answer::empty(500));
    }
    assert_eq!(ended(&broker, &noa, "code")["error"], "no_identity");
    // Both were tried, and nothing could be asked for them that would not end more.
    let operator = broker.operator();
    eventually(|| {
        let tried = operator
            .get("/v1/audit?all=true&action=oauth.revoke")
            .expect(200);
        let tried = tried["data"].as_array().unwrap().clone();
        let over = tried.iter().filter(|entry| entry["outcome"].is_object());
        (over.count() == 2).then_some(())
    });
    let path = format!("/v1/oauth/connections/{}", id.as_str().unwrap());
    assert_eq!(provider.asked("/revoke").len(), 0);
    assert_eq!(connections(&mia)[0]["status"], "active");
    // With the last one the whole grant goes.
    let gone = mia.delete(&path).expect(200);
    assert_eq!(gone["data"]["upstream"], "revoked");
    assert_eq!(provider.asked("/revoke").len(), 2);
}

/// Sends a request, and goes away when `then` has come true.
fn send_and_go(broker: &Broker, request: &str, then: impl FnOnce()) {
    let host = broker.origin().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    then();
}

#[test]
fn a_terminal_that_goes_away_does_not_end_what_cannot_be_begun_again() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let key = mia.make_key(&["oauth:write"]);
    let flow = stage.start(&mia);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "mia");
    let ticket = ticket_of(&jar.get(&answer).location().unwrap());
    stage.peer.fault(&Fault::after("/token", Then::Hold));
    let body = json!({ "ticket": ticket }).to_string();
    let request = format!(
        "POST /v1/oauth/flows/{}/finish HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        flow.id,
        body.len()
    );
    send_and_go(&stage.broker, &request, || stage.peer.wait_held(1));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(connections(&mia).len(), 0);
    stage.peer.release();
    eventually(|| (flow.seen(&mia)["status"] == "connected").then_some(()));
    assert_eq!(connections(&mia).len(), 1);
    stage.calls(1);
}

#[test]
fn a_browser_that_goes_away_does_not_end_what_cannot_be_begun_again() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = start(&mia, "peer", "");
    let mut jar = Jar::new();
    let door = leave(&mut jar, &flow);
    let answer = jar.agree(&door, "mia", &stage.back());
    stage.peer.fault(&Fault::after("/token", Then::Hold));
    let (name, target) = (
        format!("rt_flow_{}", flow.id),
        answer.strip_prefix(stage.broker.origin()),
    );
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nCookie: {name}={}\r\n\r\n",
        target.unwrap(),
        stage.broker.origin().strip_prefix("http://").unwrap(),
        jar.cookie(&name).unwrap()
    );
    send_and_go(&stage.broker, &request, || stage.peer.wait_held(1));
    std::thread::sleep(Duration::from_millis(100));
    // Meanwhile the page says that it is being done.
    let page = jar.get(&format!("{}/result", flow.page));
    assert!(page.text().contains("Connecting Peer"), "{}", page.words());
    stage.peer.release();
    eventually(|| (flow.seen(&mia)["status"] == "connected").then_some(()));
    let page = jar.get(&format!("{}/result", flow.page));
    assert!(
        page.text().contains("Peer is connected"),
        "{}",
        page.words()
    );
    stage.calls(1);
}
