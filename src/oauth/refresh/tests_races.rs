//! What two who act on one grant at once do to each other: nothing (R3, R4).

use std::sync::Arc;
use std::time::Duration;

use crate::oauth::AccessFault;
use crate::oauth::accounts::put_connection;
use crate::oauth::connection::{Health, SetKey};
use crate::oauth::tests_rig::{Engine, Fault, HOUR};
use crate::store::Batch;

const MINUTE: i64 = 60_000;

/// The file says of its revocation that it ends one token, and not the grant.
const ENDS_ALONE: (&str, &str) = ("token = \"both\"", "token = \"both\"\nscope = \"token\"");
const GONE: &str = r#"{"error":"invalid_grant"}"#;

/// An engine whose refresh hangs at the issuer, and a grant that was made anew meanwhile.
async fn overtaken(fault: Fault, changes: &[(&str, &str)]) -> (Engine, SetKey) {
    let refresh = "rotates = \"always\"\nconfirm_invalid_grant = false";
    let engine = Engine::edited(refresh, true, 0, changes).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(55 * MINUTE);
    engine.issuer.fault(fault);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    while engine.issuer.asked("/token").is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(engine.connect("ada").await, key, "the same connection");
    let renewed = engine.state(&key).await;
    engine.issuer.release();
    engine.settled().await;
    let now = engine.state(&key).await;
    assert_eq!(
        (now.version, now.expires, now.attempt.is_some()),
        (renewed.version, renewed.expires, false),
        "nothing was written over what is newer"
    );
    (engine, key)
}

#[tokio::test]
async fn r3_an_invalid_grant_that_is_late_ends_nothing_of_what_is_newer() {
    let (engine, key) = overtaken(Fault::HoldThenAnswer(400, GONE), &[]).await;
    let state = engine.state(&key).await;
    assert_eq!((state.health, state.failures), (Health::Active, 0));
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    assert_eq!(engine.issuer.asked("/token").len(), 1);
    engine.rig.clock.advance_millis(HOUR);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
}

#[tokio::test]
async fn r3_tokens_that_are_late_replace_none_that_are_newer_and_are_revoked() {
    let (engine, key) = overtaken(Fault::Hold, &[ENDS_ALONE]).await;
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    assert_eq!(engine.revoke().await, 1);
    let revoked = engine.issuer.asked("/revoke").join(" ");
    for (token, wanted) in [("rt-1", true), ("at-1", true), ("rt-0", false)] {
        let told = revoked.contains(&format!("token={token}"));
        assert_eq!(told, wanted, "{token} in {revoked}");
    }
}

#[tokio::test]
async fn v4_tokens_that_are_late_are_not_revoked_where_that_may_end_the_grant_that_was_made_anew() {
    let (engine, key) = overtaken(Fault::Hold, &[]).await;
    assert_eq!(engine.revoke().await, 1);
    assert!(engine.issuer.asked("/revoke").is_empty());
    assert_eq!(engine.revoke().await, 0, "it is over");
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
}

#[tokio::test]
async fn r4_while_one_refresh_is_under_way_nobody_asks_beside_it() {
    let engine = Arc::new(Engine::new("rotates = \"always\"", true, 0).await);
    let key = engine.connect("ada").await;
    // Somebody has the turn, and does not come back.
    let (done, never) = tokio::sync::oneshot::channel::<()>();
    let flights = &engine.accounts.flights;
    let under_way = flights.join_or(&key, || async { drop(never.await) });
    // What has time left is lent without waiting.
    engine.rig.clock.advance_millis(55 * MINUTE);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");

    engine.rig.clock.advance_millis(5 * MINUTE);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (engine, key) = (Arc::clone(&engine), key.clone());
        callers.spawn(async move { engine.lend(&key).await });
    }
    // Whoever loses patience does not take the turn, either.
    let impatient = flights.join_or(&key, || async { panic!("beside it") });
    impatient.ended(Duration::from_millis(200)).await;
    let pass = engine.accounts.pass(&engine.rig.vault).await.unwrap();
    assert_eq!(pass.refreshed, 0);
    assert!(callers.try_join_next().is_none(), "they wait");
    assert!(engine.issuer.asked("/token").is_empty(), "nobody asked");

    // Those who waited look at what came of it, and hear that it was nothing.
    drop(done);
    under_way.ended(Duration::from_secs(5)).await;
    while let Some(caller) = callers.join_next().await {
        let fault = caller.unwrap().unwrap_err();
        assert!(
            matches!(fault, AccessFault::Unavailable { again: None }),
            "{fault}"
        );
    }
    assert!(
        engine.issuer.asked("/token").is_empty(),
        "none tries for itself"
    );
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    assert_eq!(engine.issuer.refreshes(), 1);
}

