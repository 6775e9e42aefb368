//! A request on its way to an upstream, as every lane hands it to the one pipeline.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use serde_json::Value;

use crate::egress::{self, BodyError, EgressError, Origin, Url, folded};
use crate::name::Host;
use crate::tools::{self, Binding, Destination, PlaceName, RenderedRequest, Scheme};

use super::BrokerError;

/// How much of a body is held back until the request is decided on: what is shorter is searched for
/// placeholders before a byte goes out, what is longer as it goes.
pub(crate) const HELD: usize = 1 << 20;

/// How credentials come into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placing {
    /// Each field that the binding places stands in its slot, whether or not the request has its
    /// placeholder there: the caller writes no credential.
    Fill,
    /// Only what the request has a placeholder for, where that stands: tool code that was not changed
    /// writes its credentials itself.
    Swap,
}

/// A request without its credentials. All of its target comes from one reading of one URL.
pub(crate) struct Crossing {
    pub(super) method: Method,
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
    /// Percent-encoded.
    pub(super) path: String,
    /// Percent-encoded, without `?`; empty when there is none.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) cargo: Cargo,
    pub(super) placing: Placing,
    /// Segments that a template leaves to a slot; `None` when the binding's paths say which.
    places: Option<Vec<(usize, PlaceName)>>,
}

/// A request's body.
pub(crate) enum Cargo {
    /// None.
    None,
    /// JSON that is not written yet.
    Json(Value),
    /// A form that is not written yet.
    Form(Vec<(String, String)>),
    /// Whatever it is, whole.
    Whole(Bytes),
    /// Too long to be held back: its beginning, and what is still to come.
    Stream(Stream),
}

/// A body of which only the beginning has arrived.
pub(crate) struct Stream {
    pub(super) begins: Bytes,
    pub(super) rest: UnsyncBoxBody<Bytes, BodyError>,
    /// How many bytes it has in all, where its sender said so.
    pub(super) length: Option<u64>,
    /// How many it may have.
    pub(super) most: u64,
}

impl Crossing {
    /// A request to `url`, without what its headers say of the caller's own connection: what is searched,
    /// filled and signed is what is sent.
    pub(crate) fn new(
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        cargo: Cargo,
        placing: Placing,
    ) -> Self {
        egress::strip_hop(&mut headers);
        // The mark says that the broker placed a header: nobody else sets it.
        for value in headers.values_mut() {
            value.set_sensitive(false);
        }
        Self {
            method,
            scheme: scheme_of(url),
            host: url.host().clone(),
            port: url.port(),
            path: url.path().to_owned(),
            query: url.query().unwrap_or_default().to_owned(),
            headers,
            cargo,
            placing,
            places: None,
        }
    }

    /// The request of a declared action.
    pub(super) fn rendered(rendered: RenderedRequest) -> Result<Self, BrokerError> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("runtools-broker"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        for (name, value) in rendered.headers {
            let value = HeaderValue::from_str(&value)
                .map_err(|_| BrokerError::Placement("a header of the template has a line break"))?;
            headers.insert(name, value);
        }
        Ok(Self {
            method: rendered.method,
            scheme: rendered.scheme,
            host: rendered.host,
            port: rendered.port,
            path: rendered.path,
            query: rendered.query,
            headers,
            cargo: match rendered.body {
                tools::Body::None => Cargo::None,
                tools::Body::Json(value) => Cargo::Json(value),
                tools::Body::Form(fields) => Cargo::Form(fields),
            },
            placing: Placing::Fill,
            places: Some(rendered.places),
        })
    }

