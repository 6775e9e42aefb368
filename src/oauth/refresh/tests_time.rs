//! Clocks that jump, accounts that change behind a refresh, and hosts that come back.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use crate::oauth::connection::{Health, SetKey, Subject};
use crate::oauth::refresh::pace::PER_HOST;
use crate::oauth::tests_rig::{Engine, Fault, HOUR};
use crate::oauth::{AccessFault, Grant};

const MINUTE: i64 = 60_000;
const EVERY: i64 = 5 * MINUTE;

/// An answer with an ID token of this person.
fn answer(engine: &Engine, subject: &str) -> &'static str {
    let now = engine.now().millis() / 1000;
    let claims = format!(
        r#"{{"iss":"https://issuer.example","sub":"{subject}","aud":"client","iat":{now},"exp":{}}}"#,
        now + 300
    );
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let id_token = format!(
        "{}.{}.{}",
        encode(r#"{"alg":"RS256"}"#),
        encode(&claims),
        encode("s")
    );
    let body = format!(
        r#"{{"access_token":"at-x","refresh_token":"rt-x","token_type":"bearer","expires_in":3600,"id_token":"{id_token}"}}"#
    );
    Box::leak(body.into_boxed_str())
}

#[tokio::test]
async fn r13_a_refresh_that_brings_another_persons_tokens_is_refused_and_the_old_ones_are_kept() {
    let alone = ("token = \"both\"", "token = \"both\"\nscope = \"token\"");
    for (subject, taken, changes) in [
        ("mallory", false, &[alone][..]),
        ("mallory", false, &[]),
        ("ada", true, &[alone]),
    ] {
        let engine = Engine::edited("rotates = \"always\"", true, 0, changes).await;
        let grant = Grant {
            subject: Some(Subject {
                issuer: "https://issuer.example".to_owned(),
                subject: "ada".to_owned(),
            }),
            ..engine.grant("ada", "rt-0")
        };
        let key = (
            engine.adopt(grant).await.unwrap().connection,
            "main".to_owned(),
        );
        engine.rig.clock.advance_millis(52 * MINUTE);
        engine
            .issuer
            .fault(Fault::Answer(200, answer(&engine, subject)));
        assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
        engine.settled().await;
        let wanted = if taken { "at-x" } else { "at-0" };
        assert_eq!(engine.lend(&key).await.unwrap(), wanted, "{subject}");
        assert_eq!(engine.state(&key).await.health, Health::Active);
        // What came is nobody's here: it is revoked, where that cannot end what ada's connection lives on.
        assert_eq!(engine.revoke().await, usize::from(!taken));
        let revoked = engine.issuer.asked("/revoke").join(" ");
        let told = !taken && !changes.is_empty();
        assert_eq!(revoked.contains("token=rt-x"), told, "{changes:?}");
        assert!(!revoked.contains("rt-0"));
    }
}

#[tokio::test]
async fn r14_a_clock_that_jumps_costs_no_grant_and_lends_nothing_that_has_ended() {
    for jump in [-5 * MINUTE, 5 * MINUTE, -HOUR, HOUR] {
        let engine = Engine::new("rotates = \"always\"", true, 0).await;
        let key = engine.connect("ada").await;
        // In the window before its end.
        engine.rig.clock.advance_millis(52 * MINUTE);
        engine.rig.clock.advance_millis(jump);
        let lent = engine.lend(&key).await.unwrap();
        engine.settled().await;
        let left = 8 * MINUTE - jump;
        let expected = if left > 30_000 { "at-0" } else { "at-1" };
        assert_eq!(lent, expected, "{jump}");
        // Back, or on: a second jump that undoes the first.
        engine.rig.clock.advance_millis(-jump);
        engine.lend(&key).await.unwrap();
        engine.settled().await;
        assert_eq!(engine.state(&key).await.health, Health::Active, "{jump}");
        assert!(engine.issuer.refreshes() <= 2, "{jump}");
        assert_eq!(engine.revoke().await, 0, "{jump}");
    }
}

#[tokio::test]
async fn r14_a_clock_that_jumps_while_the_provider_is_asked_keeps_what_comes() {
    for jump in [-10 * MINUTE, 10 * MINUTE, -HOUR, 2 * HOUR] {
        let engine = Engine::new("rotates = \"always\"", true, 0).await;
        let key = engine.connect("ada").await;
        engine.rig.clock.advance_millis(52 * MINUTE);
        engine.issuer.fault(Fault::Hold);
        assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
        while engine.issuer.asked("/token").is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        engine.rig.clock.advance_millis(jump);
        engine.issuer.release();
        engine.settled().await;
        let state = engine.state(&key).await;
        assert_eq!((state.health, state.version), (Health::Active, 2), "{jump}");
        // Its life is measured from before the request was sent.
        let lent = engine.lend(&key).await.unwrap();
        let expected = if jump > HOUR { "at-2" } else { "at-1" };
        assert_eq!(lent, expected, "{jump}");
        assert_eq!(engine.revoke().await, 0);
    }
}

#[tokio::test]
async fn r14_a_wait_that_began_before_the_clock_went_back_ends_when_it_is_over() {
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let key = engine.connect("ada").await;
    engine.rig.clock.advance_millis(HOUR);
    engine.issuer.fault(Fault::Answer(503, ""));
    let fault = engine.lend(&key).await.unwrap_err();
    let AccessFault::Unavailable { again: Some(again) } = fault else {
        panic!("{fault}");
    };
    engine.rig.clock.advance_millis(-20 * MINUTE);
    // The token's end is as far as the clock says.
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    engine.rig.clock.advance_millis(20 * MINUTE);
    let left = again.millis_since(engine.now());
    engine.rig.clock.advance_millis(left);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
}

