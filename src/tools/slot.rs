//! Slots: the only placements of a credential in a request. Callers never choose one.

use std::fmt;

use ::http::HeaderName;
use serde_json::{Value, json};

use super::error::{Rule, ToolError};
use super::reader::Item;
use super::signer::Signer;
use super::template_text::{Part, Text};
use crate::egress::folded;
use crate::name::FieldName;

/// The name of a place in a path, written `{@name}` in path patterns and in templates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceName(Box<str>);

impl PlaceName {
    /// Reads a name: a letter, then letters, digits and underscores, 64 at most.
    ///
    /// # Errors
    /// [`Rule::Slot`] for anything else.
    pub fn parse(text: &str) -> Result<Self, ToolError> {
        match FieldName::parse(text) {
            Ok(_) => Ok(Self(text.into())),
            Err(_) => Err(wrong(
                "a place's name is a letter followed by letters, digits and underscores",
            )),
        }
    }

    /// The name, without `{@` and `}`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a value is framed in a header: literal text around exactly one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFormat {
    before: Box<str>,
    after: Box<str>,
}

impl SlotFormat {
    /// Reads a format such as `Bearer {apiKey}`, in which `field` is named exactly once and nothing
    /// else is.
    ///
    /// # Errors
    /// [`Rule::Slot`] when the field is missing, named twice, or another one is named, and for
    /// characters that cannot stand in a header.
    pub fn parse(text: &str, field: &FieldName) -> Result<Self, ToolError> {
        let parsed = Text::parse(text).map_err(|_| wrong("the format has a stray brace"))?;
        let (mut before, mut after, mut seen) = (String::new(), String::new(), false);
        for part in parsed.parts() {
            match part {
                Part::Literal(literal) if seen => after.push_str(literal),
                Part::Literal(literal) => before.push_str(literal),
                Part::Param(name) if !seen && name == field.as_str() => seen = true,
                Part::Param(_) | Part::Place(_) => {
                    return Err(wrong(
                        "the format names its own field once, and nothing else",
                    ));
                }
            }
        }
        let visible = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if !seen || !visible(&before) || !visible(&after) || text.len() > 256 {
            return Err(wrong(
                "the format is at most 256 visible ASCII characters that name the field once",
            ));
        }
        if before.starts_with(' ') || after.ends_with(' ') {
            return Err(wrong("the format has no space at either end"));
        }
        Ok(Self {
            before: before.into(),
            after: after.into(),
        })
    }

    /// The literal text before and after the value.
    #[must_use]
    pub fn around(&self) -> (&str, &str) {
        (&self.before, &self.after)
    }

    fn to_text(&self, field: &FieldName) -> String {
        let escape = |text: &str| text.replace('{', "{{").replace('}', "}}");
        format!("{}{{{field}}}{}", escape(&self.before), escape(&self.after))
    }
}

/// Which half of a Basic credential a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicRole {
    /// The part before the colon.
    User,
    /// The part after it.
    Password,
}

/// The other half of a Basic credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BasicOther {
    /// A fixed text, often empty.
    Literal(Box<str>),
    /// Another credential field of the same tool.
    Field(FieldName),
}

/// One placement of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A request header, the value framed by a format.
    Header {
        /// The header; never one that steers the connection or the message.
        name: HeaderName,
        /// Text around the value.
        format: SlotFormat,
    },
    /// `Authorization: Basic`, of which the value is one half (RFC 7617).
    Basic {
        /// Which half.
        role: BasicRole,
        /// What the other half is.
        other: BasicOther,
    },
    /// A query parameter.
    Query {
        /// Its name, decoded.
        name: Box<str>,
    },
    /// A string in a JSON body.
    JsonPointer {
        /// Where (RFC 6901); never the whole body.
        pointer: Box<str>,
    },
    /// A field of a form-encoded body.
    FormField {
        /// Its name, decoded.
        name: Box<str>,
    },
    /// A whole path segment: the place `{@name}` of the binding's path patterns.
    PathSegment {
        /// The place.
        name: PlaceName,
    },
    /// Nowhere: the value signs the request, and what it makes is sent.
    Signed(Box<Signer>),
}

fn wrong(reason: &'static str) -> ToolError {
    ToolError::new("", Rule::Slot { reason })
}

/// Headers by which some servers take a request for one with another method or path than it has. A
/// binding says which of these may carry a credential, so that none may be changed behind its back:
/// neither a caller, nor a slot, nor a template sets them.
pub const STEERING: [&str; 6] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
];

/// Headers that steer the connection, the message frame, the target or the method: neither a slot
/// nor a template sets them.
pub(super) fn is_steering(name: &HeaderName) -> bool {
    let name = &*folded(name);
    name.starts_with("proxy-")
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-runtools-")
        // A WebSocket's subprotocols are where clients put a token that can set no other header.
        || (name.starts_with("sec-") && name != "sec-websocket-protocol")
        || matches!(
            name,
            "host"
                | "connection"
                | "keep-alive"
                | "content-length"
                | "content-encoding"
                | "transfer-encoding"
                | "te"
                | "trailer"
                | "upgrade"
                | "expect"
                | "forwarded"
                | "via"
                | "accept-encoding"
        )
        || STEERING.contains(&name)
}

