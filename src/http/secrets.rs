//! Secrets.

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::audit::Action;
use crate::crypto::Owner;
use crate::policy::{
    DeleteSecret, ListSecrets, Listing, ReadSecret, RevealSecret, SetSecret, UpdateSecret,
};
use crate::vault::{Change, Condition, Deleted, Found, VaultError, check_value, parse_expiry};
use crate::wire;

use super::body::{Input, OptionalInput, QueryString};
use super::caller::Caller;
use super::secret_names::named;
use super::{ApiError, App, reply};

/// The most secrets of one page.
const MAX_PAGE: usize = 500;

/// Which of two secrets of one name.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// Whether the organisation's is meant. For reading, left out means one's own if there is one,
    /// else the organisation's.
    #[serde(alias = "org_wide")]
    pub(super) org_wide: Option<bool>,
}

/// Which secret to delete, and how.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// Whether the organisation's is meant.
    #[serde(alias = "org_wide")]
    org_wide: Option<bool>,
    /// Destroy it at once, without the time to restore.
    destroy: Option<bool>,
}

/// Which secrets to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// `user` for one's own only, `org` for the organisation's only.
    owner: Option<String>,
    /// Every member's too (admins; metadata only).
    all: Option<bool>,
    /// Only this category.
    #[param(value_type = Option<String>)]
    category: Option<wire::Category>,
    /// Only this scope.
    #[param(value_type = Option<String>)]
    scope: Option<wire::SecretScope>,
    /// Deleted ones that can still be restored, instead.
    deleted: Option<bool>,
    /// Where to go on.
    cursor: Option<String>,
    /// How many at most, 1 to 500 (default 100).
    limit: Option<usize>,
}

/// `If-Match`, or `If-None-Match: *`; never both.
pub(super) fn condition(headers: &HeaderMap) -> Result<Condition<'_>, ApiError> {
    // A value that is no text matches nothing.
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("-"));
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Condition::None),
        (Some(etags), None) => Ok(Condition::Match(etags)),
        (None, Some("*")) => Ok(Condition::New),
        _ => Err(ApiError::bad_request(
            "A change takes If-Match with an etag, or If-None-Match with *.",
        )),
    }
}

impl Caller {
    fn shown(&self, found: &Found) -> wire::SecretMetadata {
        found.to_wire(self.vault.retention_days())
    }

    pub(super) fn answer(&self, found: &Found) -> Response {
        let shown = self.shown(found);
        let response = reply::data(&shown);
        reply::tagged(response, &shown.etag)
    }
}

/// Makes a secret, or rotates the one of that name.
#[utoipa::path(post, path = "/v1/secrets", tag = "secrets", request_body = wire::SetSecret,
    responses((status = 200, description = "Rotated", body = wire::Answer<wire::SecretWasSet>),
              (status = 201, description = "Made", body = wire::Answer<wire::SecretWasSet>)))]
pub(super) async fn set(
    caller: Caller,
    headers: HeaderMap,
    Input(body): Input<wire::SetSecret>,
) -> Result<Response, ApiError> {
    caller.scoped::<SetSecret>().await?;
    // A new secret's name goes into the journal before the secret is there: it must be able to come.
    check_value(&body.value)?;
    let secret = caller.secret(named(&body.name)?, body.org_wide);
    let event = caller.secret_event(Action::SecretSet, &secret).await?;
    let permit = caller.may::<SetSecret>(secret).await?;
    let now = caller.vault.now();
    let change = Change {
        category: body.category,
        scope: body.scope,
        description: body.description.map(Some),
        hosts: body.hosts,
        revealable: body.revealable,
        expires: body
            .expires
            .map(|text| parse_expiry(&text, now))
            .transpose()?,
    };
    let condition = condition(&headers)?;
    let (found, created) = caller
        .audited(event, async |recorded| {
            caller
                .vault
                .set_secret(&permit, &body.value, &change, condition, recorded)
                .await
        })
        .await?;
    let answer = wire::SecretWasSet {
        secret: caller.shown(&found),
        created,
    };
    let response = if created {
        reply::created(&answer)
    } else {
        reply::data(&answer)
    };
    Ok(reply::tagged(response, &answer.secret.etag))
}

