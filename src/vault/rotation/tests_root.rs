//! The root key is replaced over a vault in memory.

use std::sync::Arc;

use crate::crypto::{Key, KeyRef, Sealed, SystemRandom};
use crate::custody::{CustodyError, RING_FILE, Ring, Share};
use crate::id::UserId;
use crate::secret::Secret;
use crate::store::{Class, StoreKey};
use crate::vault::system::next_root_place;
use crate::vault::tests_rig::{Rig, loaded};
use crate::vault::{Opener, VaultError};

const ANNA: UserId = UserId::from_bytes([0x21; 16]);

async fn rotate(rig: &Rig) -> Result<u32, VaultError> {
    let recorded = rig.recorded().await;
    let lent = rig.lifecycle.borrow(&rig.vault, None).await?;
    rig.lifecycle.rotate_root(&rig.vault, lent, &recorded).await
}

/// The generations of the root key that the store's records name.
async fn named(rig: &Rig) -> Vec<u32> {
    let root = Ring::load(&rig.lifecycle.places().keys).unwrap().root();
    let mut found = Vec::new();
    for class in [Class::SystemKey, Class::OrgKey] {
        let prefix = StoreKey::new(class, &[]);
        let page = rig.vault.store().scan(&prefix, None, 100).await;
        for (_, record) in page.unwrap() {
            let boxes = crate::vault::key_record::boxes(&record).unwrap();
            let names = boxes.iter().filter_map(Sealed::key);
            found.extend(
                names
                    .filter(|name| name.id == root.id)
                    .map(|name| name.version),
            );
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[tokio::test]
async fn the_root_key_is_replaced_and_the_old_ring_opens_nothing_any_more() {
    let mut rig = Rig::new().await;
    let org = rig.org(7).await;
    rig.set(&org, ANNA, "MINE", "the value of mine").await;
    let ring = rig.lifecycle.places().keys.join(RING_FILE);
    let before = std::fs::read(&ring).unwrap();
    for round in 2..5 {
        assert_eq!(rotate(&rig).await.unwrap(), round);
        assert_eq!(named(&rig).await, [round]);
        rig = rig.reopen().await.unwrap();
        let org = rig.vault.org(org.id()).unwrap();
        let value = rig.get(&org, ANNA, "MINE").await.unwrap();
        assert_eq!(value, "the value of mine");
        // What is made from here on is under it, too.
        let number = u8::try_from(round).unwrap();
        let other = rig.org(100 + number).await;
        rig.set(&other, ANNA, "THEIRS", "another").await;
        assert_eq!(named(&rig).await, [round]);
    }
    assert!(!opens_beside(rig, before).await);
}

/// Whether that ring opens the store, in the place of its own.
async fn opens_beside(rig: Rig, ring: Vec<u8>) -> bool {
    let path = rig.lifecycle.places().keys.join(RING_FILE);
    assert_ne!(std::fs::read(&path).unwrap(), ring);
    std::fs::write(&path, ring).unwrap();
    let Rig {
        lifecycle,
        engine,
        clock,
        vault,
        folder,
    } = rig;
    drop(vault);
    assert!(lifecycle.seal(std::time::Duration::from_secs(5)).await);
    let places = lifecycle.places().clone();
    let old = loaded(places, engine, Arc::new(clock));
    let opened = Arc::new(old.unwrap()).unseal_unattended().await.map(drop);
    drop(folder);
    assert!(
        matches!(opened, Ok(()) | Err(VaultError::Crypto(_))),
        "{opened:?}"
    );
    opened.is_ok()
}

#[tokio::test]
async fn what_a_kill_after_the_rename_leaves_opens_the_store_to_the_old_ring_until_it_is_gone() {
    for forgotten in [false, true] {
        let mut rig = Rig::new().await;
        let org = rig.org(7).await;
        rig.set(&org, ANNA, "MINE", "the value of mine").await;
        let keys = rig.lifecycle.places().keys.clone();
        let before = std::fs::read(keys.join(RING_FILE)).unwrap();
        let old = Ring::load(&keys).unwrap().root();
        let old = rig.vault.root_key(old).unwrap();
        assert_eq!(rotate(&rig).await.unwrap(), 2);
        // As it stands when the end was not written down.
        let new = Ring::load(&keys).unwrap().root();
        let new = rig.vault.root_key(new).unwrap();
        let recorded = rig.recorded().await;
        let kept = rig.vault.keep_next_root(&old, &new, &recorded).await;
        kept.unwrap();
        rig = rig.reopen().await.unwrap();
        assert!(!rig.vault.is_root_turning());
        let (lifecycle, vault) = (&rig.lifecycle, &rig.vault);
        assert!(lifecycle.has_stale_root(vault).await.unwrap());
        if forgotten {
            let recorded = rig.recorded().await;
            for _ in 0..2 {
                let ended = lifecycle.forget_stale_root(vault, &recorded).await;
                ended.unwrap();
                assert!(!lifecycle.has_stale_root(vault).await.unwrap());
            }
        }
        drop((old, new));
        assert_eq!(opens_beside(rig, before).await, !forgotten);
    }
}

#[tokio::test]
async fn nothing_of_the_next_root_key_is_touched_before_the_ring_is_known_to_stay() {
    let mut rig = Rig::new().await;
    let keys = rig.lifecycle.places().keys.clone();
    let key = |rig: &Rig| rig.vault.root_key(Ring::load(&keys).unwrap().root());
    let old = key(&rig).unwrap();
    assert_eq!(rotate(&rig).await.unwrap(), 2);
    let new = key(&rig).unwrap();
    // As a kill right after the rename leaves it: a power cut may still bring the old ring back.
    let recorded = rig.recorded().await;
    let kept = rig.vault.keep_next_root(&old, &new, &recorded).await;
    kept.unwrap();
    drop((old, new));
    rig = rig.reopen().await.unwrap();
    let next = rig.raw(&next_root_place());
    let held = std::fs::File::open(&keys).unwrap();
    held.lock().unwrap();
    let refused = rotate(&rig).await;
    assert!(
        matches!(refused, Err(VaultError::Custody(CustodyError::Busy))),
        "{refused:?}"
    );
    assert_eq!(rig.raw(&next_root_place()), next);
    held.unlock().unwrap();
    assert_eq!(rotate(&rig).await.unwrap(), 3);
}

#[tokio::test]
async fn the_next_root_key_is_not_forgotten_before_the_ring_has_it() {
    let mut rig = Rig::new().await;
    let old = Ring::load(&rig.lifecycle.places().keys).unwrap().root();
    let old = rig.vault.root_key(old).unwrap();
    let name = KeyRef {
        version: 2,
        ..old.name()
    };
    let new = Key::generate(name, &SystemRandom).unwrap();
    let recorded = rig.recorded().await;
    let kept = rig.vault.keep_next_root(&old, &new, &recorded).await;
    kept.unwrap();
    drop((old, new));
    for turning in [false, true] {
        assert_eq!(rig.vault.is_root_turning(), turning);
        let recorded = rig.recorded().await;
        let forgotten = rig.lifecycle.forget_stale_root(&rig.vault, &recorded);
        forgotten.await.unwrap();
        let kept = rig.vault.store().get(&next_root_place()).await.unwrap();
        assert!(kept.is_some());
        rig = rig.reopen().await.unwrap();
    }
    assert_eq!(rotate(&rig).await.unwrap(), 2);
}

#[tokio::test]
async fn nothing_is_begun_while_somebody_who_opens_a_slot_is_away() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    rig.set(&org, ANNA, "MINE", "the value of mine").await;
    let shares = rig.lifecycle.deal(3, 2).unwrap();
    let slot = rig
        .lifecycle
        .add_slot(&rig.vault, &Opener::Shares(shares), "people");
    let slot = slot.unwrap();
    let away = rotate(&rig).await;
    assert!(
        matches!(away, Err(VaultError::Custody(CustodyError::SlotAway(id))) if id == slot),
        "{away:?}"
    );
    assert!(!rig.vault.is_root_turning());
    assert_eq!(named(&rig).await, [1]);
    rig.lifecycle.remove_slot(&rig.vault, slot).unwrap();
    assert_eq!(rotate(&rig).await.unwrap(), 2);
}

/// The shares of these numbers, as whoever has them types them in.
fn typed(texts: &[Secret], which: [usize; 2]) -> Opener {
    let shares = which.map(|at| Share::parse(&texts[at]).unwrap());
    Opener::Shares(shares.into())
}

#[tokio::test]
async fn what_is_lent_seals_the_next_root_key_and_is_forgotten_with_that() {
    let rig = Rig::new().await;
    let shares = rig.lifecycle.deal(3, 2).unwrap();
    let texts: Vec<_> = shares.iter().map(Share::text).collect();
    let add = |opener: &Opener, label| rig.lifecycle.add_slot(&rig.vault, opener, label).unwrap();
    let people = add(&Opener::Shares(shares), "people");
    let words = |text: &[u8]| Opener::Passphrase(Secret::copy_of(text));
    let (ann, bob) = (b"the words that ann knows", b"the words that bob knows");
    let (of_ann, of_bob) = (add(&words(ann), "ann"), add(&words(bob), "bob"));
    let lend = |opener: &Opener, id| rig.lifecycle.lend_slot(opener, id);
    let refused = lend(&typed(&texts, [0, 1]), of_ann);
    assert!(refused.is_err(), "shares open no passphrase");
    let refused = lend(&words(bob), of_ann);
    assert!(
        matches!(
            refused,
            Err(VaultError::Custody(CustodyError::WrongPassphrase))
        ),
        "{refused:?}"
    );
    lend(&typed(&texts, [0, 1]), people).unwrap();
    lend(&words(ann), of_ann).unwrap();
    let away = rotate(&rig).await;
    assert!(
        matches!(away, Err(VaultError::Custody(CustodyError::SlotAway(id))) if id == of_bob),
        "{away:?}"
    );
    assert!(rig.lifecycle.is_lent(people), "who came stays");
    lend(&words(bob), of_bob).unwrap();
    assert_eq!(rotate(&rig).await.unwrap(), 2);
    assert!(!rig.lifecycle.is_lent(people) && !rig.lifecycle.is_lent(of_ann));
    // Others of the same people, and the same words.
    let tested = |opener: &Opener, id| rig.lifecycle.test_slot(opener, id);
    tested(&typed(&texts, [2, 0]), people).unwrap();
    tested(&words(ann), of_ann).unwrap();
    tested(&words(bob), of_bob).unwrap();
    // A quarter of an hour after the last one, nobody is there any more.
    lend(&words(ann), of_ann).unwrap();
    rig.clock.advance_millis(15 * 60 * 1000);
    assert!(!rig.lifecycle.is_lent(of_ann));
}
