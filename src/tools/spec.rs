//! A tool: what it needs, where that may go, and what it can do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::binding::{Binding, Destination, HostSource};
use super::error::{Rule, ToolError};
use super::parameters::Parameters;
use super::slot::Slot;
use super::template::HttpTemplate;
use super::template_render::RenderedRequest;
use crate::name::{
    ActionName, FieldName, Fields, Host, HostPattern, ProviderId, SecretName, ToolSlug,
    VariableName,
};

/// A tool's spec, checked as a whole: what exists is consistent.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// The slug, unique among the tools a caller sees.
    pub slug: ToolSlug,
    /// The name people read.
    pub name: String,
    /// One or two sentences.
    pub description: String,
    /// A group, such as `payments`.
    pub category: String,
    /// The version its author gave it.
    pub version: String,
    /// What it needs.
    pub credentials: CredentialSpec,
    /// Where that may go. Empty for a tool that only runs as code elsewhere: then no credential of
    /// it can be lent.
    pub bindings: Vec<Binding>,
    /// What it can do.
    pub actions: BTreeMap<ActionName, Action>,
    /// The source the author sent along. The broker keeps it and never runs it.
    pub code: Option<Box<str>>,
}

/// The credentials a tool needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialSpec {
    /// The fields, by name.
    pub fields: BTreeMap<FieldName, Field>,
    /// The provider whose connection can fill them.
    pub oauth: Option<OAuthSpec>,
}

/// One credential field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is and where to get it.
    pub description: String,
    /// Whether the tool works without it.
    pub required: bool,
    /// The secret that fills it when nothing nearer does: as the spec says, else
    /// `<SLUG>_<FIELD>` in upper snake case. `None` only where that is no legal name.
    pub secret: Option<SecretName>,
    /// How a placeholder of this field begins, for SDKs that look at the shape of a key.
    pub placeholder_prefix: Option<Box<str>>,
    /// The environment variables in which programs look for it: as the spec says, else one of the name
    /// of its secret, where that may be one.
    pub env: Vec<VariableName>,
}

/// How a connected account fills a tool's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthSpec {
    /// The provider.
    pub provider: ProviderId,
    /// The scopes the tool's actions need.
    pub scopes: Vec<String>,
    /// For each field the member of the token answer that fills it; never a refresh token.
    pub credential_mapping: BTreeMap<FieldName, String>,
}

/// One thing a tool can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// One sentence.
    pub description: String,
    /// Its parameters.
    pub parameters: Parameters,
    /// The request the broker itself makes for it; without one the action runs as code elsewhere.
    pub http: Option<HttpTemplate>,
}

/// How a tool gets its credentials, in RunTools' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialMode {
    /// It needs none.
    None,
    /// Stored secrets.
    Secret,
    /// A connected account, or stored secrets.
    OAuth,
}

impl fmt::Display for CredentialMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Secret => "secret",
            Self::OAuth => "oauth",
        })
    }
}

impl Action {
    /// Whether [`render`](Self::render) takes so little that nobody waits for it: how long a check takes,
    /// the author of a schema decides.
    #[must_use]
    pub fn is_quick(&self, params: &Value) -> bool {
        self.http.is_none() || self.parameters.is_quick(params)
    }

    /// Checks the parameters and renders the request.
    ///
    /// # Errors
    /// [`Rule::Action`] when the action has no template, [`Rule::Parameter`], [`Rule::Missing`],
    /// [`Rule::UnknownKey`] or [`Rule::Placement`] with a pointer to the parameter.
    pub fn render(&self, params: &Value) -> Result<RenderedRequest, ToolError> {
        let Some(http) = &self.http else {
            let reason = "the action runs as code outside the broker and has no request of its own";
            return Err(ToolError::new("", Rule::Action { reason }));
        };
        self.parameters.check(params)?;
        let expected = "an object";
        let params = params.as_object();
        http.render(params.ok_or_else(|| ToolError::new("", Rule::Type { expected }))?)
    }
}

