//! The engine against an issuer that is really there.

use std::time::Duration;

use crate::oauth::AccessFault;
use crate::oauth::connection::{Health, Revoked};
use crate::oauth::tests_rig::{Engine, Fault, HOUR};

const MINUTE: i64 = 60_000;

#[tokio::test]
async fn r1_r2_two_hundred_callers_near_the_end_make_one_refresh_and_all_get_the_new_token() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    engine.rig.clock.advance_millis(HOUR - 10_000);
    let engine = std::sync::Arc::new(engine);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (engine, key) = (std::sync::Arc::clone(&engine), key.clone());
        callers.spawn(async move { engine.lend(&key).await.unwrap() });
    }
    while let Some(token) = callers.join_next().await {
        assert_eq!(token.unwrap(), "at-1");
    }
    assert_eq!(engine.issuer.refreshes(), 1);
    // R1: the next refresh shows the new refresh token.
    engine.rig.clock.advance_millis(HOUR);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-2");
    let asked = engine.issuer.asked("/token");
    assert!(asked[0].contains("refresh_token=rt-0") && asked[1].contains("refresh_token=rt-1"));
    // R12: no scope is sent unless the file says so.
    assert!(asked.iter().all(|body| !body.contains("scope=")));
}

#[tokio::test]
async fn r1_a_provider_that_does_not_rotate_keeps_its_refresh_token() {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let key = engine.connect("ada").await;
    for made in 1..=3 {
        engine.rig.clock.advance_millis(HOUR);
        assert_eq!(engine.lend(&key).await.unwrap(), format!("at-{made}"));
    }
    let asked = engine.issuer.asked("/token");
    assert!(asked.iter().all(|body| body.contains("refresh_token=rt-0")));
}

