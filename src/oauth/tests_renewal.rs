//! What becomes of old tokens when an account is connected again; how many accounts there may be; and
//! who shares a grant with whom.

use super::adopt::AdoptFault;
use super::client::{ClientOwner, ClientRef, reopen};
use super::connection::SetKey;
use super::tests_rig::{Engine, Fault, USER, provider};
use super::{Adopted, Grant};
use crate::id::{OrgId, UserId};
use crate::policy;
use crate::vault::tests_rig::admin;

/// A step that ends the token that it names, and nothing else.
const ONE: &str = r#"
    [[revoke]]
    scope = "token"
    url = "http://ADDR/revoke-one"
    auth = "none"
    token = "both"
"#;

/// One that ends a whole grant.
const ALL: &str = r#"
    [[revoke]]
    when = "last_connection"
    scope = "grant"
    url = "http://ADDR/revoke-all"
    auth = "none"
"#;

impl Engine {
    async fn renew(&self, access: &str, refresh: &str) -> Adopted {
        self.rig.clock.advance_millis(1);
        let grant = self.grant_of("ada", access, Some(refresh));
        let renewed = self.adopt(grant).await.unwrap();
        assert!(renewed.renewed);
        renewed
    }

    /// How often each of the three was asked to revoke.
    fn revoked(&self) -> [usize; 3] {
        ["/revoke", "/revoke-one", "/revoke-all"].map(|path| self.issuer.asked(path).len())
    }
}

#[tokio::test]
async fn v4_old_tokens_of_a_renewed_connection_are_revoked_where_each_ends_alone() {
    let engine = Engine::new(&format!("{ONE}{ALL}"), true, 0).await;
    let key = engine.connect("ada").await;
    engine.renew("at-9", "rt-9").await;
    assert_eq!(engine.revoke().await, 1);
    // Neither the step of which the file does not say what ends, nor the one that ends all.
    assert_eq!(engine.revoked(), [0, 2, 0]);
    let asked = engine.issuer.asked("/revoke-one").join(" ");
    assert!(
        asked.contains("token=rt-0") && asked.contains("token=at-0"),
        "{asked}"
    );
    assert_eq!(engine.lend(&key).await.unwrap(), "at-9");
    assert_eq!(engine.revoke().await, 0);
}

#[tokio::test]
async fn v4_old_tokens_are_dropped_where_the_file_does_not_say_that_each_ends_alone() {
    let engine = Engine::new(ALL, true, 0).await;
    engine.connect("ada").await;
    engine.renew("at-9", "rt-9").await;
    assert_eq!(engine.revoke().await, 0);
    assert_eq!(engine.revoked(), [0, 0, 0]);
}

#[tokio::test]
async fn v4_a_token_that_the_provider_gave_again_is_not_revoked_as_an_old_one() {
    let engine = Engine::new(ONE, true, 0).await;
    let key = engine.connect("ada").await;
    engine.renew("at-0", "rt-9").await;
    engine.renew("at-9", "rt-9").await;
    assert_eq!(engine.revoke().await, 0);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-9");
}

#[tokio::test]
async fn v4_what_a_renewal_left_is_tried_again_and_ends_all_once_nothing_newer_lives() {
    let engine = Engine::new(&format!("{ONE}{ALL}"), true, 0).await;
    let key = engine.connect("ada").await;
    engine.renew("at-9", "rt-9").await;
    engine.issuer.fault(Fault::Answer(503, ""));
    assert_eq!(engine.revoke().await, 1);
    engine.forget(key.0).await;
    engine.rig.clock.advance_millis(10 * 60_000);
    // Both: the old tokens and those that were forgotten.
    assert_eq!(engine.revoke().await, 2);
    assert!(engine.revoked()[2] > 0);
}

