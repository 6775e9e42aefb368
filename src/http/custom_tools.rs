//! Custom tools: made, changed, shown, deleted.

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, header};

use crate::audit::Action;
use crate::policy::{PublishTool, ToolRef, WriteTool};
use crate::tools::{ToolSpec, aside};
use crate::wire;

use super::body::{self, Input};
use super::caller::Caller;
use super::tools::summary;
use super::{ApiError, App, reply};

/// Makes or changes a custom tool: JSON as RunTools has it, or the TOML of a spec file.
#[utoipa::path(post, path = "/v1/tools/custom", tag = "tools", request_body = Object,
    responses((status = 200, description = "Changed", body = wire::Answer<wire::ToolSummary>),
              (status = 201, description = "Made", body = wire::Answer<wire::ToolSummary>)))]
pub(super) async fn write_custom(
    caller: Caller,
    State(app): State<App>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    caller.scoped::<WriteTool>().await?;
    // A spec may be dear to compile, and is compiled to its end also for a client that is gone.
    let _turn = app.running.enter(&caller.principal)?;
    let spec = spec_of(request).await?;
    let slug = spec.slug.clone();
    let old = app
        .hub
        .writable(&caller.vault, &caller.by_now().await?, &slug)
        .await?;
    let reference = match &old {
        Some(tool) => tool.as_ref(),
        None => ToolRef {
            slug: slug.clone(),
            owner: None,
            shared: false,
        },
    };
    let grants = spec
        .bindings
        .iter()
        .any(|binding| !binding.private.is_empty());
    let permit = caller.may::<WriteTool>((reference, grants)).await?;
    let action = if old.is_some() {
        Action::ToolUpdate
    } else {
        Action::ToolCreate
    };
    let mut event = caller.tool_event(action, &slug);
    if grants {
        event = event.code("private_range_granted");
    }
    let tool = caller
        .audited(event, async |recorded| {
            app.hub.write(&caller.vault, &permit, spec, recorded).await
        })
        .await?;
    let shown = summary(&tool, false);
    Ok(if old.is_some() {
        reply::data(shown)
    } else {
        reply::created(shown)
    })
}

async fn spec_of(request: axum::extract::Request) -> Result<ToolSpec, ApiError> {
    let (mut parts, body) = request.into_parts();
    let closing = parts.extensions.remove();
    let spec = if is_toml(&parts.headers) {
        let bytes = body::read(body, body::MAX_SPEC, closing).await?;
        let read = move || std::str::from_utf8(&bytes).map(ToolSpec::from_toml);
        let read = aside(read).await;
        read.map_err(|_| ApiError::bad_request("The body is not UTF-8."))?
    } else {
        body::json_only(&parts.headers)?;
        let bytes = body::read(body, body::MAX_SPEC, closing).await?;
        let body = body::parse(&bytes)?;
        aside(move || ToolSpec::from_custom_json(body)).await
    };
    Ok(spec.map_err(crate::tools::HubError::from)?)
}

fn is_toml(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/toml"))
}

/// Deletes a custom tool.
#[utoipa::path(delete, path = "/v1/tools/custom/{slug}", tag = "tools",
    params(("slug" = String, Path)),
    responses((status = 200, description = "Deleted", body = wire::Answer<wire::Done>)))]
pub(super) async fn delete_custom(
    caller: Caller,
    State(app): State<App>,
    Path(slug): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<WriteTool>().await?;
    let tool = caller.tool(&slug).await?;
    if tool.custom.is_none() {
        return Err(ApiError::not_found());
    }
    let permit = caller.may::<WriteTool>((tool.as_ref(), false)).await?;
    let event = caller.tool_event(Action::ToolDelete, &tool.spec.slug);
    caller
        .audited(event, async |recorded| {
            app.hub.delete(&caller.vault, &permit, recorded).await
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

/// Shows a custom tool to every member, or to its maker only.
#[utoipa::path(patch, path = "/v1/tools/custom/{slug}/visibility", tag = "tools",
    params(("slug" = String, Path)), request_body = wire::UpdateVisibility,
    responses((status = 200, description = "Changed", body = wire::Answer<wire::ToolSummary>)))]
pub(super) async fn set_visibility(
    caller: Caller,
    State(app): State<App>,
    Path(slug): Path<String>,
    Input(body): Input<wire::UpdateVisibility>,
) -> Result<Response, ApiError> {
    caller.scoped::<PublishTool>().await?;
    let tool = caller.tool(&slug).await?;
    let permit = caller.may::<PublishTool>(tool.as_ref()).await?;
    let shared = body.visibility == wire::Visibility::Org;
    let event = caller.tool_event(Action::ToolVisibility, &tool.spec.slug);
    let tool = caller
        .audited(event, async |recorded| {
            app.hub
                .publish(&caller.vault, &permit, shared, recorded)
                .await
        })
        .await?;
    Ok(reply::data(summary(&tool, false)))
}
