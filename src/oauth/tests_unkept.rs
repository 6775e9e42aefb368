//! Tokens on their way from a provider to the store, when that is sealed, or fails.

use std::sync::Arc;
use std::time::Duration;

use super::flow::{DeviceAnswer, DeviceAsk, Failure, Outcome};
use super::tests_rig::{DEVICE, Engine, Fault};
use super::{DeviceGrant, DeviceGranted, DeviceReply};

const BEGUN: &str = r#"{"device_code":"dc","user_code":"BCDF","verification_uri":"http://127.0.0.1/go","expires_in":600}"#;
const TOKENS: &str =
    r#"{"access_token":"at-d","refresh_token":"rt-d","token_type":"bearer","expires_in":3600}"#;

/// An engine, and a device flow that the person has agreed to.
async fn agreed() -> (Engine, DeviceAsk, DeviceGrant) {
    let engine = Engine::new(DEVICE, true, 0).await;
    let ask = engine.device_ask();
    let recorded = engine.rig.recorded().await;
    engine.issuer.fault(Fault::Answer(200, BEGUN));
    let begun = engine
        .accounts
        .begin_device(&engine.rig.vault, &ask, &recorded)
        .await;
    (engine, ask, begun.unwrap().1)
}

async fn ask(engine: &Engine, about: (&DeviceAsk, &DeviceGrant)) -> DeviceReply {
    let vault = &engine.rig.vault;
    engine.accounts.ask_device(vault, about).await
}

async fn tokens(engine: &Engine, about: (&DeviceAsk, &DeviceGrant)) -> DeviceGranted {
    engine.issuer.fault(Fault::Answer(200, TOKENS));
    match ask(engine, about).await {
        DeviceReply::Granted(tokens) => tokens,
        DeviceReply::Not(answer) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn b14_sealing_waits_for_tokens_that_are_not_stored_yet_and_lets_no_more_come() {
    let (engine, asked, grant) = agreed().await;
    let tokens = tokens(&engine, (&asked, &grant)).await;
    let accounts = Arc::clone(&engine.accounts);
    let mut sealing = tokio::spawn(async move { accounts.close(Duration::from_mins(1)).await });
    let early = tokio::time::timeout(Duration::from_millis(50), &mut sealing).await;
    assert!(early.is_err(), "it does not wait");
    let before = engine.issuer.asked("/token").len();
    let again = ask(&engine, (&asked, &grant)).await;
    assert!(matches!(again, DeviceReply::Not(DeviceAnswer::NoAnswer)));
    assert_eq!(engine.issuer.asked("/token").len(), before);
    let recorded = engine.rig.recorded().await;
    let about = (&asked, &grant);
    let kept = engine
        .accounts
        .keep_device(&engine.rig.vault, about, tokens, &recorded)
        .await;
    assert!(matches!(kept, Ok(Outcome::Connected { .. })));
    sealing.await.unwrap();
    // After unsealing they come again.
    engine.accounts.forget();
    tokens_come(&engine, about).await;
}

async fn tokens_come(engine: &Engine, about: (&DeviceAsk, &DeviceGrant)) {
    drop(tokens(engine, about).await);
}

#[tokio::test]
async fn b14_sealing_does_not_wait_for_ever() {
    let (engine, asked, grant) = agreed().await;
    let _tokens = tokens(&engine, (&asked, &grant)).await;
    engine.accounts.close(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn b14_tokens_that_the_store_does_not_take_are_revoked_at_once_or_the_person_is_told() {
    for (answer, told) in [
        (200, Failure::Sealed),
        (503, Failure::Unkept),
        (400, Failure::Unkept),
    ] {
        let (engine, asked, grant) = agreed().await;
        let vault = engine.rig.vault.clone();
        engine.accounts.roster(&vault).await.unwrap();
        let recorded = engine.rig.recorded().await;
        let tokens = tokens(&engine, (&asked, &grant)).await;
        engine.rig.lifecycle.seal(Duration::ZERO).await;
        engine.issuer.fault(Fault::Answer(200, r#"{"id":"ada"}"#));
        engine.issuer.fault(Fault::Answer(answer, "{}"));
        let about = (&asked, &grant);
        let kept = engine
            .accounts
            .keep_device(&vault, about, tokens, &recorded)
            .await;
        assert_eq!(kept.unwrap_err(), told, "{answer}");
        let asked = engine.issuer.asked("/revoke");
        assert!(asked[0].contains("token=rt-d"), "{asked:?}");
        let word = if answer == 200 { "revoked" } else { "failed" };
        let counted = engine.ears.heard(&format!("revoked {word}"));
        assert_eq!(counted, 1, "{answer}");
    }
}

#[tokio::test]
async fn b14_tokens_whose_arrival_cannot_be_recorded_are_revoked_at_once() {
    let (engine, asked, grant) = agreed().await;
    let vault = engine.rig.vault.clone();
    engine.accounts.roster(&vault).await.unwrap();
    let tokens = tokens(&engine, (&asked, &grant)).await;
    let unkept = (tokens, crate::vault::VaultError::Form);
    let failure = engine
        .accounts
        .give_back_device(&vault, (&asked, &grant), unkept)
        .await;
    assert_eq!(failure, Failure::Internal);
    assert_eq!(engine.issuer.asked("/revoke").len(), 2);
    // Of nothing is there a connection, nor something to do later.
    assert_eq!(engine.revoke().await, 0);
}

#[tokio::test]
async fn b14_what_was_granted_in_vain_takes_no_living_grant_with_it() {
    let (engine, asked, grant) = agreed().await;
    engine.connect("ada").await;
    let vault = engine.rig.vault.clone();
    let recorded = engine.rig.recorded().await;
    let tokens = tokens(&engine, (&asked, &grant)).await;
    engine.rig.lifecycle.seal(Duration::ZERO).await;
    let about = (&asked, &grant);
    let kept = engine
        .accounts
        .keep_device(&vault, about, tokens, &recorded)
        .await;
    // The file does not say that a revocation spares the grant that ada's connection lives on.
    assert_eq!(kept.unwrap_err(), Failure::Unkept);
    assert!(engine.issuer.asked("/revoke").is_empty());
}

#[tokio::test]
async fn b14_tokens_of_nobody_are_not_revoked_while_a_grant_lives_that_they_may_be_of() {
    let (engine, asked, grant) = agreed().await;
    let key = engine.connect("ada").await;
    let tokens = tokens(&engine, (&asked, &grant)).await;
    // Whose they are is not said, however often it is asked.
    for _ in 0..2 {
        engine.issuer.fault(Fault::Answer(200, "{}"));
    }
    let recorded = engine.rig.recorded().await;
    let kept = engine
        .accounts
        .keep_device(&engine.rig.vault, (&asked, &grant), tokens, &recorded)
        .await;
    assert_eq!(kept.unwrap_err(), Failure::NoIdentity);
    assert_eq!(engine.revoke().await, 1);
    assert!(engine.issuer.asked("/revoke").is_empty());
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
}
