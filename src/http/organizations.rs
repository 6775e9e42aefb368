//! Organisations and members. The organisation acted on is always the caller's: an id in the path
//! must be it (or `current`), and any other id behaves like one that does not exist.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;

use crate::audit::{Action, Target, TargetKind};
use crate::directory::{Directory, MadeKey, MemberEntry};
use crate::id::{MemberId, OrgId, UserId};
use crate::policy::{
    BindLocalUser, CreateApiKey, CreateOrg, ManageMembers, OperateVault, Permit, ReadMembers,
    ReadOrg, Scopes, UpdateOrg,
};
use crate::wire;

use super::api_keys::{shown_once, target};
use super::body::Input;
use super::caller::Caller;
use super::{ApiError, App, changes, reply};

impl Caller {
    /// A first key has every scope, so that only who has them all can hand it out.
    async fn first_key(
        &self,
        asked: Option<bool>,
    ) -> Result<Option<Permit<CreateApiKey>>, ApiError> {
        if asked.unwrap_or(false) {
            Ok(Some(self.may::<CreateApiKey>(Scopes::all()).await?))
        } else {
            Ok(None)
        }
    }

    /// Makes a first key, as a change of its own in the journal.
    async fn make_first_key(
        &self,
        permit: &Permit<CreateApiKey>,
        (org, user): (OrgId, UserId),
    ) -> Result<MadeKey, ApiError> {
        let id = Directory::draw_key_id(&self.vault)?;
        let event = self
            .event(Action::ApiKeyCreate)
            .org(org)
            .target(target(id))
            .target(Target::new(TargetKind::User).id(user.bytes()))
            .code("first_key");
        self.audited(event, async |recorded| {
            let directory = &self.app.directory;
            directory
                .create_first_key(&self.vault, permit, id, (org, user), recorded)
                .await
        })
        .await
    }

    fn own_org(&self, id: &str) -> Result<(), ApiError> {
        if id == "current" || id == self.principal.org().to_string() {
            Ok(())
        } else {
            Err(ApiError::not_found())
        }
    }
}

const fn role_code(role: wire::Role) -> &'static str {
    match role {
        wire::Role::Admin => "admin",
        wire::Role::Member => "member",
    }
}

/// Makes an organisation (operator).
#[utoipa::path(post, path = "/v1/organizations", tag = "organizations",
    request_body = wire::CreateOrganization,
    responses((status = 201, description = "Made", body = wire::Answer<wire::CreatedOrganization>)))]
pub(super) async fn create(
    caller: Caller,
    State(app): State<App>,
    Input(body): Input<wire::CreateOrganization>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<CreateOrg>(()).await?;
    let first_key = caller.first_key(body.create_key).await?;
    let event = caller.event(Action::OrgCreate);
    let (org, made) = caller
        .audited(event, async |recorded| {
            let (directory, vault) = (&app.directory, &caller.vault);
            let org = directory
                .create_org(vault, &permit, &body, recorded)
                .await?;
            let made = match &first_key {
                Some(permit) => {
                    let whose = (org.id(), caller.principal.user());
                    Some(caller.make_first_key(permit, whose).await?)
                }
                None => None,
            };
            Ok::<_, ApiError>((org, made))
        })
        .await?;
    let organization = org.to_wire(wire::Role::Admin);
    with_key(made, |key| wire::CreatedOrganization { organization, key })
}

/// 201 with what was made and its key, if there is one; that answer is not repeated.
fn with_key<T: Serialize>(
    made: Option<MadeKey>,
    answer: impl FnOnce(Option<String>) -> T,
) -> Result<Response, ApiError> {
    let key = made.map(shown_once).transpose()?.map(|shown| shown.key);
    let shows_a_key = key.is_some();
    let response = reply::created(answer(key));
    Ok(if shows_a_key {
        reply::once(response)
    } else {
        response
    })
}

