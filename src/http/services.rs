//! Services: the operator makes them, admins see and remove them, and say for whom they may act without a
//! token.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;

use crate::audit::{Action, Event, Target, TargetKind};
use crate::directory::{Directory, MadeService, Pin};
use crate::id::{OrgId, ServiceId, UserId};
use crate::name::ServiceName;
use crate::policy::{
    Delegate, OperateServices, Permit, ReadAllServices, ReadServices, RemoveService,
};
use crate::wire;

use super::body::{Input, OptionalInput};
use super::caller::Caller;
use super::error::capital;
use super::serve::{ClientCertificates, read_certificate};
use super::{ApiError, App, reply};

/// An id in a path: what cannot be one names nothing.
fn service_id(text: &str) -> Result<ServiceId, ApiError> {
    ServiceId::parse(text).map_err(|_| ApiError::not_found())
}

fn user_id(text: &str) -> Result<UserId, ApiError> {
    UserId::parse(text).map_err(|_| ApiError::not_found())
}

fn target(id: ServiceId) -> Target {
    Target::new(TargetKind::Service).id(id.bytes())
}

/// The one answer that holds a service key's text.
fn shown_once(made: MadeService) -> Result<wire::MadeService, ApiError> {
    let key = made
        .text
        .map(|text| text.expose(|text| String::from_utf8(text.to_vec())));
    let key = key.transpose().map_err(|_| ApiError::internal())?;
    let service = made.service;
    Ok(wire::MadeService { service, key })
}

/// The certificate that a service is to be recognised by, if that is asked for.
fn pin(app: &App, pem: Option<&str>) -> Result<Option<Pin>, ApiError> {
    let Some(pem) = pem else { return Ok(None) };
    if app.client_certificates == ClientCertificates::Unasked {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "certificates_unasked",
            "This broker asks no client for a certificate.",
            "Set client_certificates = true under [tls] in broker.toml and start it again, or give the service a key.",
        ));
    }
    let read = read_certificate(pem).ok_or_else(|| {
        ApiError::bad_request("certificate is one X.509 certificate in PEM, and nothing else.")
    })?;
    let (fingerprint, ends) = read;
    Ok(Some(Pin { fingerprint, ends }))
}

impl Caller {
    /// That the operator may do something to the service of this id, in whichever organisation it is.
    async fn may_operate(
        &self,
        id: ServiceId,
    ) -> Result<(OrgId, Permit<OperateServices>), ApiError> {
        let permit = self.may::<ReadAllServices>(()).await?;
        let directory = &self.app.directory;
        let org = directory.org_of_service(&self.vault, &permit, id).await?;
        Ok((org, self.may::<OperateServices>(org).await?))
    }

    /// An event that is in the journal of the service's organisation.
    fn service_event(&self, action: Action, (org, id): (OrgId, ServiceId)) -> Event {
        self.event(action).org(org).target(target(id))
    }
}

/// Makes a service (operator). Its key is in this answer only.
#[utoipa::path(post, path = "/v1/operator/services", tag = "operator", request_body = wire::AddService,
    responses((status = 201, description = "Made", body = wire::Answer<wire::MadeService>)))]
pub(super) async fn add(
    caller: Caller,
    State(app): State<App>,
    Input(body): Input<wire::AddService>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<ReadAllServices>(()).await?;
    let name = ServiceName::parse(&body.name)
        .map_err(|error| ApiError::bad_request(capital(&error.to_string())))?;
    let (directory, vault) = (&app.directory, &caller.vault);
    let org = directory
        .find_org(vault, &permit, body.organization.as_deref())
        .await?;
    let permit = caller.may::<OperateServices>(org).await?;
    let pin = pin(&app, body.certificate.as_deref())?;
    let id = Directory::draw_service_id(vault)?;
    let event = caller.event(Action::ServiceAdd).org(org);
    let made = caller
        .audited(event.target(target(id).name(&name)), async |recorded| {
            directory
                .add_service(vault, &permit, id, (&name, pin), recorded)
                .await
        })
        .await?;
    Ok(reply::once(reply::created(shown_once(made)?)))
}

/// Lists the services of every organisation (operator).
#[utoipa::path(get, path = "/v1/operator/services", tag = "operator",
    responses((status = 200, description = "Services", body = wire::List<wire::Service>)))]
pub(super) async fn list_all(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    let permit = caller.may::<ReadAllServices>(()).await?;
    let services = app.directory.all_services(&caller.vault, &permit).await?;
    Ok(reply::list(services, None))
}

/// Gives a service a new key or certificate (operator); what it had still works for the grace.
#[utoipa::path(post, path = "/v1/operator/services/{id}/rotate", tag = "operator",
    params(("id" = String, Path)), request_body = wire::RotateService,
    responses((status = 201, description = "The service with its new key", body = wire::Answer<wire::MadeService>)))]
