//! `[token]` and `[[token.exchange]]`: how a code becomes a token.

use serde::Deserialize;

use super::spec::Map;
use super::spec_response::Response;
use super::template::Template;

/// The token request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Where it goes. Absent only with discovery.
    pub url: Option<Template>,
    /// POST or GET.
    #[serde(default)]
    pub method: Method,
    /// How parameters are sent.
    #[serde(default)]
    pub body: Body,
    /// How the client proves itself.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// For `private_key_jwt`: whom the token names as its reader.
    #[serde(default)]
    pub assertion_audience: AssertionAudience,
    /// The user name of Basic, where it is not the client's id.
    pub basic_username: Option<Template>,
    /// The password of Basic, where it is not the client's secret.
    pub basic_password: Option<Template>,
    /// Whether the halves are form-encoded first (RFC 6749, 2.3.1).
    #[serde(default)]
    pub basic_encoding: BasicEncoding,
    /// Whether a secret may stand in a query.
    #[serde(default)]
    pub query_secrets_ok: bool,
    /// More headers.
    #[serde(default)]
    pub headers: Map<Template>,
    /// More parameters.
    #[serde(default)]
    pub params: Map<Template>,
    /// Whether the redirect URI is repeated.
    #[serde(default = "yes")]
    pub send_redirect_uri: bool,
    /// Whether the client's id is sent although Basic says it.
    #[serde(default = "yes")]
    pub send_client_id: bool,
    /// Standard parameter → the provider's name for it.
    #[serde(default)]
    pub rename: Map<String>,
    /// Standard parameters that are left out.
    #[serde(default)]
    pub omit: Vec<String>,
    /// The answer.
    #[serde(default)]
    pub response: Response,
    /// Second hops, in order.
    #[serde(default)]
    pub exchange: Vec<Exchange>,
    /// The provider's error codes, and what they mean.
    #[serde(default)]
    pub errors: Map<Meaning>,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    #[default]
    Post,
    /// DELETE.
    Delete,
}

/// How parameters are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// `application/x-www-form-urlencoded`.
    #[default]
    Form,
    /// A JSON object.
    Json,
    /// In the URL.
    Query,
    /// Nowhere.
    Empty,
}

/// How the client proves itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// HTTP Basic.
    #[default]
    Basic,
    /// In the body, or wherever the parameters stand.
    Post,
    /// Not at all: a public client.
    None,
    /// By a token that it signs with a key of its own (RFC 7523): what is stored as its secret is that
    /// key, in PEM or as a JWK, and stays here.
    PrivateKeyJwt,
}

/// Whom the token of `private_key_jwt` is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssertionAudience {
    /// The issuer, which no other server can pass itself off as.
    #[default]
    Issuer,
    /// The token endpoint, for servers that know no other name of theirs.
    TokenEndpoint,
}

/// How the halves of Basic are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BasicEncoding {
    /// Form-encoded first.
    #[default]
    Rfc6749,
    /// As they are.
    Raw,
}

/// A second hop: a token is exchanged for another.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Where it goes.
    pub url: Template,
    /// GET or POST.
    #[serde(default)]
    pub method: Method,
    /// How parameters are sent.
    #[serde(default)]
    pub body: Body,
    /// All its parameters.
    #[serde(default)]
    pub params: Map<Template>,
    /// Whether a secret may stand in its query.
    #[serde(default)]
    pub query_secrets_ok: bool,
    /// Its answer.
    #[serde(default)]
    pub response: Response,
}

/// What a failure means. The order of decisions is the classifier's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The grant is gone.
    Revoked,
    /// The client is wrong; the operator or an admin must act.
    #[serde(rename = "client_config")]
    Client,
    /// It may work later.
    Transient,
    /// It comes too often.
    RateLimited,
    /// It makes no sense; it may work later, and is counted apart.
    Suspicious,
    /// A device flow that nobody finished yet.
    Pending,
    /// A device flow that is asked about too often.
    SlowDown,
    /// The person said no.
    Denied,
}

/// What an error code means: `"revoked"`, or where it means that with some statuses only
/// `{ class = "revoked", statuses = [403] }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Meaning {
    /// What it means.
    pub class: Class,
    /// With which statuses; none for any.
    pub statuses: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Always(Class),
    Sometimes(Sometimes),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sometimes {
    class: Class,
    statuses: Vec<u16>,
}

impl From<Written> for Meaning {
    fn from(written: Written) -> Self {
        match written {
            Written::Always(class) => Self {
                class,
                statuses: Vec::new(),
            },
            Written::Sometimes(Sometimes { class, statuses }) => Self { class, statuses },
        }
    }
}

fn yes() -> bool {
    true
}
