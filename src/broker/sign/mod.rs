//! Signing a request, last of all: nothing is added to it or taken from it afterwards.
//!
//! What is signed is what is sent: the target in its canonical spelling, the headers and the body of
//! the finished request, and a `Host` that comes from the peer that proved itself. Everything else in a
//! signature is the binding's: algorithm, region, service, claims, the form of the message. A caller
//! chooses none of it, and sees none: what a signer makes is searched for in the answer as the secrets
//! are, because whoever has it can act for as long as it is good.

mod exchange;
mod jwt;
mod mac;
mod sigv4;
mod tokens;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use zeroize::Zeroizing;

use super::BrokerError;
use super::place::Values;
use super::resolve::Filled;
use crate::clock::Timestamp;
use crate::egress::credential_value;
use crate::name::{FieldName, Fields};
use crate::secret::Secret;
use crate::tools::{Binding, Signer};

pub use exchange::NoToken;
pub(super) use exchange::{Pass, may_exchange};
pub(super) use tokens::Tokens;

/// Everything but the unreserved characters (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is said of a body that is too long to be held back.
pub(super) const WHOLE: &str =
    "a signature covers the whole body, which may have at most 1 MiB then";

/// What is said of a body whose pieces carry signatures of their own.
const PIECES: &str =
    "the body is signed piece by piece, and cannot be signed anew: have the library send it whole";

/// Refuses a body that cannot be signed as it is: one that is not held back, or that is in pieces which were
/// signed one by one, and would be stored with their signatures.
pub(super) fn check_body(
    binding: &Binding,
    headers: &HeaderMap,
    streams: bool,
) -> Result<(), BrokerError> {
    let Some((_, signer)) = binding.signer() else {
        return Ok(());
    };
    if streams {
        return Err(BrokerError::Placement(WHOLE));
    }
    if matches!(signer, Signer::SigV4(_)) && sigv4::is_in_pieces(headers) {
        return Err(BrokerError::Placement(PIECES));
    }
    Ok(())
}

/// What a signer needs to know beside the request.
pub(super) struct Surroundings<'a> {
    /// `Host`, as it will be sent.
    pub(super) authority: &'a str,
    /// The time.
    pub(super) now: Timestamp,
    /// The token that was fetched for the call, where its binding exchanges one.
    pub(super) token: Option<&'a Secret>,
}

/// A request that is finished but for its signature.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a Method,
    /// May be spelled anew, never changed in meaning.
    pub(super) path: &'a mut Zeroizing<String>,
    /// The same.
    pub(super) query: &'a mut Zeroizing<String>,
    pub(super) headers: &'a mut HeaderMap,
    pub(super) body: &'a Bytes,
}

/// Refuses a call that could not be signed, before anything is opened or dialled for it.
pub(super) fn check(binding: &Binding, filled: &Fields<Filled>) -> Result<(), BrokerError> {
    let Some((key, signer)) = binding.signer() else {
        return Ok(());
    };
    let needed = std::iter::once(key).chain(signer.needs());
    let missing = needed.filter(|field| !filled.contains_key(*field));
    let fields: Vec<_> = missing.cloned().collect();
    if fields.is_empty() {
        return Ok(());
    }
    Err(BrokerError::Missing { fields })
}

/// Signs `request` as the binding says. Returns what was made and must not come back.
pub(super) fn sign(
    mut request: Unsigned<'_>,
    binding: &Binding,
    values: &Values,
    around: &Surroundings<'_>,
) -> Result<Vec<Secret>, BrokerError> {
    let Some((field, signer)) = binding.signer() else {
        return Ok(Vec::new());
    };
    let key = of(values, field)?;
    match signer {
        Signer::SigV4(signer) => sigv4::sign(&mut request, signer, (key, values), around),
        Signer::Hmac(signer) => mac::sign(&mut request, signer, key, around),
        Signer::Jwt(signer) => {
            let made = match (signer.purpose.exchanged_at(), around.token) {
                (None, _) => jwt::issue(signer, key, values, around.now)?,
                (Some(_), Some(token)) => {
                    return bear_in(request.headers, token).map(|()| Vec::new());
                }
                (Some(_), None) => return Err(BrokerError::Placement("no token was fetched")),
            };
            bear_in(request.headers, &made)?;
            let mut derived = jwt::telling(&made);
            derived.push(made);
            Ok(derived)
        }
    }
}

/// Makes it the request's bearer token (RFC 6750, 2.1).
fn bear_in(headers: &mut HeaderMap, token: &Secret) -> Result<(), BrokerError> {
    let value = token.expose(|token| {
        let value = Zeroizing::new([b"Bearer ", token].concat());
        credential_value(&value)
    });
    let value = value.map_err(BrokerError::Egress)?;
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

/// The value of a field that the signer cannot do without.
fn of<'v>(values: &'v Values, field: &FieldName) -> Result<&'v Secret, BrokerError> {
    values.get(field).ok_or_else(|| BrokerError::Missing {
        fields: vec![field.clone()],
    })
}
