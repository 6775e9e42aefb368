//! A caller who loses something between the decision and the change.

use crate::directory::{Directory, DirectoryError, First, Recognised};
use crate::id::UserId;
use crate::policy::{
    self, CreateApiKey, Denied, ManageMembers, Permit, Principal, RevokeApiKey, Scopes, UpdateOrg,
};
use crate::store::{Engine as _, Write};
use crate::vault::tests_rig::Rig;
use crate::wire::{self, Role};

/// An installation of one admin, recognised by the user id 7 of the machine.
struct House {
    rig: Rig,
    directory: Directory,
}

impl House {
    async fn new() -> Self {
        let (rig, directory) = (Rig::new().await, Directory::default());
        let recorded = rig.recorded().await;
        let made = directory
            .ensure_first(&rig.vault, &First::of(7), &recorded)
            .await;
        assert!(made.unwrap());
        Self { rig, directory }
    }

    async fn local(&self) -> Recognised {
        let found = self.directory.by_uid(&self.rig.vault, 7, 7).await;
        found.unwrap().unwrap()
    }

    /// Another admin, recognised by a key of their own.
    async fn other(&self) -> (Recognised, Permit<ManageMembers>, wire::Member) {
        let (vault, directory) = (&self.rig.vault, &self.directory);
        let recorded = self.rig.recorded().await;
        let me = self.local().await.principal().clone();
        let permit = policy::check::<ManageMembers>(&me, ()).unwrap();
        let ids = Directory::draw_member_ids(vault).unwrap();
        let request: wire::AddMember =
            serde_json::from_str(r#"{"name": "Ann", "role": "admin"}"#).unwrap();
        let ann = directory
            .add_member(vault, &permit, None, ids, &request, &recorded)
            .await
            .unwrap()
            .to_wire();
        let key = Directory::draw_key_id(vault).unwrap();
        let first = policy::check::<CreateApiKey>(&me, Scopes::all()).unwrap();
        let made = directory
            .create_first_key(vault, &first, key, (me.org(), ann.user_id), &recorded)
            .await
            .unwrap();
        let text = made.text.expose(<[u8]>::to_vec);
        let hers = directory.by_key(vault, &text).await.unwrap().unwrap();
        let permit = policy::check::<ManageMembers>(hers.principal(), ()).unwrap();
        (hers, permit, ann)
    }

    async fn set_role(
        &self,
        permit: &Permit<ManageMembers>,
        who: &wire::Member,
        role: Role,
    ) -> Result<(), DirectoryError> {
        let recorded = self.rig.recorded().await;
        let change = (who.id, role);
        self.directory
            .set_role(&self.rig.vault, permit, change, 7, &recorded)
            .await
            .map(drop)
    }

    async fn permit(&self) -> Permit<ManageMembers> {
        policy::check::<ManageMembers>(self.local().await.principal(), ()).unwrap()
    }

    async fn by_now(&self, seen: &Recognised) -> Result<Principal, &'static str> {
        let found = self.directory.again(&self.rig.vault, seen).await.unwrap();
        let now = found.map(|still| still.principal().clone());
        now.map_err(|refused| refused.why.code())
    }
}

#[tokio::test]
async fn a_permit_of_a_demoted_admin_changes_nothing_more() {
    let house = House::new().await;
    let (seen, hers, ann) = house.other().await;
    let me: UserId = house.local().await.principal().user();
    let admins = house
        .directory
        .members(
            &house.rig.vault,
            &policy::check(seen.principal(), ()).unwrap(),
        )
        .await
        .unwrap();
    let first = admins
        .iter()
        .find(|one| one.user() == me)
        .unwrap()
        .to_wire();
    house
        .set_role(&house.permit().await, &ann, Role::Member)
        .await
        .unwrap();
    assert!(!house.by_now(&seen).await.unwrap().is_admin());
    let refused = house.set_role(&hers, &first, Role::Member).await;
    assert!(
        matches!(refused, Err(DirectoryError::Denied(Denied::AdminOnly))),
        "{refused:?}"
    );
    let (vault, recorded) = (&house.rig.vault, house.rig.recorded().await);
    let update = policy::check::<UpdateOrg>(seen.principal(), ()).unwrap();
    let renamed: wire::UpdateOrganization = serde_json::from_str(r#"{"name": "Hers"}"#).unwrap();
    let refused = house
        .directory
        .update_org(vault, &update, &renamed, &recorded)
        .await;
    assert!(matches!(
        refused,
        Err(DirectoryError::Denied(Denied::AdminOnly))
    ));
    assert!(house.local().await.principal().is_admin());
}

#[tokio::test]
async fn a_permit_of_a_removed_member_or_a_revoked_key_changes_nothing_more() {
    let house = House::new().await;
    let (vault, recorded) = (&house.rig.vault, house.rig.recorded().await);
    for revoked in [true, false] {
        let (seen, hers, ann) = house.other().await;
        let key = policy::check::<CreateApiKey>(seen.principal(), Scopes::all()).unwrap();
        let policy::Via::ApiKey(id) = seen.principal().via() else {
            panic!("not by a key");
        };
        if revoked {
            let admin = house.local().await;
            let permit = policy::check::<RevokeApiKey>(admin.principal(), ann.user_id).unwrap();
            let done = house
                .directory
                .revoke_key(vault, &permit, id, &recorded)
                .await;
            done.unwrap();
        } else {
            let permit = house.permit().await;
            let done = house
                .directory
                .remove_member(vault, &permit, ann.id, 7, &recorded)
                .await;
            done.unwrap();
        }
        let why = if revoked { "revoked" } else { "not_a_member" };
        assert_eq!(house.by_now(&seen).await.unwrap_err(), why);
        let refused = house.set_role(&hers, &ann, Role::Member).await;
        assert!(
            matches!(refused, Err(DirectoryError::Unrecognised)),
            "{refused:?}"
        );
        let new = Directory::draw_key_id(vault).unwrap();
        let request: wire::CreateApiKey = serde_json::from_str(r#"{"name": "more"}"#).unwrap();
        let refused = house
            .directory
            .create_key(vault, &key, new, &request, &recorded)
            .await;
        assert!(matches!(refused, Err(DirectoryError::Unrecognised)));
    }
}

#[tokio::test]
async fn a_key_that_expires_while_its_request_arrives_is_not_recognised_again() {
    let house = House::new().await;
    let (seen, ..) = house.other().await;
    assert!(house.by_now(&seen).await.is_ok());
    house.rig.clock.advance_millis(91 * 86_400_000);
    assert_eq!(house.by_now(&seen).await.unwrap_err(), "expired");
}

#[tokio::test]
async fn after_a_change_of_their_organisation_a_callers_records_are_read_once() {
    let house = House::new().await;
    let (vault, engine) = (&house.rig.vault, &house.rig.engine);
    let ((seen, ..), (other, ..)) = (house.other().await, house.other().await);
    let pairs = engine.scan(&[], None, usize::MAX).unwrap();
    let wipe: Vec<_> = pairs.iter().map(|(key, _)| Write::Delete(key)).collect();
    assert_eq!(
        house.by_now(&seen).await.unwrap().user(),
        seen.principal().user()
    );
    // What is read from now on is not there.
    engine.apply(&wipe).unwrap();
    for _ in 0..3 {
        assert_eq!(
            house.by_now(&seen).await.unwrap().user(),
            seen.principal().user()
        );
    }
    assert!(
        house.by_now(&other).await.is_ok(),
        "the last change was before"
    );
    house.directory.forget();
    for gone in [&seen, &other] {
        assert!(house.directory.again(vault, gone).await.is_err());
    }
}
