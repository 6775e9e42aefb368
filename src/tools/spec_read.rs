//! Three ways into a [`ToolSpec`], one set of rules: TOML files, RunTools' JSON, our own JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use super::binding::Binding;
use super::error::{Rule, ToolError};
use super::parameters::Parameters;
use super::reader::{Item, Object, Spelling, name};
use super::schemas::Schemas;
use super::spec::{Action, CredentialSpec, Field, OAuthSpec, ToolSpec, default_secret};
use super::template::HttpTemplate;
use crate::name::{ActionName, FieldName, ProviderId, SecretName, ToolSlug, VariableName};
use crate::wire::MAX_SPEC_BYTES;

/// The most actions of a tool.
const MAX_ACTIONS: usize = 200;
/// The most credential fields of a tool.
const MAX_FIELDS: usize = 32;
/// The most bindings of a tool.
const MAX_BINDINGS: usize = 16;
/// The most strings of a document, as of any body: a shipped tool of 13 actions has close to 800, and
/// there may be 200 actions.
const MAX_STRINGS: usize = 4_000;
/// The deepest document.
const MAX_DEPTH: usize = 32;
/// The most environment variables of a field.
const MAX_VARIABLES: usize = 8;
/// The longest description, in bytes.
const MAX_TEXT: usize = 4 * 1024;
/// The longest name, category or version, in bytes.
const MAX_LABEL: usize = 128;

impl ToolSpec {
    /// Reads a TOML file; the manual page "tools" describes it.
    ///
    /// # Errors
    /// [`ToolError`] with a pointer to the key that is wrong, or the line that is no TOML.
    pub fn from_toml(text: &str) -> Result<Self, ToolError> {
        check_size(text.len())?;
        let value: Value = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(0, |before| before.matches('\n').count() + 1);
            ToolError::new("", Rule::Syntax { line })
        })?;
        if !within_bounds(&value, MAX_DEPTH, &mut { MAX_STRINGS }) {
            let (limit, unit) = (MAX_STRINGS, "strings, 32 levels deep");
            return Err(ToolError::new("", Rule::TooLarge { limit, unit }));
        }
        native(Item::root(value, Spelling::Snake))
    }

    /// Reads the canonical JSON form that [`ToolSpec::to_json`] writes.
    ///
    /// # Errors
    /// [`ToolError`], as for a TOML file.
    pub fn from_json(value: Value) -> Result<Self, ToolError> {
        native(Item::root(value, Spelling::Camel))
    }

    /// Reads the body of `POST /v1/tools/custom`: RunTools' `credentialsJson`, `actionsJson` and
    /// `parametersJson` (the schema of actions that state none), with our `bindings`, or `hosts` and
    /// `slots` as the short form of one binding, and `http` in an action.
    ///
    /// # Errors
    /// [`ToolError`] with a pointer into the body.
    pub fn from_custom_json(body: Value) -> Result<Self, ToolError> {
        check_size(body.to_string().len())?;
        custom(Item::root(body, Spelling::Camel))
    }
}

fn check_size(bytes: usize) -> Result<(), ToolError> {
    if bytes > MAX_SPEC_BYTES {
        let (limit, unit) = (MAX_SPEC_BYTES, "bytes");
        return Err(ToolError::new("", Rule::TooLarge { limit, unit }));
    }
    Ok(())
}

/// Whether a document has no more strings and levels than are read of a body of JSON, keys counted.
fn within_bounds(value: &Value, depth: usize, strings: &mut usize) -> bool {
    match value {
        Value::String(_) => counted(strings),
        Value::Array(items) => {
            depth > 0
                && items
                    .iter()
                    .all(|item| within_bounds(item, depth - 1, strings))
        }
        Value::Object(map) => {
            depth > 0
                && map
                    .values()
                    .all(|item| counted(strings) && within_bounds(item, depth - 1, strings))
        }
        _ => true,
    }
}

fn counted(left: &mut usize) -> bool {
    let fewer = left.checked_sub(1);
    *left = fewer.unwrap_or_default();
    fewer.is_some()
}

/// The labels every form has.
struct Labels {
    slug: ToolSlug,
    name: String,
    description: String,
    category: String,
    version: String,
    code: Option<Box<str>>,
}

fn read_labels(object: &mut Object) -> Result<Labels, ToolError> {
    let slug = object.required("slug")?.name(ToolSlug::parse)?;
    let missing_name = object.fail(Rule::Missing).under("/name");
    let label = |text: Option<String>, default: &str| text.unwrap_or_else(|| default.to_owned());
    Ok(Labels {
        slug,
        name: object.text("name", MAX_LABEL)?.ok_or(missing_name)?,
        description: object.text("description", MAX_TEXT)?.unwrap_or_default(),
        category: label(object.text("category", MAX_LABEL)?, "custom"),
        version: label(object.text("version", MAX_LABEL)?, "1.0.0"),
        code: object
            .text("code", MAX_SPEC_BYTES)?
            .map(String::into_boxed_str),
    })
}

