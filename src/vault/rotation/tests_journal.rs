//! The journal's keys, with the records that they stand in.

use crate::audit::{Verdict, verify_export};
use crate::crypto::PublicKey;
use crate::vault::system::{SystemPlace, Which};
use crate::vault::tests_rig::Rig;

async fn rotate(rig: &Rig) -> (u32, PublicKey) {
    let recorded = rig.recorded().await;
    rig.vault.rotate_journal_keys(&recorded).await.unwrap()
}

fn exported(rig: &Rig) -> Vec<u8> {
    let mut out = Vec::new();
    rig.vault.journal().export(1, &mut out).unwrap();
    out
}

fn is_intact(export: &[u8], key: PublicKey) -> bool {
    verify_export(export, &key).unwrap().verdict == Verdict::Intact
}

/// Whether a key that signs stands there.
async fn signs(rig: &Rig, version: u32) -> bool {
    let place = SystemPlace::new(Which::JournalSign, version);
    let record = rig.vault.store().get(&place.key()).await.unwrap().unwrap();
    place.holds_key(&record.reader().sealed().unwrap())
}

#[tokio::test]
async fn the_journal_goes_on_under_new_keys_and_the_one_that_signed_is_destroyed() {
    let rig = Rig::new().await;
    let first = rig.vault.journal().public_key();
    let (version, second) = rotate(&rig).await;
    assert_eq!((version, rig.vault.journal().key_version()), (2, 2));
    assert_ne!(first, second);
    assert!(!signs(&rig, 1).await && signs(&rig, 2).await);
    let rig = rig.reopen().await.unwrap();
    assert_eq!(rig.vault.journal().public_key(), second);
    assert!(!rig.vault.is_journal_turning().await.unwrap());
    // What is left of it goes along when the root key is replaced.
    let recorded = rig.recorded().await;
    let lifecycle = &rig.lifecycle;
    let rotated = lifecycle
        .rotate_root(&rig.vault, Vec::new(), &recorded)
        .await;
    rotated.unwrap();
    drop(recorded);
    let rig = rig.reopen().await.unwrap();
    let (version, third) = rotate(&rig).await;
    assert_eq!(version, 3);
    let export = exported(&rig);
    assert!(
        [first, second, third]
            .iter()
            .all(|key| is_intact(&export, *key))
    );
    assert!(!signs(&rig, 1).await && !signs(&rig, 2).await);
}

#[tokio::test]
async fn keys_that_were_drawn_before_a_kill_take_over_afterwards() {
    let rig = Rig::new().await;
    let first = rig.vault.journal().public_key();
    let recorded = rig.recorded().await;
    let drawn = rig.vault.draw_journal_key(2, &recorded).await.unwrap();
    drop(recorded);
    let rig = rig.reopen().await.unwrap();
    assert_eq!(rig.vault.journal().public_key(), first);
    assert!(rig.vault.is_journal_turning().await.unwrap());
    let recorded = rig.recorded().await;
    rig.vault.end_journal_rotation(&recorded).await.unwrap();
    drop(recorded);
    assert_eq!(rig.vault.journal().public_key(), drawn.public());
    assert!(!rig.vault.is_journal_turning().await.unwrap());
    let export = exported(&rig);
    assert!(is_intact(&export, first) && is_intact(&export, drawn.public()));
}

#[tokio::test]
async fn keys_that_took_over_before_a_kill_leave_one_that_is_destroyed_afterwards() {
    let rig = Rig::new().await;
    let recorded = rig.recorded().await;
    let drawn = rig.vault.draw_journal_key(2, &recorded).await.unwrap();
    let journal = rig.vault.journal().clone();
    let turned = tokio::task::spawn_blocking(move || journal.hand_over(drawn));
    turned.await.unwrap().unwrap();
    drop(recorded);
    let rig = rig.reopen().await.unwrap();
    assert_eq!(rig.vault.journal().key_version(), 2);
    assert!(signs(&rig, 1).await && rig.vault.is_journal_turning().await.unwrap());
    let recorded = rig.recorded().await;
    rig.vault.end_journal_rotation(&recorded).await.unwrap();
    drop(recorded);
    assert!(!signs(&rig, 1).await);
    assert!(!rig.vault.is_journal_turning().await.unwrap());
    assert_eq!(rig.vault.journal().key_version(), 2);
}

#[tokio::test]
async fn a_broker_that_has_replaced_its_journals_keys_for_a_thousand_years_goes_on() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    let first = rig.vault.journal().public_key();
    rig.grow_old(12_000).await;
    let rig = rig.reopen().await.unwrap();
    assert!(rig.vault.system_places().await.unwrap().len() > 24_000);
    // What opens all else has its room on the page, and so has the key that the journal is under.
    assert!(rig.vault.keyring.root.active().is_sheltered());
    assert!(
        rig.vault
            .org(org.id())
            .unwrap()
            .kek()
            .active()
            .is_sheltered()
    );
    let (version, second) = rotate(&rig).await;
    assert_eq!(version, 2);
    let recorded = rig.recorded().await;
    let rotated = rig.lifecycle.rotate_root(&rig.vault, Vec::new(), &recorded);
    rotated.await.unwrap();
    drop(recorded);
    let rig = rig.reopen().await.unwrap();
    assert_eq!(rig.vault.journal().public_key(), second);
    let export = exported(&rig);
    assert!(is_intact(&export, first) && is_intact(&export, second));
}