/// `<SLUG>_<FIELD>` in upper snake case: `custom-crm` and `apiKey` make `CUSTOM_CRM_API_KEY`.
#[must_use]
pub fn default_secret(slug: &ToolSlug, field: &FieldName) -> Option<SecretName> {
    let mut name = slug.as_str().replace('-', "_");
    name.push('_');
    let mut before = '_';
    let mut letters = field.as_str().chars().peekable();
    while let Some(c) = letters.next() {
        // A word starts where upper case follows lower case or a digit, and at the last capital
        // before lower case: `apiKey`, `awsS3Key`, `HTTPToken`.
        let ends_capitals =
            before.is_ascii_uppercase() && letters.peek().is_some_and(char::is_ascii_lowercase);
        let starts_word = before.is_ascii_lowercase() || before.is_ascii_digit() || ends_capitals;
        if c.is_ascii_uppercase() && starts_word {
            name.push('_');
        }
        name.push(c);
        before = c;
    }
    SecretName::parse(&name).ok()
}

impl ToolSpec {
    /// The action `name`.
    ///
    /// # Errors
    /// [`Rule::Action`] when the tool has none of that name.
    pub fn action(&self, name: &ActionName) -> Result<&Action, ToolError> {
        let reason = "the tool has no such action";
        self.actions
            .get(name)
            .ok_or_else(|| ToolError::new("", Rule::Action { reason }))
    }

    /// The binding under which a request to `to` may go out with the credentials at hand: the first
    /// that admits it and has a slot for one of them. `at_hand` holds for each field that was
    /// resolved the own host bindings of its secret, empty for a secret without one. A binding
    /// without slots serves a request without credentials.
    #[must_use]
    pub fn binding_for(
        &self,
        to: &Destination<'_>,
        at_hand: &Fields<Vec<HostPattern>>,
    ) -> Option<&Binding> {
        self.bindings.iter().find(|binding| {
            let used: BTreeSet<&FieldName> = binding.fields().collect();
            let own = at_hand.iter().filter(|(field, _)| used.contains(field));
            let lent: Vec<&[HostPattern]> = own.map(|(_, hosts)| hosts.as_slice()).collect();
            (used.is_empty() || !lent.is_empty()) && binding.admits(to, &lent)
        })
    }

    /// Whether a binding names `host`, or a pattern for it and what stands in its place looks like a name.
    #[must_use]
    pub fn declares(&self, host: &Host) -> bool {
        self.bindings.iter().any(|binding| binding.declares(host))
    }

    /// How the tool gets its credentials.
    #[must_use]
    pub fn credential_mode(&self) -> CredentialMode {
        match (&self.credentials.oauth, self.credentials.fields.is_empty()) {
            (_, true) => CredentialMode::None,
            (None, false) => CredentialMode::Secret,
            (Some(_), false) => CredentialMode::OAuth,
        }
    }

    /// The fields every call needs.
    pub fn required_fields(&self) -> impl Iterator<Item = &FieldName> {
        let fields = self.credentials.fields.iter();
        fields.filter_map(|(name, field)| field.required.then_some(name))
    }

    /// The tool as `GET /v1/tools/{slug}` shows it: RunTools' shapes, without code, private ranges
    /// and templates.
    #[must_use]
    pub fn to_public_json(&self) -> Value {
        let action = |(name, action): (&ActionName, &Action)| {
            let shown = json!({
                "description": action.description,
                "parameters": action.parameters.schema(),
                "executable": action.http.is_some(),
            });
            (name.to_string(), shown)
        };
        let field = |(name, field): (&FieldName, &Field)| {
            let shown = json!({
                "type": "string",
                "description": field.description,
                "secret": field.secret,
                "env": field.env,
            });
            (name.to_string(), shown)
        };
        let required: Vec<_> = self.required_fields().collect();
        let mut credentials = json!({
            "required": required,
            "schema": self.credentials.fields.iter().map(field).collect::<Map<_, _>>(),
        });
        if let (Some(oauth), Value::Object(map)) = (&self.credentials.oauth, &mut credentials) {
            map.insert("oauth".to_owned(), oauth.to_json());
        }
        json!({
            "slug": self.slug,
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "version": self.version,
            "credentialMode": self.credential_mode().to_string(),
            "credentials": credentials,
            "hosts": self.hosts(),
            "hostsFromSecret": self.bindings.iter().any(|b| b.hosts == HostSource::FromSecret),
            "actions": self.actions.iter().map(action).collect::<Map<_, _>>(),
        })
    }

