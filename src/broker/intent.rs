//! What the journal is told of a call before it is made.

use crate::audit::{Event, Target, TargetKind};
use crate::wire::FieldSource;

use super::execute::Ready;
use super::resolve::Filling;

/// Where each field comes from, and which secrets and accounts are used.
pub(super) fn describe(mut event: Event, ready: &Ready<'_>) -> Event {
    let rendered = &ready.rendered;
    event = event.method(rendered.method.as_str()).allowed();
    for (field, filled) in &ready.filled {
        event = event.source(field.clone(), source_code(filled.source));
        if let Filling::Secret(found) = &filled.filling {
            let target = Target::new(TargetKind::Secret)
                .id(found.id().bytes())
                .name(&found.info().name)
                .version(found.version());
            event = event.target(target);
        }
        if let Filling::Token(lent) = &filled.filling {
            let target = Target::new(TargetKind::Connection)
                .id(lent.connection.id.bytes())
                .name(&lent.connection.provider);
            event = event.target(target);
        }
    }
    event
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