fn assemble(
    labels: Labels,
    credentials: CredentialSpec,
    bindings: Vec<Binding>,
    actions: BTreeMap<ActionName, Action>,
) -> ToolSpec {
    ToolSpec {
        slug: labels.slug,
        name: labels.name,
        description: labels.description,
        category: labels.category,
        version: labels.version,
        code: labels.code,
        credentials,
        bindings,
        actions,
    }
}

fn native(item: Item) -> Result<ToolSpec, ToolError> {
    let mut object = item.object()?;
    let labels = read_labels(&mut object)?;
    let mut fields = BTreeMap::new();
    if let Some(item) = object.optional("credentials") {
        for (key, item) in item.entries(MAX_FIELDS)? {
            let field_name = name(&item.pointer, &key, FieldName::parse)?;
            let mut field = item.object()?;
            let required = field.optional("required").map_or(Ok(true), Item::flag)?;
            let read = read_field(field, required, &labels.slug, &field_name)?;
            fields.insert(field_name, read);
        }
    }
    let oauth = object.optional("oauth");
    let oauth = oauth.map(|item| read_oauth(item, &fields)).transpose()?;
    let bindings = object.optional("bindings");
    let bindings = bindings.map_or(Ok(Vec::new()), read_bindings)?;
    let mut schemas = Schemas::new();
    let no_params = Parameters::none(&mut schemas)?;
    let shared = (&no_params, &mut schemas);
    let actions = read_actions(object.optional("actions"), &bindings, shared)?;
    object.done()?;
    let spec = assemble(labels, CredentialSpec { fields, oauth }, bindings, actions);
    spec.check()?;
    Ok(spec)
}

fn custom(item: Item) -> Result<ToolSpec, ToolError> {
    let mut object = item.object()?;
    let labels = read_labels(&mut object)?;
    let credentials = object.optional("credentials_json");
    let credentials = credentials.map_or(Ok(CredentialSpec::default()), |item| {
        read_custom_credentials(item, &labels.slug)
    })?;
    let bindings = object.optional("bindings");
    let mut bindings = bindings.map_or(Ok(Vec::new()), read_bindings)?;
    match (object.optional("hosts"), object.optional("slots")) {
        (None, None) => {}
        (Some(hosts), slots) => bindings.push(Binding::of_hosts(hosts, slots)?),
        (None, Some(slots)) => {
            let reason = "slots stand beside hosts, or inside a binding";
            return Err(slots.fail(Rule::Slot { reason }));
        }
    }
    let mut schemas = Schemas::new();
    let shared = match object.optional("parameters_json") {
        None => Parameters::none(&mut schemas)?,
        Some(item) => compile(item, &mut schemas)?,
    };
    let shared = (&shared, &mut schemas);
    let actions = read_actions(object.optional("actions_json"), &bindings, shared)?;
    object.done()?;
    let spec = assemble(labels, credentials, bindings, actions);
    spec.check().map_err(|error| in_custom_body(&error))?;
    Ok(spec)
}

/// Checks across parts speak of `/actions`; in RunTools' body that is `/actionsJson`.
fn in_custom_body(error: &ToolError) -> ToolError {
    let pointer = match error.pointer().strip_prefix("/actions/") {
        Some(rest) => format!("/actionsJson/{rest}"),
        None => error.pointer().to_owned(),
    };
    ToolError::new(pointer, error.rule().clone())
}

fn read_field(
    mut object: Object,
    required: bool,
    slug: &ToolSlug,
    field: &FieldName,
) -> Result<Field, ToolError> {
    let description = object.text("description", MAX_TEXT)?.unwrap_or_default();
    let secret = match object.optional("secret") {
        None => default_secret(slug, field),
        Some(item) => Some(item.name(SecretName::parse)?),
    };
    let placeholder_prefix = match object.optional("placeholder_prefix") {
        None => None,
        Some(item) => Some(item.name(placeholder_prefix)?),
    };
    let env = match object.optional("env") {
        None => {
            let name = secret.as_ref().map(SecretName::as_str);
            let name = name.and_then(|name| VariableName::parse(name).ok());
            name.into_iter().collect()
        }
        Some(item) => {
            let items = item.list(MAX_VARIABLES)?.into_iter();
            let read = items.map(|item| item.name(VariableName::parse));
            read.collect::<Result<_, _>>()?
        }
    };
    object.done()?;
    Ok(Field {
        description,
        required,
        secret,
        placeholder_prefix,
        env,
    })
}

/// Placeholders are unreserved characters, so that no encoding changes them (RFC 3986, 2.3).
fn placeholder_prefix(text: &str) -> Result<Box<str>, &'static str> {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if (1..=16).contains(&text.len()) && text.bytes().all(unreserved) {
        Ok(text.into())
    } else {
        Err("a placeholder's prefix is 1 to 16 letters, digits and - . _ ~")
    }
}

