//! Signing tokens of our own (RFC 7515, compact form) with a private key that a secret holds.
//!
//! The key is parsed for one signature and dropped. What ring keeps of it in the meantime is plain
//! memory, and counts on the allocator that wipes what is given back.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::json;
use zeroize::Zeroizing;

use super::JwsAlg;
use super::key_text::{Container, der_of};
use crate::secret::Secret;

/// Why a key signs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum JwsKeyError {
    /// It is no private key in a form that is read.
    Form,
    /// It is a key of another kind, or one too weak to use.
    Unfit,
    /// Signing failed.
    Sign,
}

impl JwsKeyError {
    /// The error's text.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Form => {
                "it is no private key in PEM (PKCS #8, or PKCS #1 for RSA), nor the base64 of one"
            }
            Self::Unfit => {
                "it is no key for the algorithm: RS256 takes RSA of 2048 to 4096 bits, ES256 a P-256 key"
            }
            Self::Sign => "it signs nothing",
        }
    }
}

/// A private key that signs tokens.
pub struct JwsKey(Pair);

pub(super) enum Pair {
    Rs256(Box<RsaKeyPair>),
    Es256(Box<EcdsaKeyPair>),
}

impl JwsKey {
    pub(super) const fn of(pair: Pair) -> Self {
        Self(pair)
    }

    /// Reads the key in `secret` for `alg`, [`Rs256`](JwsAlg::Rs256) or [`Es256`](JwsAlg::Es256).
    ///
    /// # Errors
    /// [`JwsKeyError::Form`], or [`Unfit`](JwsKeyError::Unfit), also for every other algorithm.
    pub fn read(alg: JwsAlg, secret: &Secret) -> Result<Self, JwsKeyError> {
        let (container, der) = secret.expose(der_of).ok_or(JwsKeyError::Form)?;
        let pkcs8 = matches!(container, Container::Pkcs8 | Container::Unlabelled);
        let pkcs1 = matches!(container, Container::Pkcs1 | Container::Unlabelled);
        let pair = match alg {
            JwsAlg::Rs256 => {
                let first = pkcs8.then(|| RsaKeyPair::from_pkcs8(&der).ok()).flatten();
                let second = || pkcs1.then(|| RsaKeyPair::from_der(&der).ok()).flatten();
                first
                    .or_else(second)
                    .map(|pair| Pair::Rs256(Box::new(pair)))
            }
            JwsAlg::Es256 if pkcs8 => {
                let (alg, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
                EcdsaKeyPair::from_pkcs8(alg, &der, random)
                    .ok()
                    .map(|pair| Pair::Es256(Box::new(pair)))
            }
            _ => None,
        };
        pair.map(Self).ok_or(JwsKeyError::Unfit)
    }

    /// A token that says `claims`, a JSON object. `kid` names the key to whoever verifies it.
    ///
    /// # Errors
    /// [`JwsKeyError::Sign`].
    pub fn sign(&self, kid: Option<&str>, claims: &[u8]) -> Result<Secret, JwsKeyError> {
        let alg = match self.0 {
            Pair::Rs256(_) => "RS256",
            Pair::Es256(_) => "ES256",
        };
        let header = match kid {
            Some(kid) => json!({"alg": alg, "kid": kid, "typ": "JWT"}),
            None => json!({"alg": alg, "typ": "JWT"}),
        };
        let header = header.to_string();
        let encoded = |bytes: usize| BASE64URL_NOPAD.encode_len(bytes);
        let room = encoded(header.len()) + encoded(claims.len()) + encoded(self.signature_len());
        let mut token = Zeroizing::new(String::with_capacity(room + 2));
        BASE64URL_NOPAD.encode_append(header.as_bytes(), &mut token);
        token.push('.');
        BASE64URL_NOPAD.encode_append(claims, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        Ok(Secret::copy_of(token.as_bytes()))
    }

    fn signature_len(&self) -> usize {
        match &self.0 {
            Pair::Rs256(pair) => pair.public().modulus_len(),
            Pair::Es256(_) => 64,
        }
    }

    fn signature(&self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, JwsKeyError> {
        let random = SystemRandom::new();
        let mut out = Zeroizing::new(vec![0; self.signature_len()]);
        match &self.0 {
            Pair::Rs256(pair) => pair
                .sign(&RSA_PKCS1_SHA256, &random, message, &mut out)
                .map_err(|_| JwsKeyError::Sign)?,
            Pair::Es256(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| JwsKeyError::Sign)?;
                out.copy_from_slice(signature.as_ref());
            }
        }
        Ok(out)
    }
}

impl fmt::Debug for JwsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwsKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL_NOPAD};
    use ring::signature::{EcdsaKeyPair, KeyPair};
    use serde_json::json;

