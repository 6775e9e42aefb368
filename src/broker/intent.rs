//! What the journal is told of a call before it is made.

use crate::audit::{Event, Target, TargetKind};
use crate::name::Fields;
use crate::oauth::connection::Connection;
use crate::wire::FieldSource;

use super::lane::Ready;
use super::resolve::{Filled, Filling};

/// Where each field comes from, and which secrets and accounts are used, by a call that may be made.
pub(super) fn describe(event: Event, ready: &Ready<'_>) -> Event {
    let event = event.method(ready.crossing.method.as_str()).allowed();
    let event = sources(event, &ready.filled);
    match ready.token_endpoint() {
        Some(host) => event.target(Target::new(TargetKind::Endpoint).name(host)),
        None => event,
    }
}

/// Where each field comes from, and which secrets and accounts those are.
pub(super) fn sources(mut event: Event, fields: &Fields<Filled>) -> Event {
    for (field, filled) in fields {
        event = event.source(field.clone(), source_code(filled.source));
        let target = match &filled.filling {
            Filling::Secret(found) => Target::new(TargetKind::Secret)
                .id(found.id().bytes())
                .name(&found.info().name)
                .version(found.version()),
            Filling::Token(lent) => connection(&lent.connection),
            Filling::Account(chosen) => connection(&chosen.connection),
            Filling::Request(_) | Filling::Stored(_) => continue,
        };
        event = event.target(target);
    }
    event
}

fn connection(connection: &Connection) -> Target {
    Target::new(TargetKind::Connection)
        .id(connection.id.bytes())
        .name(&connection.provider)
}

const fn source_code(source: FieldSource) -> &'static str {
    match source {
        FieldSource::Request => "request",
        FieldSource::Override => "override",
        FieldSource::Stored => "stored",
        FieldSource::UserSecret => "user_secret",
        FieldSource::OrgSecret => "org_secret",
        FieldSource::Connection => "connection",
        FieldSource::Missing => "missing",
    }
}
