//! Discovery: what an issuer says of itself (RFC 8414, OpenID Connect Discovery; M1).

use serde_json::Value;

use crate::crypto::unambiguous_json;
use crate::egress::{Scheme, Url};
use crate::oauth::provider::spec::{ClientAuth, Discovery};
use crate::oauth::provider::{Bound, Provider, QuerySecrets, Reach, TemplateError, Vars};

/// The largest document, in bytes.
pub const MAX_METADATA: usize = 256 * 1024;

/// Where an issuer does what. Each endpoint is https, or on a host that the operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Who said so, as it was configured.
    pub issuer: String,
    /// Where a person is sent.
    pub authorization: Option<Url>,
    /// Where tokens are issued.
    pub token: Option<Url>,
    /// Where they are revoked (RFC 7009).
    pub revocation: Option<Url>,
    /// Where the account is told.
    pub userinfo: Option<Url>,
    /// Where the keys of ID tokens are.
    pub jwks_uri: Option<Url>,
    /// Where a device flow begins (RFC 8628).
    pub device_authorization: Option<Url>,
    /// How clients prove themselves at the token endpoint, as far as we can; empty when it is not
    /// said, which means by Basic.
    pub client_auth: Vec<ClientAuth>,
    /// Whether every callback says who answered (RFC 9207), so that one that does not is refused.
    pub iss_parameter_supported: bool,
}

/// Why an issuer's document is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The issuer is no URL that can be asked.
    #[error("an issuer is a https URL without query and fragment")]
    Issuer,
    /// The provider's endpoints stand in its file.
    #[error("the provider is not discovered")]
    NotDiscovered,
    /// It is no such document, or a large one.
    #[error("not a metadata document of at most {MAX_METADATA} bytes")]
    Form,
    /// It is somebody else's.
    #[error("the document is of another issuer")]
    OtherIssuer,
    /// An endpoint is no URL, or not https.
    #[error("{endpoint} is not a https URL")]
    Endpoint {
        /// Which.
        endpoint: &'static str,
    },
}

/// The provider's issuer, with the parameters of the connection in it.
///
/// # Errors
/// [`TemplateError`] when a parameter is missing.
pub fn issuer_of(provider: &Provider, bound: &Bound) -> Result<Option<String>, TemplateError> {
    let Some(issuer) = &provider.spec().issuer else {
        return Ok(None);
    };
    let issuer = issuer.render_url(&Vars::of(bound), QuerySecrets::Refused)?;
    Ok(Some(issuer.to_string()))
}

/// Where the document is: behind the issuer (OpenID Connect), or with its path behind the well-known
/// one (RFC 8414, 3.1).
///
/// # Errors
/// [`MetadataError::Issuer`] or [`NotDiscovered`](MetadataError::NotDiscovered).
pub fn metadata_url(issuer: &str, discovery: Discovery) -> Result<Url, MetadataError> {
    let url = Url::parse(issuer).map_err(|_| MetadataError::Issuer)?;
    if url.query().is_some() {
        return Err(MetadataError::Issuer);
    }
    let (origin, path) = (url.origin(), url.path());
    let path = path.strip_suffix('/').unwrap_or(path);
    let text = match discovery {
        Discovery::Oidc => format!("{origin}{path}/.well-known/openid-configuration"),
        Discovery::Rfc8414 => format!("{origin}/.well-known/oauth-authorization-server{path}"),
        Discovery::None => return Err(MetadataError::NotDiscovered),
    };
    Url::parse(&text).map_err(|_| MetadataError::Issuer)
}

/// Reads the document. Its issuer is the one that was asked, byte for byte; endpoints are https. Only an
/// issuer that is itself asked in cleartext, in the operator's own ranges, may name such endpoints there.
///
/// # Errors
/// [`MetadataError`], and nothing of the document is used.
pub fn read_metadata(issuer: &str, body: &[u8], reach: &Reach) -> Result<Endpoints, MetadataError> {
    let small = body.len() <= MAX_METADATA;
    let document = small.then(|| unambiguous_json(body)).flatten();
    let document = document.filter(Value::is_object);
    let document = document.ok_or(MetadataError::Form)?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(MetadataError::OtherIssuer);
    }
    let clear = Url::parse(issuer).is_ok_and(|url| url.scheme() == Scheme::Http);
    let clear = Some(reach).filter(|_| clear);
    let endpoint = |name| read_endpoint(&document, name, clear);
    let supported = document.get("authorization_response_iss_parameter_supported");
    Ok(Endpoints {
        issuer: issuer.to_owned(),
        authorization: endpoint("authorization_endpoint")?,
        token: endpoint("token_endpoint")?,
        revocation: endpoint("revocation_endpoint")?,
        userinfo: endpoint("userinfo_endpoint")?,
        jwks_uri: endpoint("jwks_uri")?,
        device_authorization: endpoint("device_authorization_endpoint")?,
        client_auth: read_ways(&document),
        iss_parameter_supported: supported == Some(&Value::Bool(true)),
    })
}

fn read_ways(document: &Value) -> Vec<ClientAuth> {
    let listed = document.get("token_endpoint_auth_methods_supported");
    let listed = listed.and_then(Value::as_array).into_iter().flatten();
    let known = listed.filter_map(|way| match way.as_str()? {
        "client_secret_basic" => Some(ClientAuth::Basic),
        "client_secret_post" => Some(ClientAuth::Post),
        "none" => Some(ClientAuth::None),
        "private_key_jwt" => Some(ClientAuth::PrivateKeyJwt),
        _ => None,
    });
    known.collect()
}

fn read_endpoint(
    document: &Value,
    endpoint: &'static str,
    clear: Option<&Reach>,
) -> Result<Option<Url>, MetadataError> {
    let text = match document.get(endpoint) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_str(),
    };
    let url = text.and_then(|text| Url::parse(text).ok());
    let usable = url.filter(|url| {
        let own = clear.is_some_and(|reach| reach.covers(url.host()));
        url.scheme() == Scheme::Https || own
    });
    usable.map(Some).ok_or(MetadataError::Endpoint { endpoint })
}
