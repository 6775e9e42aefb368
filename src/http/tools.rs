//! Tools: list, install, store credentials, explain, execute.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::audit::{Action, Event};
use crate::broker::{Ask, Call};
use crate::name::{ActionName, ToolSlug};
use crate::policy::{ExecuteTool, InstallTool, ReadTool, ReadTools, ToolRef};
use crate::tools::{CredentialMode, HubError, Search, Tool, ToolSpec};
use crate::wire;

use super::body::{Input, OptionalInput, QueryString};
use super::caller::Caller;
use super::error::capital;
use super::serve::RequestDeadline;
use super::{ApiError, App, reply};

/// Which tools.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ToolQuery {
    /// Only those with every one of these words in slug, name, actions' names, category or
    /// description, best first.
    search: Option<String>,
    /// Only those that the caller installed.
    installed: Option<bool>,
    /// Only those that the organisation made.
    custom: Option<bool>,
}

fn mode(spec: &ToolSpec) -> wire::CredentialMode {
    match spec.credential_mode() {
        CredentialMode::OAuth => wire::CredentialMode::Oauth,
        CredentialMode::Secret => wire::CredentialMode::Secret,
        CredentialMode::None => wire::CredentialMode::None,
    }
}

pub(super) fn summary(tool: &Tool, installed: bool) -> wire::ToolSummary {
    let spec = &tool.spec;
    wire::ToolSummary {
        slug: spec.slug.to_string(),
        name: spec.name.clone(),
        description: spec.description.clone(),
        category: spec.category.clone(),
        installed,
        custom: tool.custom.is_some(),
        visibility: tool.custom.map(|custom| {
            if custom.shared {
                wire::Visibility::Org
            } else {
                wire::Visibility::Private
            }
        }),
        credential_mode: mode(spec),
        actions: spec.actions.keys().map(ToString::to_string).collect(),
    }
}

impl Caller {
    /// The tool of this slug that the caller sees; what cannot be a slug names nothing.
    pub(super) async fn tool(&self, slug: &str) -> Result<Tool, ApiError> {
        let slug = ToolSlug::parse(slug).map_err(|_| ApiError::not_found())?;
        let principal = self.by_now().await?;
        Ok(self.app.hub.find(&self.vault, &principal, &slug).await?)
    }

    /// The tool if there is one, and what policy looks at. What a caller has for a tool of theirs
    /// stays theirs to remove when the tool is gone.
    async fn tool_or_gone(&self, slug: &str) -> Result<(Option<Tool>, ToolRef), ApiError> {
        let slug = ToolSlug::parse(slug).map_err(|_| ApiError::not_found())?;
        let principal = self.by_now().await?;
        let found = self.app.hub.find(&self.vault, &principal, &slug).await;
        match found {
            Ok(tool) => {
                let reference = tool.as_ref();
                Ok((Some(tool), reference))
            }
            // What was never there is refused before anything is recorded: the slug may be a value
            // that was put in the wrong place.
            Err(HubError::NotFound) => {
                let hub = &self.app.hub;
                if !hub.has_something(&self.vault, &principal, &slug).await? {
                    return Err(ApiError::not_found());
                }
                let (owner, shared) = (None, false);
                let gone = ToolRef {
                    slug,
                    owner,
                    shared,
                };
                Ok((None, gone))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The organisation's policy, for a tool that it does not vouch for: only there it is asked.
    pub(super) async fn policy_for(&self, tool: &Tool) -> Result<wire::OrgSettings, ApiError> {
        let (vault, principal) = (&self.vault, &self.principal);
        Ok(self.app.broker.policy_for(vault, principal, tool).await?)
    }

    pub(super) fn tool_event(&self, action: Action, slug: &ToolSlug) -> Event {
        self.event(action).tool(slug.clone())
    }
}

/// Lists tools.
#[utoipa::path(get, path = "/v1/tools", tag = "tools", params(ToolQuery),
    responses((status = 200, description = "Tools", body = wire::List<wire::ToolSummary>)))]
pub(super) async fn list(
    caller: Caller,
    State(app): State<App>,
    QueryString(query): QueryString<ToolQuery>,
) -> Result<Response, ApiError> {
    caller.may::<ReadTools>(()).await?;
    let installed = app.hub.installed(&caller.vault, &caller.principal).await?;
    let search = Search::new(query.search.as_deref().unwrap_or_default());
    let tools = app.hub.all(&caller.vault, &caller.principal).await?;
    let found = tools.iter().filter_map(|tool| {
        let is_installed = installed.contains(&tool.spec.slug);
        let is_custom = tool.custom.is_some();
        let fits = query.installed.is_none_or(|only| is_installed == only)
            && query.custom.is_none_or(|only| is_custom == only);
        let rank = fits.then(|| search.rank(&tool.spec)).flatten()?;
        Some((rank, summary(tool, is_installed)))
    });
    let mut found: Vec<_> = found.collect();
    if query.search.is_some() {
        found.sort_by_key(|(rank, _)| *rank);
    }
    let shown = found.into_iter().map(|(_, summary)| summary);
    Ok(reply::list(shown.collect(), None))
}

/// Reads a tool: its fields, actions and schemas.
#[utoipa::path(get, path = "/v1/tools/{slug}", tag = "tools", params(("slug" = String, Path)),
    responses((status = 200, description = "The tool", body = wire::Answer<Object>)))]