    /// Refuses headers that would have the upstream take a request for another one.
    ///
    /// # Errors
    /// [`BrokerError::Steering`].
    pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), BrokerError> {
        let steering = |name: &HeaderName| {
            let name = &*folded(name);
            tools::STEERING.iter().find(|steering| **steering == name)
        };
        match headers.keys().find_map(steering) {
            Some(name) => Err(BrokerError::Steering(name)),
            None => Ok(()),
        }
    }

    /// What a binding looks at.
    pub(super) fn destination(&self) -> Destination<'_> {
        Destination {
            method: &self.method,
            scheme: self.scheme,
            host: &self.host,
            port: self.port,
            path: &self.path,
        }
    }

    /// Where it goes.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            scheme: match self.scheme {
                Scheme::Http => egress::Scheme::Http,
                Scheme::Https => egress::Scheme::Https,
            },
            host: self.host.clone(),
            port: self.port,
        }
    }

    /// The URL that is dialled.
    pub(super) fn url(&self) -> Result<Url, EgressError> {
        Url::parse(&format!("{}{}", self.origin(), self.target()))
    }

    /// Path and query as a request line has them.
    pub(super) fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// The segments of its path, counted from 0, that are places of `binding`.
    pub(super) fn places(&self, binding: &Binding) -> Vec<(usize, PlaceName)> {
        if let Some(places) = &self.places {
            return places.clone();
        }
        let slots = binding.slots.values().flatten();
        let names = slots.filter_map(|slot| match slot {
            tools::Slot::PathSegment { name } => Some(name),
            _ => None,
        });
        let place = |name: &PlaceName| Some((binding.place_in(&self.path, name)?, name.clone()));
        names.filter_map(place).collect()
    }

    /// What its body says that it is, in lower case and without parameters.
    pub(super) fn content_type(&self) -> String {
        let kind = self.headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }
}

/// The scheme of a URL, as bindings know it.
pub(super) const fn scheme_of(url: &Url) -> Scheme {
    match url.scheme() {
        egress::Scheme::Http => Scheme::Http,
        egress::Scheme::Https => Scheme::Https,
    }
}

impl Cargo {
    /// Reads `body` until it ends, or until there is more of it than is held back. `length` is what its
    /// sender announced; of one that is larger than `most`, which is no less than what is held back, nothing
    /// is read.
    ///
    /// # Errors
    /// [`EgressError::Upload`] when it breaks off.
    pub(crate) async fn gather<B>(
        body: B,
        (length, most): (Option<u64>, u64),
    ) -> Result<Self, BrokerError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        // As most requests are.
        if body.is_end_stream() {
            return Ok(Self::None);
        }
        let broken = |_| BrokerError::Egress(EgressError::Upload);
        let mut body = body.map_err(Into::into).boxed_unsync();
        let mut begins = BytesMut::new();
        let fits = length.is_none_or(|length| length <= most);
        while fits && begins.len() <= HELD {
            match body.frame().await.transpose().map_err(broken)? {
                Some(frame) => begins.extend_from_slice(&frame.into_data().unwrap_or_default()),
                None if begins.is_empty() => return Ok(Self::None),
                None => return Ok(Self::Whole(begins.freeze())),
            }
        }
        Ok(Self::Stream(Stream {
            begins: begins.freeze(),
            rest: body,
            length,
            most,
        }))
    }

    /// Refuses a body that is larger than it may be, as far as is known yet.
    ///
    /// # Errors
    /// [`BrokerError::TooLarge`].
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        let Self::Stream(Stream {
            begins,
            length,
            most,
            ..
        }) = self
        else {
            return Ok(());
        };
        let begins = u64::try_from(begins.len()).unwrap_or(u64::MAX);
        if begins.max(length.unwrap_or_default()) > *most {
            return Err(BrokerError::TooLarge { most: *most });
        }
        Ok(())
    }
}

impl fmt::Debug for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crossing({} {})", self.method, self.host)
    }
}

impl fmt::Debug for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Cargo(none)",
            Self::Json(_) => "Cargo(json)",
            Self::Form(_) => "Cargo(form)",
            Self::Whole(_) => "Cargo(whole)",
            Self::Stream(_) => "Cargo(stream)",
        })
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}