    /// Every host pattern of its bindings, sorted, each once.
    fn hosts(&self) -> BTreeSet<String> {
        let listed = self
            .bindings
            .iter()
            .filter_map(|binding| match &binding.hosts {
                HostSource::Listed(hosts) => Some(hosts),
                HostSource::FromSecret => None,
            });
        listed.flatten().map(ToString::to_string).collect()
    }

    /// The canonical JSON form, from which [`ToolSpec::from_json`] makes an equal spec.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let field = |(name, field): (&FieldName, &Field)| {
            let shown = json!({
                "description": field.description,
                "required": field.required,
                "secret": field.secret,
                "placeholderPrefix": field.placeholder_prefix,
                "env": field.env,
            });
            (name.to_string(), shown)
        };
        let action = |(name, action): (&ActionName, &Action)| {
            let shown = json!({
                "description": action.description,
                "parameters": action.parameters.schema(),
                "http": action.http.as_ref().map(HttpTemplate::to_json),
            });
            (name.to_string(), shown)
        };
        json!({
            "slug": self.slug,
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "version": self.version,
            "code": self.code,
            "credentials": self.credentials.fields.iter().map(field).collect::<Map<_, _>>(),
            "oauth": self.credentials.oauth.as_ref().map(OAuthSpec::to_json),
            "bindings": self.bindings.iter().map(Binding::to_json).collect::<Vec<_>>(),
            "actions": self.actions.iter().map(action).collect::<Map<_, _>>(),
        })
    }

    /// Whether the binding sends what signs in any of them.
    fn sends_a_key(&self, binding: &Binding) -> bool {
        let signers = self.bindings.iter().filter_map(Binding::signer);
        let keys: Vec<_> = signers.map(|(key, _)| key).collect();
        let mut slots = binding
            .slots
            .iter()
            .flat_map(|(field, slots)| slots.iter().map(move |slot| (field, slot)));
        slots.any(|(field, slot)| {
            let sent = (!matches!(slot, Slot::Signed(_))).then_some(field);
            let mut sent = slot.others().into_iter().chain(sent);
            sent.any(|field| keys.contains(&field))
        })
    }

    /// Its size in memory, roughly, in bytes.
    pub(super) fn size(&self) -> usize {
        let schemas = self.actions.values().map(|action| action.parameters.size());
        schemas.sum::<usize>() + 4 * self.to_json().to_string().len()
    }

    /// Checks what spans several parts: fields against slots, templates against bindings.
    pub(super) fn check(&self) -> Result<(), ToolError> {
        let fields: BTreeSet<&FieldName> = self.credentials.fields.keys().collect();
        for (index, binding) in self.bindings.iter().enumerate() {
            if !binding.fields().all(|field| fields.contains(field)) {
                let reason = "a slot names a field that the tool's credentials do not have";
                let place = format!("/bindings/{index}/slots");
                return Err(ToolError::new(place, Rule::Slot { reason }));
            }
        }
        let has_slot = |field: &&FieldName| self.bindings.iter().any(|b| b.uses(field));
        if !self.bindings.is_empty() && !fields.iter().all(has_slot) {
            let reason = "a credential field has no slot in any binding, so it could never be used";
            return Err(ToolError::new("/bindings", Rule::Slot { reason }));
        }
        if let Some(index) = self.bindings.iter().position(|b| self.sends_a_key(b)) {
            let reason = "a field that signs is never sent, so it has no other slot, in no binding";
            let place = format!("/bindings/{index}/slots");
            return Err(ToolError::new(place, Rule::Slot { reason }));
        }
        for (name, action) in &self.actions {
            let Some(http) = &action.http else { continue };
            http.check(&action.parameters, &fields, &self.bindings)
                .map_err(|rule| ToolError::new(format!("/actions/{name}/http"), rule))?;
        }
        Ok(())
    }
}

impl OAuthSpec {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "provider": self.provider,
            "scopes": self.scopes,
            "credentialMapping": self.credential_mapping,
        })
    }
}

impl Serialize for ToolSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ToolSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
