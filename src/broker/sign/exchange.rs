//! A token for a call, in exchange for a signed assertion (RFC 7523, 2.1; GitHub's installations).
//!
//! The endpoint is the spec's, reached as every upstream is: admitted, connected and verified before
//! the key is opened. What it answers goes to nobody; the token in it is lent to the one call, searched
//! for in its answer, and kept for the next ones for a minute.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::tokens::Tokens;
use super::{bear_in, jwt, of};
use crate::broker::lease::identity;
use crate::broker::place::Values;
use crate::broker::resolve::Filled;
use crate::broker::stopped::Stopped;
use crate::broker::{BrokerError, answer::NoAnswer};
use crate::clock::Timestamp;
use crate::crypto::{Digest, sha256, sha256_parts};
use crate::egress::{Egress, EgressError, Incoming, Outgoing, Private, VerifiedPeer};
use crate::id::OrgId;
use crate::name::{FieldName, Fields, HostPattern};
use crate::secret::Secret;
use crate::tools::{Binding, JwtSigner, JwtUse, Signer, narrow};

/// The longest answer of a token endpoint, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// RFC 7523, 2.1. The assertion that follows needs no escapes.
const GRANT: &[u8] = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

/// Why a token endpoint gave no token. Nothing was sent to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// It said no.
    #[error(
        "the token endpoint refused the signed assertion with status {status}: look at the key, the issuer and this machine's clock"
    )]
    Refused {
        /// The status.
        status: u16,
    },
    /// What it said holds no token.
    #[error("the token endpoint's answer holds no bearer token")]
    Unusable,
}

/// How a call comes by the token that it needs.
#[derive(Debug)]
pub(in crate::broker) enum Pass {
    /// It needs none.
    Unneeded,
    /// From an earlier call.
    Kept(Arc<Secret>, Digest),
    /// From the endpoint, which has proved itself. Without a key it is not kept.
    ToFetch(Box<VerifiedPeer>, Option<Digest>),
}

/// An answer with a token in it, under either name.
#[derive(Deserialize)]
struct Answered {
    access_token: Option<Secret>,
    token: Option<Secret>,
    token_type: Option<String>,
    expires_in: Option<i64>,
    expires_at: Option<Timestamp>,
}

/// Whether what signs for the binding may be used at its token endpoint as well: a secret that is bound
/// to hosts names both.
pub(in crate::broker) fn may_exchange(binding: &Binding, hosts: &Fields<Vec<HostPattern>>) -> bool {
    let endpoint = binding
        .signer()
        .and_then(|(_, signer)| signer.exchanged_at());
    endpoint.is_none_or(|url| {
        let mut own = signing_fields(binding).filter_map(|field| hosts.get(field));
        own.all(|own| narrow(own, url.host()))
    })
}

fn signing_fields(binding: &Binding) -> impl Iterator<Item = &FieldName> {
    let signer = binding.signer().into_iter();
    signer.flat_map(|(field, signer)| std::iter::once(field).chain(signer.fields()))
}

impl Pass {
    /// Looks for a token that is there, or connects to where one is to be had.
    pub(in crate::broker) async fn ready(
        tokens: &Tokens,
        (egress, private): (&Egress, &Private),
        (org, binding): (OrgId, &Binding),
        filled: &Fields<Filled>,
        now: Timestamp,
    ) -> Result<Self, EgressError> {
        let endpoint = binding
            .signer()
            .and_then(|(_, signer)| signer.exchanged_at());
        let Some(url) = endpoint else {
            return Ok(Self::Unneeded);
        };
        let key = key_of(org, binding, filled);
        if let Some(key) = key
            && let Some(token) = tokens.get(&key, now)
        {
            return Ok(Self::Kept(token, key));
        }
        let target = egress.admit(url.clone(), private).await?;
        let peer = egress.connect(target).await?;
        Ok(Self::ToFetch(Box::new(peer), key))
    }

    /// Whether the endpoint is asked.
    pub(in crate::broker) const fn is_to_fetch(&self) -> bool {
        matches!(self, Self::ToFetch(..))
    }

    /// What the token is kept under.
    pub(in crate::broker) const fn key(&self) -> Option<Digest> {
        match self {
            Self::Unneeded => None,
            Self::Kept(_, key) => Some(*key),
            Self::ToFetch(_, key) => *key,
        }
    }

    /// The token. The values are open, and the intent is on disk.
    pub(in crate::broker) async fn token(
        self,
        tokens: &Tokens,
        binding: &Binding,
        values: &Values,
        now: Timestamp,
    ) -> Result<Option<Arc<Secret>>, Stopped> {
        let (peer, key) = match self {
            Self::Unneeded => return Ok(None),
            Self::Kept(token, _) => return Ok(Some(token)),
            Self::ToFetch(peer, key) => (peer, key),
        };
        let Some((field, Signer::Jwt(signer))) = binding.signer() else {
            return Ok(None);
        };
        let assertion = jwt::issue(signer, of(values, field)?, values, now)?;
        let request = request(signer, &assertion, values)?;
        drop(assertion);
        let incoming = peer.send(request).await.map_err(NoAnswer::from)?;
        let (token, ends) = read(incoming, now).await?;
        let token = Arc::new(token);
        if let Some(key) = key {
            tokens.keep(key, Arc::clone(&token), now, ends);
        }
        Ok(Some(token))
    }
}