/// Lists the organisations that the caller is a member of.
#[utoipa::path(get, path = "/v1/organizations", tag = "organizations",
    responses((status = 200, description = "Organisations", body = wire::List<wire::Organization>)))]
pub(super) async fn list(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    let permit = caller.may::<ReadOrg>(()).await?;
    Ok(reply::list(
        app.directory.orgs_of_user(&caller.vault, &permit).await?,
        None,
    ))
}

/// Lists all organisations of this installation (operator).
#[utoipa::path(get, path = "/v1/operator/organizations", tag = "operator",
    responses((status = 200, description = "Organisations", body = wire::List<wire::InstalledOrganization>)))]
pub(super) async fn organizations(
    caller: Caller,
    State(app): State<App>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<OperateVault>(()).await?;
    let installed = app.directory.installed_orgs(&caller.vault, &permit).await?;
    Ok(reply::list(installed, None))
}

/// Reads the caller's organisation.
#[utoipa::path(get, path = "/v1/organizations/{id}", tag = "organizations",
    params(("id" = String, Path, description = "Its id, or `current`")),
    responses((status = 200, description = "It", body = wire::Answer<wire::Organization>)))]
pub(super) async fn get(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<ReadOrg>(()).await?;
    caller.own_org(&id)?;
    let org = app.directory.current_org(&caller.vault, &permit).await?;
    Ok(reply::data(org.to_wire(caller.principal.role())))
}

/// Changes the organisation's name or policy.
#[utoipa::path(patch, path = "/v1/organizations/{id}", tag = "organizations",
    params(("id" = String, Path)), request_body = wire::UpdateOrganization,
    responses((status = 200, description = "Changed", body = wire::Answer<wire::Organization>)))]
pub(super) async fn update(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Input(body): Input<wire::UpdateOrganization>,
) -> Result<Response, ApiError> {
    caller.scoped::<UpdateOrg>().await?;
    caller.own_org(&id)?;
    let permit = caller.may::<UpdateOrg>(()).await?;
    let event = caller.event(Action::OrgUpdate).code(changes::of_org(&body));
    let org = caller
        .audited(event, async |recorded| {
            app.directory
                .update_org(&caller.vault, &permit, &body, recorded)
                .await
        })
        .await?;
    Ok(reply::data(org.to_wire(caller.principal.role())))
}

/// Lists members.
#[utoipa::path(get, path = "/v1/organizations/{id}/members", tag = "organizations",
    params(("id" = String, Path)),
    responses((status = 200, description = "Members", body = wire::List<wire::Member>)))]
pub(super) async fn members(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<ReadMembers>().await?;
    caller.own_org(&id)?;
    let permit = caller.may::<ReadMembers>(()).await?;
    let members = app.directory.members(&caller.vault, &permit).await?;
    Ok(reply::list(
        members.iter().map(MemberEntry::to_wire).collect(),
        None,
    ))
}

/// Adds a member, with an API key of their own when asked for.
#[utoipa::path(post, path = "/v1/organizations/{id}/members", tag = "organizations",
    params(("id" = String, Path)), request_body = wire::AddMember,
    responses((status = 201, description = "Added", body = wire::Answer<wire::AddedMember>)))]
pub(super) async fn add_member(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Input(body): Input<wire::AddMember>,
) -> Result<Response, ApiError> {
    caller.scoped::<ManageMembers>().await?;
    caller.own_org(&id)?;
    let permit = caller.may::<ManageMembers>(()).await?;
    let local = match body.uid {
        Some(_) => Some(caller.may::<BindLocalUser>(()).await?),
        None => None,
    };
    let first_key = caller.first_key(body.create_key).await?;
    let ids = Directory::draw_member_ids(&caller.vault)?;
    let event = caller
        .event(Action::MemberAdd)
        .target(Target::new(TargetKind::Member).id(ids.0.bytes()))
        .target(Target::new(TargetKind::User).id(ids.1.bytes()))
        .code(role_code(body.role.unwrap_or(wire::Role::Member)));
    let (member, made) = caller
        .audited(event, async |recorded| {
            let directory = &app.directory;
            let vault = &caller.vault;
            let member = directory
                .add_member(vault, &permit, local.as_ref(), ids, &body, recorded)
                .await?;
            let made = match &first_key {
                Some(permit) => {
                    let whose = (caller.principal.org(), member.user());
                    Some(caller.make_first_key(permit, whose).await?)
                }
                None => None,
            };
            Ok::<_, ApiError>((member, made))
        })
        .await?;
    let member = member.to_wire();
    with_key(made, |key| wire::AddedMember { member, key })
}

