//! kill -9 while a refresh hangs at the provider, before and after the provider acted on it; and other
//! ways of not being there when the answer comes.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::agreeable::{access, agreeable, connect_fault, fault_file};
use crate::harness::connect;
use crate::harness::fault_provider::Answer;
use crate::harness::oidc::{Fault, Rotate, Then};
use crate::harness::tools::{install, run, runs, tool};
use crate::harness::{Upstream, eventually};
use crate::{NEVER, SHORT, Stage};

/// When a refresh is caught.
#[derive(Clone, Copy)]
pub(crate) enum Caught {
    /// The provider has the request, and has not looked at it.
    Before,
    /// It did what was asked: the new tokens are made, the old one may be spent.
    After,
}

/// Begins a refresh that hangs at the provider, kills the broker, and starts it again.
pub(crate) fn killed(stage: &mut Stage, when: Caught) {
    let hold = match when {
        Caught::Before => Fault::before("/token", Then::Hold),
        Caught::After => Fault::after("/token", Then::Hold),
    };
    stage.peer.fault(&hold.grant("refresh_token"));
    let ann = stage.ann();
    let asking = std::thread::spawn(move || {
        let body = ("application/json", br#"{"action":"run"}"#.as_slice());
        drop(ann.try_send("POST", "/v1/tools/custom-me/execute", Some(body)));
    });
    // Where the token still lives, it is the broker that begins, some time after it is due.
    stage.peer.wait_held_for(1, Duration::from_secs(40));
    stage.broker.kill();
    asking.join().unwrap();
    stage.broker.restart();
}

#[test]
fn r5_killed_before_the_provider_looked_nothing_is_lost() {
    for (rotate, changes) in [(Rotate::Always, &[][..]), (Rotate::Never, &[NEVER][..])] {
        let mut stage = Stage::new(rotate, changes, SHORT);
        killed(&mut stage, Caught::Before);
        stage.used();
        assert_eq!(stage.now()["status"], "active");
        assert_eq!(stage.refreshes(), 2);
        assert_eq!(stage.counted("runtools_oauth_rotation_lost_total"), 0);
    }
}

#[test]
fn r5_killed_after_the_provider_spent_the_token_the_grant_is_over_and_our_fault() {
    let mut stage = Stage::new(Rotate::Always, &[], SHORT);
    killed(&mut stage, Caught::After);
    assert_eq!(stage.refused(409), "needs_reauth");
    let shown = stage.now();
    assert_eq!(shown["status"], "revoked", "{shown}");
    assert_eq!(shown["reason"], "rotation_lost", "{shown}");
    assert_eq!(stage.counted("runtools_oauth_rotation_lost_total"), 1);
    assert_eq!(stage.refreshes(), 2, "it was tried once");
    assert!(stage.upstream.seen().is_empty());
}

#[test]
fn r5_killed_after_a_provider_that_does_not_rotate_acted_it_is_simply_asked_again() {
    let mut stage = Stage::new(Rotate::Never, &[NEVER], SHORT);
    killed(&mut stage, Caught::After);
    stage.used();
    assert_eq!(stage.now()["status"], "active");
    assert_eq!(stage.counted("runtools_oauth_rotation_lost_total"), 0);
}

#[test]
fn r5_when_a_provider_that_does_not_rotate_ends_a_grant_after_a_kill_it_is_its_own_word() {
    let mut stage = Stage::new(Rotate::Never, &[NEVER, crate::BELIEVED], SHORT);
    killed(&mut stage, Caught::After);
    stage.peer.revoke_all_of("ann");
    assert_eq!(stage.refused(409), "needs_reauth");
    let shown = stage.now();
    assert_eq!(shown["reason"], "provider_said", "{shown}");
    assert_eq!(stage.counted("runtools_oauth_rotation_lost_total"), 0);
}

#[test]
fn r5_killed_within_the_grace_of_a_spent_token_it_is_shown_again_at_once() {
    let (fault, upstream) = (agreeable(), Upstream::echo());
    let grace = ("[refresh]", "[refresh]\nreuse_grace_s = 600");
    let mut broker = connect::broker(&[fault_file(&fault, &[grace])], "");
    let spec = tool("custom-me", upstream.port(), "fault", &[]);
    install(&broker.operator(), &spec);
    let ann = broker.member("Ann");
    let key = ann.make_key(&[]);
    let short = json!({
        "access_token": "short-lived-access", "refresh_token": "the-first-refresh-token",
        "token_type": "Bearer", "expires_in": 1, "scope": "read",
    });
    fault.next("/token", Answer::json(200, &short));
    fault.next("/token", Answer::Hang);
    connect_fault(&broker, &ann);
    std::thread::sleep(Duration::from_millis(1_200));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let body = ("application/json", br#"{"action":"run"}"#.as_slice());
            drop(ann.try_send("POST", "/v1/tools/custom-me/execute", Some(body)));
        });
        eventually(|| (fault.asked("/token").len() == 2).then_some(()));
        broker.kill();
    });
    broker.restart();
    let ann = broker.anonymous().key(&key);
    let done = runs(&ann, "custom-me");
    assert_eq!(done["success"], true, "{done}");
    assert_eq!(
        upstream.last().header("authorization"),
        format!("Bearer {}", access(1))
    );
    let shown: Vec<_> = fault.asked("/token")[1..]
        .iter()
        .map(|seen| seen.form("refresh_token").unwrap())
        .collect();
    assert_eq!(shown, ["the-first-refresh-token"; 2]);
}

