//! The HTTP request an action stands for, with parameters in it and credentials nowhere.

use std::collections::{BTreeMap, BTreeSet};

use ::http::{HeaderName, Method};
use serde_json::{Map, Value, json};

use super::binding::{Binding, HostSource, Scheme};
use super::binding_read::method;
use super::error::{Rule, ToolError};
use super::parameters::Parameters;
use super::path::{PathPattern, Step, segments};
use super::reader::{Item, Object};
use super::slot::Slot;
use super::template_parts::{JsonTemplate, read_headers, read_texts};
use super::template_text::{Part, Text};
use super::template_url::Address;
use crate::name::FieldName;

/// A request template. Scheme, host and port are literal; `{name}` stands for a parameter in path
/// segments, query, headers and body. Credentials are placed by slots alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTemplate {
    pub(super) target: Target,
    pub(super) result: Option<Box<str>>,
}

/// What the template asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// One request, written out.
    Fixed(Box<Fixed>),
    /// Any request to a host of the secret's own binding, described by the parameters `method`,
    /// `host`, `path`, `query`, `headers` and `body`.
    Open(Open),
}

/// A request that is written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) method: Method,
    pub(super) address: Address,
    pub(super) query: BTreeMap<String, Text>,
    pub(super) headers: Vec<(HeaderName, Text)>,
    pub(super) body: BodyTemplate,
}

/// What an open request may not choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) port: u16,
    /// Headers and query names that the binding's slots fill.
    pub(super) headers: Vec<HeaderName>,
    pub(super) queries: Vec<Box<str>>,
}

/// The body of a written request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BodyTemplate {
    None,
    Json(JsonTemplate),
    Form(BTreeMap<String, Text>),
}

fn wrong(reason: &'static str) -> Rule {
    Rule::Template { reason }
}

impl HttpTemplate {
    /// A JSON pointer to the part of the upstream's answer that is the action's result.
    #[must_use]
    pub fn result(&self) -> Option<&str> {
        self.result.as_deref()
    }

    /// Whether the parameters choose the host, among those of the secret's own binding.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.target, Target::Open(_))
    }

    pub(super) fn read(item: Item, bindings: &[Binding]) -> Result<Self, ToolError> {
        let mut object = item.object()?;
        let result = object.text("result", 256)?.map(String::into_boxed_str);
        if result.as_deref().is_some_and(|text| !text.starts_with('/')) {
            return Err(object.fail(wrong("result is a JSON pointer, such as /data")));
        }
        let open = object.optional("open").map_or(Ok(false), Item::flag)?;
        let target = if open {
            let open = Open::of(bindings).map_err(|rule| object.fail(rule))?;
            Target::Open(open)
        } else {
            Target::Fixed(Box::new(Fixed::read(&mut object, bindings)?))
        };
        object.done()?;
        Ok(Self { target, result })
    }

    /// Checks the template against what surrounds it: parameters exist and are there when they must
    /// be, no credential is named, and a binding admits the request whatever the parameters are.
    pub(super) fn check(
        &self,
        parameters: &Parameters,
        fields: &BTreeSet<&FieldName>,
        bindings: &[Binding],
    ) -> Result<(), Rule> {
        let Target::Fixed(fixed) = &self.target else {
            return Ok(());
        };
        fixed.check_params(parameters, fields)?;
        let admits: Vec<&Binding> = bindings.iter().filter(|b| fixed.is_admitted(b)).collect();
        if admits.is_empty() {
            return Err(wrong(
                "no binding admits this request: its scheme, host, port, method and path must be in one",
            ));
        }
        if admits.iter().any(|binding| fixed.collides(binding)) {
            return Err(wrong(
                "the template fills a header, query or form name that a slot fills",
            ));
        }
        Ok(())
    }

    /// The canonical JSON form.
    pub(super) fn to_json(&self) -> Value {
        let mut json = match &self.target {
            Target::Open(_) => json!({ "open": true }),
            Target::Fixed(fixed) => fixed.to_json(),
        };
        if let (Some(result), Value::Object(map)) = (&self.result, &mut json) {
            map.insert("result".to_owned(), json!(result));
        }
        json
    }
}

impl Open {
    fn of(bindings: &[Binding]) -> Result<Self, Rule> {
        let mut open = bindings
            .iter()
            .filter(|b| b.hosts == HostSource::FromSecret);
        let (Some(binding), None) = (open.next(), open.next()) else {
            return Err(wrong(
                "an open request needs exactly one binding that takes its hosts from the secret",
            ));
        };
        let slots = || binding.slots.values().flatten();
        Ok(Self {
            port: binding.port,
            headers: slots().flat_map(Slot::headers).collect(),
            queries: slots().filter_map(query_name).map(Box::from).collect(),
        })
    }
}

fn query_name(slot: &Slot) -> Option<&str> {
    match slot {
        Slot::Query { name } => Some(name),
        _ => None,
    }
}

impl Fixed {
    fn read(object: &mut Object, bindings: &[Binding]) -> Result<Self, ToolError> {
        let method = object.required("method")?.name(method)?;
        let url = object.required("url")?;
        let pointer = url.pointer.clone();
        let address = Address::parse(&url.text()?, bindings).map_err(|e| e.under(&pointer))?;
        let query = object
            .optional("query")
            .map_or(Ok(BTreeMap::new()), read_texts)?;
        let headers = object
            .optional("headers")
            .map_or(Ok(Vec::new()), read_headers)?;
        let body = match (object.optional("json"), object.optional("form")) {
            (None, None) => BodyTemplate::None,
            (Some(json), None) => {
                BodyTemplate::Json(JsonTemplate::read(&json.pointer, json.value)?)
            }
            (None, Some(form)) => BodyTemplate::Form(read_texts(form)?),
            (Some(_), Some(_)) => {
                return Err(object.fail(wrong("a request has a json or a form body, not both")));
            }
        };
        if body != BodyTemplate::None && (method == Method::GET || method == Method::HEAD) {
            return Err(object.fail(wrong("a GET or HEAD request has no body")));
        }
        Ok(Self {
            method,
            address,
            query,
            headers,
            body,
        })
    }