#[tokio::test]
async fn r15_the_time_between_two_passes_is_five_minutes_give_or_take_a_fifth() {
    let engine = Engine::new("", true, 0).await;
    let mut seen = Vec::new();
    for _ in 0..200 {
        let pass = engine.accounts.pass(&engine.rig.vault).await.unwrap();
        assert_eq!(pass.refreshed, 0);
        seen.push(pass.next);
    }
    let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
    let spread = EVERY / 5;
    assert!(*least >= EVERY - spread && *most <= EVERY + spread);
    // Drawn from all of it: that none of two hundred falls into the outer quarters takes a broken draw.
    assert!(*least < EVERY - spread / 2 && *most > EVERY + spread / 2);
}

#[tokio::test]
async fn r15_passes_by_themselves_keep_an_unused_account_alive_for_a_day() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    let (mut passes, end) = (0, engine.now().plus_millis(24 * HOUR));
    while end.millis_since(engine.now()) > 0 {
        let pass = engine.accounts.pass(&engine.rig.vault).await.unwrap();
        engine.settled().await;
        let left = engine.state(&key).await.left(engine.now()).unwrap();
        assert!(left > 0, "it ended after {passes} passes");
        engine.rig.clock.advance_millis(pass.next);
        passes += 1;
    }
    // Neither idle nor a loop: some three hundred passes, and a refresh for each fifty minutes.
    assert!((200..=500).contains(&passes), "{passes} passes");
    let refreshes = engine.issuer.refreshes();
    assert!((24..=32).contains(&refreshes), "{refreshes} refreshes");
}

/// So many accounts that were made by so many clients, each a door of its own.
async fn crowd(engine: &Engine, clients: usize, accounts: usize) -> Vec<SetKey> {
    let mut keys = Vec::new();
    for client in 0..clients {
        engine.set_client(&format!("client-{client}"), "hush").await;
    }
    for account in 0..accounts {
        let mut grant = engine.grant(&format!("account {account}"), "rt-0");
        grant.client.client_id = format!("client-{}", account % clients);
        let adopted = engine.adopt(grant).await.unwrap();
        keys.push((adopted.connection, "main".to_owned()));
    }
    keys
}

#[tokio::test]
async fn r10_a_host_that_comes_back_to_five_hundred_connections_is_not_stormed() {
    const CLIENTS: usize = 4;
    let engine = Engine::new("rotates = \"never\"", false, 0).await;
    let engine = engine.capped(crate::oauth::Caps {
        member: 1_000,
        org: 1_000,
    });
    let keys = crowd(&engine, CLIENTS, 500).await;
    let vault = &engine.rig.vault;
    engine.rig.clock.advance_millis(55 * MINUTE);
    let most = CLIENTS * usize::try_from(PER_HOST).unwrap();
    // Dead for ten minutes: each client's door is knocked at once a minute.
    engine.issuer.dead_for_now(true);
    let mut waited = 0;
    while waited < 10 * MINUTE {
        let pass = engine.accounts.pass(vault).await.unwrap();
        engine.settled().await;
        assert!(pass.refreshed <= most);
        waited += pass.next;
        engine.rig.clock.advance_millis(pass.next);
    }
    let knocked = engine.issuer.asked("/token").len();
    assert!(knocked <= most + 12 * CLIENTS, "{knocked} knocks");
    engine.issuer.dead_for_now(false);
    // It is there again: at no time more than the turns that there are, and a second between them.
    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        let before = engine.issuer.asked("/token").len();
        let pass = engine.accounts.pass(vault).await.unwrap();
        engine.settled().await;
        assert!(engine.issuer.asked("/token").len() - before <= most);
        assert!(pass.next >= 1_000);
        waits.insert(pass.next);
        engine.rig.clock.advance_millis(pass.next);
        if engine.issuer.refreshes() == 500 {
            break;
        }
    }
    assert_eq!(engine.issuer.refreshes(), 500);
    // Jittered: brokers that all waited for it do not come in step.
    assert!(waits.len() > 5, "{waits:?}");
    for key in &keys {
        assert_eq!(engine.state(key).await.health, Health::Active);
    }
}

#[tokio::test]
async fn tokens_that_cannot_be_wiped_hold_up_no_others() {
    let refresh = "rotates = \"always\"\nconfirm_invalid_grant = false";
    let engine = Engine::new(refresh, true, 0).await;
    let mut keys = Vec::new();
    for account in 0..6 {
        keys.push(engine.connect(&format!("account {account}")).await);
    }
    engine.rig.clock.advance_millis(HOUR);
    let gone = r#"{"error":"invalid_grant"}"#;
    let org = engine.rig.vault.org(engine.org).unwrap();
    let places = crate::oauth::connection::places::value;
    for key in &keys {
        engine.issuer.fault(Fault::Answer(400, gone));
        assert!(engine.lend(key).await.is_err());
    }
    // What stands there is not what is in memory, of all but one.
    for key in &keys[1..] {
        let place = crate::oauth::connection::places::state(&org, key.0, &key.1);
        let raw = engine.rig.raw(&place);
        engine.rig.put_raw(&place, &raw[1..]);
    }
    engine.rig.clock.advance_millis(31 * 24 * HOUR);
    let vault = &engine.rig.vault;
    engine.accounts.pass(vault).await.unwrap();
    let mut left = Vec::new();
    for key in &keys {
        let place = places(&org, key.0, &key.1);
        left.push(vault.store().get(&place).await.unwrap().is_some());
    }
    assert_eq!(left, [false, true, true, true, true, true]);
}
