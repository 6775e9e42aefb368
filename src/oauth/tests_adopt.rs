//! What is kept of a grant, and which account is meant.

use super::adopt::AdoptFault;
use super::tests_rig::{Engine, Fault, HOUR, USER, provider};
use super::{Pick, Standing};
use crate::id::{ConnectionId, OrgId, UserId};
use crate::policy;
use crate::vault::VaultError;
use crate::vault::tests_rig::admin;

impl Engine {
    async fn adopt_as(
        &self,
        account: &str,
        replaces: Option<ConnectionId>,
    ) -> Result<super::Adopted, AdoptFault> {
        // Each a moment after the other: their order is that of their making.
        self.rig.clock.advance_millis(1);
        let recorded = self.rig.recorded().await;
        let file = self.accounts.provider(&provider()).unwrap();
        let grant = super::Grant {
            replaces,
            ..self.grant(account, "rt-0")
        };
        self.accounts
            .adopt(&self.rig.vault, &file, grant, &recorded)
            .await
    }

    async fn pick(&self, named: Option<&str>) -> Pick {
        let vault = &self.rig.vault;
        self.accounts
            .pick(vault, (self.org, USER), &provider(), named)
            .await
            .unwrap()
    }

    async fn choose(&self, id: ConnectionId) -> Result<(), VaultError> {
        let recorded = self.rig.recorded().await;
        let permit = policy::check(&admin(self.org, USER), USER).unwrap();
        self.accounts
            .choose_default(&self.rig.vault, &permit, id, &recorded)
            .await
    }
}