fn member_id(text: &str) -> Result<MemberId, ApiError> {
    MemberId::parse(text).map_err(|_| ApiError::not_found())
}

/// Changes a member's role.
#[utoipa::path(patch, path = "/v1/organizations/{id}/members/{member}", tag = "organizations",
    params(("id" = String, Path), ("member" = String, Path)), request_body = wire::UpdateMember,
    responses((status = 200, description = "Changed", body = wire::Answer<wire::Member>)))]
pub(super) async fn update_member(
    caller: Caller,
    State(app): State<App>,
    Path((id, member)): Path<(String, String)>,
    Input(body): Input<wire::UpdateMember>,
) -> Result<Response, ApiError> {
    caller.scoped::<ManageMembers>().await?;
    caller.own_org(&id)?;
    let permit = caller.may::<ManageMembers>(()).await?;
    let member = member_id(&member)?;
    let target = Target::new(TargetKind::Member).id(member.bytes());
    let event = caller
        .event(Action::MemberRole)
        .target(target)
        .code(role_code(body.role));
    let changed = caller
        .audited(event, async |recorded| {
            app.directory
                .set_role(
                    &caller.vault,
                    &permit,
                    (member, body.role),
                    app.operator_uid,
                    recorded,
                )
                .await
        })
        .await?;
    Ok(reply::data(changed.to_wire()))
}

/// Removes a member: every key of theirs is refused from now on, and what they had of their own is destroyed,
/// with the key that it was under.
#[utoipa::path(delete, path = "/v1/organizations/{id}/members/{member}", tag = "organizations",
    params(("id" = String, Path), ("member" = String, Path)),
    responses((status = 200, description = "Removed", body = wire::Answer<wire::RemovedMember>)))]
pub(super) async fn remove_member(
    caller: Caller,
    State(app): State<App>,
    Path((id, member)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    caller.scoped::<ManageMembers>().await?;
    caller.own_org(&id)?;
    let permit = caller.may::<ManageMembers>(()).await?;
    let member = member_id(&member)?;
    let target = Target::new(TargetKind::Member).id(member.bytes());
    let event = caller.event(Action::MemberRemove).target(target);
    let removed = caller
        .audited(event, async |recorded| {
            app.directory
                .remove_member(&caller.vault, &permit, member, app.operator_uid, recorded)
                .await
        })
        .await?;
    // Their accounts go with them; what fails here is done within the minute.
    let whose = (caller.principal.org(), removed.to_wire().user_id);
    let (vault, directory) = (&caller.vault, &*app.directory);
    let forgotten = app.accounts.forget_if_departed(vault, directory, whose);
    if let Err(error) = forgotten.await {
        tracing::warn!(%error, "accounts of a removed member are still there");
    }
    let event = caller.event(Action::KeyDestroy);
    let shredded = app.shred_member(vault, whose, event).await;
    if let Err(error) = &shredded {
        tracing::warn!(
            code = error.code(),
            "what a removed member had is still there"
        );
    }
    Ok(reply::data(wire::RemovedMember {
        success: true,
        level: wire::DeletionLevel::Logical,
        key_destroyed: shredded.is_ok_and(|gone| gone.key),
    }))
}