    fn check_params(
        &self,
        parameters: &Parameters,
        fields: &BTreeSet<&FieldName>,
    ) -> Result<(), Rule> {
        let outside_path: Vec<&Text> = self.texts_outside_path();
        if outside_path.iter().any(|text| text.has_place()) {
            return Err(wrong("{@name} stands only as a whole path segment"));
        }
        let all = outside_path.iter().copied().chain(&self.address.path);
        for name in all.flat_map(Text::params) {
            if fields.iter().any(|field| field.as_str() == name) {
                return Err(wrong(
                    "the template names a credential field: credentials are placed by slots only",
                ));
            }
            if parameters
                .properties()
                .is_some_and(|known| !known.contains_key(name))
            {
                return Err(wrong(
                    "the template names a parameter that the schema does not have",
                ));
            }
        }
        let required = parameters.required();
        let whole = |text: &&Text| text.whole_param().is_some();
        let needed = outside_path.iter().copied().filter(|text| !whole(text));
        let mut needed = needed.chain(&self.address.path).flat_map(Text::params);
        if parameters.properties().is_some() && needed.any(|name| !required.contains(name)) {
            return Err(wrong(
                "a parameter in the path or inside a longer text must be required by the schema",
            ));
        }
        Ok(())
    }

    /// Every text that parameters stand in.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Text> {
        self.texts_outside_path()
            .into_iter()
            .chain(&self.address.path)
    }

    fn texts_outside_path(&self) -> Vec<&Text> {
        let mut texts: Vec<&Text> = self.query.values().collect();
        texts.extend(self.headers.iter().map(|(_, text)| text));
        match &self.body {
            BodyTemplate::None => {}
            BodyTemplate::Json(json) => json.texts(&mut texts),
            BodyTemplate::Form(form) => texts.extend(form.values()),
        }
        texts
    }

    fn is_admitted(&self, binding: &Binding) -> bool {
        let HostSource::Listed(hosts) = &binding.hosts else {
            return false;
        };
        let Address {
            scheme,
            host,
            port,
            path,
        } = &self.address;
        binding.scheme == *scheme
            && binding.port == *port
            && binding.methods.contains(&self.method)
            && hosts.iter().any(|pattern| pattern.matches(host))
            && binding.paths.iter().any(|pattern| covers(pattern, path))
    }

    fn collides(&self, binding: &Binding) -> bool {
        let form = match &self.body {
            BodyTemplate::Form(form) => Some(form),
            _ => None,
        };
        binding.slots.values().flatten().any(|slot| match slot {
            Slot::Query { name } => self.query.contains_key(&**name),
            Slot::FormField { name } => form.is_some_and(|form| form.contains_key(&**name)),
            other => {
                let taken = other.headers();
                self.headers.iter().any(|(name, _)| taken.contains(name))
            }
        })
    }

    fn to_json(&self) -> Value {
        let texts = |texts: &BTreeMap<String, Text>| -> Map<String, Value> {
            let pair = |(key, text): (&String, &Text)| (key.clone(), text.source().into());
            texts.iter().map(pair).collect()
        };
        let headers = self.headers.iter();
        let headers = headers.map(|(name, text)| (name.to_string(), text.source().into()));
        let mut json = json!({
            "method": self.method.as_str(),
            "url": self.address.source(),
            "query": texts(&self.query),
            "headers": headers.collect::<Map<String, Value>>(),
        });
        let body = match &self.body {
            BodyTemplate::None => None,
            BodyTemplate::Json(body) => Some(("json", body.to_json())),
            BodyTemplate::Form(form) => Some(("form", texts(form).into())),
        };
        if let (Some((key, body)), Value::Object(map)) = (body, &mut json) {
            map.insert(key.to_owned(), body);
        }
        json
    }
}

/// Whether a pattern covers a path whatever its parameters become. A place of the pattern must be
/// the same place of the template: else a caller could choose what stands where a credential goes.
fn covers(pattern: &PathPattern, path: &[Text]) -> bool {
    let mut path = path.iter();
    for step in pattern.steps() {
        let Some(segment) = path.next() else {
            return false;
        };
        let fits = match step {
            Step::Rest => return !segment.has_place() && !path.any(Text::has_place),
            Step::Any => !segment.has_place() && !segment.parts().is_empty(),
            Step::Place(name) => *segment.parts() == [Part::Place(name.clone())],
            Step::Exactly(text) => literal(segment).as_deref() == Some(text),
        };
        if !fits {
            return false;
        }
    }
    path.next().is_none()
}

/// The decoded text of a segment without parameters.
fn literal(segment: &Text) -> Option<String> {
    let raw = match segment.parts() {
        [] => "",
        [Part::Literal(raw)] => raw,
        _ => return None,
    };
    segments(&format!("/{raw}")).ok()?.pop()
}

/// The scheme of every open request.
pub(super) const OPEN_SCHEME: Scheme = Scheme::Https;