pub(super) async fn get(caller: Caller, Path(slug): Path<String>) -> Result<Response, ApiError> {
    caller.scoped::<ReadTool>().await?;
    let tool = caller.tool(&slug).await?;
    caller.may::<ReadTool>(tool.as_ref()).await?;
    let mut shown = tool.spec.to_public_json();
    if let (Some(shown), Some(custom)) = (shown.as_object_mut(), tool.custom) {
        shown.insert("custom".to_owned(), true.into());
        let visibility = if custom.shared { "org" } else { "private" };
        shown.insert("visibility".to_owned(), visibility.into());
    }
    Ok(reply::data(shown))
}

/// Installs a tool for the caller.
#[utoipa::path(post, path = "/v1/tools/{slug}/install", tag = "tools",
    params(("slug" = String, Path)),
    responses((status = 200, description = "Installed", body = wire::Answer<wire::ToolInstalled>)))]
pub(super) async fn install(
    caller: Caller,
    State(app): State<App>,
    Path(slug): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<InstallTool>().await?;
    let tool = caller.tool(&slug).await?;
    let permit = caller.may::<InstallTool>(tool.as_ref()).await?;
    let event = caller.tool_event(Action::ToolInstall, &tool.spec.slug);
    caller
        .audited(event, async |recorded| {
            app.hub.install(&caller.vault, &permit, recorded).await
        })
        .await?;
    let required: Vec<String> = tool
        .spec
        .required_fields()
        .map(ToString::to_string)
        .collect();
    Ok(reply::data(wire::ToolInstalled {
        slug: tool.spec.slug.to_string(),
        installed: true,
        credentials_required: !required.is_empty(),
        credential_mode: mode(&tool.spec),
        required_credential_fields: required,
    }))
}

/// Uninstalls a tool for the caller, with the credentials stored for it.
#[utoipa::path(delete, path = "/v1/tools/{slug}/install", tag = "tools",
    params(("slug" = String, Path)),
    responses((status = 200, description = "Uninstalled", body = wire::Answer<wire::Done>)))]
pub(super) async fn uninstall(
    caller: Caller,
    State(app): State<App>,
    Path(slug): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<InstallTool>().await?;
    let (_, reference) = caller.tool_or_gone(&slug).await?;
    let permit = caller.may::<InstallTool>(reference).await?;
    let event = caller.tool_event(Action::ToolUninstall, &permit.object().slug);
    caller
        .audited(event, async |recorded| {
            app.hub.uninstall(&caller.vault, &permit, recorded).await
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

/// Stores credentials for an installed tool.
#[utoipa::path(put, path = "/v1/tools/{slug}/credentials", tag = "tools",
    params(("slug" = String, Path)), request_body = wire::StoreCredentials,
    responses((status = 200, description = "Stored", body = wire::Answer<wire::CredentialStatus>)))]
pub(super) async fn store_credentials(
    caller: Caller,
    State(app): State<App>,
    Path(slug): Path<String>,
    Input(values): Input<wire::StoreCredentials>,
) -> Result<Response, ApiError> {
    caller.scoped::<InstallTool>().await?;
    let tool = caller.tool(&slug).await?;
    let permit = caller.may::<InstallTool>(tool.as_ref()).await?;
    let event = caller.tool_event(Action::ToolCredentialsSet, &tool.spec.slug);
    caller
        .audited(event, async |recorded| {
            app.hub
                .store_credentials(&caller.vault, &permit, &tool, &values.0, recorded)
                .await
        })
        .await?;
    Ok(reply::data(status(&caller, &app, &tool).await?))
}

/// Which fields have a stored credential.
#[utoipa::path(get, path = "/v1/tools/{slug}/credentials", tag = "tools",
    params(("slug" = String, Path)),
    responses((status = 200, description = "Status", body = wire::Answer<wire::CredentialStatus>)))]
pub(super) async fn credential_status(
    caller: Caller,
    State(app): State<App>,
    Path(slug): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<ReadTool>().await?;
    let tool = caller.tool(&slug).await?;
    caller.may::<ReadTool>(tool.as_ref()).await?;
    Ok(reply::data(status(&caller, &app, &tool).await?))
}