fn read_custom_credentials(item: Item, slug: &ToolSlug) -> Result<CredentialSpec, ToolError> {
    let mut object = item.object()?;
    let mut required = BTreeMap::new();
    if let Some(item) = object.optional("required") {
        for item in item.list(MAX_FIELDS)? {
            let pointer = item.pointer.clone();
            required.insert(item.name(FieldName::parse)?, pointer);
        }
    }
    let mut fields = BTreeMap::new();
    if let Some(item) = object.optional("schema") {
        for (key, item) in item.entries(MAX_FIELDS)? {
            let field_name = name(&item.pointer, &key, FieldName::parse)?;
            let mut field = item.object()?;
            if let Some(kind) = field.optional("type") {
                let parse = |text: &str| {
                    (text == "string")
                        .then_some(())
                        .ok_or("a field is of type string")
                };
                kind.name(parse)?;
            }
            let required = required.remove(&field_name).is_some();
            let read = read_field(field, required, slug, &field_name)?;
            fields.insert(field_name, read);
        }
    }
    if let Some(pointer) = required.into_values().next() {
        let reason = "a required field is not in the schema of the credentials";
        return Err(ToolError::new(pointer, Rule::Slot { reason }));
    }
    let oauth = object.optional("oauth");
    let oauth = oauth.map(|item| read_oauth(item, &fields)).transpose()?;
    object.done()?;
    Ok(CredentialSpec { fields, oauth })
}

fn read_oauth(item: Item, fields: &BTreeMap<FieldName, Field>) -> Result<OAuthSpec, ToolError> {
    let mut object = item.object()?;
    let provider = object.required("provider")?.name(ProviderId::parse)?;
    let mut scopes = Vec::new();
    if let Some(item) = object.optional("scopes") {
        for item in item.list(64)? {
            scopes.push(item.name(scope)?);
        }
    }
    let mapping = object.required("credential_mapping")?;
    let pointer = mapping.pointer.clone();
    let mut credential_mapping = BTreeMap::new();
    for (key, item) in mapping.entries(MAX_FIELDS)? {
        let field = name(&item.pointer, &key, FieldName::parse)?;
        if !fields.contains_key(&field) {
            let reason = "the mapping names a field that the tool's credentials do not have";
            return Err(item.fail(Rule::Slot { reason }));
        }
        credential_mapping.insert(field, item.name(token_member)?);
    }
    if credential_mapping.is_empty() {
        return Err(ToolError::new(pointer, Rule::Missing));
    }
    object.done()?;
    Ok(OAuthSpec {
        provider,
        scopes,
        credential_mapping,
    })
}

/// RFC 6749, 3.3.
fn scope(text: &str) -> Result<String, &'static str> {
    let token = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if (1..=256).contains(&text.len()) && text.bytes().all(token) {
        Ok(text.to_owned())
    } else {
        Err("a scope is visible ASCII without spaces, quotes and backslashes")
    }
}

/// A refresh token renews itself for ever: no tool gets one, whatever its author asks for.
fn token_member(text: &str) -> Result<String, &'static str> {
    let refresh = text.to_ascii_lowercase().contains("refresh");
    let word = FieldName::parse(text).is_ok();
    if word && !refresh {
        Ok(text.to_owned())
    } else {
        Err("a member of the token answer, such as access_token, and never a refresh token")
    }
}

fn read_bindings(item: Item) -> Result<Vec<Binding>, ToolError> {
    let items = item.list(MAX_BINDINGS)?.into_iter();
    items.map(Binding::read).collect()
}

fn compile(item: Item, schemas: &mut Schemas) -> Result<Parameters, ToolError> {
    let compiled = schemas.compile(item.value);
    compiled.map_err(|error| error.under(&item.pointer))
}

fn read_actions(
    item: Option<Item>,
    bindings: &[Binding],
    (shared, schemas): (&Parameters, &mut Schemas),
) -> Result<BTreeMap<ActionName, Action>, ToolError> {
    let mut actions = BTreeMap::new();
    let entries = item.map_or(Ok(Vec::new()), |item| item.entries(MAX_ACTIONS))?;
    for (key, item) in entries {
        let action_name = name(&item.pointer, &key, ActionName::parse)?;
        let mut object = item.object()?;
        let description = object.text("description", MAX_TEXT)?.unwrap_or_default();
        let parameters = match object.optional("parameters") {
            None => shared.clone(),
            Some(item) => compile(item, schemas)?,
        };
        let http = object.optional("http");
        let http = http
            .map(|item| HttpTemplate::read(item, bindings))
            .transpose()?;
        object.done()?;
        let action = Action {
            description,
            parameters,
            http,
        };
        actions.insert(action_name, action);
    }
    Ok(actions)
}
