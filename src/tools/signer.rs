//! Signers: slots whose secret is never sent. What is sent is made with it.
//!
//! The spec's author decides what is signed, and how: a caller chooses no algorithm, region, service,
//! claim or form of message, and the key signs nothing but a request to the binding's own hosts (or the
//! one exchange at the token endpoint that the spec names).

use ::http::{HeaderName, header};
use serde_json::{Map, Value, json};

use crate::crypto::JwsAlg;
use crate::egress::Url;
use crate::name::FieldName;

/// One way to sign a request, or to prove oneself with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// AWS Signature Version 4; the slot's field is the secret access key.
    SigV4(SigV4),
    /// HMAC over a message of fixed form; the slot's field is the key.
    Hmac(HmacSigner),
    /// A signed token (RFC 7519); the slot's field is the private key.
    Jwt(JwtSigner),
}

/// What AWS Signature Version 4 is scoped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4 {
    /// The region, such as `eu-central-1`.
    pub region: Box<str>,
    /// The service's signing name, such as `s3`.
    pub service: Box<str>,
    /// The field that holds the access key's id.
    pub access_key: FieldName,
    /// The field that holds the session token of temporary keys.
    pub session_token: Option<FieldName>,
}

/// An HMAC of the request in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacSigner {
    /// The hash.
    pub hash: MacHash,
    /// How the secret's text stands for the key.
    pub key: KeyForm,
    /// What is signed.
    pub message: Pieces,
    /// How the signature is written.
    pub encoding: MacEncoding,
    /// The header that carries it.
    pub header: HeaderName,
    /// What the header says.
    pub format: Pieces,
    /// The header that carries the time, where `format` does not.
    pub timestamp_header: Option<HeaderName>,
    /// How the time is written.
    pub timestamp: TimeForm,
}

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacHash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a secret's text stands for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// Its bytes are the key.
    Text,
    /// It is the key in hexadecimal.
    Hex,
    /// It is the key in base64.
    Base64,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacEncoding {
    /// Hexadecimal, lower case.
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64 for URLs, without padding.
    Base64Url,
}

/// How the time of signing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMillis,
    /// RFC 3339 in UTC, with milliseconds.
    Rfc3339,
}

/// A text of fixed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    pub(super) source: Box<str>,
    pub(super) pieces: Vec<Piece>,
}

/// One piece of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Literal(Box<str>),
    /// `{method}`, in upper case.
    Method,
    /// `{host}`, as the `Host` header says it.
    Host,
    /// `{path}`, as it is sent.
    Path,
    /// `{query}`, as it is sent, without `?`.
    Query,
    /// `{target}`: path and query as the request line has them.
    Target,
    /// `{body}`.
    Body,
    /// `{body_sha256}`, in lower-case hexadecimal.
    BodySha256,
    /// `{timestamp}`.
    Timestamp,
    /// `{signature}`; only in the header.
    Signature,
}

/// A signed token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSigner {
    /// The algorithm: RS256 or ES256.
    pub alg: JwsAlg,
    /// `kid` of the header.
    pub key_id: Option<Said>,
    /// `iss`.
    pub issuer: Said,
    /// `sub`.
    pub subject: Option<Said>,
    /// `aud`.
    pub audience: Option<Box<str>>,
    /// Further claims, as they are.
    pub claims: Map<String, Value>,
    /// For how long the token is good, in seconds.
    pub lifetime: i64,
    /// What it is for.
    pub purpose: JwtUse,
}

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This.
    Literal(Box<str>),
    /// The value of this field.
    Field(FieldName),
}

/// What a signed token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtUse {
    /// It is the request's bearer token.
    Header,
    /// It is exchanged at this endpoint for an access token (RFC 7523, 2.1), and that is.
    Bearer {
        /// The endpoint.
        token_url: Url,
    },
    /// It proves a GitHub App, to the API itself or for the token of an installation.
    GitHubApp {
        /// The root of GitHub's API.
        api: Url,
        /// The field that holds the installation's id; without one the app acts as itself.
        installation: Option<FieldName>,
    },
}

impl Pieces {
    /// The pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    pub(super) fn has(&self, piece: &Piece) -> bool {
        self.pieces.contains(piece)
    }
}

impl JwtUse {
    /// Where the token is exchanged, if it is.
    #[must_use]
    pub const fn exchanged_at(&self) -> Option<&Url> {
        match self {
            Self::Bearer { token_url } => Some(token_url),
            Self::GitHubApp {
                api,
                installation: Some(_),
            } => Some(api),
            Self::Header | Self::GitHubApp { .. } => None,
        }
    }
}

impl Signer {
    /// The fields it needs besides the slot's own.
    #[must_use]
    pub fn fields(&self) -> Vec<&FieldName> {
        match self {
            Self::SigV4(sigv4) => {
                let mut fields = vec![&sigv4.access_key];
                fields.extend(&sigv4.session_token);
                fields
            }
            Self::Hmac(_) => Vec::new(),
            Self::Jwt(jwt) => {
                let said = [Some(&jwt.issuer), jwt.key_id.as_ref(), jwt.subject.as_ref()];
                let mut fields: Vec<_> =
                    said.into_iter().flatten().filter_map(Said::field).collect();
                if let JwtUse::GitHubApp { installation, .. } = &jwt.purpose {
                    fields.extend(installation);
                }
                fields
            }
        }
    }

