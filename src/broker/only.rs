//! The one request that a handle is for, where its owner says so.
//!
//! Who knows what will be sent asks for no more than that. What would be refused later is refused before
//! there is a handle, and the handle that there is takes nothing else anywhere.

use http::Method;

use crate::egress::Url;
use crate::name::FieldName;
use crate::tools::{Destination, Tool};

use super::BrokerError;
use super::crossing::{Crossing, scheme_of};
use super::lane::bound;
use super::resolve::Filled;

/// A request to one place. Where its URL has a query, that is part of it; where not, any may be sent.
#[derive(Clone, Debug)]
pub struct Only {
    method: Method,
    url: Url,
}

impl Only {
    /// A request of this method to this URL.
    #[must_use]
    pub const fn new(method: Method, url: Url) -> Self {
        Self { method, url }
    }

    fn destination(&self) -> Destination<'_> {
        Destination {
            method: &self.method,
            scheme: scheme_of(&self.url),
            host: self.url.host(),
            port: self.url.port(),
            path: self.url.path(),
        }
    }

    /// Refuses it where no binding of the tool admits it with what fills the fields.
    pub(super) fn check<'a>(
        &self,
        tool: &Tool,
        filled: impl Iterator<Item = (&'a FieldName, &'a Filled)>,
    ) -> Result<(), BrokerError> {
        let binding = bound(tool, &self.destination(), filled);
        let binding = binding.filter(|binding| !binding.only_actions);
        binding.map(drop).ok_or(BrokerError::Unbound)
    }

    /// Refuses a request that is another one.
    pub(super) fn admits(&self, crossing: &Crossing) -> Result<(), BrokerError> {
        let (meant, sent) = (self.destination(), crossing.destination());
        let same = meant.method == sent.method
            && meant.scheme == sent.scheme
            && meant.host == sent.host
            && meant.port == sent.port
            && meant.path == sent.path;
        let query = self.url.query();
        if same && query.is_none_or(|query| query == crossing.query) {
            Ok(())
        } else {
            Err(BrokerError::AnotherRequest)
        }
    }
}
