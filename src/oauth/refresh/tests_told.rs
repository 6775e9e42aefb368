//! What is told of failures: each with its class in the journal, and each turn for the worse once.

use crate::audit::Action;
use crate::oauth::connection::{Health, Revoked, SetKey};
use crate::oauth::tests_rig::{Engine, Fault, HOUR, provider};

const MINUTE: i64 = 60_000;

/// The same once the newest has its outcome, which is written behind the back of whoever made it.
async fn ended(engine: &Engine, action: Action) -> Vec<(String, String)> {
    loop {
        let found = engine.journal(action);
        if !found[0].1.is_empty() {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn r9_the_journal_says_of_a_failed_refresh_what_class_it_was() {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let key = engine.connect("ada").await;
    for (status, body, said) in [
        (503, "", "transient:http_503"),
        (400, r#"{"error":"invalid_grant"}"#, "revoked:invalid_grant"),
        (
            401,
            r#"{"error":"invalid_client"}"#,
            "client_config:invalid_client",
        ),
    ] {
        engine.rig.clock.advance_millis(HOUR);
        engine.issuer.fault(Fault::Answer(status, body));
        assert!(engine.lend(&key).await.is_err());
        let refreshes = ended(&engine, Action::OauthRefresh).await;
        let (class, _) = said.split_once(':').unwrap();
        let (written, code) = refreshes[0].1.split_once(':').unwrap();
        assert_eq!(written, class);
        assert!(!code.is_empty());
        if status < 500 {
            assert_eq!(refreshes[0].1, said);
        }
        assert_eq!(engine.ears.heard(&format!("refresh {class}")), 1);
    }
}

#[tokio::test]
async fn r7_that_a_grant_is_over_is_told_once_however_often_it_is_tried() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    let gone = r#"{"error":"invalid_grant","error_description":"token_revoked"}"#;
    engine.rig.clock.advance_millis(HOUR);
    for attempt in 1..=5 {
        engine.issuer.fault(Fault::Answer(400, gone));
        assert!(engine.lend(&key).await.is_err());
        engine.accounts.pass(&engine.rig.vault).await.unwrap();
        engine.settled().await;
        engine.rig.clock.advance_millis(MINUTE);
        let told = usize::from(attempt > 1);
        assert_eq!(engine.journal(Action::OauthOver).len(), told, "{attempt}");
    }
    let over = engine.journal(Action::OauthOver);
    assert_eq!(engine.ears.heard(&format!("over {}", over[0].0)), 1);
    assert_eq!(engine.ears.heard("rotation_lost"), 0);
}

#[tokio::test]
async fn r7_a_grant_that_was_lost_to_a_rotation_is_told_once_and_counted_as_our_fault() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(52 * MINUTE);
    engine.issuer.fault(Fault::LoseAnswer);
    engine.lend(&key).await.unwrap();
    engine.settled().await;
    for _ in 0..3 {
        engine.rig.clock.advance_millis(6 * MINUTE);
        drop(engine.lend(&key).await);
        engine.settled().await;
    }
    let over = engine.journal(Action::OauthOver);
    assert_eq!(over.len(), 1);
    assert_eq!(over[0].0, "rotation_lost");
    assert_eq!(engine.ears.heard("over rotation_lost"), 1);
    assert_eq!(engine.ears.heard("rotation_lost"), 1);
}

#[tokio::test]
async fn r11_that_a_client_is_refused_is_told_once_for_all_its_connections_until_it_is_set_anew() {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let mut keys = Vec::new();
    for account in 0..12 {
        keys.push(engine.connect(&format!("account {account}")).await);
    }
    let told = |engine: &Engine| {
        let journal = engine.journal(Action::OauthClientRefused).len();
        assert_eq!(engine.ears.heard("client_refused"), journal);
        journal
    };
    let refuse = async |engine: &Engine, keys: &[SetKey]| {
        for _ in keys {
            let refused = r#"{"error":"invalid_client"}"#;
            engine.issuer.fault(Fault::Answer(401, refused));
        }
        let all = keys.iter().map(|key| engine.lend(key));
        let all = futures_util::future::join_all(all).await;
        assert!(all.iter().all(Result::is_err));
    };
    engine.rig.clock.advance_millis(HOUR);
    refuse(&engine, &keys[..11]).await;
    assert_eq!(told(&engine), 1);
    for (index, key) in keys.iter().enumerate() {
        let refused = engine.state(key).await.health == Health::ConfigError;
        assert_eq!(refused, index < 11);
    }
    // Nor after a restart, by one that was not asked about before.
    let engine = engine.restart(None).await;
    engine.rig.clock.advance_millis(HOUR);
    refuse(&engine, &keys).await;
    assert_eq!(told(&engine), 1);
    let recorded = engine.rig.recorded().await;
    let client = Engine::client();
    engine.set_client("client", "renewed").await;
    let changed = (engine.org, &provider(), &client);
    let vault = &engine.rig.vault;
    engine
        .accounts
        .client_changed(vault, changed, &recorded)
        .await
        .unwrap();
    refuse(&engine, &keys).await;
    assert_eq!(told(&engine), 2);
    // The grants are as good as before: no connection is to blame.
    assert!(engine.journal(Action::OauthOver).is_empty());
}

#[tokio::test]
async fn r11_a_client_that_was_set_before_a_crash_is_tried_again_after_it() {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(HOUR);
    let refused = r#"{"error":"invalid_client"}"#;
    engine.issuer.fault(Fault::Answer(401, refused));
    assert!(engine.lend(&key).await.is_err());
    // Without a new client nothing is healed by starting anew.
    let engine = engine.restart(None).await;
    engine.accounts.pass(&engine.rig.vault).await.unwrap();
    assert_eq!(engine.state(&key).await.health, Health::ConfigError);
    engine.rig.clock.advance_millis(1_000);
    engine.set_client("client", "renewed").await;
    let engine = engine.restart(None).await;
    engine.accounts.pass(&engine.rig.vault).await.unwrap();
    engine.settled().await;
    assert_eq!(engine.state(&key).await.health, Health::Active);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
}

#[tokio::test]
async fn r11_a_refusal_that_came_to_be_in_no_state_does_not_keep_the_next_from_being_told() {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let (ada, bob) = (engine.connect("ada").await, engine.connect("bob").await);
    engine.rig.clock.advance_millis(55 * MINUTE);
    let refused = r#"{"error":"invalid_client"}"#;
    engine.issuer.fault(Fault::HoldThenAnswer(401, refused));
    assert_eq!(engine.lend(&ada).await.unwrap(), "at-0");
    while engine.issuer.asked("/token").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    engine.forget(ada.0).await;
    engine.issuer.release();
    engine.settled().await;
    assert_eq!(engine.ears.heard("client_refused"), 0);
    engine.rig.clock.advance_millis(HOUR);
    engine.issuer.fault(Fault::Answer(401, refused));
    assert!(engine.lend(&bob).await.is_err());
    assert_eq!(engine.ears.heard("client_refused"), 1);
}

/// An engine whose client is refused by an answer that took its time; what `meanwhile` does happens before it
/// arrives.
async fn refused_late(meanwhile: impl AsyncFnOnce(&Engine)) -> (Engine, SetKey) {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(55 * MINUTE);
    let refused = r#"{"error":"invalid_client"}"#;
    engine.issuer.fault(Fault::HoldThenAnswer(401, refused));
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    while engine.issuer.asked("/token").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    meanwhile(&engine).await;
    engine.issuer.release();
    engine.settled().await;
    (engine, key)
}

#[tokio::test]
async fn r11_a_refusal_of_a_client_that_was_set_anew_meanwhile_is_of_the_one_before() {
    let (engine, key) = refused_late(async |engine| {
        engine.set_client("client", "renewed").await;
        let recorded = engine.rig.recorded().await;
        let (id, client) = (provider(), Engine::client());
        let changed = (engine.org, &id, &client);
        let vault = &engine.rig.vault;
        let healed = engine.accounts.client_changed(vault, changed, &recorded);
        healed.await.unwrap();
    })
    .await;
    let state = engine.state(&key).await;
    assert_eq!((state.health, state.failures), (Health::Active, 1));
    assert_eq!(engine.ears.heard("client_refused"), 0);
    assert!(engine.journal(Action::OauthClientRefused).is_empty());
    engine.rig.clock.advance_millis(HOUR);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
}

#[tokio::test]
async fn r11_another_client_that_was_set_meanwhile_excuses_none() {
    let (engine, key) = refused_late(async |engine| {
        engine.set_shared_client("client").await;
    })
    .await;
    assert_eq!(engine.state(&key).await.health, Health::ConfigError);
    assert_eq!(engine.ears.heard("client_refused"), 1);
}

#[tokio::test]
async fn r7_a_grant_whose_time_is_over_has_expired_whatever_the_provider_calls_that() {
    for (hours, why) in [(23, Revoked::ProviderSaid), (24, Revoked::Expired)] {
        let file = "rotates = \"never\"\nconfirm_invalid_grant = false\nabsolute_limit_days = 1";
        let engine = Engine::new(file, false, 0).await;
        let key = engine.connect("ada").await;
        engine.rig.clock.advance_millis(hours * HOUR);
        let gone = r#"{"error":"invalid_grant"}"#;
        engine.issuer.fault(Fault::Answer(400, gone));
        assert!(engine.lend(&key).await.is_err());
        assert_eq!(engine.state(&key).await.health, Health::Revoked(why));
    }
}

#[tokio::test]
async fn an_account_is_shown_with_the_end_of_its_grant() {
    let engine = Engine::new("absolute_limit_days = 365", true, 0).await;
    engine.connect("ada").await;
    let end = engine.now().plus_millis(365 * 24 * HOUR);
    engine.rig.clock.advance_millis(HOUR);
    let vault = &engine.rig.vault;
    let seen = engine.accounts.of_org(vault, engine.org).await.unwrap();
    assert_eq!(seen[0].ends, Some(end));
}

#[tokio::test]
async fn r10_a_failure_waits_as_long_as_the_file_limits_an_account() {
    let file = "per_user_limit = { requests = 1, seconds = 7200 }";
    let engine = Engine::new(file, true, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(HOUR);
    engine.issuer.fault(Fault::Answer(503, ""));
    assert!(engine.lend(&key).await.is_err());
    let next = engine.state(&key).await.next_attempt.unwrap();
    assert_eq!(next, engine.now().plus_millis(2 * HOUR));
}

/// Refuses two refreshes, as far apart as it takes to be believed, and tells what became of the grant.
async fn refused_twice(engine: &Engine, key: &SetKey, answer: (u16, &'static str)) -> Health {
    for _ in 0..2 {
        engine.issuer.fault(Fault::Answer(answer.0, answer.1));
        drop(engine.lend(key).await);
        engine.accounts.pass(&engine.rig.vault).await.unwrap();
        engine.settled().await;
        engine.rig.clock.advance_millis(2 * MINUTE);
    }
    engine.state(key).await.health
}

#[tokio::test]
async fn r7_an_error_that_comes_with_200_is_the_providers_word_and_no_token_of_ours_that_was_lost()
{
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(HOUR);
    let gone = r#"{"error":"token_revoked"}"#;
    let over = refused_twice(&engine, &key, (200, gone)).await;
    assert_eq!(over, Health::Revoked(Revoked::UserRevoked));
    assert_eq!(engine.ears.heard("rotation_lost"), 0);
}

#[tokio::test]
async fn r5_what_is_refused_within_the_grace_was_not_lost_to_a_rotation() {
    let refresh = "rotates = \"always\"\nreuse_grace_s = 600";
    let engine = Engine::new(refresh, true, 600).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(52 * MINUTE);
    engine.issuer.fault(Fault::LoseAnswer);
    drop(engine.lend(&key).await);
    engine.settled().await;
    assert!(engine.state(&key).await.attempt.is_some());
    engine.rig.clock.advance_millis(2 * MINUTE);
    let gone = r#"{"error":"invalid_grant","error_description":"token_revoked"}"#;
    let over = refused_twice(&engine, &key, (400, gone)).await;
    assert!(matches!(over, Health::Revoked(_)), "{over:?}");
    assert_ne!(over, Health::Revoked(Revoked::RotationLost));
    assert_eq!(engine.ears.heard("rotation_lost"), 0);
}

#[tokio::test]
async fn r9_answers_that_make_no_sense_degrade_after_five_in_a_row_over_six_hours_and_no_sooner() {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(HOUR);
    for answer in 1..=8 {
        engine.issuer.fault(Fault::Answer(404, ""));
        assert!(engine.lend(&key).await.is_err());
        engine.settled().await;
        let state = engine.state(&key).await;
        let health = if answer >= 7 {
            Health::Degraded
        } else {
            Health::Active
        };
        assert_eq!(
            (state.suspicious, state.health),
            (answer, health),
            "{answer}"
        );
        engine.rig.clock.advance_millis(HOUR + MINUTE);
    }
    // The next that is right ends the count.
    engine.lend(&key).await.unwrap();
    let state = engine.state(&key).await;
    assert_eq!((state.suspicious, state.health), (0, Health::Active));
}
