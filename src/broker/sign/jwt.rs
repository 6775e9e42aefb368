//! A signed token whose claims the spec fixes (RFC 7519).

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::of;
use crate::broker::BrokerError;
use crate::broker::place::Values;
use crate::clock::Timestamp;
use crate::crypto::{JwsKey, JwsKeyError, Random, SystemRandom};
use crate::secret::Secret;
use crate::tools::{JwtSigner, JwtUse, Said};

/// How far the other side's clock may be behind, in seconds; GitHub advises as much.
const SKEW: i64 = 60;

/// Makes the token.
pub(super) fn issue(
    signer: &JwtSigner,
    key: &Secret,
    values: &Values,
    now: Timestamp,
) -> Result<Secret, BrokerError> {
    let unfit = |error: JwsKeyError| BrokerError::Placement(error.reason());
    let key = JwsKey::read(signer.alg, key).map_err(unfit)?;
    let kid = signer.key_id.as_ref().map(|said| text_of(said, values));
    let kid = kid.transpose()?;
    let claims = claims(signer, values, now)?;
    let kid = kid.as_ref().map(|kid| kid.as_str());
    key.sign(kid, &claims).map_err(unfit)
}

/// The part of a token that makes it one: found alone, it goes as well.
pub(super) fn telling(token: &Secret) -> Vec<Secret> {
    let signature = token.expose(|token| {
        let signature = token.rsplit(|byte| *byte == b'.').next();
        signature.map(Secret::copy_of)
    });
    signature.into_iter().collect()
}

fn claims(
    signer: &JwtSigner,
    values: &Values,
    now: Timestamp,
) -> Result<Zeroizing<Vec<u8>>, BrokerError> {
    let now = now.millis().div_euclid(1000);
    let mut claims = signer.claims.clone();
    let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    say("iss", text_of(&signer.issuer, values)?.as_str().into());
    if let Some(subject) = &signer.subject {
        say("sub", text_of(subject, values)?.as_str().into());
    }
    if let Some(audience) = &signer.audience {
        say("aud", (**audience).into());
    }
    say("iat", (now - SKEW).into());
    say("exp", (now + signer.lifetime).into());
    if let JwtUse::Bearer { .. } = signer.purpose {
        // An assertion is good for one exchange where the endpoint keeps count (RFC 7523, 3).
        let random: &dyn Random = &SystemRandom;
        let id = random
            .bytes::<16>()
            .map_err(crate::vault::VaultError::from)?;
        say("jti", HEXLOWER.encode(&id).into());
    }
    let text = serde_json::to_vec(&claims).map(Zeroizing::new);
    wipe(&mut claims);
    text.map_err(|_| BrokerError::Placement("the claims cannot be written"))
}

/// What came from a field was a copy.
fn wipe(claims: &mut Map<String, Value>) {
    for value in claims.values_mut() {
        if let Value::String(text) = value {
            text.zeroize();
        }
    }
}

fn text_of(said: &Said, values: &Values) -> Result<Zeroizing<String>, BrokerError> {
    match said {
        Said::Literal(text) => Ok(Zeroizing::new(text.to_string())),
        Said::Field(field) => of(values, field)?.expose(|value| {
            let text = std::str::from_utf8(value).map(|text| Zeroizing::new(text.to_owned()));
            text.map_err(|_| BrokerError::Placement("the credential is no text"))
        }),
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
