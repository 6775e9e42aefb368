//! What callers of the lanes bring: what is to be resolved, a handle, a request.

use std::time::Duration;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue, Method};

use crate::directory::Recognised;
use crate::egress::Url;
use crate::policy::{Permit, ResolveTool, UseHandle};
use crate::tools::Tool;

use super::crossing::{Cargo, Crossing, Placing};
use super::{Ask, BrokerError, Handshake, Only};

/// What is to be resolved, and on which terms.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// That the caller may resolve the tool.
    pub permit: &'a Permit<ResolveTool>,
    /// The tool.
    pub tool: Tool,
    /// What the request names. It brings no values: a handle keeps none.
    pub ask: Ask,
    /// The tool call that it is for, as the caller names it.
    pub call: Option<String>,
    /// The one request that it is for.
    pub only: Option<Only>,
    /// For how long; a minute unless it says so, a quarter of an hour at most.
    pub life: Option<Duration>,
    /// How often; once unless it says so, a thousand times at most.
    pub uses: Option<u32>,
    /// Who asks, where the handle is to be one of the egress proxy's: it stands for them there.
    pub proxied: Option<Recognised>,
}

/// A handle as a caller sends it, and who sends it.
#[derive(Debug)]
pub struct Used<'a> {
    /// That the caller may use handles.
    pub permit: &'a Permit<UseHandle>,
    /// The caller, so that it can be asked later whether they are still who they were.
    pub seen: &'a Recognised,
    /// The handle's text.
    pub handle: &'a [u8],
    /// The tool call that it is used in.
    pub call: Option<&'a str>,
}

/// A request to an upstream, as a caller wants it made: what every lane that goes by handles brings to
/// [`Broker::open`](super::Broker::open). Credentials are put in, each into its slot.
#[derive(Debug)]
pub struct Errand {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) cargo: Cargo,
    /// How long it may take, where that is less than any may.
    pub(super) patience: Option<Duration>,
    pub(super) placing: Placing,
    /// That it is to open a WebSocket, as its caller asked.
    pub(super) handshake: Option<Handshake>,
}

impl Errand {
    /// A request to `url`. Its body is read until it ends, or until there is more of it than is held
    /// back; `length` is what its sender announced, `most` how large it may be.
    ///
    /// # Errors
    /// When the body breaks off.
    pub async fn gather<B>(
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: B,
        (length, most): (Option<u64>, u64),
    ) -> Result<Self, BrokerError>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<crate::egress::BodyError>,
    {
        let cargo = Cargo::gather(body, (length, most)).await?;
        Ok(Self {
            method,
            url,
            headers,
            cargo,
            patience: None,
            placing: Placing::Fill,
            handshake: None,
        })
    }

    /// The same, in which a credential goes only where its placeholder stands: of tool code that was not
    /// changed, and writes its credentials itself. One that signs has no such place, and is always used.
    #[must_use]
    pub const fn swapping(mut self) -> Self {
        self.placing = Placing::Swap;
        self
    }

    /// The same, which must be over after `patience`, answer and all.
    #[must_use]
    pub const fn within(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// A request to open a WebSocket at `url` (RFC 6455, 4.1), as `handshake` asks for it.
    /// What `headers` say of a key and of extensions is the caller's, and stays with them. The list of
    /// subprotocols is written in one way, `a, b`, so that a slot in it has one spelling.
    #[must_use]
    pub fn socket(url: Url, mut headers: HeaderMap, handshake: Handshake) -> Self {
        if let Some(list) = one_list(&headers) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, list);
        }
        Self {
            method: Method::GET,
            url,
            headers,
            cargo: Cargo::None,
            patience: None,
            placing: Placing::Fill,
            handshake: Some(handshake),
        }
    }

    /// What of it goes on its way.
    pub(super) fn crossing(self) -> Crossing {
        Crossing::new(
            self.method,
            &self.url,
            self.headers,
            self.cargo,
            self.placing,
        )
    }

    /// A request whose body is JSON that is not written yet, so that credentials can stand in it.
    #[must_use]
    pub fn json(method: Method, url: Url, headers: HeaderMap, body: serde_json::Value) -> Self {
        Self {
            method,
            url,
            headers,
            cargo: Cargo::Json(body),
            patience: None,
            placing: Placing::Fill,
            handshake: None,
        }
    }
}

/// The subprotocols that are offered, as one list.
fn one_list(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let words: Vec<_> = words.map(<[u8]>::trim_ascii).collect();
    if words.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(&words.join(&b", "[..])).ok()
}