#[test]
fn r17_what_a_refresh_brings_after_its_connection_was_forgotten_is_revoked() {
    let stage = Stage::new(Rotate::Always, &[], SHORT);
    let hold = Fault::after("/token", Then::Hold).grant("refresh_token");
    stage.peer.fault(&hold);
    let ann = stage.ann();
    let refused = std::thread::scope(|scope| {
        let asking = scope.spawn(|| run(&ann, "custom-me", None));
        stage.peer.wait_held(1);
        let id = stage.connection["id"].as_str().unwrap();
        let gone = stage.ann().delete(&format!("/v1/oauth/connections/{id}"));
        assert_eq!(gone.expect(200)["data"]["success"], true);
        assert_eq!(stage.now(), Value::Null, "forgotten at once");
        stage.peer.release();
        asking.join().unwrap()
    });
    assert_eq!(refused.refused(409), "needs_connect");
    assert!(stage.upstream.seen().is_empty(), "nothing was sent");
    // Neither what was there nor what came late works any more.
    eventually(|| stage.alive().is_empty().then_some(()));
    assert_eq!(stage.now(), Value::Null, "and it is not back");
}

/// Begins a refresh by a run whose caller does not wait for it.
fn abandoned(stage: &Stage) {
    let host = stage.broker.origin().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let body = r#"{"action":"run"}"#;
    let key = &stage.key;
    let head = format!(
        "POST /v1/tools/custom-me/execute HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    eventually(|| (stage.refreshes() == 1).then_some(()));
}

#[test]
fn r6_a_caller_that_goes_away_stops_no_refresh() {
    let stage = Stage::new(Rotate::Always, &[], SHORT);
    let hold = Fault::after("/token", Then::Hold).grant("refresh_token");
    stage.peer.fault(&hold);
    abandoned(&stage);
    std::thread::sleep(Duration::from_millis(300));
    stage.peer.release();
    eventually(|| (stage.now()["expiresAt"] != stage.connection["expiresAt"]).then_some(()));
    stage.used();
    assert_eq!(stage.refreshes(), 1);
}

#[test]
fn r5_an_orderly_end_waits_for_the_answer_of_a_refresh() {
    let mut stage = Stage::new(Rotate::Always, &[], SHORT);
    let slow = Fault::after("/token", Then::GoOn).grant("refresh_token");
    stage.peer.fault(&slow.late(Duration::from_secs(5)));
    abandoned(&stage);
    assert_eq!(stage.broker.stop(), Some(0));
    stage.broker.restart();
    stage.used();
    assert_eq!(stage.refreshes(), 1, "the new token is there");
    assert_eq!(stage.now()["status"], "active");
}