pub(super) async fn rotate(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    OptionalInput(body): OptionalInput<wire::RotateService>,
) -> Result<Response, ApiError> {
    caller.scoped::<OperateServices>().await?;
    let id = service_id(&id)?;
    let (org, permit) = caller.may_operate(id).await?;
    let pin = pin(&app, body.certificate.as_deref())?;
    let grace = body.grace_seconds.unwrap_or(0);
    let event = caller.service_event(Action::ServiceRotate, (org, id));
    let made = caller
        .audited(event, async |recorded| {
            app.directory
                .rotate_service(&caller.vault, &permit, id, (pin, grace), recorded)
                .await
        })
        .await?;
    Ok(reply::once(reply::created(shown_once(made)?)))
}

/// Removes a service of any organisation (operator).
#[utoipa::path(delete, path = "/v1/operator/services/{id}", tag = "operator",
    params(("id" = String, Path)),
    responses((status = 200, description = "Removed", body = wire::Answer<wire::Done>)))]
pub(super) async fn retire(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<OperateServices>().await?;
    let id = service_id(&id)?;
    let (org, permit) = caller.may_operate(id).await?;
    let event = caller.service_event(Action::ServiceRemove, (org, id));
    caller
        .audited(event, async |recorded| {
            app.directory
                .retire_service(&caller.vault, &permit, id, recorded)
                .await
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

/// Lists the organisation's services (admins).
#[utoipa::path(get, path = "/v1/services", tag = "services",
    responses((status = 200, description = "Services", body = wire::List<wire::Service>)))]
pub(super) async fn list(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    let permit = caller.may::<ReadServices>(()).await?;
    let services = app.directory.services(&caller.vault, &permit).await?;
    Ok(reply::list(services, None))
}

/// Removes a service (admins): its credentials, its delegations and its handles end with it.
#[utoipa::path(delete, path = "/v1/services/{id}", tag = "services", params(("id" = String, Path)),
    responses((status = 200, description = "Removed", body = wire::Answer<wire::Done>)))]
pub(super) async fn remove(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<RemoveService>().await?;
    let id = service_id(&id)?;
    let permit = caller.may::<RemoveService>(id).await?;
    let event = caller.event(Action::ServiceRemove).target(target(id));
    caller
        .audited(event, async |recorded| {
            app.directory
                .remove_service(&caller.vault, &permit, recorded)
                .await
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

/// Lists for whom a service may act without a token (admins).
#[utoipa::path(get, path = "/v1/services/{id}/delegations", tag = "services",
    params(("id" = String, Path)),
    responses((status = 200, description = "Delegations", body = wire::List<wire::Delegation>)))]
pub(super) async fn delegations(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<ReadServices>(()).await?;
    let id = service_id(&id)?;
    let found = app
        .directory
        .delegations(&caller.vault, &permit, id)
        .await?;
    Ok(reply::list(found, None))
}

/// Lets a service act for a member without a token of theirs (admins).
#[utoipa::path(post, path = "/v1/services/{id}/delegations", tag = "services",
    params(("id" = String, Path)), request_body = wire::Delegate,
    responses((status = 201, description = "It may", body = wire::Answer<wire::Delegation>)))]
pub(super) async fn delegate(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Input(body): Input<wire::Delegate>,
) -> Result<Response, ApiError> {
    caller.scoped::<Delegate>().await?;
    let whom = (service_id(&id)?, user_id(&body.user_id)?);
    let permit = caller.may::<Delegate>(whom).await?;
    let event = caller.event(Action::ServiceDelegate).target(target(whom.0));
    let event = event.target(Target::new(TargetKind::User).id(whom.1.bytes()));
    let until = body.expires_in.as_deref();
    let delegation = caller
        .audited(event, async |recorded| {
            app.directory
                .delegate(&caller.vault, &permit, until, recorded)
                .await
        })
        .await?;
    Ok(reply::created(delegation))
}

/// Ends a delegation (admins): at once, with what runs by right of it.
#[utoipa::path(delete, path = "/v1/services/{id}/delegations/{user}", tag = "services",
    params(("id" = String, Path), ("user" = String, Path, description = "The member's user id")),
    responses((status = 200, description = "Ended", body = wire::Answer<wire::Done>)))]
pub(super) async fn end_delegation(
    caller: Caller,
    State(app): State<App>,
    Path((id, user)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    caller.scoped::<Delegate>().await?;
    let whom = (service_id(&id)?, user_id(&user)?);
    let permit = caller.may::<Delegate>(whom).await?;
    let event = caller.event(Action::ServiceUndelegate);
    let event = event.target(target(whom.0));
    let event = event.target(Target::new(TargetKind::User).id(whom.1.bytes()));
    caller
        .audited(event, async |recorded| {
            app.directory
                .end_delegation(&caller.vault, &permit, recorded)
                .await
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}