#[tokio::test]
async fn v4_the_grant_of_a_client_that_was_replaced_is_revoked_by_it_and_then_its_credentials_go() {
    let engine = Engine::new(ALL, true, 0).await;
    let key = engine.connect("ada").await;
    engine.set_client("newer", "hush").await;
    let (vault, recorded) = (&engine.rig.vault, engine.rig.recorded().await);
    let keys = vault.org(engine.org).unwrap();
    let old = Engine::client();
    let there = async || {
        reopen(vault, &keys, &provider(), &old, &recorded)
            .await
            .is_ok()
    };
    let grant = Grant {
        client: ClientRef {
            owner: ClientOwner::Organization,
            client_id: "newer".to_owned(),
        },
        ..engine.grant_of("ada", "at-9", Some("rt-9"))
    };
    assert!(engine.adopt(grant).await.unwrap().renewed);
    assert!(there().await, "the old tokens are revoked with it");
    assert_eq!(engine.revoke().await, 1);
    assert_eq!(engine.revoked(), [2, 0, 1]);
    let asked = engine.issuer.asked("/revoke").join(" ");
    assert!(asked.contains("client_id=client"), "{asked}");
    assert!(!there().await);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-9");
}

#[tokio::test]
async fn v4_two_organisations_share_a_grant_and_the_first_that_disconnects_leaves_the_other_alive()
{
    let engine = Engine::new(ALL, true, 0).await;
    let client = engine.set_shared_client("everybodys").await;
    let other = engine.rig.org(2).await.id();
    let mut made: Vec<(OrgId, SetKey)> = Vec::new();
    for org in [engine.org, other] {
        let grant = Grant {
            org,
            client: client.clone(),
            ..engine.grant_of("ada", "at-0", Some("rt-0"))
        };
        let adopted = engine.adopt(grant).await.unwrap();
        assert!(!adopted.renewed);
        made.push((org, (adopted.connection, "main".to_owned())));
    }
    for (nth, (org, key)) in made.iter().enumerate() {
        let recorded = engine.rig.recorded().await;
        let permit = policy::check(&admin(*org, USER), USER).unwrap();
        engine
            .accounts
            .forget_connection(&engine.rig.vault, &permit, key.0, &recorded)
            .await
            .unwrap();
        assert_eq!(engine.revoke().await, 1);
        // Nor is the step called of which the file does not say what ends.
        assert_eq!(engine.revoked(), [2 * nth, 0, nth]);
        let words = ["shared", "revoked"].map(|word| engine.ears.heard(&format!("revoked {word}")));
        assert_eq!(words, [1, nth]);
    }
}

#[tokio::test]
async fn v4_a_connection_that_goes_takes_its_tokens_along_where_each_ends_alone() {
    let engine = Engine::new(&format!("{ONE}{ALL}"), true, 0).await;
    let of = |user: u8, access: &str, refresh: &str| Grant {
        user: UserId::from_bytes([user; 16]),
        ..engine.grant_of("ada", access, Some(refresh))
    };
    let stays = engine.adopt(of(8, "at-8", "rt-8")).await.unwrap();
    let goes = engine.adopt(of(7, "at-7", "rt-7")).await.unwrap();
    engine.forget(goes.connection).await;
    assert_eq!(engine.revoke().await, 1);
    assert_eq!(engine.revoked(), [0, 2, 0]);
    let asked = engine.issuer.asked("/revoke-one").join(" ");
    assert!(asked.contains("rt-7") && asked.contains("at-7"), "{asked}");
    assert_eq!(engine.ears.heard("revoked revoked"), 1);
    let key = (stays.connection, "main".to_owned());
    assert_eq!(engine.lend(&key).await.unwrap(), "at-8");
}

#[tokio::test]
async fn a_member_and_an_organisation_have_as_many_accounts_as_they_may_and_renew_those() {
    let engine = Engine::new("", true, 0).await;
    let most = super::Caps { member: 2, org: 3 };
    let engine = engine.capped(most);
    let of = |user: u8, account: &str| Grant {
        user: UserId::from_bytes([user; 16]),
        ..engine.grant_of(account, "at-0", Some("rt-0"))
    };
    for (user, account, fits) in [
        (7, "ada", true),
        (7, "bob", true),
        (7, "eve", false),
        // It is there: it is renewed.
        (7, "ada", true),
        (8, "ada", true),
        (8, "bob", false),
        (9, "ada", false),
    ] {
        let adopted = engine.adopt(of(user, account)).await;
        match adopted {
            Ok(_) => assert!(fits, "{user} {account}"),
            Err(AdoptFault::Full) => assert!(!fits, "{user} {account}"),
            Err(other) => panic!("{other}"),
        }
    }
    // What was granted in vain is revoked.
    assert_eq!(engine.revoke().await, 3);
}