#[tokio::test]
async fn a_token_near_its_end_is_served_at_once_and_refreshed_behind_the_callers_back() {
    let engine = Engine::new("", true, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(55 * MINUTE);
    engine.issuer.fault(Fault::Hold);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    engine.issuer.release();
    engine.settled().await;
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_looks_while_new_tokens_are_stored_gets_the_old_or_the_new() {
    let engine = std::sync::Arc::new(Engine::new("rotates = \"always\"", true, 0).await);
    let key = engine.connect("ada").await;
    for round in 0..20 {
        engine.rig.clock.advance_millis(55 * MINUTE);
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..8 {
            let (engine, key) = (std::sync::Arc::clone(&engine), key.clone());
            callers.spawn(async move {
                for _ in 0..=caller {
                    engine.lend(&key).await.unwrap();
                }
            });
        }
        while let Some(done) = callers.join_next().await {
            done.unwrap();
        }
        engine.settled().await;
        assert_eq!(engine.issuer.refreshes(), round + 1);
    }
}

#[tokio::test]
async fn r9_r10_an_outage_is_waited_out_and_takes_nothing() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(HOUR);
    for (status, body) in [
        (503, ""),
        (500, r#"{"error":"invalid_grant"}"#),
        (429, "{}"),
    ] {
        engine.issuer.fault(Fault::Answer(status, body));
        let fault = engine.lend(&key).await.unwrap_err();
        assert!(
            matches!(fault, AccessFault::Unavailable { again: Some(_) }),
            "{status}"
        );
        // Callers meanwhile do not knock again.
        let before = engine.issuer.asked("/token").len();
        assert!(engine.lend(&key).await.is_err());
        assert_eq!(engine.issuer.asked("/token").len(), before);
        engine.rig.clock.advance_millis(31 * MINUTE);
    }
    assert_eq!(engine.state(&key).await.health, Health::Degraded);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    assert_eq!(engine.state(&key).await.health, Health::Active);
}

#[tokio::test]
async fn r7_a_grant_is_over_when_the_provider_says_so_twice_and_its_token_works_to_its_end() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    let gone = r#"{"error":"invalid_grant"}"#;
    engine.rig.clock.advance_millis(52 * MINUTE);
    engine.issuer.fault(Fault::Answer(400, gone));
    engine.issuer.fault(Fault::Answer(400, gone));
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    engine.settled().await;
    let state = engine.state(&key).await;
    assert!(state.doubted.is_some() && !state.is_revoked());
    engine.rig.clock.advance_millis(MINUTE);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    engine.settled().await;
    let state = engine.state(&key).await;
    assert_eq!(state.health, Health::Revoked(Revoked::ProviderSaid));
    // R8: it is over, and what has not ended works.
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    engine.rig.clock.advance_millis(8 * MINUTE);
    let fault = engine.lend(&key).await.unwrap_err();
    assert!(matches!(fault, AccessFault::Reauth(Revoked::ProviderSaid)));
    assert_eq!(engine.issuer.asked("/token").len(), 2);
}

#[tokio::test]
async fn r11_a_client_that_is_refused_is_an_admins_matter_and_heals_when_it_is_set_anew() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(HOUR);
    engine
        .issuer
        .fault(Fault::Answer(401, r#"{"error":"invalid_client"}"#));
    let fault = engine.lend(&key).await.unwrap_err();
    assert!(matches!(fault, AccessFault::Client), "{fault}");
    assert_eq!(engine.state(&key).await.health, Health::ConfigError);
    engine.set_client("client", "renewed").await;
    let recorded = engine.rig.recorded().await;
    let client = Engine::client();
    let changed = (engine.org, &crate::oauth::tests_rig::provider(), &client);
    engine
        .accounts
        .client_changed(&engine.rig.vault, changed, &recorded)
        .await
        .unwrap();
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    let asked = engine.issuer.asked("/token");
    assert!(asked.last().unwrap().contains("client_secret=renewed"));
}

#[tokio::test]
async fn r17_a_refresh_that_ends_after_its_connection_was_forgotten_is_revoked_and_not_stored() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(55 * MINUTE);
    engine.issuer.fault(Fault::Hold);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    while engine.issuer.asked("/token").is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    engine.forget(key.0).await;
    engine.issuer.release();
    engine.settled().await;
    assert!(matches!(
        engine.lend(&key).await.unwrap_err(),
        AccessFault::Gone
    ));
    // Both what was forgotten and what came too late are revoked.
    assert_eq!(engine.revoke().await, 2);
    let revoked = engine.issuer.asked("/revoke").join(" ");
    for token in ["token=rt-0", "token=at-0", "token=rt-1", "token=at-1"] {
        assert!(revoked.contains(token), "{token} in {revoked}");
    }
    assert_eq!(engine.revoke().await, 0);
}

#[tokio::test]
async fn v2_v3_a_revocation_that_finds_nobody_is_tried_for_a_day_and_then_wiped() {
    let engine = Engine::new("", true, 0).await;
    let key = engine.connect("ada").await;
    engine.forget(key.0).await;
    let vault = &engine.rig.vault;
    let mut tries = 0;
    for hour in 0..30 {
        for _ in 0..4 {
            engine.issuer.fault(Fault::Answer(503, ""));
        }
        let before = engine.issuer.asked("/revoke").len();
        engine.revoke().await;
        tries += usize::from(engine.issuer.asked("/revoke").len() > before);
        if hour == 0 {
            assert_eq!(tries, 1);
        }
        engine.rig.clock.advance_millis(HOUR);
    }
    assert!((20..=26).contains(&tries), "{tries}");
    let roster = engine.accounts.roster(vault).await.unwrap();
    assert!(roster.revocations().is_empty());
}

#[tokio::test]
async fn a_401_of_the_api_makes_the_next_caller_refresh_first() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    let vault = &engine.rig.vault;
    engine.rig.clock.advance_millis(1_000);
    let lent = engine.accounts.lend(vault, key.0, &key.1).await.unwrap();
    let recorded = engine.rig.recorded().await;
    engine
        .accounts
        .access_refused(vault, &lent, &recorded)
        .await
        .unwrap();
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    // The older one was lent before the refresh: it says nothing about the new one.
    engine
        .accounts
        .access_refused(vault, &lent, &recorded)
        .await
        .unwrap();
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    assert_eq!(engine.issuer.refreshes(), 1);
    // Nor does an API that refuses the new one at once: it would refuse any. Later it may mean it.
    for (later, refreshes) in [(0, 1), (MINUTE, 2)] {
        engine.rig.clock.advance_millis(later);
        let lent = engine.accounts.lend(vault, key.0, &key.1).await.unwrap();
        engine
            .accounts
            .access_refused(vault, &lent, &recorded)
            .await
            .unwrap();
        engine.lend(&key).await.unwrap();
        assert_eq!(engine.issuer.refreshes(), refreshes);
    }
}

