//! Signed tokens of others (RFC 7515, compact form), verified with their published keys.
//!
//! The algorithms are those of [`JwsAlg`] and no more. `none` is not among them, and nothing that
//! shares a key is: with `HS256` a public key would be a password that everybody knows. What a
//! header says of keys (`jku`, `jwk`, `x5u`, `x5c`) is not read; keys come from [`Jwks`] alone.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::jwks::{Jwks, MAX_KID};
use super::strict_json::unambiguous_json;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 64 * 1024;

/// How a token may be signed (RFC 7518, 3.1 and RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JwsAlg {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// It is no signed token in compact form, or can be read in two ways.
    #[error("not a signed token")]
    Form,
    /// It is signed in a way that is not accepted.
    #[error("the token is signed with an algorithm that is not accepted")]
    Algorithm,
    /// It demands something that is not understood (`crit`).
    #[error("the token demands an extension that is not known")]
    Critical,
    /// None of the keys is the one that it names, or which one is meant is not clear.
    #[error("the token's key is not among the issuer's")]
    UnknownKey,
    /// The signature is not the key's over this text.
    #[error("the token's signature is not its issuer's")]
    Signature,
    /// The issuer's keys cannot be read.
    #[error("not a set of keys")]
    Keys,
}

impl JwsAlg {
    const NAMES: [(&'static str, Self); 7] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// The algorithm of this name, in exactly this spelling.
    pub(super) fn named(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find(|(known, _)| *known == name).map(|(_, alg)| *alg)
    }

    /// The left half of the hash that belongs to the algorithm: what `at_hash` holds (OpenID Connect
    /// Core, 3.1.3.6). Ed25519 hashes with SHA-512.
    #[must_use]
    pub fn left_half(self, bytes: &[u8]) -> Vec<u8> {
        let mut hash = match self {
            Self::Rs256 | Self::Ps256 | Self::Es256 => Sha256::digest(bytes).to_vec(),
            Self::Rs384 | Self::Es384 => Sha384::digest(bytes).to_vec(),
            Self::Rs512 | Self::EdDsa => Sha512::digest(bytes).to_vec(),
        };
        hash.truncate(hash.len() / 2);
        hash
    }
}

/// A signed token that was read. Nothing is known of its signature yet.
pub struct Jws<'t> {
    alg: JwsAlg,
    kid: Option<String>,
    signed: &'t [u8],
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Reads `header.payload.signature`.
    ///
    /// # Errors
    /// [`JwsError::Form`], [`Algorithm`](JwsError::Algorithm) or [`Critical`](JwsError::Critical).
    pub fn parse(token: &'t [u8]) -> Result<Self, JwsError> {
        if token.len() > MAX_TOKEN {
            return Err(JwsError::Form);
        }
        let mut dots = token.iter().enumerate().filter(|(_, b)| **b == b'.');
        let (Some((first, _)), Some((second, _)), None) = (dots.next(), dots.next(), dots.next())
        else {
            return Err(JwsError::Form);
        };
        let (signed, signature) = token.split_at_checked(second).ok_or(JwsError::Form)?;
        let (header, payload) = signed.split_at_checked(first).ok_or(JwsError::Form)?;
        let (alg, kid) = read_header(&decode(header)?)?;
        Ok(Self {
            alg,
            kid,
            signed,
            payload: decode(after_dot(payload))?,
            signature: decode(after_dot(signature))?,
        })
    }

    /// How it is signed.
    #[must_use]
    pub const fn alg(&self) -> JwsAlg {
        self.alg
    }

    /// What it says, once one of `keys` vouches for it. The key is the one that the header names;
    /// without a name, the only one that fits (RFC 7515, 4.1.4; OpenID Connect Core, 10.1).
    ///
    /// # Errors
    /// [`JwsError::UnknownKey`] or [`Signature`](JwsError::Signature).
    pub fn verify(&self, keys: &Jwks) -> Result<&[u8], JwsError> {
        let fitting = keys.fitting(self.alg, self.kid.as_deref());
        if fitting.is_empty() || (self.kid.is_none() && fitting.len() > 1) {
            return Err(JwsError::UnknownKey);
        }
        let vouched = fitting
            .iter()
            .any(|key| key.verifies(self.alg, self.signed, &self.signature));
        if vouched {
            Ok(&self.payload)
        } else {
            Err(JwsError::Signature)
        }
    }

    /// What it says, with nothing to vouch for it: for a token that came straight from its issuer's
    /// own endpoint over TLS (OpenID Connect Core, 3.1.3.7, point 6).
    #[must_use]
    pub fn unverified(&self) -> &[u8] {
        &self.payload
    }
}

impl std::fmt::Debug for Jws<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jws({:?})", self.alg)
    }
}

/// Parts are cut in front of their dot.
fn after_dot(part: &[u8]) -> &[u8] {
    part.split_first().map_or(&[], |(_, rest)| rest)
}

fn decode(part: &[u8]) -> Result<Vec<u8>, JwsError> {
    BASE64URL_NOPAD.decode(part).map_err(|_| JwsError::Form)
}

fn read_header(bytes: &[u8]) -> Result<(JwsAlg, Option<String>), JwsError> {
    let header = unambiguous_json(bytes).ok_or(JwsError::Form)?;
    let header = header.as_object().ok_or(JwsError::Form)?;
    // RFC 7515, 4.1.11: nothing that is critical is understood here, `b64` included.
    if header.contains_key("crit") {
        return Err(JwsError::Critical);
    }
    let alg = header.get("alg").ok_or(JwsError::Form)?;
    let alg = alg.as_str().and_then(JwsAlg::named);
    let alg = alg.ok_or(JwsError::Algorithm)?;
    let kid = match header.get("kid") {
        None => None,
        Some(kid) => {
            let kid = kid.as_str().filter(|kid| kid.len() <= MAX_KID);
            Some(kid.ok_or(JwsError::Form)?.to_owned())
        }
    };
    Ok((alg, kid))
}