#[tokio::test]
async fn a_token_that_dies_of_its_refresh_is_lent_to_nobody_meanwhile() {
    let dies = "rotates = \"always\"\naccess_dies_on_refresh = true";
    let engine = Arc::new(Engine::new(dies, true, 0).await);
    let key = engine.connect("ada").await;
    let lends = || {
        let (engine, key) = (Arc::clone(&engine), key.clone());
        tokio::spawn(async move { engine.lend(&key).await.unwrap() })
    };
    let asked = async |count| {
        while engine.issuer.asked("/token").len() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // With much time left, while a refresh that somebody else began is under way.
    engine.issuer.fault(Fault::Hold);
    drop(engine.accounts.start(&engine.rig.vault, &key));
    asked(1).await;
    let first = lends();
    engine.issuer.release();
    assert_eq!(first.await.unwrap(), "at-1");
    // With little left: the first who asks begins it.
    engine.rig.clock.advance_millis(55 * MINUTE);
    engine.issuer.fault(Fault::Hold);
    let all = [lends(), lends()];
    asked(2).await;
    engine.issuer.release();
    for one in all {
        assert_eq!(one.await.unwrap(), "at-2");
    }
    // What fails kills nothing, and the token is as good as before.
    engine.rig.clock.advance_millis(55 * MINUTE);
    engine.issuer.fault(Fault::Answer(503, ""));
    assert_eq!(engine.lend(&key).await.unwrap(), "at-2");
    assert_eq!(engine.issuer.asked("/token").len(), 3);
}

#[tokio::test]
async fn r2_whoever_waits_for_a_turn_gives_up_when_refreshes_are_to_end() {
    let changes = [("[refresh]", "[limits]\nconcurrency = 1\n[refresh]")];
    let engine = Engine::edited("rotates = \"always\"", true, 0, &changes).await;
    let (ada, bob) = (engine.connect("ada").await, engine.connect("bob").await);
    engine.rig.clock.advance_millis(55 * MINUTE);
    engine.issuer.fault(Fault::Hold);
    assert_eq!(engine.lend(&ada).await.unwrap(), "at-0");
    while engine.issuer.asked("/token").is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(engine.lend(&bob).await.unwrap(), "at-0");
    let flights = &engine.accounts.flights;
    let waits = flights.join_or(&bob, || async {});
    flights.close();
    waits.ended(Duration::from_secs(10)).await;
    assert!(!flights.has(&bob), "it waits on");
    engine.issuer.release();
    engine.settled().await;
    assert_eq!(engine.issuer.asked("/token").len(), 1);
    assert_eq!(
        engine.state(&ada).await.version,
        2,
        "what was asked is kept"
    );
}

/// An answer that tells of a scope.
const WITH_SCOPE: &str = r#"{"access_token":"at-9","refresh_token":"rt-9","token_type":"bearer","expires_in":3600,"scope":"read"}"#;

/// A connection whose further set has a scope of its own; its main set is asked for one less.
async fn two_sets(engine: &Engine) -> SetKey {
    let grant = crate::oauth::Grant {
        scopes: Some(
            ["read", "write", "user:chat:write"]
                .map(str::to_owned)
                .into(),
        ),
        ..engine.grant("ada", "rt-0")
    };
    let mut sets = engine.grant_of("ada", "user-0", None).sets;
    sets[0].0 = "user".to_owned();
    let grant = crate::oauth::Grant {
        sets: grant.sets.into_iter().chain(sets).collect(),
        ..grant
    };
    let adopted = engine.adopt(grant).await.unwrap();
    (adopted.connection, "main".to_owned())
}

async fn scopes(engine: &Engine, key: &SetKey) -> Vec<String> {
    let roster = engine.accounts.roster(&engine.rig.vault).await.unwrap();
    roster.connection(key.0).unwrap().value.scopes.clone()
}

#[tokio::test]
async fn r12_the_main_sets_answer_takes_no_scope_of_a_further_set() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = two_sets(&engine).await;
    engine.rig.clock.advance_millis(HOUR);
    engine.issuer.fault(Fault::Answer(200, WITH_SCOPE));
    assert_eq!(engine.lend(&key).await.unwrap(), "at-9");
    assert_eq!(scopes(&engine, &key).await, ["read", "user:chat:write"]);
}

#[tokio::test]
async fn r3_a_connection_that_was_written_to_meanwhile_costs_new_tokens_nothing() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = two_sets(&engine).await;
    engine.rig.clock.advance_millis(55 * MINUTE);
    engine.issuer.fault(Fault::HoldThenAnswer(200, WITH_SCOPE));
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    while engine.issuer.asked("/token").is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // As the refresh of another set does.
    let (vault, recorded) = (&engine.rig.vault, engine.rig.recorded().await);
    let roster = engine.accounts.roster(vault).await.unwrap();
    let old = roster.connection(key.0).unwrap();
    let mut new = (*old.value).clone();
    new.account.label = Some("Ada".to_owned());
    let (org, mut batch) = (vault.org(engine.org).unwrap(), Batch::new());
    let kept = put_connection(vault, &org, &mut batch, (new, Some(&old)));
    let kept = kept.await.unwrap();
    vault.commit(batch, &recorded).await.unwrap();
    roster.put_connection(kept);
    engine.issuer.release();
    engine.settled().await;
    assert_eq!(engine.lend(&key).await.unwrap(), "at-9");
    assert_eq!(scopes(&engine, &key).await, ["read", "user:chat:write"]);
    let label = roster
        .connection(key.0)
        .unwrap()
        .value
        .account
        .label
        .clone();
    assert_eq!(label.as_deref(), Some("Ada"));
    assert_eq!(engine.revoke().await, 0);
}
