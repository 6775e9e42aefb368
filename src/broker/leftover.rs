//! A request without the placeholders that may stand in it: what is left is searched for others.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::name::FieldName;
use crate::tools::{BasicOther, BasicRole, Binding, PlaceName, SigV4, Signer, Slot};

use super::crossing::{Cargo, Crossing};
use super::guard::{Placeholders, Spelling};
use super::placeholder::{Placeholder, any_in};

/// A request, without the placeholders that may stand in it.
pub(super) struct Leftover<'a> {
    path: Vec<&'a str>,
    places: Vec<(usize, PlaceName)>,
    query: Vec<&'a str>,
    headers: HeaderMap,
    body: Content<'a>,
    json: bool,
    form: bool,
}

enum Content<'a> {
    None,
    Json(Value),
    Form(Vec<(&'a str, &'a str)>),
    Bytes(Bytes),
}

/// What was taken out.
pub(super) enum Taken {
    Nothing,
    /// So many times, from a slot that is filled as a whole.
    Slots(usize),
    /// From this place in the body.
    Body(Range<usize>, Spelling),
}

/// What is left that should not be.
pub(super) enum Strange {
    None,
    Own(FieldName),
    Unknown,
}

impl<'a> Leftover<'a> {
    pub(super) fn of(crossing: &'a Crossing, binding: Option<&Binding>) -> Self {
        let kind = crossing.content_type();
        let body = match &crossing.cargo {
            Cargo::None => Content::None,
            Cargo::Json(value) => Content::Json(value.clone()),
            Cargo::Form(fields) => {
                let fields = fields.iter().map(|(key, value)| (&**key, &**value));
                Content::Form(fields.collect())
            }
            Cargo::Whole(bytes) => Content::Bytes(bytes.clone()),
            Cargo::Stream(stream) => Content::Bytes(stream.begins.clone()),
        };
        // A body of which only the beginning is here, or that is encoded, is not read.
        let readable = matches!(crossing.cargo, Cargo::Whole(_))
            && !crossing.headers.contains_key("content-encoding");
        Self {
            path: crossing.path.split('/').collect(),
            places: binding.map_or_else(Vec::new, |binding| crossing.places(binding)),
            query: crossing.query.split('&').collect(),
            headers: crossing.headers.clone(),
            body,
            json: readable && (kind == "application/json" || kind.ends_with("+json")),
            form: readable && kind == "application/x-www-form-urlencoded",
        }
    }

    /// Whether a slot of this kind can be filled in a request without a placeholder there.
    pub(super) fn may_fill(&self, slot: &Slot) -> bool {
        match slot {
            Slot::JsonPointer { .. } => matches!(self.body, Content::Json(_)),
            Slot::FormField { .. } => matches!(self.body, Content::Form(_)),
            _ => true,
        }
    }

    pub(super) fn take(&mut self, slot: &Slot, own: &Placeholder, all: &Placeholders) -> Taken {
        let count = match slot {
            Slot::Header { name, format } => {
                let (before, after) = format.around();
                self.take_header(name, |value| is_framed(value, before, own, after))
            }
            Slot::Basic { role, other } => self.take_header(&AUTHORIZATION, |value| {
                is_half(value, *role, own, other, all)
            }),
            Slot::Query { name } => {
                let before = self.query.len();
                self.query.retain(|pair| !is_pair(pair, name, own));
                before - self.query.len()
            }
            Slot::PathSegment { name } => self.take_segment(name, own),
            Slot::JsonPointer { pointer } => return self.take_json(pointer, own),
            Slot::FormField { name } => return self.take_form(name, own),
            Slot::Signed(signer) => self.take_signed(signer, own, all),
        };
        if count == 0 {
            Taken::Nothing
        } else {
            Taken::Slots(count)
        }
    }

    fn take_header(&mut self, name: &HeaderName, is: impl Fn(&[u8]) -> bool) -> usize {
        let values: Vec<_> = self.headers.get_all(name).iter().cloned().collect();
        let count = values.iter().filter(|value| is(value.as_bytes())).count();
        if count > 0 {
            self.headers.remove(name);
            for value in values.into_iter().filter(|value| !is(value.as_bytes())) {
                self.headers.append(name, value);
            }
        }
        count
    }

