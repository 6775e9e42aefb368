//! The key of what belongs to no organisation, with everything that it sealed.

use crate::crypto::{Owner, Record};
use crate::id::{OrgId, UserId};
use crate::secret::Secret;
use crate::store::{Batch, Class, Engine, StoreKey};
use crate::vault::rotation::Turned;
use crate::vault::tests_rig::{Rig, admin};

const ANNA: UserId = UserId::from_bytes([0x21; 16]);
const NO_ORG: OrgId = OrgId::from_bytes([0; 16]);

/// The generations of it that records name.
fn named(rig: &Rig) -> Vec<u32> {
    let mut found = Vec::new();
    let mut look = |_: &[u8], value: &[u8]| {
        let name = Record::parse(value).unwrap().key();
        found.extend(
            name.filter(|name| name.id.bytes() == &[2; 16])
                .map(|name| name.version),
        );
        Ok(())
    };
    rig.engine.visit(&[], None, &mut look).unwrap();
    found.sort_unstable();
    found.dedup();
    found
}

fn client() -> StoreKey {
    StoreKey::new(Class::Client, &[&[7; 32]])
}

fn lead() -> StoreKey {
    StoreKey::new(Class::ApiKeyIndex, &[&[9; 32]])
}

async fn furnish(rig: &Rig) -> OrgId {
    let org = rig.org(7).await;
    rig.set(&org, ANNA, "MINE", "the value of mine").await;
    let (vault, mut batch) = (&rig.vault, Batch::new());
    let value = Secret::copy_of(b"a client's secret");
    let put = vault.put_installation_credential(&mut batch, client(), &7_u8, &value);
    put.unwrap();
    let sealed = vault.seal_state(vault.system_key(), NO_ORG, Owner::SYSTEM, &lead(), &"there");
    batch.put(lead(), sealed.unwrap());
    vault.commit(batch, &rig.recorded().await).await.unwrap();
    org.id()
}

async fn all_is_there(rig: &Rig, org: OrgId) {
    let org = rig.vault.org(org).unwrap();
    assert_eq!(
        rig.get(&org, ANNA, "MINE").await.unwrap(),
        "the value of mine"
    );
    let found = rig.vault.installation_credential::<u8>(&client()).await;
    assert_eq!(*found.unwrap().unwrap().metadata(), 7);
    let record = rig.vault.store().get(&lead()).await.unwrap().unwrap();
    let vault = &rig.vault;
    let read = vault.open_state(vault.system_key(), NO_ORG, Owner::SYSTEM, &lead(), &record);
    let read: String = read.unwrap();
    assert_eq!(read, "there");
}

#[tokio::test]
async fn everything_is_sealed_anew_again_and_again_and_the_old_key_is_nowhere() {
    let mut rig = Rig::new().await;
    let org = furnish(&rig).await;
    assert_eq!(named(&rig), [1]);
    for version in 2..4 {
        let recorded = rig.recorded().await;
        assert_eq!(
            rig.vault.rotate_state_key(&recorded).await.unwrap(),
            version
        );
        drop(recorded);
        assert_eq!(named(&rig), [version]);
        all_is_there(&rig, org).await;
        rig = rig.reopen().await.unwrap();
        assert!(!rig.vault.is_state_turning());
        all_is_there(&rig, org).await;
        let other = rig.org(100 + u8::try_from(version).unwrap()).await;
        rig.set(&other, ANNA, "THEIRS", "another").await;
        assert_eq!(named(&rig), [version]);
    }
}

#[tokio::test]
async fn one_that_was_cut_short_goes_on_beside_a_rotation_of_an_organisations_key() {
    let rig = Rig::new().await;
    let org = furnish(&rig).await;
    let permit = crate::policy::check(&admin(org, ANNA), ()).unwrap();
    let recorded = rig.recorded().await;
    let begun = rig
        .vault
        .begin_rotation(&permit, Turned::Org, &recorded)
        .await;
    begun.unwrap();
    let drawn = rig.vault.draw_state_key(2, &recorded).await.unwrap();
    drop((drawn, recorded));
    let rig = rig.reopen().await.unwrap();
    assert!(rig.vault.is_state_turning());
    let recorded = rig.recorded().await;
    let owners = async || Ok(vec![Owner::user(ANNA)]);
    let (turned, over) = tokio::join!(
        rig.vault.rotate_state_key(&recorded),
        rig.vault.run_rotation(org, owners)
    );
    assert_eq!((turned.unwrap(), over.unwrap()), (2, true));
    drop(recorded);
    assert_eq!(named(&rig), [2]);
    let rig = rig.reopen().await.unwrap();
    all_is_there(&rig, org).await;
}
