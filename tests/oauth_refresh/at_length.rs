//! What takes a minute and more: each story beside the others, so that all take as long as one; and by
//! its name before other tests, which then run meanwhile.

use std::thread::Builder;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kill::{Caught, killed};
use super::points;
use crate::harness::connect::connection;
use crate::harness::oidc::{Fault, Rotate, Then};
use crate::harness::tools::run;
use crate::{BELIEVED, HOUR, SHORT, Stage};

/// So long lives an access token that is refreshed after a third of it, and has more than two minutes
/// left then.
pub(super) const LIVING: u32 = 210;
pub(super) const THIRD: Duration = Duration::from_secs(70);
pub(super) const EAGER: (&str, &str) = ("[refresh]", "[refresh]\nlead_s = 3600");

/// What `look` finds, within `patience`.
#[track_caller]
pub(super) fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// A minute or a third of a life, with the fifth by which brokers keep out of step, and some room.
const SOON: Duration = Duration::from_secs(95);

#[test]
fn what_has_time_left_is_used_meanwhile_and_what_failed_is_tried_again() {
    let stories: [(&str, fn()); 9] = [
        ("r5_before", || r5_killed(Caught::Before)),
        ("r5_after", || r5_killed(Caught::After)),
        ("r5_points", points::r5_killed_while_the_token_lives),
        (
            "r7_once",
            r7_a_provider_that_says_so_once_is_not_believed_yet,
        ),
        (
            "r8",
            r8_what_has_not_ended_is_used_although_the_grant_is_over,
        ),
        (
            "r9_r10",
            r9_r10_a_provider_that_is_away_and_comes_back_costs_nothing,
        ),
        ("r15", r15_a_grant_is_kept_alive_although_nobody_uses_it),
        ("lockdown", a_lockdown_ends_the_keeping_alive),
        (
            "v2_v3",
            v2_v3_disconnecting_works_while_the_provider_is_away,
        ),
    ];
    let running = stories.map(|(name, story)| {
        let thread = Builder::new().name(name.to_owned()).spawn(story).unwrap();
        (name, thread)
    });
    let failed = running.map(|(name, thread)| thread.join().err().map(|_| name));
    assert_eq!(failed, [None; 9], "see above");
}

/// Killed with an access token that lives: that is served, and what may be spent is not shown again
/// while it is.
fn r5_killed(when: Caught) {
    let mut stage = Stage::new(Rotate::Always, &[EAGER], LIVING);
    let first = stage.used();
    std::thread::sleep(THIRD.saturating_sub(Duration::from_secs(5)));
    assert_eq!(stage.refreshes(), 0);
    killed(&mut stage, when);
    for _ in 0..3 {
        assert_eq!(stage.used(), first);
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(stage.refreshes(), 1, "nothing is risked while it works");
    assert_eq!(stage.now()["status"], "active");
}

fn r7_a_provider_that_says_so_once_is_not_believed_yet() {
    let twice = ("[refresh]", "[refresh]\nconfirm_invalid_grant = true");
    let stage = Stage::new(Rotate::Always, &[twice], SHORT);
    let no = json!({"error": "invalid_grant"});
    stage
        .peer
        .fault(&Fault::before("/token", Then::json(400, &no)));
    assert_eq!(stage.refused(503), "token_unavailable");
    let shown = stage.now();
    assert_ne!(shown["status"], "revoked", "{shown}");
    // It is asked again a minute later, and meant nothing by it.
    assert_eq!(stage.refused(503), "token_unavailable");
    assert_eq!(stage.refreshes(), 1);
    within(SOON, "it never works again", || {
        (run(&stage.ann(), "custom-me", None).status == 200).then_some(())
    });
    assert_eq!(stage.now()["status"], "active");
    assert_eq!(stage.refreshes(), 2);
}

fn r8_what_has_not_ended_is_used_although_the_grant_is_over() {
    let stage = Stage::new(Rotate::Always, &[EAGER, BELIEVED], LIVING);
    let no = json!({"error": "invalid_grant"});
    stage
        .peer
        .fault(&Fault::before("/token", Then::json(400, &no)).times(9));
    let first = stage.used();
    within(SOON, "it was never refreshed", || {
        (stage.now()["status"] == "revoked").then_some(())
    });
    assert_eq!(stage.used(), first, "until it ends, or the API refuses it");
    assert_eq!(stage.refreshes(), 1);
    let status = stage.ann().get("/v1/oauth/status/peer").expect(200);
    assert_eq!(status["data"]["connection"]["status"], "revoked");
}

fn r9_r10_a_provider_that_is_away_and_comes_back_costs_nothing() {
    let stage = Stage::new(Rotate::Always, &[EAGER], LIVING);
    stage
        .peer
        .fault(&Fault::before("/token", Then::Close).times(1_000));
    let first = stage.used();
    within(SOON, "it was never tried", || {
        (stage.refreshes() == 1).then_some(())
    });
    // What has time left is used meanwhile.
    for _ in 0..20 {
        assert_eq!(stage.used(), first);
    }
    assert_eq!(stage.now()["status"], "active");
    stage.peer.mend();
    within(SOON, "it was not tried again", || {
        (stage.used() != first).then_some(())
    });
    assert!(stage.refreshes() < 6, "with patience");
    assert_eq!(stage.now()["status"], "active");
    assert_eq!(stage.now()["reason"], Value::Null);
}

fn r15_a_grant_is_kept_alive_although_nobody_uses_it() {
    let stage = Stage::new(Rotate::Always, &[EAGER], LIVING);
    let token = within(SOON, "nobody looked after it", || {
        let now = stage.now();
        (now["expiresAt"] != stage.connection["expiresAt"]).then(|| stage.used())
    });
    assert!(stage.alive().contains(&token));
    assert_eq!(stage.refreshes(), 1);
}

/// As long as a refresh is due in without it, and a token that is over besides, nobody asks the provider.
fn a_lockdown_ends_the_keeping_alive() {
    let stage = Stage::new(Rotate::Always, &[EAGER], LIVING);
    let operator = stage.broker.operator();
    stage.used();
    operator
        .post("/v1/operator/lockdown", &json!({}))
        .expect(200);
    assert_eq!(stage.refused(503), "sealed");
    std::thread::sleep(SOON + Duration::from_secs(5));
    assert_eq!(stage.refreshes(), 0, "nobody may ask for a token");
    operator.post("/v1/operator/unseal", &json!({})).expect(200);
    let refused = run(&stage.ann(), "custom-me", None);
    assert_eq!(refused.refused(401), "unauthorized");
    // The grant itself is the member's, and is kept alive again from now on.
    within(SOON, "nobody looks after it any more", || {
        (stage.refreshes() == 1).then_some(())
    });
}

fn v2_v3_disconnecting_works_while_the_provider_is_away() {
    let stage = Stage::new(Rotate::Always, &[], HOUR);
    let token = stage.used();
    stage
        .peer
        .fault(&Fault::before("/token/revocation", Then::Close).times(1_000));
    let id = stage.connection["id"].as_str().unwrap();
    let gone = stage.ann().delete(&format!("/v1/oauth/connections/{id}"));
    let gone = gone.expect(200)["data"].clone();
    assert_eq!(gone["success"], true);
    assert_eq!(gone["upstream"], "pending", "{gone}");
    assert_eq!(connection(&stage.ann(), id), Value::Null);
    assert_eq!(stage.refused(409), "needs_connect");
    assert!(stage.peer.is_active(&token), "nobody told the peer yet");
    // A minute later it is told.
    stage.peer.mend();
    within(SOON, "the peer was never told", || {
        stage.alive().is_empty().then_some(())
    });
}