/// Which credentials fetch the token, in which version, for what. `None` when one of them came with the
/// request, or is a token itself.
fn key_of(org: OrgId, binding: &Binding, filled: &Fields<Filled>) -> Option<Digest> {
    let (_, signer) = binding.signer()?;
    let mut identities = Vec::new();
    for field in signing_fields(binding) {
        let filled = filled.get(field)?;
        identities.extend_from_slice(&sha256(field.as_str().as_bytes()));
        identities.extend_from_slice(&identity(&filled.filling)?);
    }
    let signer = sha256(signer.to_json().to_string().as_bytes());
    Some(sha256_parts(&[org.bytes(), &signer, &identities]))
}

fn request(
    signer: &JwtSigner,
    assertion: &Secret,
    values: &Values,
) -> Result<Outgoing, BrokerError> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static("runtools-broker"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let (path, body) = match &signer.purpose {
        JwtUse::GitHubApp {
            api,
            installation: Some(field),
        } => {
            bear_in(&mut headers, assertion)?;
            let id = of(values, field)?.expose(number)?;
            let root = api.path().trim_end_matches('/');
            let path = format!("{root}/app/installations/{}/access_tokens", id.as_str());
            (Zeroizing::new(path), Bytes::new())
        }
        JwtUse::Bearer { token_url } => {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
            let body = assertion.expose(|token| Zeroizing::new([GRANT, token].concat()));
            let path = Zeroizing::new(token_url.path().to_owned());
            (path, Bytes::from_owner(body))
        }
        JwtUse::GitHubApp { .. } | JwtUse::Header => {
            return Err(BrokerError::Placement("the tool names no token endpoint"));
        }
    };
    let path = PathAndQuery::try_from(path.as_str())
        .map_err(|_| BrokerError::Placement("the token endpoint's path cannot be sent"))?;
    Ok(Outgoing::full(Method::POST, path, headers, body))
}

fn number(id: &[u8]) -> Result<Zeroizing<String>, BrokerError> {
    let digits = (1..=20).contains(&id.len()) && id.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(id).ok().filter(|_| digits);
    let text = text.map(|text| Zeroizing::new(text.to_owned()));
    text.ok_or(BrokerError::Placement("the installation's id is a number"))
}

/// The token, and when it ends. Nothing else of the answer is kept, and none of it shown.
async fn read(incoming: Incoming, now: Timestamp) -> Result<(Secret, Option<Timestamp>), Stopped> {
    let status = incoming.status;
    if !(200..300).contains(&status) {
        return Err(NoAnswer::from(NoToken::Refused { status }).into());
    }
    let mut whole = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
    let mut body = incoming.body;
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(NoAnswer::from)?.into_data() else {
            continue;
        };
        if whole.len() + piece.len() > MAX_ANSWER {
            return Err(NoAnswer::from(EgressError::TooLarge).into());
        }
        whole.extend_from_slice(&piece);
    }
    usable(&whole, now).ok_or_else(|| NoAnswer::from(NoToken::Unusable).into())
}

fn usable(answer: &[u8], now: Timestamp) -> Option<(Secret, Option<Timestamp>)> {
    let answered: Answered = serde_json::from_slice(answer).ok()?;
    let kind = answered.token_type.as_deref().unwrap_or("bearer");
    let token = answered.access_token.or(answered.token)?;
    let fits = kind.eq_ignore_ascii_case("bearer") && crate::vault::check_value(&token).is_ok();
    let ends = answered.expires_in.map(|seconds| now.plus_seconds(seconds));
    fits.then_some((token, ends.or(answered.expires_at)))
}

#[cfg(test)]
mod tests {
    use super::{number, usable};
    use crate::clock::Timestamp;

    #[test]
    fn a_token_is_read_under_either_name_with_its_end() {
        let now = Timestamp::from_millis(1_000_000);
        let read = |text: &str| {
            let (token, ends) = usable(text.as_bytes(), now)?;
            let token = token.expose(|token| String::from_utf8(token.to_vec()).unwrap());
            Some((token, ends.map(Timestamp::millis)))
        };
        let found = |token: &str, ends| Some((token.to_owned(), ends));
        assert_eq!(
            read(r#"{"access_token":"abc","token_type":"Bearer","expires_in":3600,"x":1}"#),
            found("abc", Some(4_600_000))
        );
        assert_eq!(
            read(r#"{"token":"ghs_1","expires_at":"1970-01-01T01:00:00Z"}"#),
            found("ghs_1", Some(3_600_000))
        );
        assert_eq!(read(r#"{"access_token":"abc"}"#), found("abc", None));
        for bad in [
            "",
            "[]",
            r#"{"access_token":7}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":"a\nb"}"#,
            r#"{"access_token":"abc","token_type":"mac"}"#,
            r#"{"error":"invalid_grant"}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_installation_is_a_number() {
        assert_eq!(number(b"12345678").unwrap().as_str(), "12345678");
        for bad in [&b""[..], b"1/../2", b"1 ", b"-1", b"123456789012345678901"] {
            assert!(number(bad).is_err());
        }
    }
}
