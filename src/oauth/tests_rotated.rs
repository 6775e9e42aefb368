//! Accounts after a rotation of their organisation's keys: what is in memory came from records that are sealed anew
//! since, and that stays so for as long as the vault is open.

use super::connection::{MAIN, SetKey};
use super::tests_rig::{Engine, Fault, HOUR, USER};
use crate::crypto::Owner;
use crate::policy;
use crate::vault::Turned;
use crate::vault::tests_rig::admin;

/// Long after the organisation's key was replaced: nobody remembers what was sealed anew.
async fn rotate(engine: &Engine) {
    let (vault, org) = (&engine.rig.vault, engine.org);
    let permit = policy::check(&admin(org, USER), ()).unwrap();
    let recorded = engine.rig.recorded().await;
    let begun = vault.begin_rotation(&permit, Turned::Org, &recorded).await;
    begun.unwrap();
    let owners = async || Ok(vec![Owner::ORG_SHARED, Owner::user(USER)]);
    assert!(vault.run_rotation(org, owners).await.unwrap());
    for _ in 0..3 {
        vault.forget_retired_keys();
    }
}

async fn connected() -> (Engine, SetKey) {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    (engine, key)
}

#[tokio::test]
async fn tokens_are_refreshed_as_before() {
    let (engine, key) = connected().await;
    for round in 1..3 {
        rotate(&engine).await;
        engine.rig.clock.advance_millis(HOUR);
        assert_eq!(engine.lend(&key).await.unwrap(), format!("at-{round}"));
    }
    let engine = engine.restart(None).await;
    assert_eq!(engine.lend(&key).await.unwrap(), "at-2");
}

#[tokio::test]
async fn an_account_is_connected_anew_as_before() {
    let (engine, key) = connected().await;
    rotate(&engine).await;
    let mut again = engine.grant("ada", "rt-0");
    again.account.label = Some("Ada".to_owned());
    let adopted = engine.adopt(again).await.unwrap();
    assert!(adopted.renewed && (adopted.connection, MAIN.to_owned()) == key);
    let engine = engine.restart(None).await;
    let roster = engine.accounts.roster(&engine.rig.vault).await.unwrap();
    let kept = roster.connection(key.0).unwrap();
    assert_eq!(kept.value.account.label.as_deref(), Some("Ada"));
}

#[tokio::test]
async fn what_is_given_back_to_its_provider_is_gone_for_good() {
    let (engine, key) = connected().await;
    engine.forget(key.0).await;
    rotate(&engine).await;
    // Once in vain, and then for good.
    engine.issuer.fault(Fault::Answer(503, ""));
    assert_eq!(engine.revoke().await, 1);
    rotate(&engine).await;
    engine.rig.clock.advance_millis(HOUR);
    assert_eq!(engine.revoke().await, 1);
    let roster = engine.accounts.roster(&engine.rig.vault).await.unwrap();
    assert!(roster.revocations().is_empty());
    let engine = engine.restart(None).await;
    let roster = engine.accounts.roster(&engine.rig.vault).await.unwrap();
    assert!(roster.revocations().is_empty());
}
