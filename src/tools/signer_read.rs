//! Reads a [`Signer`].

use serde_json::{Map, Value};

use super::error::{Rule, ToolError};
use super::reader::{Item, Object};
use super::signer::{
    HmacSigner, JwtSigner, JwtUse, KeyForm, MacEncoding, MacHash, Piece, Pieces, Said, SigV4,
    Signer, TimeForm,
};
use super::slot::header_name;
use super::template_text::{Part, Text};
use crate::crypto::JwsAlg;
use crate::egress::Url;
use crate::name::FieldName;

/// The longest message, or text of a claim, in bytes.
const MAX_TEXT: usize = 1024;
/// The largest further claims, in bytes of JSON.
const MAX_CLAIMS: usize = 4096;
/// For how long a token is good when the spec does not say, and what it may say, in seconds.
const LIFETIME: i64 = 300;
const LIFETIMES: std::ops::RangeInclusive<i64> = 30..=900;
/// Claims that have keys of their own, or are the broker's to set.
const RESERVED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];
/// GitHub's own API.
const GITHUB: &str = "https://api.github.com";

fn wrong(reason: &'static str) -> Rule {
    Rule::Slot { reason }
}

impl Signer {
    /// Takes the signer that the slot has, if it has one.
    pub(super) fn read(slot: &mut Object) -> Result<Option<Self>, ToolError> {
        type Read = fn(Object) -> Result<Signer, ToolError>;
        let kinds: [(&str, Read); 5] = [
            ("sigv4", sigv4),
            ("hmac", hmac),
            ("jwt", jwt),
            ("jwt_bearer", jwt_bearer),
            ("github_app", github_app),
        ];
        for (kind, read) in kinds {
            if let Some(item) = slot.optional(kind) {
                return read(item.object()?).map(Some);
            }
        }
        Ok(None)
    }
}

fn sigv4(mut object: Object) -> Result<Signer, ToolError> {
    let region = object.required("region")?.name(scope)?;
    let service = object.required("service")?.name(scope)?;
    let access_key = object.required("access_key_field")?;
    let access_key = access_key.name(FieldName::parse)?;
    let session_token = field(&mut object, "session_token_field")?;
    object.done()?;
    Ok(Signer::SigV4(SigV4 {
        region,
        service,
        access_key,
        session_token,
    }))
}

/// The word that stands in a scope between two slashes.
fn scope(text: &str) -> Result<Box<str>, &'static str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.into())
    } else {
        Err("a region or a service is 1 to 64 lower-case letters, digits and -, as in eu-central-1")
    }
}

fn hmac(mut object: Object) -> Result<Signer, ToolError> {
    let hash = choice(
        &mut object,
        "hash",
        "sha256 or sha512",
        &[("sha256", MacHash::Sha256), ("sha512", MacHash::Sha512)],
    )?;
    let key = choice(
        &mut object,
        "key",
        "text, hex or base64",
        &[
            ("text", KeyForm::Text),
            ("hex", KeyForm::Hex),
            ("base64", KeyForm::Base64),
        ],
    )?;
    let encoding = encoding(&mut object)?;
    let timestamp = timestamp(&mut object)?;
    let message = pieces(object.required("message")?)?;
    let header = object.required("header")?.name(header_name)?;
    let format = match object.optional("format") {
        Some(item) => pieces(item)?,
        None => Pieces {
            source: "{signature}".into(),
            pieces: vec![Piece::Signature],
        },
    };
    let timestamp_header = object.optional("timestamp_header");
    let timestamp_header = timestamp_header
        .map(|item| item.name(header_name))
        .transpose()?;
    let signer = HmacSigner {
        hash,
        key,
        message,
        encoding,
        header,
        format,
        timestamp_header,
        timestamp,
    };
    check_hmac(&signer).map_err(|reason| object.fail(wrong(reason)))?;
    object.done()?;
    Ok(Signer::Hmac(signer))
}

fn encoding(object: &mut Object) -> Result<MacEncoding, ToolError> {
    choice(
        object,
        "encoding",
        "hex, base64 or base64url",
        &[
            ("hex", MacEncoding::Hex),
            ("base64", MacEncoding::Base64),
            ("base64url", MacEncoding::Base64Url),
        ],
    )
}

