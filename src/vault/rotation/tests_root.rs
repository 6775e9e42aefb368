//! The root key is replaced over a vault in memory.

use std::sync::Arc;

use crate::audit::Options;
use crate::crypto::{Sealed, SystemRandom};
use crate::custody::{CustodyError, RING_FILE, Ring, Share};
use crate::id::UserId;
use crate::store::{Class, StoreKey};
use crate::vault::tests_rig::Rig;
use crate::vault::{Lifecycle, Opener, Probes, VaultError};

const ANNA: UserId = UserId::from_bytes([0x21; 16]);

async fn rotate(rig: &Rig) -> Result<u32, VaultError> {
    let recorded = rig.recorded().await;
    rig.lifecycle.rotate_root(&rig.vault, None, &recorded).await
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
    let now = std::fs::read(&ring).unwrap();
    assert_ne!(before, now);
    std::fs::write(&ring, &before).unwrap();
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
    let old = Lifecycle::open(
        places,
        engine,
        Arc::new(clock),
        Arc::new(SystemRandom),
        30,
        Options::default(),
        Probes::default(),
    );
    let refused = Arc::new(old.unwrap()).unseal_unattended().await.map(drop);
    assert!(matches!(refused, Err(VaultError::Crypto(_))), "{refused:?}");
    drop(folder);
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
    // The slots can be changed as before.
    let shares = rig.lifecycle.deal(3, 2).unwrap();
    let texts: Vec<_> = shares.iter().take(2).map(Share::text).collect();
    let again = Opener::Shares(shares);
    let slot = rig
        .lifecycle
        .add_slot(&rig.vault, &again, "people")
        .unwrap();
    let two = texts.iter().map(|text| Share::parse(text).unwrap());
    let opener = Opener::Shares(two.collect());
    rig.lifecycle.test_slot(&opener, slot).unwrap();
}
