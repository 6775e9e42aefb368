//! What a record may say. This is an allow-list: there is no field for a value, a body, a path or a
//! query string, so none can be recorded by mistake.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Action, Actor};
use crate::id::{ObjectId, OrgId, RequestId, UserId};
use crate::name::{ActionName, FieldName, Fields, Host, ToolSlug};

/// The longest name of a target that is kept, in characters.
const MAX_NAME: usize = 256;

/// A word of our own: a refusal's code, a source's kind. At most 64 of `[a-z0-9_.:-]`, so that no
/// free text, and no value, ends up where a code belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// Reads a code; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.:-".contains(&b);
        let sound = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        sound.then(|| Self(Cow::Owned(text.to_owned())))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What stands in the source is ours.
impl From<&'static str> for Code {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Cow::Owned(text)))
    }
}

/// What kind of thing was acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A secret.
    Secret,
    /// A tool.
    Tool,
    /// An API key.
    ApiKey,
    /// A service.
    Service,
    /// An organisation.
    Org,
    /// A membership.
    Member,
    /// A user.
    User,
    /// A connection.
    Connection,
    /// A resolution: what a handle stands for.
    Resolution,
    /// A host besides the upstream, to which something made with a credential goes.
    Endpoint,
    /// An OAuth client.
    Client,
    /// A slot of the key ring, or a key.
    Key,
    /// Anything else.
    Object,
}

/// What was acted upon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What kind of thing.
    pub kind: TargetKind,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<ObjectId>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The version of it that was used or made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<u64>,
}

impl Target {
    /// A target of which only the kind is known.
    #[must_use]
    pub const fn new(kind: TargetKind) -> Self {
        Self {
            kind,
            id: None,
            name: None,
            version: None,
        }
    }

    /// States its id: `id.bytes()` of whichever kind of id it has.
    #[must_use]
    pub const fn id(mut self, id: &[u8; 16]) -> Self {
        self.id = Some(ObjectId::from_bytes(*id));
        self
    }

    /// States its name; of a longer one, the first 256 characters.
    #[must_use]
    pub fn name(mut self, name: impl fmt::Display) -> Self {
        let mut name = name.to_string();
        if let Some((end, _)) = name.char_indices().nth(MAX_NAME) {
            name.truncate(end);
        }
        self.name = Some(name);
        self
    }

    /// States its version.
    #[must_use]
    pub const fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }
}

/// Whether it was allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It was.
    Allowed,
    /// It was not, for this reason.
    Denied(Code),
}

/// What the journal itself has to say about a failure that it recovered from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Bytes of an unfinished write that were cut off.
    pub bytes: u64,
    /// Intents that were refused while the journal could not be written.
    pub refused: u64,
    /// Outcomes that could not be written at all.
    pub outcomes_lost: u64,
}

/// What is recorded: an intent, or a fact that has no outcome of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What is done.
    pub action: Action,
    /// Who does it.
    pub actor: Actor,
    /// For whom, when a service acts for a user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub on_behalf_of: Option<UserId>,
    /// In which organisation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub org: Option<OrgId>,
    /// In which request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request: Option<RequestId>,
    /// From which address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer: Option<IpAddr>,
    /// Upon what.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub targets: Vec<Target>,
    /// Through which tool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tool: Option<ToolSlug>,
    /// Through which action of the tool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tool_action: Option<ActionName>,
    /// At which host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<Host>,
    /// With which HTTP method; `OTHER` for one outside RFC 9110 and PATCH.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<Code>,
    /// What was decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decision: Option<Decision>,
    /// A code that says more about the event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<Code>,
    /// Which source fills each field.
    #[serde(skip_serializing_if = "Fields::is_empty", default)]
    pub sources: Fields<Code>,
    /// Set by the journal alone, in `audit.repaired`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gap: Option<Gap>,
    /// The store's generation when the event was recorded; zero when it has no bearing.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub store_generation: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Event {
    /// An event of which only action and actor are known.
    #[must_use]
    pub const fn new(action: Action, actor: Actor) -> Self {
        Self {
            action,
            actor,
            on_behalf_of: None,
            org: None,
            request: None,
            peer: None,
            targets: Vec::new(),
            tool: None,
            tool_action: None,
            host: None,
            method: None,
            decision: None,
            code: None,
            sources: Fields::new(),
            gap: None,
            store_generation: 0,
        }
    }

    /// States for whom a service acts.
    #[must_use]
    pub fn on_behalf_of(mut self, user: UserId) -> Self {
        self.on_behalf_of = Some(user);
        self
    }

    /// States the organisation. Without one, only an operator sees the record.
    #[must_use]
    pub fn org(mut self, org: OrgId) -> Self {
        self.org = Some(org);
        self
    }

    /// States the request.
    #[must_use]
    pub fn request(mut self, request: RequestId) -> Self {
        self.request = Some(request);
        self
    }

    /// States the caller's address.
    #[must_use]
    pub fn peer(mut self, peer: IpAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Adds a target.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// States the tool.
    #[must_use]
    pub fn tool(mut self, tool: ToolSlug) -> Self {
        self.tool = Some(tool);
        self
    }

    /// States the tool's action.
    #[must_use]
    pub fn tool_action(mut self, action: ActionName) -> Self {
        self.tool_action = Some(action);
        self
    }

    /// States the upstream host.
    #[must_use]
    pub fn host(mut self, host: Host) -> Self {
        self.host = Some(host);
        self
    }

    /// States the HTTP method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        const KNOWN: [&str; 9] = [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
        ];
        let known = KNOWN.into_iter().find(|known| *known == method);
        self.method = Some(known.unwrap_or("OTHER").into());
        self
    }

    /// States that it was allowed.
    #[must_use]
    pub fn allowed(mut self) -> Self {
        self.decision = Some(Decision::Allowed);
        self
    }

    /// States that it was denied, and why.
    #[must_use]
    pub fn denied(mut self, code: impl Into<Code>) -> Self {
        self.decision = Some(Decision::Denied(code.into()));
        self
    }

    /// Adds a code that says more.
    #[must_use]
    pub fn code(mut self, code: impl Into<Code>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// States which source fills a field.
    #[must_use]
    pub fn source(mut self, field: FieldName, source: impl Into<Code>) -> Self {
        self.sources.insert(field, source.into());
        self
    }

    /// States the store's generation.
    #[must_use]
    pub fn store_generation(mut self, generation: u64) -> Self {
        self.store_generation = generation;
        self
    }
}
