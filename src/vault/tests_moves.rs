//! Sealed records that somebody moved, swapped, replayed or altered in the database: none yields a
//! value, whoever's place it was put in.

use super::VaultError;
use super::tests_rig::Rig;
use crate::damage::Harm;
use crate::id::UserId;
use crate::store::StoreError;

const ANNA: UserId = UserId::from_bytes([1; 16]);
const BORIS: UserId = UserId::from_bytes([2; 16]);

#[track_caller]
fn refused(outcome: Result<String, VaultError>) {
    match outcome {
        Err(
            VaultError::Crypto(_)
            | VaultError::Form
            | VaultError::Store(StoreError::Damaged { .. }),
        ) => {}
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_version_in_the_place_of_another_secrets_is_refused() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    rig.set(&org, ANNA, "MINE", "the value of mine").await;
    rig.set(&org, ANNA, "OTHER", "the value of other").await;
    let (_, mine) = rig.places(&org, ANNA, "MINE", 1).await;
    let (_, other) = rig.places(&org, ANNA, "OTHER", 1).await;
    let (mine_raw, other_raw) = (rig.raw(&mine), rig.raw(&other));
    rig.put_raw(&mine, &other_raw);
    rig.put_raw(&other, &mine_raw);
    refused(rig.get(&org, ANNA, "MINE").await);
    refused(rig.get(&org, ANNA, "OTHER").await);
    rig.put_raw(&mine, &mine_raw);
    assert_eq!(
        rig.get(&org, ANNA, "MINE").await.unwrap(),
        "the value of mine"
    );
}

#[tokio::test]
async fn an_older_version_in_the_place_of_the_newest_is_refused() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    rig.set(&org, ANNA, "MINE", "leaked and replaced").await;
    rig.set(&org, ANNA, "MINE", "the new value").await;
    let (_, first) = rig.places(&org, ANNA, "MINE", 1).await;
    let (_, second) = rig.places(&org, ANNA, "MINE", 2).await;
    rig.put_raw(&second, &rig.raw(&first));
    refused(rig.get(&org, ANNA, "MINE").await);
}

#[tokio::test]
async fn a_pointer_under_another_name_owner_or_organisation_is_refused() {
    let rig = Rig::new().await;
    let (org, foreign) = (rig.org(7).await, rig.org(8).await);
    rig.set(&org, ANNA, "MINE", "the value of mine").await;
    for (keys, user, name) in [
        (&org, ANNA, "OTHER"),
        (&org, BORIS, "MINE"),
        (&foreign, ANNA, "MINE"),
        (&foreign, BORIS, "OTHER"),
    ] {
        rig.set(keys, user, name, "somebody else's value").await;
        let (mine, version) = rig.places(&org, ANNA, "MINE", 1).await;
        let (theirs, their_version) = rig.places(keys, user, name, 1).await;
        let (pointer, value) = (rig.raw(&mine), rig.raw(&version));
        // Theirs where mine stands, and mine where theirs stands; alone, and with its version.
        rig.put_raw(&mine, &rig.raw(&theirs));
        refused(rig.get(&org, ANNA, "MINE").await);
        rig.put_raw(&version, &rig.raw(&their_version));
        refused(rig.get(&org, ANNA, "MINE").await);
        rig.put_raw(&theirs, &pointer);
        refused(rig.get(keys, user, name).await);
        rig.put_raw(&their_version, &value);
        refused(rig.get(keys, user, name).await);
        rig.put_raw(&mine, &pointer);
        rig.put_raw(&version, &value);
        assert_eq!(
            rig.get(&org, ANNA, "MINE").await.unwrap(),
            "the value of mine"
        );
    }
}

#[tokio::test]
async fn an_owners_key_in_the_place_of_anothers_is_refused() {
    let rig = Rig::new().await;
    let (org, foreign) = (rig.org(7).await, rig.org(8).await);
    rig.set(&org, ANNA, "MINE", "the value of mine").await;
    rig.set(&org, BORIS, "MINE", "the value of boris").await;
    rig.set(&foreign, ANNA, "MINE", "the value of elsewhere")
        .await;
    let place = |keys: &crate::vault::OrgKeys, user| {
        let owner = crate::crypto::Owner::user(user);
        keys.owner_place(owner)
    };
    let places = [place(&org, ANNA), place(&org, BORIS), place(&foreign, ANNA)];
    // Opened anew, so that no key is known yet.
    let rig = rig.reopen().await.unwrap();
    let [anna, boris, elsewhere] = &places;
    let own = rig.raw(anna);
    for other in [boris, elsewhere] {
        rig.put_raw(anna, &rig.raw(other));
        let org = rig.vault.org(org.id()).unwrap();
        refused(rig.get(&org, ANNA, "MINE").await);
    }
    rig.put_raw(anna, &own);
    let org = rig.vault.org(org.id()).unwrap();
    assert_eq!(
        rig.get(&org, ANNA, "MINE").await.unwrap(),
        "the value of mine"
    );
}

#[tokio::test]
async fn a_whole_earlier_state_of_a_secret_is_noticed_when_the_store_opens() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    rig.set(&org, ANNA, "MINE", "leaked and replaced").await;
    let (pointer, _) = rig.places(&org, ANNA, "MINE", 1).await;
    let earlier = rig.raw(&pointer);
    rig.set(&org, ANNA, "MINE", "the new value").await;
    let newest = rig.raw(&pointer);
    rig.put_raw(&pointer, &earlier);
    let engine = std::sync::Arc::clone(&rig.engine);
    let lifecycle = std::sync::Arc::clone(&rig.lifecycle);
    let folder = std::sync::Arc::clone(&rig.folder);
    let opened = rig.reopen().await.map(|_| ());
    assert!(
        matches!(opened, Err(VaultError::Store(StoreError::Damaged { .. }))),
        "{opened:?}"
    );
    // Put back, it opens: the refusal changed nothing.
    let write = crate::store::Write::Put(pointer.as_bytes(), &newest);
    crate::store::Engine::apply(&*engine, &[write]).unwrap();
    let opened = lifecycle.unseal_unattended().await.unwrap();
    assert!(opened.opened().is_some());
    drop(folder);
}

#[tokio::test]
async fn whatever_becomes_of_a_pointer_or_a_version_is_refused() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    rig.set(&org, ANNA, "MINE", "the value of mine").await;
    let (pointer, version) = rig.places(&org, ANNA, "MINE", 1).await;
    for place in [pointer, version] {
        let sound = rig.raw(&place);
        for harm in Harm::of_each_byte(sound.len()) {
            rig.put_raw(&place, &harm.of(&sound));
            refused(rig.get(&org, ANNA, "MINE").await);
        }
        rig.put_raw(&place, &sound);
        assert_eq!(
            rig.get(&org, ANNA, "MINE").await.unwrap(),
            "the value of mine"
        );
    }
}
