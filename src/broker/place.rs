//! Putting credentials into their slots, last of all edits to a request.
//!
//! The slots are the binding's, and which of them are filled is decided before. What the caller put at
//! the same place is replaced, so that exactly one instance goes out, and it is the broker's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::egress::{Outgoing, credential_value};
use crate::name::Fields;
use crate::secret::Secret;
use crate::tools::{BasicOther, BasicRole, Binding, PlaceName, Slot};

use super::BrokerError;
use super::crossing::Stream;
use super::crossing::{Cargo, Crossing};
use super::guard::Plan;
use super::sign::{self, Surroundings, Unsigned, sign};
use super::splice::splice;
use super::upload::{Progress, Upload};

/// Everything but the unreserved characters (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(super) type Values = Fields<Secret>;

/// A request under construction.
struct Draft {
    path: Zeroizing<String>,
    query: Zeroizing<String>,
    headers: HeaderMap,
    body: Cargo,
}

/// A body as it goes out.
enum Written {
    Whole(Bytes),
    Stream(Stream),
}

/// Places `values` in the slots of a binding that are to be filled, signs, and makes the request that goes
/// out. With it comes what a signer made.
pub(super) fn place(
    crossing: Crossing,
    (binding, plan, places): (&Binding, &Plan, &[(usize, PlaceName)]),
    values: &Values,
    (around, progress): (&Surroundings<'_>, &Progress),
) -> Result<(Outgoing, Vec<Secret>), BrokerError> {
    let mut draft = Draft {
        path: Zeroizing::new(crossing.path),
        query: Zeroizing::new(crossing.query),
        headers: crossing.headers,
        body: crossing.cargo,
    };
    for (field, slots) in &binding.slots {
        let Some(value) = values.get(field) else {
            continue;
        };
        for (position, slot) in slots.iter().enumerate() {
            match slot {
                _ if !plan.fills(field, position) => {}
                Slot::PathSegment { name } => {
                    for (segment, _) in places.iter().filter(|(_, place)| place == name) {
                        draft.fill_segment(*segment, value)?;
                    }
                }
                _ => draft.fill(slot, value, values)?,
            }
        }
    }
    let body = draft.write_body(plan, values)?;
    let signed = match &body {
        Written::Whole(body) => body,
        Written::Stream(_) if binding.signer().is_some() => {
            return Err(BrokerError::Placement(sign::WHOLE));
        }
        Written::Stream(_) => &Bytes::new(),
    };
    let request = Unsigned {
        method: &crossing.method,
        path: &mut draft.path,
        query: &mut draft.query,
        headers: &mut draft.headers,
        body: signed,
    };
    let made = sign(request, binding, values, around)?;
    Ok((draft.finish(crossing.method, body, progress)?, made))
}

impl Draft {
    fn fill(&mut self, slot: &Slot, value: &Secret, values: &Values) -> Result<(), BrokerError> {
        match slot {
            Slot::Header { name, format } => {
                let (before, after) = format.around();
                let framed = value.expose(|value| {
                    let mut framed = Zeroizing::new(Vec::with_capacity(
                        before.len() + value.len() + after.len(),
                    ));
                    framed.extend_from_slice(before.as_bytes());
                    framed.extend_from_slice(value);
                    framed.extend_from_slice(after.as_bytes());
                    credential_value(&framed)
                });
                self.headers
                    .insert(name.clone(), framed.map_err(BrokerError::Egress)?);
            }
            Slot::Basic { role, other } => {
                let blob = basic(*role, other, value, values)?;
                self.headers.insert(AUTHORIZATION, blob);
            }
            Slot::Query { name } => self.set_query(name, value),
            Slot::JsonPointer { pointer } => self.set_json(pointer, value)?,
            Slot::FormField { name } => self.set_form(name, value)?,
            Slot::PathSegment { .. } | Slot::Signed(_) => {}
        }
        Ok(())
    }

    fn fill_segment(&mut self, index: usize, value: &Secret) -> Result<(), BrokerError> {
        let mut segments: Vec<&str> = self.path.split('/').collect();
        // The path begins with a slash, so what stands before it is no segment.
        let segment = segments
            .get_mut(index + 1)
            .ok_or(BrokerError::Placement("the path has no such segment"))?;
        let encoded =
            value.expose(|value| Zeroizing::new(percent_encode(value, ENCODED).to_string()));
        *segment = &encoded;
        let filled = Zeroizing::new(segments.join("/"));
        self.path = filled;
        Ok(())
    }

    fn set_query(&mut self, name: &str, value: &Secret) {
        let own = |pair: &&str| {
            let key = pair.split('=').next().unwrap_or_default().replace('+', " ");
            percent_decode_str(&key).decode_utf8_lossy() != name
        };
        let mut query = Zeroizing::new(String::with_capacity(
            self.query.len() + name.len() + 3 * value.len() + 2,
        ));
        for pair in self
            .query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .filter(own)
        {
            query.push_str(pair);
            query.push('&');
        }
        query.extend(percent_encode(name.as_bytes(), ENCODED));
        query.push('=');
        value.expose(|value| query.extend(percent_encode(value, ENCODED)));
        self.query = query;
    }

    fn set_json(&mut self, pointer: &str, value: &Secret) -> Result<(), BrokerError> {
        const NO_PLACE: BrokerError =
            BrokerError::Placement("the body is no JSON object with a place for it");
        let Cargo::Json(body) = &mut self.body else {
            return Err(NO_PLACE);
        };
        let (parent, leaf) = pointer.rsplit_once('/').ok_or(NO_PLACE)?;
        let leaf = leaf.replace("~1", "/").replace("~0", "~");
        let parent = body
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .ok_or(NO_PLACE)?;
        let text = value.expose(|value| std::str::from_utf8(value).map(str::to_owned));
        let text = text.map_err(|_| BrokerError::Placement("the credential is no text"))?;
        parent.insert(leaf, Value::String(text));
        Ok(())
    }

    fn set_form(&mut self, name: &str, value: &Secret) -> Result<(), BrokerError> {
        let Cargo::Form(fields) = &mut self.body else {
            return Err(BrokerError::Placement("the body is no form"));
        };
        fields.retain(|(key, _)| key != name);
        let text = value.expose(|value| std::str::from_utf8(value).map(str::to_owned));
        let text = text.map_err(|_| BrokerError::Placement("the credential is no text"))?;
        fields.push((name.to_owned(), text));
        Ok(())
    }

    /// Writes the body, unless it is still arriving; with it goes its type, unless a header states it.
    fn write_body(&mut self, plan: &Plan, values: &Values) -> Result<Written, BrokerError> {
        let (body, kind) = match std::mem::replace(&mut self.body, Cargo::None) {
            Cargo::None => return Ok(Written::Whole(Bytes::new())),
            Cargo::Whole(body) => {
                return splice(&body, &plan.splices, values).map(Written::Whole);
            }
            Cargo::Stream(stream) => return Ok(Written::Stream(stream)),
            Cargo::Json(value) => {
                let text = serde_json::to_vec(&value)
                    .map_err(|_| BrokerError::Placement("the body cannot be written"))?;
                (Bytes::from(text), "application/json")
            }
            Cargo::Form(fields) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(fields);
                (
                    Bytes::from(form.finish()),
                    "application/x-www-form-urlencoded",
                )
            }
        };
        self.headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static(kind));
        Ok(Written::Whole(body))
    }

    fn finish(
        self,
        method: http::Method,
        body: Written,
        progress: &Progress,
    ) -> Result<Outgoing, BrokerError> {
        let mut target = Zeroizing::new(String::with_capacity(
            self.path.len() + self.query.len() + 1,
        ));
        target.push_str(&self.path);
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(&self.query);
        }
        let target = PathAndQuery::try_from(target.as_str())
            .map_err(|_| BrokerError::Placement("the path cannot be sent"))?;
        Ok(match body {
            Written::Whole(body) => {
                progress.count(body.len());
                Outgoing::full(method, target, self.headers, body)
            }
            Written::Stream(stream) => {
                let length = stream.length;
                let body = Upload::new(stream, progress.clone());
                Outgoing::stream(method, target, self.headers, body, length)
            }
        })
    }
}