#[tokio::test]
async fn a_client_is_needed_by_its_connections_and_by_what_is_still_to_be_revoked() {
    let engine = Engine::new("", true, 0).await;
    let shared = engine.set_shared_client("client").await;
    let (own, other) = (Engine::client(), engine.rig.org(2).await.id());
    let vault = &engine.rig.vault;
    let roster = engine.accounts.roster(vault).await.unwrap();
    let id = provider();
    let needs = |org, client: &ClientRef| roster.needs_client(org, (&id, client), None);
    let key = engine.connect("ada").await;
    assert!(needs(engine.org, &own));
    // The same id is another client where another owns it.
    assert!(!needs(engine.org, &shared) && !needs(other, &own));
    assert!(!roster.needs_client(engine.org, (&id, &own), Some(key.0)));
    engine.issuer.fault(Fault::Answer(503, ""));
    engine.forget(key.0).await;
    engine.revoke().await;
    assert!(needs(engine.org, &own));
    engine.rig.clock.advance_millis(10 * 60_000);
    engine.revoke().await;
    assert!(!needs(engine.org, &own));
    // Whoever has one of the installation's needs it for all.
    let grant = Grant {
        client: shared.clone(),
        ..engine.grant("ada", "rt-0")
    };
    engine.adopt(grant).await.unwrap();
    assert!(needs(engine.org, &shared) && needs(other, &shared));
    let reread = super::connection::Roster::load(vault).await.unwrap();
    assert!(reread.needs_client(other, (&id, &shared), None));
    assert_eq!(reread.counts(engine.org, USER), (1, 1));
}

#[tokio::test]
async fn v2_a_revocation_that_cannot_be_written_down_is_not_tried_again_at_once() {
    let engine = Engine::new("", true, 0).await;
    let key = engine.connect("ada").await;
    engine.forget(key.0).await;
    let vault = engine.rig.vault.clone();
    engine.accounts.roster(&vault).await.unwrap();
    engine.rig.lifecycle.seal(std::time::Duration::ZERO).await;
    let (tried, next) = engine.accounts.revoke_due(&vault).await.unwrap();
    assert_eq!((tried, next), (1, 60_000));
}

#[tokio::test]
async fn v2_what_is_to_be_revoked_and_is_damaged_is_over() {
    let engine = Engine::new("", true, 0).await;
    let key = engine.connect("ada").await;
    let keys = engine.rig.vault.org(engine.org).unwrap();
    let place = super::connection::places::value(&keys, key.0, &key.1);
    engine.forget(key.0).await;
    let whole = engine.rig.raw(&place);
    engine.rig.put_raw(&place, &whole[..whole.len() / 2]);
    assert_eq!(engine.revoke().await, 1);
    assert_eq!(engine.ears.heard("revoked failed"), 1);
    assert_eq!(engine.revoke().await, 0);
}

#[tokio::test]
async fn v4_what_an_older_version_wrote_of_replaced_tokens_is_read() {
    let engine = Engine::new(ONE, true, 0).await;
    engine.connect("ada").await;
    engine.renew("at-9", "rt-9").await;
    let roster = engine.accounts.roster(&engine.rig.vault).await.unwrap();
    let waits = (*roster.revocations()[0].value).clone();
    for name in ["unkept", "replaced"] {
        let mut written = serde_json::to_value(&waits).unwrap();
        let fields = written.as_object_mut().unwrap();
        assert!(fields.insert(name.to_owned(), true.into()).is_none());
        let read: super::Revocation = serde_json::from_value(written).unwrap();
        let read = super::Revocation {
            unkept: None,
            ..read
        };
        assert_eq!(read, waits, "{name}");
    }
}
