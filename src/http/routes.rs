//! The route table, and the OpenAPI document made from it.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::StatusCode;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::templates::Templates;
use super::{
    ApiError, App, api_keys, audit, backup, broker, custom_tools, deletions, egress, key_slots,
    layers, oauth_clients, oauth_connections, oauth_device, oauth_flows, oauth_providers, openapi,
    operator, organizations, own_keys, rotations, secret_versions, secrets, services, shred, store,
    system, tools,
};

fn table() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(system::status))
        .routes(routes!(system::live))
        .routes(routes!(system::ready))
        .routes(routes!(system::metrics))
        .routes(routes!(system::me))
        .routes(routes!(organizations::create, organizations::list))
        .routes(routes!(organizations::organizations))
        .routes(routes!(organizations::get, organizations::update))
        .routes(routes!(organizations::members, organizations::add_member))
        .routes(routes!(
            organizations::update_member,
            organizations::remove_member
        ))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::get, api_keys::update, api_keys::revoke))
        .routes(routes!(api_keys::rotate))
        .routes(routes!(secrets::set, secrets::list))
        .routes(routes!(secrets::get, secrets::update, secrets::delete))
        .routes(routes!(secrets::reveal))
        .routes(routes!(secrets::rotate))
        .routes(routes!(secret_versions::restore))
        .routes(routes!(secret_versions::versions))
        .routes(routes!(secret_versions::roll_back))
        .routes(routes!(tools::list))
        .routes(routes!(tools::get))
        .routes(routes!(tools::install, tools::uninstall))
        .routes(routes!(
            tools::store_credentials,
            tools::credential_status,
            tools::clear_credentials
        ))
        .routes(routes!(tools::explain))
        .routes(routes!(tools::execute))
        .routes(routes!(custom_tools::write_custom))
        .routes(routes!(custom_tools::delete_custom))
        .routes(routes!(custom_tools::set_visibility))
        .merge(handles())
        .merge(connected())
        .merge(in_services())
        .routes(routes!(rotations::status, rotations::begin))
        .routes(routes!(rotations::pause))
        .routes(routes!(rotations::resume))
        .routes(routes!(audit::list))
        .routes(routes!(audit::head))
        .routes(routes!(audit::verify))
        .routes(routes!(audit::export))
        .routes(routes!(operator::unseal))
        .routes(routes!(operator::seal))
        .routes(routes!(operator::lockdown))
        .routes(routes!(key_slots::slots, key_slots::add_slot))
        .routes(routes!(key_slots::test_slot))
        .routes(routes!(key_slots::lend_slot))
        .routes(routes!(key_slots::remove_slot))
        .merge(of_installation())
        .routes(routes!(backup::create_backup, backup::backups))
}

/// The routes of the installation's keys and files.
fn of_installation() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(deletions::delete_org))
        .routes(routes!(deletions::delete_user))
        .routes(routes!(own_keys::rotate_root))
        .routes(routes!(own_keys::rotate_audit))
        .routes(routes!(own_keys::rotate_state))
        .routes(routes!(store::rotate_index))
        .routes(routes!(shred::status, shred::begin))
        .routes(routes!(store::info))
        .routes(routes!(store::compact, store::stop))
}

/// The routes of handles.
fn handles() -> OpenApiRouter<App> {
    let [host, root, path] = egress::ROUTES;
    OpenApiRouter::new()
        .routes(routes!(broker::resolve))
        .routes(routes!(broker::release))
        .routes(routes!(broker::execute))
        .route(host, any(egress::relay))
        .route(root, any(egress::relay))
        .route(path, any(egress::relay))
}

/// The routes of services.
fn in_services() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(services::list))
        .routes(routes!(services::remove))
        .routes(routes!(services::delegate, services::delegations))
        .routes(routes!(services::end_delegation))
        .routes(routes!(services::add, services::list_all))
        .routes(routes!(services::retire))
        .routes(routes!(services::rotate))
}

/// The routes of connected accounts.
fn connected() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(oauth_providers::providers))
        .routes(routes!(oauth_flows::start))
        .routes(routes!(oauth_flows::flow, oauth_flows::cancel))
        .routes(routes!(oauth_flows::finish))
        .routes(routes!(oauth_device::start_device))
        .routes(routes!(oauth_device::device_status))
        .routes(routes!(oauth_device::cancel_device))
        .routes(routes!(oauth_connections::connections))
        .routes(routes!(oauth_connections::disconnect))
        .routes(routes!(oauth_connections::set_default))
        .routes(routes!(oauth_connections::provider_status))
        .routes(routes!(oauth_clients::set_config, oauth_clients::configs))
        .routes(routes!(oauth_clients::remove_config))
        .routes(routes!(
            oauth_clients::set_oauth_client,
            oauth_clients::oauth_clients
        ))
        .routes(routes!(oauth_clients::remove_oauth_client))
}

/// The OpenAPI 3.1 document, as JSON.
#[must_use]
pub fn document() -> String {
    let (_, document) = table().split_for_parts();
    openapi::complete(document)
        .to_pretty_json()
        .unwrap_or_default()
}

async fn not_found() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_route",
        "There is no such route.",
        "See /v1/openapi.json for the routes there are.",
    )
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This route does not take that method.",
        "See /v1/openapi.json for the methods it takes.",
    )
}

/// What browsers see: routes that are no part of the API, and stand behind the same questions.
#[derive(Debug, Default)]
pub struct Pages {
    /// The routes.
    pub router: Router,
    /// Their templates, for logs and metrics.
    pub templates: &'static [&'static str],
}

/// The whole API as a service, with the pages that browsers see.
pub fn router(app: App, pages: Pages) -> Router {
    let (routes, document) = table().split_for_parts();
    let others = pages.templates.iter().copied().chain(egress::ROUTES);
    let known = Templates::of(document.paths.paths.iter(), others);
    let text = openapi::complete(document).to_pretty_json();
    let text: &'static str = text.unwrap_or_default().leak();
    let document = async move || -> Response {
        ([(http::header::CONTENT_TYPE, "application/json")], text).into_response()
    };
    routes
        .route("/v1/openapi.json", axum::routing::get(document))
        .merge(pages.router.with_state(()))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(layers::Surround {
            app: app.clone(),
            templates: known,
        })
        .with_state(app)
}
