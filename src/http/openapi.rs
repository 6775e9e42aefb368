//! The OpenAPI document: what the route table says, and what is true of every route.

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use super::egress::is_relayed;
use super::idempotency;
use crate::wire;

/// Routes that ask nobody who they are.
const OPEN: [&str; 3] = ["/v1/status", "/livez", "/readyz"];

/// Routes for services too, besides those of handles.
const FOR_SERVICES: [&str; 3] = [
    "/v1/me",
    "/v1/tools/{slug}/explain",
    "/v1/tools/{slug}/execute",
];

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "RunTools Broker",
        description = "Keeps secrets and uses them for tool calls without handing them out."
    ),
    paths(super::egress::relay),
    modifiers(&Shared),
    security(("apiKey" = []), ("bearer" = []))
)]
pub(super) struct Document;

struct Shared;

impl utoipa::Modify for Shared {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        components.add_security_scheme("apiKey", key);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let certificate = SecurityScheme::MutualTls {
            description: Some("The certificate that was pinned for a service.".to_owned()),
            deprecated: None,
            extensions: None,
        };
        components.add_security_scheme("clientCertificate", certificate);
        for (name, header) in [
            ("subjectToken", "X-RunTools-Subject-Token"),
            ("subject", "X-RunTools-Subject"),
        ] {
            let subject = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header)));
            components.add_security_scheme(name, subject);
        }
        for (name, schema) in [
            ("Failure", wire::Failure::schema()),
            ("FailureDetail", wire::FailureDetail::schema()),
        ] {
            components.schemas.insert(name.to_owned(), schema);
        }
        let failure = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(wire::Failure::name())))
            .build();
        let failure: Response = ResponseBuilder::new()
            .description("Nothing was done: a stable code, a sentence, a next step.")
            .content("application/json", failure)
            .build();
        components
            .responses
            .insert("Failure".to_owned(), failure.into());
    }
}

/// Adds what every operation shares: an id of its own, and how it fails.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
            ("head", &mut item.head),
            ("options", &mut item.options),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                finish(path, method, operation);
            }
        }
    }
    document
}

/// A caller's own credential, or a service's with the subject that it acts for.
fn with_services() -> Vec<SecurityRequirement> {
    let none: [&str; 0] = [];
    let own = |name| SecurityRequirement::new(name, none);
    let mut ways = vec![own("apiKey"), own("bearer")];
    for credential in ["apiKey", "bearer", "clientCertificate"] {
        for subject in ["subjectToken", "subject"] {
            ways.push(own(credential).add(subject, none));
        }
    }
    ways
}

/// Whether a route heeds `Idempotency-Key`. In the lane it is the upstream's.
fn takes_idempotency_key(path: &str, method: &str) -> bool {
    let changes = ["put", "post", "patch", "delete"].contains(&method);
    let exempt = path.ends_with("/reveal") || path.starts_with(idempotency::OPERATORS);
    changes && !exempt && !is_relayed(path)
}

fn idempotency_key() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(128));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The change happens once, however often it is sent with this key within a day.",
        ))
        .schema(Some(schema))
        .build()
}

fn finish(path: &str, method: &str, operation: &mut Operation) {
    // Handlers are named within their file, which is the tag: `list` alone would be there five times.
    let tag = operation.tags.as_deref().and_then(<[String]>::first);
    let tag = tag.map_or_else(String::new, |tag| tag.replace(' ', "_"));
    let own = operation.operation_id.take().unwrap_or_default();
    // One handler serves every method of this lane.
    let own = if is_relayed(path) {
        format!("{own}_{method}")
    } else {
        own
    };
    operation.operation_id = Some(format!("{tag}_{own}"));
    if tag == "broker" || FOR_SERVICES.contains(&path) {
        operation.security = Some(with_services());
    }
    if OPEN.contains(&path) {
        operation.security = Some(vec![SecurityRequirement::default()]);
    }
    if takes_idempotency_key(path, method) {
        let parameters = operation.parameters.get_or_insert_default();
        parameters.push(idempotency_key().into());
    }
    for class in ["4XX", "5XX"] {
        let failure = RefOr::Ref(Ref::from_response_name("Failure"));
        operation
            .responses
            .responses
            .insert(class.to_owned(), failure);
    }
}