async fn status(
    caller: &Caller,
    app: &App,
    tool: &Tool,
) -> Result<wire::CredentialStatus, ApiError> {
    let slug = &tool.spec.slug;
    let mut fields = Vec::new();
    for (field, spec) in &tool.spec.credentials.fields {
        let stored = app
            .hub
            .stored_credential(&caller.vault, &caller.principal, slug, field)
            .await?;
        fields.push(wire::CredentialFieldStatus {
            field: field.to_string(),
            required: spec.required,
            stored: stored.is_some_and(|stored| tool.still_fits(&stored)),
        });
    }
    let complete = fields.iter().all(|field| field.stored || !field.required);
    Ok(wire::CredentialStatus {
        slug: slug.to_string(),
        complete,
        fields,
    })
}

/// Forgets the credentials stored for a tool.
#[utoipa::path(delete, path = "/v1/tools/{slug}/credentials", tag = "tools",
    params(("slug" = String, Path)),
    responses((status = 200, description = "Forgotten", body = wire::Answer<wire::Done>)))]
pub(super) async fn clear_credentials(
    caller: Caller,
    State(app): State<App>,
    Path(slug): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<InstallTool>().await?;
    let (tool, reference) = caller.tool_or_gone(&slug).await?;
    let permit = caller.may::<InstallTool>(reference).await?;
    let event = caller.tool_event(Action::ToolCredentialsClear, &permit.object().slug);
    caller
        .audited(event, async |recorded| {
            app.hub
                .clear_credentials(&caller.vault, &permit, tool.as_ref(), recorded)
                .await
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

/// Says where a run would take its credentials from, without using any.
#[utoipa::path(post, path = "/v1/tools/{slug}/explain", tag = "tools",
    params(("slug" = String, Path)), request_body = wire::ExplainTool,
    responses((status = 200, description = "Per field", body = wire::Answer<wire::Explanation>)))]
pub(super) async fn explain(
    caller: Caller,
    State(app): State<App>,
    Path(slug): Path<String>,
    OptionalInput(body): OptionalInput<wire::ExplainTool>,
) -> Result<Response, ApiError> {
    caller.scoped::<ExecuteTool>().await?;
    let tool = caller.tool(&slug).await?;
    let permit = caller.may::<ExecuteTool>(tool.as_ref()).await?;
    let tool = tool.seen_by(permit.principal());
    let settings = caller.policy_for(&tool).await?;
    let ask = Ask::new(
        &tool,
        settings,
        body.credentials,
        &body.credential_overrides,
    )?
    .with_account(body.account);
    let resolution = app
        .broker
        .explain(&caller.vault, &permit, &tool, ask)
        .await?;
    let ready = resolution.is_ready();
    let fields = resolution.explanation();
    Ok(reply::data(wire::Explanation {
        slug: tool.spec.slug.to_string(),
        ready,
        fields,
    }))
}

/// Runs a declared action with the credentials in their slots.
#[utoipa::path(post, path = "/v1/tools/{slug}/execute", tag = "tools",
    params(("slug" = String, Path)), request_body = wire::ExecuteTool,
    responses((status = 200, description = "What the upstream answered, searched",
        body = wire::Answer<wire::Execution>)))]
pub(super) async fn execute(
    caller: Caller,
    State(app): State<App>,
    Path(slug): Path<String>,
    deadline: Option<axum::Extension<RequestDeadline>>,
    Input(body): Input<wire::ExecuteTool>,
) -> Result<Response, ApiError> {
    caller.scoped::<ExecuteTool>().await?;
    let tool = caller.tool(&slug).await?;
    let permit = caller.may::<ExecuteTool>(tool.as_ref()).await?;
    let tool = tool.seen_by(permit.principal());
    let _turn = app.running.enter(&caller.principal)?;
    let action = ActionName::parse(&body.action)
        .map_err(|error| ApiError::bad_request(capital(&error.to_string())))?;
    let settings = caller.policy_for(&tool).await?;
    let ask = Ask::new(
        &tool,
        settings,
        body.credentials,
        &body.credential_overrides,
    )?
    .with_account(body.account);
    // From here on the limits of the way out count: an upstream may take longer than a client.
    if let Some(axum::Extension(deadline)) = deadline {
        deadline.lift();
    }
    let event = caller.event(Action::ToolExecute);
    let call = Call {
        permit: &permit,
        seen: caller.seen(),
        tool: &tool,
        action: &action,
        params: body.params,
        ask,
    };
    let execution = app.broker.execute(&caller.vault, call, event).await;
    app.meter.execution(match &execution {
        Ok(execution) if execution.success => "success",
        Ok(_) => "failed",
        Err(_) => "refused",
    });
    Ok(reply::data(execution?))
}
