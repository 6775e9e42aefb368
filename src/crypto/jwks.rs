//! The published keys of an issuer (RFC 7517), as far as they verify signatures.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Map, Value};

use super::jws::{JwsAlg, JwsError};
use super::strict_json::unambiguous_json;

/// The largest set, in bytes, and the most keys of one.
const MAX_SET: usize = 256 * 1024;
const MAX_KEYS: usize = 100;
/// The longest name of a key, in bytes.
pub(super) const MAX_KID: usize = 256;

/// Keys that verify. What is for another use, of another kind or not written as it should be is left
/// out (RFC 7517, 5), symmetric keys above all.
#[derive(Clone, Debug)]
pub struct Jwks(Vec<Jwk>);

/// A key that verifies.
#[derive(Clone, Debug)]
pub(super) struct Jwk {
    kid: Option<String>,
    /// What it is for, where it says so.
    alg: Option<String>,
    public: Public,
}

#[derive(Clone, Debug)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Jwks {
    /// Reads `{"keys": […]}`.
    ///
    /// # Errors
    /// [`JwsError::Keys`] when the text is no set of keys, or too large a one.
    pub fn parse(bytes: &[u8]) -> Result<Self, JwsError> {
        if bytes.len() > MAX_SET {
            return Err(JwsError::Keys);
        }
        let document = unambiguous_json(bytes).ok_or(JwsError::Keys)?;
        let keys = document.get("keys").and_then(Value::as_array);
        let keys = keys.filter(|keys| keys.len() <= MAX_KEYS);
        let keys = keys.ok_or(JwsError::Keys)?.iter();
        Ok(Self(
            keys.filter_map(|key| Jwk::of(key.as_object()?)).collect(),
        ))
    }

    /// The keys for `alg`, by this name where there is one.
    pub(super) fn fitting(&self, alg: JwsAlg, kid: Option<&str>) -> Vec<&Jwk> {
        let keys = self.0.iter().filter(|key| key.fits(alg));
        keys.filter(|key| kid.is_none() || key.kid.as_deref() == kid)
            .collect()
    }
}

impl Jwk {
    fn of(members: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64URL_NOPAD.decode(text(name)?.as_bytes()).ok();
        if members.contains_key("use") && text("use") != Some("sig") {
            return None;
        }
        if let Some(uses) = members.get("key_ops") {
            let verifies = |uses: &Vec<Value>| uses.iter().any(|what| what == "verify");
            uses.as_array().filter(|uses| verifies(uses))?;
        }
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => Public::Rsa {
                n: without_zeros(bytes("n")?),
                e: without_zeros(bytes("e")?),
            },
            ("EC", Some("P-256")) => Public::P256(point(&bytes("x")?, &bytes("y")?, 32)?),
            ("EC", Some("P-384")) => Public::P384(point(&bytes("x")?, &bytes("y")?, 48)?),
            ("OKP", Some("Ed25519")) => {
                Public::Ed25519(bytes("x").filter(|bytes| bytes.len() == 32)?)
            }
            _ => return None,
        };
        let kid = text("kid").filter(|kid| kid.len() <= MAX_KID);
        Some(Self {
            kid: kid.map(str::to_owned),
            alg: text("alg").map(str::to_owned),
            public,
        })
    }

    /// Whether it is of the algorithm's kind, and says nothing else.
    fn fits(&self, alg: JwsAlg) -> bool {
        let kind = match self.public {
            Public::Rsa { .. } => matches!(
                alg,
                JwsAlg::Rs256 | JwsAlg::Rs384 | JwsAlg::Rs512 | JwsAlg::Ps256
            ),
            Public::P256(_) => alg == JwsAlg::Es256,
            Public::P384(_) => alg == JwsAlg::Es384,
            Public::Ed25519(_) => alg == JwsAlg::EdDsa,
        };
        let said = self.alg.as_deref();
        kind && said.is_none_or(|said| JwsAlg::named(said) == Some(alg))
    }

    /// Whether `signature` is this key's over `message`.
    pub(super) fn verifies(&self, alg: JwsAlg, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.public {
            Public::Rsa { n, e } => {
                let params = match alg {
                    JwsAlg::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                    JwsAlg::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
                    JwsAlg::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }.verify(params, message, signature)
            }
            Public::P256(key) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, signature)
            }
            Public::P384(key) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).verify(message, signature)
            }
            Public::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

/// Some write a modulus with the zero in front that ASN.1 gives it.
fn without_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

/// A point as SEC 1 writes it, uncompressed.
fn point(x: &[u8], y: &[u8], len: usize) -> Option<Vec<u8>> {
    let whole = x.len() == len && y.len() == len;
    whole.then(|| [&[4], x, y].concat())
}
