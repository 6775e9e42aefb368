//! Rotations over a vault in memory: what opens before, meanwhile and after, and what is left on disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Action, Actor, Event};
use crate::crypto::{KeyRef, Owner, Record};
use crate::id::{ObjectId, OrgId, UserId};
use crate::policy::{self, Permit, RotateKeys};
use crate::secret::Secret;
use crate::store::{Batch, Class, Engine, StoreKey};
use crate::vault::tests_rig::{Rig, admin};
use crate::vault::{OrgKeys, Phase, Turned, VaultError};

/// Other ids than those of the installation's own keys, which count from one.
const ANNA: UserId = UserId::from_bytes([0x21; 16]);
const BORIS: UserId = UserId::from_bytes([0x22; 16]);

fn permit(org: OrgId) -> Permit<RotateKeys> {
    policy::check::<RotateKeys>(&admin(org, ANNA), ()).unwrap()
}

fn owners() -> Vec<Owner> {
    vec![Owner::ORG_SHARED, Owner::user(ANNA), Owner::user(BORIS)]
}

async fn begin(rig: &Rig, org: OrgId, what: Turned) -> Result<(), VaultError> {
    let (permit, recorded) = (permit(org), rig.recorded().await);
    let begun = rig.vault.begin_rotation(&permit, what, &recorded).await;
    begun.map(drop)
}

async fn run(rig: &Rig, org: OrgId) -> Result<bool, VaultError> {
    rig.vault.run_rotation(org, async || Ok(owners())).await
}

/// The names of all keys of this id that a record in the store says it is sealed under.
fn generations(rig: &Rig, id: [u8; 16]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut look = |_: &[u8], value: &[u8]| {
        let name = Record::parse(value).ok().and_then(|record| record.key());
        let ours = name.filter(|name: &KeyRef| name.id == ObjectId::from_bytes(id));
        found.extend(ours.map(|name| name.version));
        Ok(())
    };
    rig.engine.visit(&[], None, &mut look).unwrap();
    found
}

/// A tool's credential of `user`, and a state record of the organisation.
async fn furnish(rig: &Rig, org: &OrgKeys, user: UserId) -> [StoreKey; 2] {
    let (owner, recorded) = (Owner::user(user), rig.recorded().await);
    let mut batch = Batch::new();
    let credential = StoreKey::new(Class::ToolCredential, &[org.id().bytes(), user.bytes()]);
    let value = Secret::copy_of(b"a credential");
    let at = (org, owner, credential.clone());
    let put = rig
        .vault
        .put_credential(&mut batch, at, &7_u8, &value, &recorded);
    put.await.unwrap();
    let install = StoreKey::new(Class::ToolInstall, &[org.id().bytes(), user.bytes()]);
    let state = rig
        .vault
        .seal_state(org.kek(), org.id(), owner, &install, &"installed");
    batch.put(install.clone(), state.unwrap());
    rig.vault.commit(batch, &recorded).await.unwrap();
    [credential, install]
}

async fn all_is_there(rig: &Rig, org: OrgId, user: UserId, [credential, install]: &[StoreKey; 2]) {
    let org = rig.vault.org(org).unwrap();
    for n in 0..20 {
        let value = rig.get(&org, user, &format!("NAME_{n}")).await.unwrap();
        assert_eq!(value, format!("the value {n}"));
    }
    let owner = Owner::user(user);
    let found = rig.vault.credential::<u8>(&org, owner, credential).await;
    let (stored, _) = found.unwrap().unwrap();
    let value = stored.open(&rig.recorded().await).unwrap();
    assert!(value.same_as(&Secret::copy_of(b"a credential")));
    let record = rig.vault.store().get(install).await.unwrap().unwrap();
    let vault = &rig.vault;
    let state: String = vault
        .open_state(org.kek(), org.id(), owner, install, &record)
        .unwrap();
    assert_eq!(state, "installed");
}

async fn fill(rig: &Rig, org: &OrgKeys, user: UserId) -> [StoreKey; 2] {
    for n in 0..20 {
        let name = format!("NAME_{n}");
        rig.set(org, user, &name, "an older one").await;
        rig.set(org, user, &name, &format!("the value {n}")).await;
    }
    furnish(rig, org, user).await
}