fn id_of(pick: Pick) -> ConnectionId {
    match pick {
        Pick::One(connection) => connection.id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn b13_the_same_account_is_renewed_and_another_makes_another_connection() {
    let engine = Engine::new("", true, 0).await;
    let ada = engine.adopt_as("ada", None).await.unwrap();
    assert!(!ada.renewed);
    let again = engine.adopt_as("ada", None).await.unwrap();
    assert!(again.renewed && again.connection == ada.connection);
    let bob = engine.adopt_as("bob", None).await.unwrap();
    assert!(!bob.renewed && bob.connection != ada.connection);
    let engine = engine.restart(None).await;
    let vault = &engine.rig.vault;
    let all = engine
        .accounts
        .of_member(vault, (engine.org, USER), None)
        .await
        .unwrap();
    let named: Vec<_> = all
        .iter()
        .map(|seen| (seen.connection.account.id.as_str(), seen.default))
        .collect();
    assert_eq!(named, [("ada", true), ("bob", false)]);
    assert!(all.iter().all(|seen| seen.standing == Standing::Active));
}

#[tokio::test]
async fn b13_a_reconnect_that_brings_another_account_overwrites_nothing_and_is_revoked() {
    let engine = Engine::new("", true, 0).await;
    let ada = engine.adopt_as("ada", None).await.unwrap();
    let before = engine.state(&(ada.connection, "main".to_owned())).await;
    let fault = engine.adopt_as("mallory", Some(ada.connection)).await;
    assert!(matches!(fault.unwrap_err(), AdoptFault::Mismatch));
    let after = engine.state(&(ada.connection, "main".to_owned())).await;
    assert_eq!(before, after);
    assert_eq!(id_of(engine.pick(None).await), ada.connection);
    let revoked = engine.revoke().await;
    assert_eq!((revoked, engine.issuer.asked("/revoke").len()), (1, 2));
    let renewed = engine.adopt_as("ada", Some(ada.connection)).await.unwrap();
    assert!(renewed.renewed);
    let gone = ConnectionId::from_bytes([3; 16]);
    let fault = engine.adopt_as("ada", Some(gone)).await;
    assert!(matches!(fault.unwrap_err(), AdoptFault::Gone));
}

#[tokio::test]
async fn the_default_is_used_else_the_only_one_else_nothing_is_guessed() {
    let engine = Engine::new("", true, 0).await;
    assert_eq!(engine.pick(None).await, Pick::None);
    let ada = engine.adopt_as("ada", None).await.unwrap().connection;
    let bob = engine.adopt_as("bob", None).await.unwrap().connection;
    let eve = engine.adopt_as("eve", None).await.unwrap().connection;
    assert_eq!(id_of(engine.pick(None).await), ada);
    engine.choose(bob).await.unwrap();
    assert_eq!(id_of(engine.pick(None).await), bob);
    for named in ["eve", "EVE BY NAME", &eve.to_string()] {
        assert_eq!(id_of(engine.pick(Some(named)).await), eve, "{named}");
    }
    assert_eq!(engine.pick(Some("nobody")).await, Pick::None);
    // The default goes, two are left, and neither is taken in silence.
    engine.forget(bob).await;
    assert_eq!(engine.pick(None).await, Pick::Ambiguous);
    let engine = engine.restart(None).await;
    assert_eq!(engine.pick(None).await, Pick::Ambiguous);
    engine.choose(ada).await.unwrap();
    engine.forget(ada).await;
    // One is left: it takes the place.
    assert_eq!(id_of(engine.pick(None).await), eve);
    let engine = engine.restart(None).await;
    assert_eq!(id_of(engine.pick(None).await), eve);
    assert!(engine.choose(ada).await.is_err());
}

#[tokio::test]
async fn nobody_reaches_a_connection_of_another_organisation_or_member() {
    let engine = Engine::new("", true, 0).await;
    let ada = engine.adopt_as("ada", None).await.unwrap().connection;
    let other_org = engine.rig.org(2).await.id();
    let vault = &engine.rig.vault;
    let found = engine.accounts.find(vault, other_org, ada).await;
    assert!(matches!(found.unwrap_err(), VaultError::NotFound));
    let recorded = engine.rig.recorded().await;
    let stranger = UserId::from_bytes([8; 16]);
    for (org, user) in [(other_org, USER), (engine.org, stranger)] {
        let permit = policy::check(&admin(org, user), user).unwrap();
        let gone = engine
            .accounts
            .forget_connection(vault, &permit, ada, &recorded)
            .await;
        assert!(matches!(gone.unwrap_err(), VaultError::NotFound));
        let permit = policy::check(&admin(org, user), user).unwrap();
        let chosen = engine
            .accounts
            .choose_default(vault, &permit, ada, &recorded)
            .await;
        assert!(matches!(chosen.unwrap_err(), VaultError::NotFound));
    }
    let nobody = OrgId::from_bytes([9; 16]);
    let found = engine
        .accounts
        .pick(vault, (nobody, USER), &provider(), None)
        .await
        .unwrap();
    assert_eq!(found, Pick::None);
}

#[tokio::test]
async fn tokens_that_somebody_put_back_are_not_lent() {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    let key = engine.connect("ada").await;
    let keys = engine.rig.vault.org(engine.org).unwrap();
    let place = super::connection::places::value(&keys, key.0, &key.1);
    let older = engine.rig.raw(&place);
    engine.rig.clock.advance_millis(60 * 60_000);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    engine.rig.put_raw(&place, &older);
    assert!(engine.lend(&key).await.is_err());
}

/// One that ends a whole grant, as some providers can only do.
const ALL: &str = r#"
    [[revoke]]
    when = "last_connection"
    scope = "grant"
    url = "http://ADDR/revoke-all"
    auth = "none"
"#;

#[tokio::test]
async fn v4_a_whole_grant_is_ended_with_the_last_connection_to_its_account() {
    let engine = Engine::new(ALL, true, 0).await;
    let all = || engine.issuer.asked("/revoke-all").len();
    let ada = engine.adopt_as("ada", None).await.unwrap().connection;
    let bob = engine.adopt_as("bob", None).await.unwrap().connection;
    // It came back while ada's was to be made anew: bob's own connection lives on that grant.
    let fault = engine.adopt_as("bob", Some(ada)).await;
    assert!(matches!(fault.unwrap_err(), AdoptFault::Mismatch));
    assert_eq!(engine.revoke().await, 1);
    // Nor is a step called of which the file does not say that it spares the others.
    assert_eq!((all(), engine.issuer.asked("/revoke").len()), (0, 0));
    engine.forget(bob).await;
    assert_eq!(engine.revoke().await, 1);
    assert_eq!(all(), 1);
}

#[tokio::test]
async fn v4_a_connection_whose_own_grant_is_over_keeps_no_other_from_being_revoked() {
    let refresh = "rotates = \"always\"\nconfirm_invalid_grant = false";
    let engine = Engine::new(refresh, true, 0).await;
    let mine = engine.connect("ada").await;
    let theirs = super::Grant {
        user: UserId::from_bytes([8; 16]),
        ..engine.grant("ada", "rt-9")
    };
    let theirs = (
        engine.adopt(theirs).await.unwrap().connection,
        mine.1.clone(),
    );
    engine.rig.clock.advance_millis(HOUR + 60_000);
    let gone = r#"{"error":"invalid_grant"}"#;
    engine.issuer.fault(Fault::Answer(400, gone));
    engine.lend(&theirs).await.unwrap_err();
    assert!(engine.state(&theirs).await.is_revoked());
    engine.forget(mine.0).await;
    assert_eq!(engine.revoke().await, 1);
    assert!(!engine.issuer.asked("/revoke").is_empty());
}

#[tokio::test]
async fn v4_an_account_that_was_connected_again_outlives_what_is_tried_later() {
    let engine = Engine::new(ALL, true, 0).await;
    let all = || engine.issuer.asked("/revoke-all").len();
    let old = engine.adopt_as("ada", None).await.unwrap().connection;
    engine.forget(old).await;
    engine.issuer.fault(Fault::Answer(503, ""));
    engine.revoke().await;
    let asked = all();
    let new = engine.adopt_as("ada", None).await.unwrap().connection;
    engine.rig.clock.advance_millis(10 * 60_000);
    assert_eq!(engine.revoke().await, 1);
    assert_eq!(all(), asked);
    assert_eq!(id_of(engine.pick(None).await), new);
}