fn timestamp(object: &mut Object) -> Result<TimeForm, ToolError> {
    choice(
        object,
        "timestamp",
        "unix, unix_ms or rfc3339",
        &[
            ("unix", TimeForm::Unix),
            ("unix_ms", TimeForm::UnixMillis),
            ("rfc3339", TimeForm::Rfc3339),
        ],
    )
}

/// What is signed says when and what, and the header says no more than that.
fn check_hmac(signer: &HmacSigner) -> Result<(), &'static str> {
    let HmacSigner {
        message, format, ..
    } = signer;
    if message.has(&Piece::Signature) {
        return Err("the message cannot hold its own signature");
    }
    if !message.has(&Piece::Timestamp) {
        return Err("the message needs {timestamp}: without it a signature is good for ever");
    }
    if !message.has(&Piece::Body) && !message.has(&Piece::BodySha256) {
        return Err(
            "the message needs {body} or {body_sha256}: without it any body would be signed",
        );
    }
    let in_format = |piece: &Piece| match piece {
        Piece::Literal(text) => text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
        Piece::Signature | Piece::Timestamp => true,
        _ => false,
    };
    let signatures = format.iter().filter(|piece| **piece == Piece::Signature);
    if signatures.count() != 1 || !format.iter().all(in_format) {
        return Err(
            "the format is visible ASCII with {signature} once, and {timestamp} if need be",
        );
    }
    match (&signer.timestamp_header, format.has(&Piece::Timestamp)) {
        (None, false) => {
            Err("the time is sent too: name a timestamp_header, or put {timestamp} in the format")
        }
        (Some(name), _) if *name == signer.header => {
            Err("the time and the signature need headers of their own")
        }
        _ => Ok(()),
    }
}

fn pieces(item: Item) -> Result<Pieces, ToolError> {
    let pointer = item.pointer.clone();
    let fail = |reason| ToolError::new(pointer.as_str(), wrong(reason));
    let source = item.text()?;
    if source.len() > MAX_TEXT {
        return Err(fail("the text has at most 1,024 bytes"));
    }
    let text = Text::parse(&source).map_err(|_| fail("the text has a stray brace"))?;
    let piece = |part: &Part| match part {
        Part::Literal(literal) => Ok(Piece::Literal(literal.as_str().into())),
        Part::Place(_) => Err(fail("{@name} has no meaning here")),
        Part::Param(name) => Ok(match name.as_str() {
            "method" => Piece::Method,
            "host" => Piece::Host,
            "path" => Piece::Path,
            "query" => Piece::Query,
            "target" => Piece::Target,
            "body" => Piece::Body,
            "body_sha256" => Piece::BodySha256,
            "timestamp" => Piece::Timestamp,
            "signature" => Piece::Signature,
            _ => {
                return Err(fail(
                    "only {method}, {host}, {path}, {query}, {target}, {body}, {body_sha256}, {timestamp} and {signature} have a meaning here",
                ));
            }
        }),
    };
    let pieces = text.parts().iter().map(piece).collect::<Result<_, _>>()?;
    let source = source.into();
    Ok(Pieces { source, pieces })
}

fn jwt(object: Object) -> Result<Signer, ToolError> {
    let (object, jwt) = read_jwt(object)?;
    object.done()?;
    Ok(Signer::Jwt(jwt))
}

fn jwt_bearer(object: Object) -> Result<Signer, ToolError> {
    let (mut object, mut jwt) = read_jwt(object)?;
    let item = object.required("token_url")?;
    let token_url = url(&item, item.value.as_str())?;
    if token_url.query().is_some() {
        return Err(item.fail(wrong("the token endpoint has no query")));
    }
    object.done()?;
    if jwt.audience.is_none() {
        // RFC 7523, 3: the endpoint's URL names the server it belongs to.
        jwt.audience = item.value.as_str().map(Box::from);
    }
    jwt.purpose = JwtUse::Bearer { token_url };
    Ok(Signer::Jwt(jwt))
}

fn github_app(mut object: Object) -> Result<Signer, ToolError> {
    let issuer = said(&mut object, ("app", "app_field"))?;
    let Some(issuer) = issuer else {
        return Err(object.fail(wrong("the app's client ID is missing: app_field, or app")));
    };
    let installation = field(&mut object, "installation_field")?;
    let api = match object.optional("api") {
        None => Url::parse(GITHUB).map_err(|_| object.fail(Rule::Missing))?,
        Some(item) => {
            let api = url(&item, item.value.as_str())?;
            if api.query().is_some() || (api.path() != "/" && api.path().ends_with('/')) {
                return Err(item.fail(wrong("the API's root has no query and no slash at its end")));
            }
            api
        }
    };
    object.done()?;
    Ok(Signer::Jwt(JwtSigner {
        alg: JwsAlg::Rs256,
        key_id: None,
        issuer,
        subject: None,
        audience: None,
        claims: Map::new(),
        lifetime: LIFETIME,
        purpose: JwtUse::GitHubApp { api, installation },
    }))
}

