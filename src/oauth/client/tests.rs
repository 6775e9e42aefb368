use super::{ClientError, ClientOwner, ClientShelf, NewClient, NewSecret, chosen, reopen};
use crate::id::{OrgId, UserId};
use crate::name::ProviderId;
use crate::policy::{self, Permit, WriteClients, WriteSharedClients};
use crate::secret::Secret;
use crate::vault::tests_rig::{Rig, admin};

fn provider() -> ProviderId {
    ProviderId::parse("github").unwrap()
}

fn new(client_id: &str, secret: NewSecret) -> NewClient {
    NewClient {
        provider: provider(),
        client_id: client_id.to_owned(),
        secret,
        scopes: None,
        hosts: std::collections::BTreeMap::new(),
    }
}

fn set(text: &str) -> NewSecret {
    NewSecret::Set(Secret::copy_of(text.as_bytes()))
}

fn permit(org: OrgId) -> Permit<WriteClients> {
    policy::check(&admin(org, UserId::from_bytes([1; 16])), ()).unwrap()
}

fn operator() -> Permit<WriteSharedClients> {
    let admin = admin(OrgId::from_bytes([9; 16]), UserId::from_bytes([1; 16]));
    policy::check(&admin.operating(), ()).unwrap()
}

fn text(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
}

#[tokio::test]
async fn a_client_is_found_with_its_secret_after_unsealing_anew() {
    let rig = Rig::new().await;
    let org = rig.org(1).await;
    let recorded = rig.recorded().await;
    let shelf = ClientShelf::of_org(&rig.vault, &org);
    let info = shelf
        .set(&permit(org.id()), new("abc", set("hush")), &recorded)
        .await
        .unwrap();
    assert!(info.confidential && info.client_id == "abc");
    drop(recorded);
    let id = org.id();
    drop(org);
    let rig = rig.reopen().await.unwrap();
    let (org, recorded) = (rig.vault.org(id).unwrap(), rig.recorded().await);
    let (reference, _) = chosen(&rig.vault, &org, &provider()).await.unwrap();
    assert_eq!(reference.owner, ClientOwner::Organization);
    let opened = reopen(&rig.vault, &org, &provider(), &reference, &recorded)
        .await
        .unwrap();
    assert_eq!(text(opened.secret.as_ref()).as_deref(), Some("hush"));
}

#[tokio::test]
async fn a_secret_that_is_left_out_stays_and_a_new_id_needs_its_own() {
    let rig = Rig::new().await;
    let org = rig.org(1).await;
    let recorded = rig.recorded().await;
    let shelf = ClientShelf::of_org(&rig.vault, &org);
    let permit = permit(org.id());
    let first = shelf.set(&permit, new("abc", NewSecret::Keep), &recorded);
    assert!(matches!(
        first.await.unwrap_err(),
        ClientError::SecretNeeded
    ));
    let with = NewClient {
        scopes: Some(vec!["repo".to_owned()]),
        ..new("abc", set("hush"))
    };
    shelf.set(&permit, with, &recorded).await.unwrap();
    let kept = shelf.set(&permit, new("abc", NewSecret::Keep), &recorded);
    assert_eq!(kept.await.unwrap().scopes, ["repo"]);
    let other = shelf.set(&permit, new("def", NewSecret::Keep), &recorded);
    assert!(other.await.is_err());
    let opened = shelf.open(&provider(), "abc", &recorded).await.unwrap();
    assert_eq!(text(opened.secret.as_ref()).as_deref(), Some("hush"));
    let public = shelf.set(&permit, new("def", NewSecret::None), &recorded);
    assert!(!public.await.unwrap().confidential);
    let opened = shelf.open(&provider(), "def", &recorded).await.unwrap();
    assert!(opened.secret.is_none());
    // The one before is still there for the connections that it made.
    assert!(shelf.open(&provider(), "abc", &recorded).await.is_ok());
}

#[tokio::test]
async fn the_installation_s_client_is_for_those_who_have_none_of_their_own() {
    let rig = Rig::new().await;
    let (one, other) = (rig.org(1).await, rig.org(2).await);
    let recorded = rig.recorded().await;
    let none = chosen(&rig.vault, &one, &provider()).await;
    assert!(matches!(none.unwrap_err(), ClientError::NotFound));
    let shared = ClientShelf::of_installation(&rig.vault);
    shared
        .set_shared(&operator(), new("shared", set("ours")), &recorded)
        .await
        .unwrap();
    let own = ClientShelf::of_org(&rig.vault, &one);
    own.set(&permit(one.id()), new("own", set("mine")), &recorded)
        .await
        .unwrap();
    let (reference, _) = chosen(&rig.vault, &one, &provider()).await.unwrap();
    assert_eq!(reference.client_id, "own");
    let (reference, _) = chosen(&rig.vault, &other, &provider()).await.unwrap();
    assert_eq!(
        (reference.owner, reference.client_id.as_str()),
        (ClientOwner::Instance, "shared")
    );
    let opened = reopen(&rig.vault, &other, &provider(), &reference, &recorded)
        .await
        .unwrap();
    assert_eq!(text(opened.secret.as_ref()).as_deref(), Some("ours"));
    // An organisation's shelf knows nothing of another's.
    let theirs = ClientShelf::of_org(&rig.vault, &other);
    assert!(theirs.open(&provider(), "own", &recorded).await.is_err());
    assert_eq!(shared.all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_removed_client_s_secret_goes_unless_a_connection_needs_it() {
    let rig = Rig::new().await;
    let org = rig.org(1).await;
    let recorded = rig.recorded().await;
    let shelf = ClientShelf::of_org(&rig.vault, &org);
    let permit = permit(org.id());
    for needed in [true, false] {
        shelf
            .set(&permit, new("abc", set("hush")), &recorded)
            .await
            .unwrap();
        shelf
            .remove(&permit, &provider(), |_| needed, &recorded)
            .await
            .unwrap();
        assert!(shelf.info(&provider()).await.unwrap().is_none());
        let left = shelf.open(&provider(), "abc", &recorded).await;
        assert_eq!(left.is_ok(), needed);
    }
    let gone = shelf
        .remove(&permit, &provider(), |_| false, &recorded)
        .await;
    assert!(matches!(gone.unwrap_err(), ClientError::NotFound));
}

#[tokio::test]
async fn bad_ids_and_scopes_are_refused() {
    let rig = Rig::new().await;
    let org = rig.org(1).await;
    let recorded = rig.recorded().await;
    let shelf = ClientShelf::of_org(&rig.vault, &org);
    for bad in ["", "a\nb", &"x".repeat(513)] {
        let refused = shelf
            .set(&permit(org.id()), new(bad, set("hush")), &recorded)
            .await;
        assert!(matches!(refused.unwrap_err(), ClientError::Rule(_)));
    }
    let with = NewClient {
        scopes: Some(vec!["two words".to_owned()]),
        ..new("abc", set("hush"))
    };
    let refused = shelf.set(&permit(org.id()), with, &recorded).await;
    assert!(matches!(refused.unwrap_err(), ClientError::Rule(_)));
}