    /// Those of them that it cannot do without.
    #[must_use]
    pub fn needs(&self) -> Vec<&FieldName> {
        match self {
            Self::SigV4(sigv4) => vec![&sigv4.access_key],
            Self::Hmac(_) | Self::Jwt(_) => self.fields(),
        }
    }

    /// The headers that it sets.
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderName> {
        match self {
            Self::SigV4(_) => {
                let mut headers = vec![header::AUTHORIZATION];
                headers.extend(SigV4::HEADERS.map(HeaderName::from_static));
                headers
            }
            Self::Hmac(hmac) => {
                let mut headers = vec![hmac.header.clone()];
                headers.extend(hmac.timestamp_header.clone());
                headers
            }
            Self::Jwt(_) => vec![header::AUTHORIZATION],
        }
    }

    /// Where a token is fetched before the call, if one is.
    #[must_use]
    pub const fn exchanged_at(&self) -> Option<&Url> {
        match self {
            Self::Jwt(jwt) => jwt.purpose.exchanged_at(),
            Self::SigV4(_) | Self::Hmac(_) => None,
        }
    }

    /// The canonical JSON form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::SigV4(sigv4) => json!({ "sigv4": {
                "region": sigv4.region,
                "service": sigv4.service,
                "accessKeyField": sigv4.access_key,
                "sessionTokenField": sigv4.session_token,
            }}),
            Self::Hmac(hmac) => json!({ "hmac": hmac.to_json() }),
            Self::Jwt(jwt) => match &jwt.purpose {
                JwtUse::Header => json!({ "jwt": jwt.to_json() }),
                JwtUse::Bearer { token_url } => {
                    let mut json = jwt.to_json();
                    json.insert("tokenUrl".to_owned(), text_of(token_url).into());
                    json!({ "jwtBearer": json })
                }
                JwtUse::GitHubApp { api, installation } => {
                    let mut json = json!({
                        "api": text_of(api),
                        "installationField": installation,
                    });
                    let (key, value) = jwt.issuer.to_json("app");
                    if let Some(map) = json.as_object_mut() {
                        map.insert(key, value);
                    }
                    json!({ "githubApp": json })
                }
            },
        }
    }
}

impl SigV4 {
    /// The headers that it sets beside `Authorization`.
    pub const HEADERS: [&'static str; 3] =
        ["x-amz-date", "x-amz-content-sha256", "x-amz-security-token"];
}

impl HmacSigner {
    fn to_json(&self) -> Value {
        json!({
            "hash": match self.hash {
                MacHash::Sha256 => "sha256",
                MacHash::Sha512 => "sha512",
            },
            "key": match self.key {
                KeyForm::Text => "text",
                KeyForm::Hex => "hex",
                KeyForm::Base64 => "base64",
            },
            "message": self.message.source,
            "encoding": match self.encoding {
                MacEncoding::Hex => "hex",
                MacEncoding::Base64 => "base64",
                MacEncoding::Base64Url => "base64url",
            },
            "header": self.header.as_str(),
            "format": self.format.source,
            "timestampHeader": self.timestamp_header.as_ref().map(HeaderName::as_str),
            "timestamp": match self.timestamp {
                TimeForm::Unix => "unix",
                TimeForm::UnixMillis => "unix_ms",
                TimeForm::Rfc3339 => "rfc3339",
            },
        })
    }
}

impl JwtSigner {
    fn to_json(&self) -> Map<String, Value> {
        let alg = match self.alg {
            JwsAlg::Es256 => "ES256",
            _ => "RS256",
        };
        let mut json = Map::from_iter([
            ("alg".to_owned(), json!(alg)),
            ("audience".to_owned(), json!(self.audience)),
            ("claims".to_owned(), self.claims.clone().into()),
            ("lifetime".to_owned(), self.lifetime.into()),
        ]);
        json.extend([self.issuer.to_json("issuer")]);
        json.extend(self.subject.iter().map(|said| said.to_json("subject")));
        json.extend(self.key_id.iter().map(|said| said.to_json("keyId")));
        json
    }
}

impl Said {
    const fn field(&self) -> Option<&FieldName> {
        match self {
            Self::Literal(_) => None,
            Self::Field(field) => Some(field),
        }
    }

    fn to_json(&self, key: &str) -> (String, Value) {
        match self {
            Self::Literal(text) => (key.to_owned(), json!(text)),
            Self::Field(field) => (format!("{key}Field"), json!(field)),
        }
    }
}

fn text_of(url: &Url) -> String {
    format!("{}{}", url.origin(), url.path_and_query())
}

#[cfg(test)]
#[path = "signer_tests.rs"]
mod tests;