    /// What signs is never sent, but a library that holds placeholders signs with them. What it made is
    /// taken out where it says whose it is: the signer writes its own there.
    fn take_signed(&mut self, signer: &Signer, own: &Placeholder, all: &Placeholders) -> usize {
        match signer {
            Signer::SigV4(signer) => {
                let [_, _, token] = SigV4::HEADERS.map(HeaderName::from_static);
                let session = signer.session_token.as_ref().and_then(|it| all.get(it));
                if let Some(session) = session {
                    self.take_header(&token, |value| session.is(value));
                }
                let access = all.get(&signer.access_key);
                self.take_header(&AUTHORIZATION, |value| {
                    access.is_some_and(|access| is_signature(value, access))
                })
            }
            Signer::Jwt(_) => {
                self.take_header(&AUTHORIZATION, |value| is_framed(value, "Bearer ", own, ""))
            }
            // Such a signature says nothing of the key that it was made with.
            Signer::Hmac(_) => 0,
        }
    }

    fn take_segment(&mut self, name: &PlaceName, own: &Placeholder) -> usize {
        let mut count = 0;
        for (index, _) in self.places.iter().filter(|(_, place)| place == name) {
            // What stands before the path's first slash is no segment.
            let segment = self.path.get_mut(index + 1);
            if let Some(segment) = segment.filter(|segment| own.is(segment.as_bytes())) {
                *segment = "";
                count += 1;
            }
        }
        count
    }

    fn take_json(&mut self, pointer: &str, own: &Placeholder) -> Taken {
        let is_own = |value: &Value| value.as_str().is_some_and(|text| own.is(text.as_bytes()));
        match &mut self.body {
            Content::Json(value) => match value.pointer_mut(pointer) {
                Some(found) if is_own(found) => {
                    *found = Value::Null;
                    Taken::Slots(1)
                }
                _ => Taken::Nothing,
            },
            Content::Bytes(bytes) if self.json => {
                let parsed: Result<Value, _> = serde_json::from_slice(bytes);
                let stands = parsed.is_ok_and(|value| value.pointer(pointer).is_some_and(is_own));
                // Written plainly, and nowhere else, so that there is no doubt which one it is.
                match own.at(bytes).as_slice() {
                    [at] if stands => {
                        let at = at.clone();
                        *bytes = without(bytes, &at);
                        Taken::Body(at, Spelling::Json)
                    }
                    _ => Taken::Nothing,
                }
            }
            _ => Taken::Nothing,
        }
    }

    fn take_form(&mut self, name: &str, own: &Placeholder) -> Taken {
        match &mut self.body {
            Content::Form(fields) => {
                let before = fields.len();
                fields.retain(|(key, value)| *key != name || !own.is(value.as_bytes()));
                match before - fields.len() {
                    0 => Taken::Nothing,
                    count => Taken::Slots(count),
                }
            }
            Content::Bytes(bytes) if self.form => {
                let (mut at, mut found) = (0, None);
                for pair in bytes.split(|byte| *byte == b'&') {
                    let text = std::str::from_utf8(pair).unwrap_or_default();
                    let value = text.split_once('=').map_or("", |(_, value)| value);
                    if is_pair(text, name, own) && own.is(value.as_bytes()) {
                        let end = at + pair.len();
                        found.get_or_insert(end - value.len()..end);
                    }
                    at += pair.len() + 1;
                }
                match found {
                    Some(at) => {
                        *bytes = without(bytes, &at);
                        Taken::Body(at, Spelling::Form)
                    }
                    None => Taken::Nothing,
                }
            }
            _ => Taken::Nothing,
        }
    }