fn read_jwt(mut object: Object) -> Result<(Object, JwtSigner), ToolError> {
    let alg = |text: &str| match text {
        "RS256" => Ok(JwsAlg::Rs256),
        "ES256" => Ok(JwsAlg::Es256),
        _ => Err("the algorithm is RS256 or ES256"),
    };
    let alg = object.required("alg")?.name(alg)?;
    let key_id = said(&mut object, ("key_id", "key_id_field"))?;
    let issuer = said(&mut object, ("issuer", "issuer_field"))?;
    let Some(issuer) = issuer else {
        return Err(object.fail(wrong("the issuer is missing: issuer, or issuer_field")));
    };
    let subject = said(&mut object, ("subject", "subject_field"))?;
    let audience = object
        .text("audience", MAX_TEXT)?
        .map(String::into_boxed_str);
    let claims = object.optional("claims").map_or(Ok(Map::new()), claims)?;
    let lifetime = match object.optional("lifetime") {
        None => LIFETIME,
        Some(item) => {
            let seconds = item
                .value
                .as_i64()
                .filter(|seconds| LIFETIMES.contains(seconds));
            let reason = "a token is good for 30 to 900 seconds";
            seconds.ok_or_else(|| item.fail(wrong(reason)))?
        }
    };
    let purpose = JwtUse::Header;
    let jwt = JwtSigner {
        alg,
        key_id,
        issuer,
        subject,
        audience,
        claims,
        lifetime,
        purpose,
    };
    Ok((object, jwt))
}

fn claims(item: Item) -> Result<Map<String, Value>, ToolError> {
    let pointer = item.pointer.clone();
    let fail = |reason| ToolError::new(pointer.as_str(), wrong(reason));
    let Value::Object(claims) = item.value else {
        let expected = "an object";
        return Err(ToolError::new(pointer.as_str(), Rule::Type { expected }));
    };
    if claims.keys().any(|name| RESERVED.contains(&name.as_str())) {
        return Err(fail(
            "iss, sub and aud have keys of their own, and exp, nbf, iat and jti are set by the broker",
        ));
    }
    if Value::from(claims.clone()).to_string().len() > MAX_CLAIMS {
        return Err(fail("the claims have at most 4,096 bytes"));
    }
    Ok(claims)
}

/// A text, or the field that holds it.
fn said(object: &mut Object, keys: (&str, &str)) -> Result<Option<Said>, ToolError> {
    let literal = object.text(keys.0, MAX_TEXT)?;
    match (literal, field(object, keys.1)?) {
        (Some(_), Some(_)) => {
            Err(object.fail(wrong("a text stands there itself or in a field, not both")))
        }
        (Some(text), None) => Ok(Some(Said::Literal(text.into()))),
        (None, field) => Ok(field.map(Said::Field)),
    }
}

fn field(object: &mut Object, key: &str) -> Result<Option<FieldName>, ToolError> {
    let item = object.optional(key);
    item.map(|item| item.name(FieldName::parse)).transpose()
}

fn url(item: &Item, text: Option<&str>) -> Result<Url, ToolError> {
    let read = text.and_then(|text| Url::parse(text).ok());
    read.ok_or_else(|| {
        item.fail(wrong(
            "a plain URL belongs here, such as https://auth.example.com/token",
        ))
    })
}

/// One of a few words; the first is the default.
fn choice<T: Copy>(
    object: &mut Object,
    key: &str,
    expected: &'static str,
    words: &[(&str, T)],
) -> Result<T, ToolError> {
    let item = object.optional(key);
    let found = match &item {
        None => words.first(),
        Some(item) => words
            .iter()
            .find(|(word, _)| item.value.as_str() == Some(word)),
    };
    match (found, item) {
        (Some((_, choice)), _) => Ok(*choice),
        (None, Some(item)) => Err(item.fail(Rule::Type { expected })),
        (None, None) => Err(object.fail(Rule::Missing)),
    }
}