    use super::{ECDSA_P256_SHA256_FIXED_SIGNING, JwsKey, JwsKeyError, SystemRandom};
    use crate::crypto::{Jwks, Jws, JwsAlg};
    use crate::secret::Secret;

    /// The key of RFC 7515, A.2, as `openssl` writes it.
    const PKCS1: &str = include_str!("../../tests/fixtures/jws/rfc7515-a2.pkcs1.pem");
    const PKCS8: &str = include_str!("../../tests/fixtures/jws/rfc7515-a2.pkcs8.pem");
    const SEC1: &str = include_str!("../../tests/fixtures/jws/rfc7515-a3.sec1.pem");

    fn rsa(text: &str) -> Result<JwsKey, JwsKeyError> {
        JwsKey::read(JwsAlg::Rs256, &Secret::copy_of(text.as_bytes()))
    }

    #[test]
    fn rs256_signs_as_in_rfc_7515_a_2() {
        let input = concat!(
            "eyJhbGciOiJSUzI1NiJ9",
            ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        );
        for text in [PKCS1, PKCS8, &BASE64.encode(PKCS1.as_bytes())] {
            let signature = rsa(text).unwrap().signature(input.as_bytes()).unwrap();
            assert_eq!(
                BASE64URL_NOPAD.encode(&signature),
                "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
            );
        }
    }

    #[test]
    fn a_token_is_believed_by_who_has_the_public_key() {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            pkcs8.as_ref(),
            &SystemRandom::new(),
        );
        let point = pair.unwrap().public_key().as_ref().to_vec();
        let (x, y) = point[1..].split_at(32);
        let public = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "kid": "k1",
            "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y),
        }]});
        let public = Jwks::parse(&serde_json::to_vec(&public).unwrap()).unwrap();
        let secret = Secret::copy_of(BASE64.encode(pkcs8.as_ref()).as_bytes());
        let key = JwsKey::read(JwsAlg::Es256, &secret).unwrap();
        let claims = br#"{"iss":"me"}"#;
        let token = key.sign(Some("k1"), claims).unwrap();
        token.expose(|token| {
            let read = Jws::parse(token).unwrap();
            assert_eq!(read.alg(), JwsAlg::Es256);
            assert_eq!(read.verify(&public).unwrap(), claims);
        });
        let other = key.sign(Some("k2"), claims).unwrap();
        other.expose(|token| assert!(Jws::parse(token).unwrap().verify(&public).is_err()));
    }

    #[test]
    fn a_key_of_another_kind_is_refused_and_not_shown() {
        assert_eq!(rsa(SEC1).unwrap_err(), JwsKeyError::Form);
        let p256 = |text: &str| JwsKey::read(JwsAlg::Es256, &Secret::copy_of(text.as_bytes()));
        assert_eq!(p256(PKCS8).unwrap_err(), JwsKeyError::Unfit);
        assert_eq!(p256(PKCS1).unwrap_err(), JwsKeyError::Unfit);
        let pss = JwsKey::read(JwsAlg::Ps256, &Secret::copy_of(PKCS8.as_bytes()));
        assert_eq!(pss.unwrap_err(), JwsKeyError::Unfit);
        assert_eq!(rsa("ghp_notakey").unwrap_err(), JwsKeyError::Form);
        assert_eq!(format!("{:?}", rsa(PKCS1).unwrap()), "JwsKey(hidden)");
    }
}