fn basic(
    role: BasicRole,
    other: &BasicOther,
    value: &Secret,
    values: &Values,
) -> Result<HeaderValue, BrokerError> {
    let with_other = |use_it: &mut dyn FnMut(&[u8])| match other {
        BasicOther::Literal(text) => {
            use_it(text.as_bytes());
            Ok(())
        }
        BasicOther::Field(field) => match values.get(field) {
            Some(other) => {
                other.expose(|other| use_it(other));
                Ok(())
            }
            None => Err(BrokerError::Missing {
                fields: vec![field.clone()],
            }),
        },
    };
    let mut pair = Zeroizing::new(Vec::new());
    let mut is_ambiguous = false;
    with_other(&mut |other| {
        value.expose(|value| {
            let (user, password) = match role {
                BasicRole::User => (value, other),
                BasicRole::Password => (other, value),
            };
            is_ambiguous = user.contains(&b':');
            pair.reserve_exact(user.len() + password.len() + 1);
            pair.extend_from_slice(user);
            pair.push(b':');
            pair.extend_from_slice(password);
        });
    })?;
    // The user ends at the first colon (RFC 7617); a password may have any.
    if is_ambiguous {
        return Err(BrokerError::Placement(
            "the user half of a Basic credential has a colon",
        ));
    }
    let mut text = Zeroizing::new(String::from("Basic "));
    STANDARD.encode_string(pair.as_slice(), &mut text);
    credential_value(text.as_bytes()).map_err(BrokerError::Egress)
}