/// Parses a header name and refuses the steering ones.
pub(super) fn header_name(text: &str) -> Result<HeaderName, &'static str> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "not a header's name")?;
    if is_steering(&name) {
        return Err("this header steers the connection or the message and is set by the broker");
    }
    Ok(name)
}

impl Slot {
    /// Reads one slot of `field`: an object whose first key says which kind it is.
    pub(super) fn read(item: Item, field: &FieldName) -> Result<Self, ToolError> {
        let mut object = item.object()?;
        let pointer = object.pointer().to_owned();
        let at = |error: ToolError| error.under(&pointer);
        let slot = if let Some(name) = object.text("header", 256)? {
            let name = header_name(&name).map_err(|reason| at(wrong(reason)))?;
            let format = object.text("format", 256)?;
            let format = format.unwrap_or_else(|| format!("{{{field}}}"));
            let format = SlotFormat::parse(&format, field).map_err(at)?;
            Self::Header { name, format }
        } else if let Some(role) = object.text("basic", 16)? {
            let role = match role.as_str() {
                "user" => BasicRole::User,
                "password" => BasicRole::Password,
                _ => return Err(at(wrong("basic is \"user\" or \"password\""))),
            };
            let literal = object.text("with", 256)?;
            let other = match (literal, object.optional("with_field")) {
                (Some(_), Some(_)) => {
                    return Err(at(wrong("a Basic slot has with or with_field, not both")));
                }
                (None, Some(item)) => BasicOther::Field(item.name(FieldName::parse)?),
                (literal, None) => {
                    let literal = literal.unwrap_or_default();
                    BasicOther::Literal(basic_literal(&literal, role).map_err(at)?)
                }
            };
            Self::Basic { role, other }
        } else if let Some(name) = object.text("query", 128)? {
            let name = plain_key(&name).map_err(at)?;
            Self::Query { name }
        } else if let Some(name) = object.text("form", 128)? {
            let name = plain_key(&name).map_err(at)?;
            Self::FormField { name }
        } else if let Some(text) = object.text("json", 256)? {
            let pointer = body_pointer(&text).map_err(at)?;
            Self::JsonPointer { pointer }
        } else if let Some(name) = object.text("path_segment", 64)? {
            let name = PlaceName::parse(&name).map_err(at)?;
            Self::PathSegment { name }
        } else if let Some(signer) = Signer::read(&mut object)? {
            Self::Signed(Box::new(signer))
        } else {
            return Err(at(wrong(
                "a slot has one of: header, basic, query, form, json, path segment, sigv4, hmac, jwt, jwt bearer, github app",
            )));
        };
        object.done()?;
        Ok(slot)
    }

    /// The slot in its canonical JSON form.
    pub(super) fn to_json(&self, field: &FieldName) -> Value {
        match self {
            Self::Header { name, format } => {
                json!({ "header": name.as_str(), "format": format.to_text(field) })
            }
            Self::Basic { role, other } => {
                let role = match role {
                    BasicRole::User => "user",
                    BasicRole::Password => "password",
                };
                match other {
                    BasicOther::Literal(text) => json!({ "basic": role, "with": text }),
                    BasicOther::Field(field) => {
                        json!({ "basic": role, "withField": field.as_str() })
                    }
                }
            }
            Self::Query { name } => json!({ "query": name }),
            Self::FormField { name } => json!({ "form": name }),
            Self::JsonPointer { pointer } => json!({ "json": pointer }),
            Self::PathSegment { name } => json!({ "pathSegment": name.as_str() }),
            Self::Signed(signer) => signer.to_json(),
        }
    }

    /// The headers this slot fills.
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderName> {
        match self {
            Self::Header { name, .. } => vec![name.clone()],
            Self::Basic { .. } => vec![::http::header::AUTHORIZATION],
            Self::Signed(signer) => signer.headers(),
            _ => Vec::new(),
        }
    }

    /// The fields it needs besides its own.
    #[must_use]
    pub fn others(&self) -> Vec<&FieldName> {
        match self {
            Self::Basic {
                other: BasicOther::Field(field),
                ..
            } => vec![field],
            Self::Signed(signer) => signer.fields(),
            _ => Vec::new(),
        }
    }
}

/// The user half ends at the first colon (RFC 7617), so a literal one has none.
fn basic_literal(text: &str, role: BasicRole) -> Result<Box<str>, ToolError> {
    let is_user = role == BasicRole::Password;
    if text.chars().any(char::is_control) || (is_user && text.contains(':')) {
        return Err(wrong(
            "the other half of a Basic credential has no control characters, and a user name no colon",
        ));
    }
    Ok(text.into())
}

fn plain_key(text: &str) -> Result<Box<str>, ToolError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
    if text.is_empty() || !text.bytes().all(plain) {
        return Err(wrong(
            "the name of a query or form slot is letters, digits and _ - . [ ]",
        ));
    }
    Ok(text.into())
}

fn body_pointer(text: &str) -> Result<Box<str>, ToolError> {
    let escapes_fit = text
        .split('~')
        .skip(1)
        .all(|rest| rest.starts_with(['0', '1']));
    if !text.starts_with('/') || !escapes_fit || text.chars().any(char::is_control) {
        return Err(wrong(
            "a JSON slot is a JSON pointer to one member of the body, such as /auth/key",
        ));
    }
    Ok(text.into())
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