#[tokio::test]
async fn every_level_ends_with_one_generation_and_everything_opens() {
    let mut rig = Rig::new().await;
    let (org, other) = (rig.org(7).await, rig.org(8).await);
    // Anna is the same person in both.
    let places = [
        (org.id(), ANNA, fill(&rig, &org, ANNA).await),
        (org.id(), BORIS, fill(&rig, &org, BORIS).await),
        (other.id(), ANNA, fill(&rig, &other, ANNA).await),
    ];
    let turns = [
        (Turned::User(ANNA), [[2, 1].as_slice(), &[1], &[1]]),
        (Turned::Owners, [&[3, 1], &[2], &[1]]),
        (Turned::Org, [&[3, 1], &[2], &[2]]),
        (Turned::Org, [&[3, 1], &[2], &[3]]),
    ];
    for (round, (what, [anna, boris, of_org])) in turns.into_iter().enumerate() {
        begin(&rig, org.id(), what).await.unwrap();
        assert!(run(&rig, org.id()).await.unwrap());
        let set = |versions: &[u32]| versions.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(generations(&rig, *ANNA.bytes()), set(anna), "{what:?}");
        assert_eq!(generations(&rig, *BORIS.bytes()), set(boris), "{what:?}");
        assert_eq!(
            generations(&rig, *org.id().bytes()),
            set(of_org),
            "{what:?}"
        );
        assert_eq!(
            generations(&rig, *other.id().bytes()),
            set(&[1]),
            "{what:?}"
        );
        for (org, user, kept) in &places {
            all_is_there(&rig, *org, *user, kept).await;
        }
        let ended = rig.vault.rotation(&permit(org.id())).unwrap();
        assert!(ended.finished.is_some() && ended.phase == Phase::Finished);
        assert!(rig.vault.rotations_due().is_empty());
        // The next one is begun with nothing known but what is stored.
        if round % 2 == 1 {
            rig = rig.reopen().await.unwrap();
            for (org, user, kept) in &places {
                all_is_there(&rig, *org, *user, kept).await;
            }
        }
    }
}

#[tokio::test]
async fn an_old_generation_opens_nothing_that_is_there_and_is_forgotten() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    rig.set(&org, ANNA, "MINE", "the value of mine").await;
    let (pointer, version) = rig.places(&org, ANNA, "MINE", 1).await;
    let before = (rig.raw(&pointer), rig.raw(&version));
    begin(&rig, org.id(), Turned::Owners).await.unwrap();
    run(&rig, org.id()).await.unwrap();
    let value = "the value of mine";
    assert_eq!(rig.get(&org, ANNA, "MINE").await.unwrap(), value);
    // Whoever puts the old records back is in time for those who were reading, and not after that.
    rig.vault.forget_retired_keys();
    rig.vault.forget_retired_keys();
    rig.put_raw(&pointer, &before.0);
    rig.put_raw(&version, &before.1);
    let refused = rig.get(&org, ANNA, "MINE").await;
    assert!(matches!(refused, Err(VaultError::Crypto(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_written_meanwhile_stays_and_what_is_on_its_way_is_waited_for() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    fill(&rig, &org, ANNA).await;
    let place = StoreKey::new(Class::ToolInstall, &[b"late"]);
    let late = rig
        .vault
        .seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, &1_u8);
    let late = late.unwrap();
    begin(&rig, org.id(), Turned::Org).await.unwrap();
    let rotating = run(&rig, org.id());
    let writing = async {
        // The rotation waits for this record, which the old generation sealed.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let known = rig.vault.rotation(&permit(org.id())).unwrap();
        assert_eq!(known.phase, Phase::Rewrap);
        assert_eq!(generations(&rig, *org.id().bytes()), BTreeSet::from([1]));
        rig.set(&org, ANNA, "NAME_3", "a newer one").await;
        let mut batch = Batch::new();
        batch.put(place.clone(), late);
        rig.vault
            .commit(batch, &rig.recorded().await)
            .await
            .unwrap();
    };
    let (over, ()) = tokio::join!(rotating, writing);
    assert!(over.unwrap());
    assert_eq!(generations(&rig, *org.id().bytes()), BTreeSet::from([2]));
    assert_eq!(rig.get(&org, ANNA, "NAME_3").await.unwrap(), "a newer one");
    let record = rig.vault.store().get(&place).await.unwrap().unwrap();
    let vault = &rig.vault;
    let state = vault.open_state::<u8>(org.kek(), org.id(), Owner::SYSTEM, &place, &record);
    assert_eq!(state.unwrap(), 1);
}

#[tokio::test]
async fn one_is_under_way_at_a_time_and_waits_while_it_is_paused() {
    let rig = Rig::new().await;
    let (org, other) = (rig.org(7).await, rig.org(8).await);
    fill(&rig, &org, ANNA).await;
    rig.set(&other, BORIS, "NAME", "elsewhere").await;
    let unknown = begin(&rig, org.id(), Turned::User(BORIS)).await;
    assert!(matches!(unknown, Err(VaultError::NotFound)), "no key");
    begin(&rig, org.id(), Turned::User(ANNA)).await.unwrap();
    let second = begin(&rig, org.id(), Turned::Org).await;
    assert!(matches!(second, Err(VaultError::Rotating)));
    begin(&rig, other.id(), Turned::Org).await.unwrap();
    let recorded = rig.recorded().await;
    let paused = rig.vault.pause_rotation(&permit(org.id()), &recorded).await;
    assert!(paused.unwrap().paused);
    assert_eq!(rig.vault.rotations_due(), [other.id()]);
    assert!(!run(&rig, org.id()).await.unwrap(), "it waits");
    // Also after a start.
    let rig = rig.reopen().await.unwrap();
    assert_eq!(rig.vault.rotations_due(), [other.id()]);
    let recorded = rig.recorded().await;
    let resumed = rig
        .vault
        .resume_rotation(&permit(org.id()), &recorded)
        .await;
    assert!(!resumed.unwrap().paused);
    for org in [org.id(), other.id()] {
        assert!(run(&rig, org).await.unwrap());
        let late = rig.vault.pause_rotation(&permit(org), &recorded).await;
        assert!(matches!(late, Err(VaultError::NotFound)), "it is over");
    }
}

#[tokio::test]
async fn both_generations_stay_while_a_record_of_the_old_one_does_not_open() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    let [_, install] = fill(&rig, &org, ANNA).await;
    let sound = rig.raw(&install);
    let mut flipped = sound.clone();
    *flipped.last_mut().unwrap() ^= 1;
    rig.put_raw(&install, &flipped);
    begin(&rig, org.id(), Turned::Org).await.unwrap();
    let stuck = run(&rig, org.id()).await;
    assert!(matches!(stuck, Err(VaultError::Stuck(1))), "{stuck:?}");
    assert_eq!(generations(&rig, *org.id().bytes()), BTreeSet::from([1, 2]));
    rig.vault.note_rotation_trouble(org.id(), "internal");
    let known = rig.vault.rotation(&permit(org.id())).unwrap();
    assert_eq!((known.trouble, known.finished), (Some("internal"), None));
    rig.put_raw(&install, &sound);
    assert!(run(&rig, org.id()).await.unwrap());
    assert_eq!(generations(&rig, *org.id().bytes()), BTreeSet::from([2]));
}

#[tokio::test]
async fn what_was_read_before_a_rotation_can_be_changed_after_it() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    let [_, install] = furnish(&rig, &org, ANNA).await;
    let read = rig.vault.store().read(&install).await.unwrap().unwrap();
    begin(&rig, org.id(), Turned::Org).await.unwrap();
    assert!(run(&rig, org.id()).await.unwrap());
    let change = async |text: &str| {
        let mut batch = Batch::new();
        let expected = crate::store::Expect::Exactly(*read.digest());
        batch.expect(install.clone(), expected);
        let owner = Owner::user(ANNA);
        let vault = &rig.vault;
        let record = vault.seal_state(org.kek(), org.id(), owner, &install, &text);
        batch.put(install.clone(), record.unwrap());
        vault.commit(batch, &rig.recorded().await).await
    };
    change("changed").await.unwrap();
    assert!(change("again").await.is_err(), "it is another by now");
}

