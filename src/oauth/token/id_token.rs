//! ID tokens (OpenID Connect Core, 3.1.3.7; O1): who signed, for whom, until when, and in answer to
//! what.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use super::lifetime::whole;
use crate::clock::Timestamp;
use crate::crypto::{Jwks, Jws, JwsError, unambiguous_json};
use crate::secret::Secret;

/// How far the issuer's clock may be from ours, in seconds.
const SKEW_S: i64 = 60;
/// The longest subject, in bytes (OpenID Connect Core, 2).
const MAX_SUBJECT: usize = 255;

/// What a token must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who signs, byte for byte.
    pub issuer: &'a str,
    /// For whom: the client's id.
    pub client_id: &'a str,
    /// The flow's nonce, where one was sent (A6). A refresh has none.
    pub nonce: Option<&'a str>,
    /// The access token beside it, for `at_hash`.
    pub access_token: Option<&'a Secret>,
    /// The present instant.
    pub now: Timestamp,
}

/// Who vouches for a token.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// Its issuer's published keys.
    Keys(&'a Jwks),
    /// The TLS connection to the token endpoint, over which it just came (point 6): where the issuer
    /// publishes no keys that we know of. Never for a token that came through a browser.
    Direct,
}

/// What a token says, after it was checked.
#[derive(Clone, Debug)]
pub struct IdClaims {
    issuer: String,
    subject: String,
    claims: Value,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// Its form, or its signature.
    #[error(transparent)]
    Signed(#[from] JwsError),
    /// Its claims are no object that can be read in one way.
    #[error("the ID token's claims cannot be read")]
    Claims,
    /// It is somebody else's.
    #[error("the ID token is of another issuer")]
    Issuer,
    /// It names nobody.
    #[error("the ID token names no subject")]
    Subject,
    /// It is for somebody else.
    #[error("the ID token is for another client")]
    Audience,
    /// It is over, or does not say when it is.
    #[error("the ID token is over")]
    Expired,
    /// It is from the future, or does not say when it was made.
    #[error("the ID token is not valid yet")]
    Early,
    /// It answers another flow (A6).
    #[error("the ID token answers another flow")]
    Nonce,
    /// The access token beside it is another.
    #[error("the ID token came with another access token")]
    AccessToken,
    /// It names another account than before (R13), or than userinfo.
    #[error("the ID token names another account")]
    Account,
}

impl IdTokenError {
    /// Whether the issuer may have changed its keys: then they are fetched once more, and the token
    /// is tried again.
    #[must_use]
    pub const fn may_need_newer_keys(&self) -> bool {
        matches!(self, Self::Signed(JwsError::UnknownKey))
    }
}

/// Checks a token. Who believes it has checked its signature, its claims and its flow.
///
/// # Errors
/// [`IdTokenError`].
pub fn check_id_token(
    token: &Secret,
    proof: Proof<'_>,
    expected: &Expected<'_>,
) -> Result<IdClaims, IdTokenError> {
    token.expose(|token| {
        let jws = Jws::parse(token)?;
        let payload = match proof {
            Proof::Keys(keys) => jws.verify(keys)?,
            Proof::Direct => jws.unverified(),
        };
        let claims = unambiguous_json(payload).filter(Value::is_object);
        let claims = claims.ok_or(IdTokenError::Claims)?;
        check_parties(&claims, expected)?;
        check_times(&claims, expected.now)?;
        if let Some(nonce) = expected.nonce
            && text(&claims, "nonce") != Some(nonce)
        {
            return Err(IdTokenError::Nonce);
        }
        if let Some(access) = expected.access_token {
            check_access(&claims, &jws, access)?;
        }
        IdClaims::of(claims)
    })
}

fn text<'c>(claims: &'c Value, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

fn check_parties(claims: &Value, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    if text(claims, "iss") != Some(expected.issuer) {
        return Err(IdTokenError::Issuer);
    }
    let several = match claims.get("aud") {
        Some(Value::String(one)) if one == expected.client_id => false,
        Some(Value::Array(all)) if all.iter().any(|one| *one == expected.client_id) => {
            all.len() > 1
        }
        _ => return Err(IdTokenError::Audience),
    };
    match claims.get("azp") {
        None if !several => Ok(()),
        Some(party) if *party == expected.client_id => Ok(()),
        _ => Err(IdTokenError::Audience),
    }
}

/// Seconds since 1970.
fn seconds(claims: &Value, name: &str) -> Option<i64> {
    let number = claims.get(name)?;
    number.as_i64().or_else(|| whole(number.as_f64()?))
}

fn check_times(claims: &Value, now: Timestamp) -> Result<(), IdTokenError> {
    let after = |name: &str| {
        let at = Timestamp::default().plus_seconds(seconds(claims, name)?);
        Some(now.millis_since(at))
    };
    let skew = SKEW_S.saturating_mul(1000);
    let over = after("exp").is_none_or(|after| after >= skew);
    if over {
        return Err(IdTokenError::Expired);
    }
    let early = after("iat").is_none_or(|after| after < skew.saturating_neg());
    let not_before = claims.get("nbf").is_some();
    let waits = not_before && after("nbf").is_none_or(|after| after < skew.saturating_neg());
    if early || waits {
        return Err(IdTokenError::Early);
    }
    Ok(())
}

/// `at_hash`, where there is one (3.1.3.8).
fn check_access(claims: &Value, jws: &Jws<'_>, access: &Secret) -> Result<(), IdTokenError> {
    let Some(told) = claims.get("at_hash") else {
        return Ok(());
    };
    let half = access.expose(|token| jws.alg().left_half(token));
    let same = told.as_str() == Some(BASE64URL_NOPAD.encode(&half).as_str());
    same.then_some(()).ok_or(IdTokenError::AccessToken)
}

impl IdClaims {
    fn of(claims: Value) -> Result<Self, IdTokenError> {
        let subject = text(&claims, "sub").filter(|subject| {
            (1..=MAX_SUBJECT).contains(&subject.len()) && !subject.chars().any(char::is_control)
        });
        let subject = subject.ok_or(IdTokenError::Subject)?.to_owned();
        let issuer = text(&claims, "iss").ok_or(IdTokenError::Issuer)?.to_owned();
        Ok(Self {
            issuer,
            subject,
            claims,
        })
    }

    /// Who signed it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whom it names.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// All that it says.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.claims
    }

    /// After a refresh: the token names who it named when the account was connected (R13).
    ///
    /// # Errors
    /// [`IdTokenError::Account`]: the old tokens stay.
    pub fn continue_for(&self, issuer: &str, subject: &str) -> Result<(), IdTokenError> {
        let same = self.issuer == issuer && self.subject == subject;
        same.then_some(()).ok_or(IdTokenError::Account)
    }

    /// What userinfo says is of the same account (OpenID Connect Core, 5.3.2).
    ///
    /// # Errors
    /// [`IdTokenError::Account`].
    pub fn agrees_with_userinfo(&self, userinfo: &Value) -> Result<(), IdTokenError> {
        let same = text(userinfo, "sub") == Some(&self.subject);
        same.then_some(()).ok_or(IdTokenError::Account)
    }
}