    /// Looks for the mark of any placeholder in what is left.
    pub(super) fn misplaced(&self, placeholders: &Placeholders) -> Strange {
        let mut head = Vec::new();
        head.extend_from_slice(self.path.join("/").as_bytes());
        head.push(b'\n');
        head.extend_from_slice(self.query.join("&").as_bytes());
        for (name, value) in &self.headers {
            head.push(b'\n');
            head.extend_from_slice(name.as_str().as_bytes());
            head.push(b'\n');
            head.extend_from_slice(value.as_bytes());
        }
        if let Content::Form(fields) = &self.body {
            for text in fields.iter().flat_map(|(key, value)| [key, value]) {
                head.push(b'\n');
                head.extend_from_slice(text.as_bytes());
            }
        }
        let body = match &self.body {
            Content::Json(value) => Bytes::from(value.to_string()),
            Content::Bytes(bytes) => bytes.clone(),
            Content::None | Content::Form(_) => Bytes::new(),
        };
        let found = |part: &[u8]| any_in(part).then(|| whose(part, placeholders));
        found(&head)
            .or_else(|| found(&body))
            .unwrap_or(Strange::None)
    }
}

fn whose(part: &[u8], placeholders: &Placeholders) -> Strange {
    // A header's name arrives in lower case, whatever was sent.
    let is_in = |placeholder: &Placeholder| placeholder.is_in(part).unwrap_or(false);
    let own = placeholders.iter().find(|(_, own)| is_in(own));
    own.map_or(Strange::Unknown, |(field, _)| Strange::Own(field.clone()))
}

fn without(bytes: &Bytes, at: &Range<usize>) -> Bytes {
    let before = bytes.get(..at.start).unwrap_or_default();
    let after = bytes.get(at.end..).unwrap_or_default();
    [before, after].concat().into()
}

/// Whether a header's value is the placeholder in its frame. Schemes may be of either case
/// (RFC 9110, 11.1).
fn is_framed(value: &[u8], before: &str, own: &Placeholder, after: &str) -> bool {
    let inner = value
        .split_at_checked(before.len())
        .and_then(|(start, rest)| {
            let end = rest.len().checked_sub(after.len())?;
            let (inner, end) = rest.split_at_checked(end)?;
            let framed = start.eq_ignore_ascii_case(before.as_bytes())
                && end.eq_ignore_ascii_case(after.as_bytes());
            framed.then_some(inner)
        });
    inner.is_some_and(|inner| own.is(inner))
}

/// Whether a header is a signature of version 4 by the key with this id, and names no other placeholder.
fn is_signature(value: &[u8], access: &Placeholder) -> bool {
    let begins = format!("AWS4-HMAC-SHA256 Credential={}/", access.text());
    let rest = value.strip_prefix(begins.as_bytes());
    rest.is_some_and(|rest| !any_in(rest))
}

/// Whether a Basic credential has the placeholder as this half, and in the other nothing that is not
/// its own.
fn is_half(
    value: &[u8],
    role: BasicRole,
    own: &Placeholder,
    other: &BasicOther,
    all: &Placeholders,
) -> bool {
    let Some((scheme, blob)) = value.split_at_checked(6) else {
        return false;
    };
    let Ok(pair) = STANDARD.decode(blob.trim_ascii()) else {
        return false;
    };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let (user, password) = (pair.get(..colon), pair.get(colon + 1..));
    let (half, rest) = match role {
        BasicRole::User => (user, password),
        BasicRole::Password => (password, user),
    };
    let rest = rest.unwrap_or_default();
    let rest_fits = match other {
        BasicOther::Field(field) => all.get(field).is_some_and(|own| own.is(rest)),
        BasicOther::Literal(_) => false,
    };
    scheme.eq_ignore_ascii_case(b"basic ")
        && half.is_some_and(|half| own.is(half))
        && (rest_fits || !any_in(rest))
}

/// Whether a pair of a query or form is `name` with the placeholder.
fn is_pair(pair: &str, name: &str, own: &Placeholder) -> bool {
    let Some((key, value)) = pair.split_once('=') else {
        return false;
    };
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).collect::<Vec<u8>>()
    };
    decoded(key) == name.as_bytes() && own.is(&decoded(value))
}
