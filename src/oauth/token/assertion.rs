//! A token that a client signs to prove itself (RFC 7523, 2.2). Its key is stored as its secret, and is
//! sent to nobody.

use serde_json::json;

use super::metadata::issuer_of;
use super::request::RequestError;
use super::via::Via;
use crate::crypto::NamedKey;
use crate::oauth::provider::QuerySecrets;
use crate::oauth::provider::spec::{AssertionAudience, Token};
use crate::secret::Secret;

/// RFC 7521, 4.2: what kind of proof it is.
pub(super) const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long it counts, in seconds: as long as a request takes, and a clock may be off.
const LIFE: i64 = 60;

/// The token: from this client, for this server, now, and once.
pub(super) fn assertion(via: &Via<'_>, file: &Token, key: &Secret) -> Result<Secret, RequestError> {
    let unfit = |error: crate::crypto::JwsKeyError| RequestError::Key(error.reason());
    let (key, audience) = (NamedKey::read(key).map_err(unfit)?, audience(via, file)?);
    let now = via.now.millis().div_euclid(1000);
    let signed = key.sign(|id| {
        let claims = json!({
            "iss": via.client.id, "sub": via.client.id, "aud": audience,
            "jti": id, "iat": now, "exp": now.saturating_add(LIFE),
        });
        claims.to_string().into_bytes()
    });
    signed.map_err(unfit)
}

fn audience(via: &Via<'_>, file: &Token) -> Result<String, RequestError> {
    match file.assertion_audience {
        AssertionAudience::Issuer => {
            let issuer = match via.endpoints {
                Some(found) => Some(found.issuer.clone()),
                None => issuer_of(via.provider, via.bound)?,
            };
            issuer.ok_or(RequestError::NoEndpoint)
        }
        AssertionAudience::TokenEndpoint => {
            let found = via.endpoints.and_then(|found| found.token.as_ref());
            match (&file.url, found) {
                (Some(url), _) => {
                    let url = url.render_url(&via.vars(), QuerySecrets::Refused)?;
                    Ok(url.to_string())
                }
                (None, Some(url)) => Ok(format!("{}{}", url.origin(), url.path_and_query())),
                (None, None) => Err(RequestError::NoEndpoint),
            }
        }
    }
}
