//! API keys.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::audit::{Action, Target, TargetKind};
use crate::directory::{Directory, MadeKey};
use crate::id::ApiKeyId;
use crate::policy::{
    CreateApiKey, ListApiKeys, ReadApiKey, RevokeApiKey, RotateApiKey, Scopes, UpdateApiKey,
};
use crate::wire;

use super::body::{Input, OptionalInput, QueryString};
use super::caller::Caller;
use super::error::capital;
use super::{ApiError, App, changes, reply};

/// What stands beside a key's text, as it is documented for this API.
const ONCE: &str = "Save this key now: it is not shown again.";

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct All {
    /// Every member's (admins).
    all: Option<bool>,
}

fn scopes(texts: &[String]) -> Result<Scopes, ApiError> {
    Scopes::parse(texts).map_err(|error| ApiError::bad_request(capital(&error.to_string())))
}

/// An id in a path: what cannot be one names nothing.
pub(super) fn key_id(text: &str) -> Result<ApiKeyId, ApiError> {
    ApiKeyId::parse(text).map_err(|_| ApiError::not_found())
}

pub(super) fn target(id: ApiKeyId) -> Target {
    Target::new(TargetKind::ApiKey).id(id.bytes())
}

/// The one answer that holds a key's text.
pub(super) fn shown_once(made: MadeKey) -> Result<wire::CreatedApiKey, ApiError> {
    let key = made.text.expose(|text| String::from_utf8(text.to_vec()));
    let key = key.map_err(|_| ApiError::internal())?;
    Ok(wire::CreatedApiKey {
        api_key: made.key,
        key,
    })
}

/// Makes a key for the caller. Its text is in this answer only.
#[utoipa::path(post, path = "/v1/api-keys", tag = "api keys", request_body = wire::CreateApiKey,
    responses((status = 201, description = "Made", body = wire::AnswerOnce<wire::CreatedApiKey>)))]
pub(super) async fn create(
    caller: Caller,
    State(app): State<App>,
    Input(body): Input<wire::CreateApiKey>,
) -> Result<Response, ApiError> {
    caller.scoped::<CreateApiKey>().await?;
    let permit = caller.may::<CreateApiKey>(scopes(&body.scopes)?).await?;
    let id = Directory::draw_key_id(&caller.vault)?;
    let event = caller.event(Action::ApiKeyCreate).target(target(id));
    let made = caller
        .audited(event, async |recorded| {
            app.directory
                .create_key(&caller.vault, &permit, id, &body, recorded)
                .await
        })
        .await?;
    Ok(reply::created_once(shown_once(made)?, ONCE))
}

/// Lists keys, newest first.
#[utoipa::path(get, path = "/v1/api-keys", tag = "api keys", params(All),
    responses((status = 200, description = "Keys", body = wire::List<wire::ApiKey>)))]
pub(super) async fn list(
    caller: Caller,
    State(app): State<App>,
    QueryString(query): QueryString<All>,
) -> Result<Response, ApiError> {
    let permit = caller
        .may::<ListApiKeys>(query.all.unwrap_or(false))
        .await?;
    Ok(reply::list(
        app.directory.keys(&caller.vault, &permit).await?,
        None,
    ))
}

/// Reads a key's metadata.
#[utoipa::path(get, path = "/v1/api-keys/{id}", tag = "api keys", params(("id" = String, Path)),
    responses((status = 200, description = "The key", body = wire::Answer<wire::ApiKey>)))]
pub(super) async fn get(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<ReadApiKey>().await?;
    let id = key_id(&id)?;
    let org = caller.principal.org();
    let (owner, _) = app.directory.key_owner(&caller.vault, org, id).await?;
    let permit = caller.may::<ReadApiKey>(owner).await?;
    Ok(reply::data(
        app.directory.key(&caller.vault, &permit, id).await?,
    ))
}

/// Changes a key's name, scopes or project.
#[utoipa::path(patch, path = "/v1/api-keys/{id}", tag = "api keys", params(("id" = String, Path)),
    request_body = wire::UpdateApiKey,
    responses((status = 200, description = "Changed", body = wire::Answer<wire::ApiKey>)))]
pub(super) async fn update(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Input(body): Input<wire::UpdateApiKey>,
) -> Result<Response, ApiError> {
    caller.scoped::<UpdateApiKey>().await?;
    let id = key_id(&id)?;
    let org = caller.principal.org();
    let wanted = body.scopes.as_deref().map(scopes).transpose()?;
    let (owner, _) = app.directory.key_owner(&caller.vault, org, id).await?;
    let permit = caller.may::<UpdateApiKey>((owner, wanted)).await?;
    let event = caller
        .event(Action::ApiKeyUpdate)
        .target(target(id))
        .code(changes::of_key(&body));
    let key = caller
        .audited(event, async |recorded| {
            app.directory
                .update_key(&caller.vault, &permit, id, &body, recorded)
                .await
        })
        .await?;
    Ok(reply::data(key))
}

/// Revokes a key, at once.
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "api keys", params(("id" = String, Path)),
    responses((status = 200, description = "Revoked", body = wire::Answer<wire::Done>)))]
pub(super) async fn revoke(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<RevokeApiKey>().await?;
    let id = key_id(&id)?;
    let org = caller.principal.org();
    let (owner, _) = app.directory.key_owner(&caller.vault, org, id).await?;
    let permit = caller.may::<RevokeApiKey>(owner).await?;
    let event = caller.event(Action::ApiKeyRevoke).target(target(id));
    caller
        .audited(event, async |recorded| {
            app.directory
                .revoke_key(&caller.vault, &permit, id, recorded)
                .await
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

/// Replaces a key by a new one; the old one still works for the grace.
#[utoipa::path(post, path = "/v1/api-keys/{id}/rotate", tag = "api keys",
    params(("id" = String, Path)), request_body = wire::RotateApiKey,
    responses((status = 201, description = "The new key", body = wire::AnswerOnce<wire::CreatedApiKey>)))]
pub(super) async fn rotate(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    OptionalInput(body): OptionalInput<wire::RotateApiKey>,
) -> Result<Response, ApiError> {
    caller.scoped::<RotateApiKey>().await?;
    let id = key_id(&id)?;
    let org = caller.principal.org();
    let owner = app.directory.key_owner(&caller.vault, org, id).await?;
    let permit = caller.may::<RotateApiKey>(owner).await?;
    let new = Directory::draw_key_id(&caller.vault)?;
    let event = caller
        .event(Action::ApiKeyRotate)
        .target(target(id))
        .target(target(new));
    let made = caller
        .audited(event, async |recorded| {
            app.directory
                .rotate_key(&caller.vault, &permit, (id, new), &body, recorded)
                .await
        })
        .await?;
    Ok(reply::created_once(shown_once(made)?, ONCE))
}