#[tokio::test]
async fn r10_five_hundred_connections_knock_at_a_dead_host_a_bounded_number_of_times() {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let engine = engine.capped(crate::oauth::Caps {
        member: 500,
        org: 500,
    });
    for account in 0..500 {
        engine.connect(&format!("account {account}")).await;
    }
    engine.rig.clock.advance_millis(55 * MINUTE);
    let vault = &engine.rig.vault;
    for _ in 0..2_000 {
        engine.issuer.fault(Fault::Answer(503, ""));
    }
    let mut worst = 0;
    for _ in 0..10 {
        let before = engine.issuer.asked("/token").len();
        for _ in 0..6 {
            engine.accounts.pass(vault).await.unwrap();
            engine.settled().await;
            engine.rig.clock.advance_millis(10_000);
        }
        worst = worst.max(engine.issuer.asked("/token").len() - before);
    }
    assert!(worst <= 16, "{worst} attempts in a minute");
    let asked = engine.issuer.asked("/token").len();
    assert!(
        (10..=40).contains(&asked),
        "{asked} attempts in ten minutes"
    );
}

#[tokio::test]
async fn tokens_of_a_grant_that_is_over_are_wiped_after_a_month() {
    let engine = Engine::new(
        "rotates = \"always\"\nconfirm_invalid_grant = false",
        true,
        0,
    )
    .await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(HOUR);
    engine
        .issuer
        .fault(Fault::Answer(400, r#"{"error":"invalid_grant"}"#));
    assert!(engine.lend(&key).await.is_err());
    let org = engine.rig.vault.org(engine.org).unwrap();
    let place = crate::oauth::connection::places::value(&org, key.0, &key.1);
    for (day, there) in [(29, true), (31, false)] {
        let vault = &engine.rig.vault;
        let since = i64::from(day) * 24 * HOUR;
        engine
            .rig
            .clock
            .advance_millis(since - i64::from(day > 29) * 29 * 24 * HOUR);
        engine.accounts.pass(vault).await.unwrap();
        let found = vault.store().get(&place).await.unwrap();
        assert_eq!(found.is_some(), there, "day {day}");
    }
    let fault = engine.lend(&key).await.unwrap_err();
    assert!(matches!(fault, AccessFault::Reauth(_)));
}

#[tokio::test]
async fn r3_a_401_that_is_noted_while_a_refresh_is_under_way_costs_it_nothing() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(55 * MINUTE);
    engine.issuer.fault(Fault::Hold);
    let vault = &engine.rig.vault;
    let lent = engine.accounts.lend(vault, key.0, &key.1).await.unwrap();
    while engine.issuer.asked("/token").is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let recorded = engine.rig.recorded().await;
    engine
        .accounts
        .access_refused(vault, &lent, &recorded)
        .await
        .unwrap();
    engine.issuer.release();
    engine.settled().await;
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    assert_eq!(engine.revoke().await, 0);
    assert!(engine.issuer.asked("/revoke").is_empty());
}

#[tokio::test]
async fn more_callers_than_turns_at_a_healthy_host_wait_and_are_all_served() {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let mut keys = Vec::new();
    for account in 0..40 {
        keys.push(engine.connect(&format!("account {account}")).await);
    }
    engine.rig.clock.advance_millis(HOUR);
    let engine = std::sync::Arc::new(engine);
    let mut callers = tokio::task::JoinSet::new();
    for key in keys {
        let engine = std::sync::Arc::clone(&engine);
        callers.spawn(async move { engine.lend(&key).await.unwrap() });
    }
    while let Some(token) = callers.join_next().await {
        assert!(token.unwrap().starts_with("at-"));
    }
    assert_eq!(engine.issuer.refreshes(), 40);
}

#[tokio::test]
async fn r9_an_answer_of_a_gateway_may_have_cost_the_token_and_is_treated_so() {
    for (rotates, status, waits) in [
        ("always", 504, true),
        ("always", 502, true),
        ("always", 503, false),
        ("never", 504, false),
    ] {
        let refresh = format!("rotates = \"{rotates}\"");
        let engine = Engine::new(&refresh, rotates == "always", 0).await;
        let key = engine.connect("ada").await;
        engine.rig.clock.advance_millis(51 * MINUTE);
        engine.issuer.fault(Fault::Answer(status, ""));
        assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
        engine.settled().await;
        // Two minutes later the wait after a failure is over.
        engine.rig.clock.advance_millis(2 * MINUTE);
        assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
        engine.settled().await;
        let asked = engine.issuer.asked("/token").len();
        assert_eq!(asked, if waits { 1 } else { 2 }, "{rotates} {status}");
    }
}
