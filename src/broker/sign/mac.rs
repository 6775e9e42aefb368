//! An HMAC over a message whose form the spec fixes.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

use super::{Surroundings, Unsigned};
use crate::broker::BrokerError;
use crate::clock::Timestamp;
use crate::crypto::{hmac_of, hmac_sha512_of, sha256};
use crate::egress::credential_value;
use crate::secret::Secret;
use crate::tools::{HmacSigner, KeyForm, MacEncoding, MacHash, Piece, TimeForm};

/// Signs the request. Returns the signature.
pub(super) fn sign(
    request: &mut Unsigned<'_>,
    signer: &HmacSigner,
    key: &Secret,
    around: &Surroundings<'_>,
) -> Result<Vec<Secret>, BrokerError> {
    let time = time_as(signer.timestamp, around.now);
    let mut message = Zeroizing::new(Vec::new());
    for piece in signer.message.iter() {
        match piece {
            Piece::Literal(text) => message.extend_from_slice(text.as_bytes()),
            Piece::Method => message.extend_from_slice(request.method.as_str().as_bytes()),
            Piece::Host => message.extend_from_slice(around.authority.as_bytes()),
            Piece::Path => message.extend_from_slice(request.path.as_bytes()),
            Piece::Query => message.extend_from_slice(request.query.as_bytes()),
            Piece::Target => {
                message.extend_from_slice(request.path.as_bytes());
                if !request.query.is_empty() {
                    message.push(b'?');
                    message.extend_from_slice(request.query.as_bytes());
                }
            }
            Piece::Body => message.extend_from_slice(request.body),
            Piece::BodySha256 => {
                message.extend_from_slice(HEXLOWER.encode(&sha256(request.body)).as_bytes());
            }
            Piece::Timestamp => message.extend_from_slice(time.as_bytes()),
            // No message that loads has one.
            Piece::Signature => {}
        }
    }
    let signature = signature(signer, key, &message)?;
    let mut says = Zeroizing::new(String::new());
    for piece in signer.format.iter() {
        match piece {
            Piece::Literal(text) => says.push_str(text),
            Piece::Timestamp => says.push_str(&time),
            _ => says.push_str(&signature),
        }
    }
    let value = |text: &str| credential_value(text.as_bytes()).map_err(BrokerError::Egress);
    request.headers.insert(signer.header.clone(), value(&says)?);
    if let Some(header) = &signer.timestamp_header {
        request.headers.insert(header.clone(), value(&time)?);
    }
    Ok(vec![Secret::take(signature.into_bytes())])
}

fn signature(signer: &HmacSigner, key: &Secret, message: &[u8]) -> Result<String, BrokerError> {
    let decoded = match signer.key {
        KeyForm::Text => None,
        KeyForm::Hex => Some(key.expose(|key| HEXLOWER_PERMISSIVE.decode(key))),
        KeyForm::Base64 => Some(key.expose(|key| BASE64.decode(key))),
    };
    let decoded = decoded.transpose().map_err(|_| {
        BrokerError::Placement("the signing key is not written as the tool says it is")
    })?;
    let decoded = decoded.map(Secret::take);
    let key = decoded.as_ref().unwrap_or(key);
    let (short, long);
    let digest = match signer.hash {
        MacHash::Sha256 => {
            short = hmac_of(key, message);
            short.as_slice()
        }
        MacHash::Sha512 => {
            long = hmac_sha512_of(key, message);
            long.as_slice()
        }
    };
    Ok(match signer.encoding {
        MacEncoding::Hex => HEXLOWER.encode(digest),
        MacEncoding::Base64 => BASE64.encode(digest),
        MacEncoding::Base64Url => BASE64URL_NOPAD.encode(digest),
    })
}

fn time_as(form: TimeForm, now: Timestamp) -> String {
    match form {
        TimeForm::Unix => now.millis().div_euclid(1000).to_string(),
        TimeForm::UnixMillis => now.millis().to_string(),
        TimeForm::Rfc3339 => now.to_string(),
    }
}

#[cfg(test)]
#[path = "mac_tests.rs"]
mod tests;
