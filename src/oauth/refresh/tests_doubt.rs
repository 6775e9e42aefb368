//! Tokens that nothing refreshes, and an API that refuses them.

use crate::audit::Action;
use crate::oauth::AccessFault;
use crate::oauth::connection::{Health, MAIN, Revoked, SetKey};
use crate::oauth::tests_rig::{Engine, Fault};

const MINUTE: i64 = 60_000;

/// As GitHub's: one token for good.
const FOR_GOOD: &str = "mode = \"none\"";

async fn connected(engine: &Engine) -> SetKey {
    let grant = engine.grant_of("ada", "at-0", None);
    let adopted = engine.adopt(grant).await.unwrap();
    (adopted.connection, MAIN.to_owned())
}

#[tokio::test]
async fn r8_a_token_for_good_is_over_when_the_api_and_the_identity_endpoint_refuse_it() {
    let engine = Engine::new(FOR_GOOD, false, 0).await;
    let key = connected(&engine).await;
    engine.issuer.fault(Fault::Answer(401, "{}"));
    engine.api_said(&key, 401).await;
    assert_eq!(engine.issuer.asked("/me").len(), 1);
    let state = engine.state(&key).await;
    assert_eq!(state.health, Health::Revoked(Revoked::ProviderSaid));
    assert_eq!(state.failure.unwrap().code, "access_refused");
    let fault = engine.lend(&key).await.unwrap_err();
    assert!(matches!(fault, AccessFault::Reauth(Revoked::ProviderSaid)));
    let over = engine.journal(Action::OauthOver);
    assert_eq!(over.len(), 1);
    assert_eq!(over[0].0, "provider_said");
    assert_eq!(engine.ears.heard("over provider_said"), 1);
    // So it is after a restart.
    let engine = engine.restart(None).await;
    assert!(engine.lend(&key).await.is_err());
}

#[tokio::test]
async fn r8_a_401_that_is_not_about_the_token_ends_nothing_and_is_looked_into_once_a_minute() {
    let engine = Engine::new(FOR_GOOD, false, 0).await;
    let key = connected(&engine).await;
    for (later, asked) in [(0, 1), (1_000, 1), (MINUTE, 2)] {
        engine.rig.clock.advance_millis(later);
        engine.api_said(&key, 401).await;
        assert_eq!(engine.issuer.asked("/me").len(), asked);
    }
    // One that cannot answer says nothing either.
    for status in [500, 403, 404] {
        engine.rig.clock.advance_millis(MINUTE);
        engine.issuer.fault(Fault::Answer(status, ""));
        engine.api_said(&key, 401).await;
    }
    assert_eq!(engine.issuer.asked("/me").len(), 5);
    assert_eq!(engine.state(&key).await.health, Health::Active);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    assert!(engine.journal(Action::OauthOver).is_empty());
}

#[tokio::test]
async fn r8_without_an_identity_endpoint_two_refusals_count_unless_something_worked_in_between() {
    let edits = [("id = \"/id\"", "id = \"/id\"\nsource = \"token_response\"")];
    for (worked, over) in [(false, true), (true, false)] {
        let engine = Engine::edited(FOR_GOOD, false, 0, &edits).await;
        let key = connected(&engine).await;
        engine.api_said(&key, 401).await;
        // Not at once: one outage is one refusal.
        engine.api_said(&key, 401).await;
        assert_eq!(engine.state(&key).await.health, Health::Active);
        if worked {
            engine.api_said(&key, 200).await;
        }
        engine.rig.clock.advance_millis(MINUTE);
        engine.api_said(&key, 401).await;
        assert_eq!(engine.state(&key).await.is_revoked(), over, "{worked}");
        assert!(engine.issuer.asked("/me").is_empty());
    }
}

#[tokio::test]
async fn what_was_connected_anew_meanwhile_is_not_blamed_for_the_old_token() {
    let engine = Engine::new(FOR_GOOD, false, 0).await;
    let key = connected(&engine).await;
    let vault = &engine.rig.vault;
    let lent = engine.accounts.lend(vault, key.0, &key.1).await.unwrap();
    let renewed = engine.grant_of("ada", "at-9", None);
    engine.adopt(renewed).await.unwrap();
    let recorded = engine.rig.recorded().await;
    engine
        .accounts
        .access_refused(vault, &lent, &recorded)
        .await
        .unwrap();
    engine.settled().await;
    assert!(engine.issuer.asked("/me").is_empty());
    assert_eq!(engine.lend(&key).await.unwrap(), "at-9");
}

#[tokio::test]
async fn tokens_for_good_that_are_over_are_wiped_after_a_month_once() {
    let engine = Engine::new(FOR_GOOD, false, 0).await;
    let key = connected(&engine).await;
    engine.issuer.fault(Fault::Answer(401, ""));
    engine.api_said(&key, 401).await;
    engine.rig.clock.advance_millis(31 * 24 * 60 * MINUTE);
    for _ in 0..3 {
        engine.accounts.pass(&engine.rig.vault).await.unwrap();
    }
    let org = engine.rig.vault.org(engine.org).unwrap();
    let place = crate::oauth::connection::places::value(&org, key.0, &key.1);
    let found = engine.rig.vault.store().get(&place).await.unwrap();
    assert!(found.is_none());
    let wiped = engine.journal(Action::OauthRevoke);
    assert_eq!(wiped.len(), 1, "{wiped:?}");
}