/// Lists secrets: metadata, never values.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets", params(ListQuery),
    responses((status = 200, description = "A page", body = wire::List<wire::SecretMetadata>)))]
pub(super) async fn list(
    caller: Caller,
    State(app): State<App>,
    QueryString(query): QueryString<ListQuery>,
) -> Result<Response, ApiError> {
    caller.scoped::<ListSecrets>().await?;
    let listing = match (query.all.unwrap_or(false), query.owner.as_deref()) {
        (true, None) => Listing::Everyone,
        (false, Some("user")) => Listing::Own,
        (false, Some("org")) => Listing::Shared,
        (false, None) => Listing::OwnAndShared,
        _ => {
            return Err(ApiError::bad_request(
                "owner is user or org, and does not go with all.",
            ));
        }
    };
    let limit = query.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(ApiError::bad_request("limit is 1 to 500."));
    }
    let permit = caller.may::<ListSecrets>(listing).await?;
    let mut everyone = Vec::new();
    if listing == Listing::Everyone {
        everyone.push(Owner::ORG_SHARED);
        let org = caller.vault.org(caller.principal.org())?;
        for member in app.directory.all_members(&caller.vault, &org).await? {
            everyone.push(Owner::user(member.user()));
        }
    }
    let deleted = query.deleted.unwrap_or(false);
    let wanted = |secret: &wire::SecretMetadata| {
        let category = query.category.is_none_or(|one| secret.category == one);
        let scope = query.scope.is_none_or(|one| secret.scope == one);
        category && scope && secret.deleted_at.is_some() == deleted
    };
    let page = caller
        .vault
        .list_secrets(&permit, &everyone, wanted, query.cursor.as_deref(), limit)
        .await?;
    Ok(reply::list(page.secrets, page.next))
}

/// Reads a secret's metadata.
#[utoipa::path(get, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path), Whose),
    responses((status = 200, description = "The metadata", body = wire::Answer<wire::SecretMetadata>)))]
pub(super) async fn get(
    caller: Caller,
    Path(name): Path<String>,
    QueryString(whose): QueryString<Whose>,
) -> Result<Response, ApiError> {
    caller.scoped::<ReadSecret>().await?;
    let secret = caller.secret(named(&name)?, whose.org_wide);
    let permit = caller.may::<ReadSecret>(secret).await?;
    let found = match caller.vault.read_secret(&permit).await {
        Err(VaultError::NotFound) if whose.org_wide.is_none() => {
            let shared = caller.secret(permit.object().name.clone(), Some(true));
            let permit = caller.may::<ReadSecret>(shared).await?;
            caller.vault.read_secret(&permit).await?
        }
        found => found?,
    };
    Ok(caller.answer(&found))
}

/// Changes a secret's metadata.
#[utoipa::path(patch, path = "/v1/secrets/{name}", tag = "secrets", request_body = wire::UpdateSecret,
    params(("name" = String, Path), Whose),
    responses((status = 200, description = "Changed", body = wire::Answer<wire::SecretMetadata>)))]
pub(super) async fn update(
    caller: Caller,
    Path(name): Path<String>,
    QueryString(whose): QueryString<Whose>,
    headers: HeaderMap,
    Input(body): Input<wire::UpdateSecret>,
) -> Result<Response, ApiError> {
    caller.scoped::<UpdateSecret>().await?;
    let secret = caller.secret(named(&name)?, whose.org_wide);
    let event = caller.update_event(&secret, &body).await?;
    let shown = caller.might_reveal(&secret).await?;
    let permit = caller.may::<UpdateSecret>(secret).await?;
    let now = caller.vault.now();
    let change = Change {
        category: body.category,
        scope: body.scope,
        description: body.description,
        hosts: body.hosts,
        revealable: body.revealable,
        expires: body
            .expires
            .map(|text| parse_expiry(&text, now))
            .transpose()?,
    };
    let condition = condition(&headers)?;
    let found = caller
        .audited(event, async |recorded| {
            caller
                .vault
                .update_secret(&permit, &shown, &change, condition, recorded)
                .await
        })
        .await?;
    Ok(caller.answer(&found))
}

