//! The route templates: how a request is called in logs and metrics, and where a route takes a query.
//!
//! What is written where nobody reads it must not look as if it had been heard: `orgWide=true` behind
//! a POST that has it in its body would make a private secret. Which routes take a query is known
//! from the OpenAPI document, so that no route can be forgotten; those that do refuse the fields they
//! do not know themselves. The rest is not asked: the lane's query is an upstream's, a provider
//! may append what it likes to the address of a page, and so may what asks whether the broker lives.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use http::Method;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};

use super::{ApiError, body, egress};

/// Where a route hears what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ear {
    Query,
    Body,
    None,
}

#[derive(Debug)]
struct Template {
    /// It lives as long as the process.
    label: &'static str,
    /// By method; empty where the query is none of the API's.
    ears: Vec<(Method, Ear)>,
}

/// The route templates.
#[derive(Clone, Debug)]
pub(super) struct Templates(Arc<HashMap<String, Template>>);

impl Templates {
    /// Those of the API's `routes`, and `others` whose query is not the API's.
    pub(super) fn of<'a>(
        routes: impl Iterator<Item = (&'a String, &'a PathItem)>,
        others: impl Iterator<Item = &'a str>,
    ) -> Self {
        let template = |path: &str, ears| {
            let label = &*path.to_owned().leak();
            (path.to_owned(), Template { label, ears })
        };
        let routes = routes
            .filter(|(path, _)| !egress::is_relayed(path))
            .map(|(path, item)| {
                let ears = path.starts_with("/v1/").then(|| ears(item));
                template(path, ears.unwrap_or_default())
            });
        let others = others.map(|path| template(path, Vec::new()));
        // The document is no route of its own.
        let document = template("/v1/openapi.json", vec![(Method::GET, Ear::None)]);
        Self(Arc::new(routes.chain(others).chain([document]).collect()))
    }

    fn matched(&self, request: &Request) -> Option<&Template> {
        let matched = request.extensions().get::<MatchedPath>()?;
        self.0.get(matched.as_str())
    }

    pub(super) fn label(&self, request: &Request) -> &'static str {
        let matched = self.matched(request);
        matched.map_or("(none)", |template| template.label)
    }

    /// Whether a request has a query only where its route takes one.
    pub(super) fn check_query(&self, request: &Request) -> Result<(), ApiError> {
        if request.uri().query().is_none_or(str::is_empty) {
            return Ok(());
        }
        let method = match *request.method() {
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        let ears = self.matched(request).map(|template| &template.ears);
        let ear = ears.and_then(|ears| ears.iter().find(|(one, _)| one == method));
        let hint = match ear {
            None | Some((_, Ear::Query)) => return Ok(()),
            Some((_, Ear::Body)) => {
                "This route takes no query string: what it is told stands in its JSON body."
            }
            Some((_, Ear::None)) => "This route takes no query string: leave it out.",
        };
        body::no_query(request.uri()).map_err(|error| error.with_hint(hint))
    }
}

fn ears(item: &PathItem) -> Vec<(Method, Ear)> {
    let operations = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    let taken = operations.into_iter().filter_map(|(method, operation)| {
        let operation = operation.as_ref()?;
        Some((method, ear(operation)))
    });
    taken.collect()
}

fn ear(operation: &Operation) -> Ear {
    let in_query = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) => matches!(parameter.parameter_in, ParameterIn::Query),
        RefOr::Ref(_) => false,
    };
    if operation.parameters.iter().flatten().any(in_query) {
        Ear::Query
    } else if operation.request_body.is_some() {
        Ear::Body
    } else {
        Ear::None
    }
}