#[tokio::test]
async fn the_journal_says_when_it_ended_and_that_a_start_went_on_with_it() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    fill(&rig, &org, ANNA).await;
    begin(&rig, org.id(), Turned::Owners).await.unwrap();
    let rig = rig.reopen().await.unwrap();
    assert!(run(&rig, org.id()).await.unwrap());
    let event = Event::new(Action::VaultSeal, Actor::System);
    rig.vault.journal().note(event).await.unwrap();
    let org = rig.vault.org(org.id()).unwrap();
    assert!(!org.kek().is_turning());
    let keys = rig.vault.owner_key(&org, Owner::user(ANNA)).await.unwrap();
    let keys: Arc<_> = keys.unwrap();
    assert_eq!(keys.active().name().version, 2);
}

#[tokio::test]
async fn an_old_key_stays_while_something_beside_the_store_wants_it() {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    let kept = fill(&rig, &org, ANNA).await;
    let place = StoreKey::new(Class::Spooled, &[b"note"]);
    let (vault, name) = (&rig.vault, [5; 16]);
    let note = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, &"tokens");
    vault.spool().put(name, &[note.unwrap()]).unwrap();
    begin(&rig, org.id(), Turned::Org).await.unwrap();
    for _ in 0..2 {
        let stuck = run(&rig, org.id()).await.unwrap_err();
        assert!(matches!(stuck, VaultError::Stuck(1)), "{stuck}");
    }
    let found = vault.spooled().await.unwrap();
    let [note] = found[0].1.as_deref().unwrap() else {
        panic!("one record was put there");
    };
    let read: String = vault
        .open_state(org.kek(), org.id(), Owner::SYSTEM, &place, note)
        .unwrap();
    assert_eq!(read, "tokens");
    vault.spool().remove(name).unwrap();
    assert!(run(&rig, org.id()).await.unwrap());
    all_is_there(&rig, org.id(), ANNA, &kept).await;
}
