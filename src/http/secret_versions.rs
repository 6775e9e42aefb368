//! What a secret was before: restored after a deletion, listed, brought back.

use axum::extract::Path;
use axum::response::Response;
use http::HeaderMap;

use crate::audit::Action;
use crate::policy::{DeleteSecret, ReadSecret, UpdateSecret};
use crate::wire;

use super::body::QueryString;
use super::caller::Caller;
use super::secret_names::named;
use super::secrets::{Whose, condition};
use super::{ApiError, reply};

/// Restores a deleted secret.
#[utoipa::path(post, path = "/v1/secrets/{name}/restore", tag = "secrets",
    params(("name" = String, Path), Whose),
    responses((status = 200, description = "Restored", body = wire::Answer<wire::SecretMetadata>)))]
pub(super) async fn restore(
    caller: Caller,
    Path(name): Path<String>,
    QueryString(whose): QueryString<Whose>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.scoped::<DeleteSecret>().await?;
    let secret = caller.secret(named(&name)?, whose.org_wide);
    let event = caller.secret_event(Action::SecretRestore, &secret).await?;
    let permit = caller.may::<DeleteSecret>(secret).await?;
    let condition = condition(&headers)?;
    let found = caller
        .audited(event, async |recorded| {
            let vault = &caller.vault;
            vault.restore_secret(&permit, condition, recorded).await
        })
        .await?;
    Ok(caller.answer(&found))
}

/// Lists the versions that are kept.
#[utoipa::path(get, path = "/v1/secrets/{name}/versions", tag = "secrets",
    params(("name" = String, Path), Whose),
    responses((status = 200, description = "Newest first", body = wire::List<wire::SecretVersion>)))]
pub(super) async fn versions(
    caller: Caller,
    Path(name): Path<String>,
    QueryString(whose): QueryString<Whose>,
) -> Result<Response, ApiError> {
    caller.scoped::<ReadSecret>().await?;
    let (secret, _) = caller.secret_to_read(named(&name)?, whose).await?;
    let permit = caller.may::<ReadSecret>(secret).await?;
    Ok(reply::list(
        caller.vault.secret_versions(&permit).await?,
        None,
    ))
}

/// Brings an older version back, as a new one.
#[utoipa::path(post, path = "/v1/secrets/{name}/versions/{version}/restore", tag = "secrets",
    params(("name" = String, Path), ("version" = u64, Path), Whose),
    responses((status = 200, description = "Rolled back", body = wire::Answer<wire::SecretMetadata>)))]
pub(super) async fn roll_back(
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
    QueryString(whose): QueryString<Whose>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.scoped::<UpdateSecret>().await?;
    let version = version
        .parse()
        .map_err(|_| ApiError::bad_request("A version is a number."))?;
    let secret = caller.secret(named(&name)?, whose.org_wide);
    let event = caller.secret_event(Action::SecretRollback, &secret).await?;
    let shown = caller.might_reveal(&secret).await?;
    let permit = caller.may::<UpdateSecret>(secret).await?;
    let condition = condition(&headers)?;
    let found = caller
        .audited(event, async |recorded| {
            caller
                .vault
                .roll_back_secret(&permit, &shown, version, condition, recorded)
                .await
        })
        .await?;
    Ok(caller.answer(&found))
}