/// Shows a secret's value, where policy allows. The one route that does.
#[utoipa::path(post, path = "/v1/secrets/{name}/reveal", tag = "secrets",
    params(("name" = String, Path), Whose),
    responses((status = 200, description = "The value", body = wire::Answer<wire::RevealedSecret>)))]
pub(super) async fn reveal(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
    QueryString(whose): QueryString<Whose>,
    OptionalInput(body): OptionalInput<Whose>,
) -> Result<Response, ApiError> {
    caller.scoped::<RevealSecret>().await?;
    let whose = Whose {
        org_wide: whose.org_wide.or(body.org_wide),
    };
    let (secret, known) = caller.secret_to_read(named(&name)?, whose).await?;
    let event = if known {
        caller.event_about(Action::SecretReveal, &secret, known)
    } else {
        caller.secret_event(Action::SecretReveal, &secret).await?
    };
    let settings = app
        .directory
        .settings(&caller.vault, &caller.principal)
        .await?;
    let permit = caller.may::<RevealSecret>((secret, settings)).await?;
    caller
        .audited(event, async |recorded| {
            let found = caller.vault.revealable_secret(&permit).await?;
            let value = found.lend(recorded)?;
            value.expose(|bytes| {
                let value = std::str::from_utf8(bytes).map_err(|_| VaultError::Form)?;
                let name = found.info().name.clone();
                let answer = wire::RevealedSecret {
                    name,
                    value,
                    version: found.version(),
                };
                Ok::<_, VaultError>(reply::data(answer))
            })
        })
        .await
}

/// Gives a secret a new value.
#[utoipa::path(post, path = "/v1/secrets/{name}/rotate", tag = "secrets",
    params(("name" = String, Path), Whose), request_body = wire::RotateSecret,
    responses((status = 200, description = "Rotated", body = wire::Answer<wire::SecretMetadata>)))]
pub(super) async fn rotate(
    caller: Caller,
    Path(name): Path<String>,
    QueryString(whose): QueryString<Whose>,
    headers: HeaderMap,
    Input(body): Input<wire::RotateSecret>,
) -> Result<Response, ApiError> {
    caller.scoped::<SetSecret>().await?;
    let secret = caller.secret(named(&name)?, whose.org_wide.or(body.org_wide));
    let event = caller.secret_event(Action::SecretRotate, &secret).await?;
    let permit = caller.may::<SetSecret>(secret).await?;
    let condition = condition(&headers)?;
    let found = caller
        .audited(event, async |recorded| {
            caller
                .vault
                .rotate_secret(&permit, &body.value, condition, recorded)
                .await
        })
        .await?;
    Ok(caller.answer(&found))
}

/// Deletes a secret: restorable for a while, or destroyed at once.
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "secrets",
    params(("name" = String, Path), DeleteQuery),
    responses((status = 200, description = "Deleted", body = wire::Answer<wire::SecretDeletion>)))]
pub(super) async fn delete(
    caller: Caller,
    Path(name): Path<String>,
    QueryString(query): QueryString<DeleteQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.scoped::<DeleteSecret>().await?;
    let destroy = query.destroy.unwrap_or(false);
    let secret = caller.secret(named(&name)?, query.org_wide);
    let action = if destroy {
        Action::SecretDestroy
    } else {
        Action::SecretDelete
    };
    let event = caller.secret_event(action, &secret).await?;
    let permit = caller.may::<DeleteSecret>(secret).await?;
    let condition = condition(&headers)?;
    let deleted = caller
        .audited(event, async |recorded| {
            caller
                .vault
                .delete_secret(&permit, destroy, condition, recorded)
                .await
        })
        .await?;
    let (level, purge_at) = match deleted {
        Deleted::Until(time) => (wire::DeletionLevel::Recoverable, Some(time)),
        Deleted::Destroyed => (wire::DeletionLevel::Logical, None),
    };
    Ok(reply::data(wire::SecretDeletion {
        success: true,
        level,
        purge_at,
    }))
}
