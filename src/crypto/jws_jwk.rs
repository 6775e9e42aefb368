//! Private keys that say themselves what they are: in PEM, or as a JWK (RFC 7517), which may have a name.
//!
//! A client that proves itself with a key (RFC 7523) need not be told which algorithm that is: the key is
//! RSA or P-256, and an issuer that knows it knows which.

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair};
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::jws_key::{JwsKey, JwsKeyError, Pair};
use super::{JwsAlg, Random, SystemRandom as Bytes};
use crate::secret::Secret;

/// The longest name of a key, in bytes.
const MAX_KID: usize = 256;

/// The members of a private JWK; what else it says is not needed here.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
}

type Part = Zeroizing<Vec<u8>>;

/// A private key, and its name where it has one.
pub struct NamedKey {
    key: JwsKey,
    kid: Option<String>,
}

impl NamedKey {
    /// Reads the key in `secret`: RSA of 2048 to 4096 bits or P-256, in PEM or as a JWK.
    ///
    /// # Errors
    /// [`JwsKeyError::Form`] or [`Unfit`](JwsKeyError::Unfit).
    pub fn read(secret: &Secret) -> Result<Self, JwsKeyError> {
        let jwk = secret.expose(|text| {
            let text = text.trim_ascii();
            text.starts_with(b"{").then(|| Self::from_jwk(text))
        });
        if let Some(read) = jwk {
            return read;
        }
        let key = JwsKey::read(JwsAlg::Rs256, secret);
        let key = match key {
            Err(JwsKeyError::Unfit) => JwsKey::read(JwsAlg::Es256, secret),
            read => read,
        };
        key.map(|key| Self { key, kid: None })
    }

    /// Whether `secret` is written like a private key, readable or not. Such a text is nobody's password.
    #[must_use]
    pub fn is_meant(secret: &Secret) -> bool {
        secret.expose(|text| {
            let text = text.trim_ascii_start();
            text.starts_with(b"-----BEGIN ") || Self::from_jwk(text).is_ok()
        })
    }

    /// The same text on one line, where it is written like a private key: files of keys have several, and a
    /// secret's value has one. It is read as before.
    #[must_use]
    pub fn on_one_line(secret: &Secret) -> Option<Secret> {
        let meant = Self::is_meant(secret);
        let line = |text: &[u8]| {
            let letters = text.trim_ascii().iter().map(|byte| match byte {
                b'\n' | b'\r' | b'\t' => b' ',
                other => *other,
            });
            Secret::take(letters.collect())
        };
        meant.then(|| secret.expose(line))
    }

    /// A token that says `claims`, a JSON object, with a `jti` of its own: `claims` are given one that was
    /// never used.
    ///
    /// # Errors
    /// [`JwsKeyError::Sign`].
    pub fn sign(&self, claims: impl FnOnce(&str) -> Vec<u8>) -> Result<Secret, JwsKeyError> {
        let random: &dyn Random = &Bytes;
        let id = random.bytes::<16>().map_err(|_| JwsKeyError::Sign)?;
        let claims = claims(&data_encoding::HEXLOWER.encode(&id));
        self.key.sign(self.kid.as_deref(), &claims)
    }

    fn from_jwk(text: &[u8]) -> Result<Self, JwsKeyError> {
        let jwk: Jwk = serde_json::from_slice(text).map_err(|_| JwsKeyError::Form)?;
        let named = |kid: &String| (1..=MAX_KID).contains(&kid.len());
        if !jwk.kid.iter().all(named) {
            return Err(JwsKeyError::Form);
        }
        let pair = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", None) => Pair::Rs256(Box::new(rsa(&jwk)?)),
            ("EC", Some("P-256")) => Pair::Es256(Box::new(p256(&jwk)?)),
            _ => return Err(JwsKeyError::Unfit),
        };
        let kid = jwk.kid.clone();
        Ok(Self {
            key: JwsKey::of(pair),
            kid,
        })
    }
}

impl std::fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NamedKey(hidden)")
    }
}

fn rsa(jwk: &Jwk) -> Result<RsaKeyPair, JwsKeyError> {
    let components = KeyPairComponents {
        public_key: PublicKeyComponents {
            n: part(jwk.n.as_ref())?,
            e: part(jwk.e.as_ref())?,
        },
        d: part(jwk.d.as_ref())?,
        p: part(jwk.p.as_ref())?,
        q: part(jwk.q.as_ref())?,
        dP: part(jwk.dp.as_ref())?,
        dQ: part(jwk.dq.as_ref())?,
        qInv: part(jwk.qi.as_ref())?,
    };
    RsaKeyPair::from_components(&components).map_err(|_| JwsKeyError::Unfit)
}

fn p256(jwk: &Jwk) -> Result<EcdsaKeyPair, JwsKeyError> {
    let (x, y) = (part(jwk.x.as_ref())?, part(jwk.y.as_ref())?);
    // An uncompressed point (SEC 1, 2.3.3).
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let (alg, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let pair =
        EcdsaKeyPair::from_private_key_and_public_key(alg, &part(jwk.d.as_ref())?, &point, random);
    pair.map_err(|_| JwsKeyError::Unfit)
}

fn part(text: Option<&String>) -> Result<Part, JwsKeyError> {
    let text = text.ok_or(JwsKeyError::Form)?;
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
    bytes.map(Zeroizing::new).map_err(|_| JwsKeyError::Form)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::NamedKey;
    use crate::crypto::{Jwks, Jws, JwsAlg, JwsKeyError};
    use crate::secret::Secret;

    const RSA: &str = include_str!("../../tests/fixtures/jws/rfc7515-a2.pkcs8.pem");

    /// The keys of RFC 7515, A.2 and A.3.
    fn rfc(name: &str) -> Value {
        let text = match name {
            "RSA" => include_str!("../../tests/fixtures/jws/rfc7515-a2.jwk.json"),
            _ => include_str!("../../tests/fixtures/jws/rfc7515-a3.jwk.json"),
        };
        serde_json::from_str(text).unwrap()
    }

    fn read(key: &Value) -> Result<NamedKey, JwsKeyError> {
        NamedKey::read(&Secret::copy_of(key.to_string().as_bytes()))
    }

    /// Whether what the key signs is believed by who has its public half.
    fn believed(key: &NamedKey, jwk: &Value) -> Option<JwsAlg> {
        let mut public = jwk.clone();
        for member in ["d", "p", "q", "dp", "dq", "qi"] {
            public.as_object_mut().unwrap().remove(member);
        }
        let set = json!({"keys": [public]}).to_string();
        let set = Jwks::parse(set.as_bytes()).unwrap();
        let token = key.sign(|id| json!({"jti": id}).to_string().into_bytes());
        token.unwrap().expose(|token| {
            let jws = Jws::parse(token).unwrap();
            let claims: Value = serde_json::from_slice(jws.verify(&set).ok()?).unwrap();
            assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
            Some(jws.alg())
        })
    }

    #[test]
    fn a_key_says_itself_what_it_is_and_how_it_is_called() {
        for (kind, alg) in [("RSA", JwsAlg::Rs256), ("EC", JwsAlg::Es256)] {
            let mut jwk = rfc(kind);
            let key = read(&jwk).unwrap();
            assert_eq!(believed(&key, &jwk), Some(alg), "{kind}");
            jwk["kid"] = "k1".into();
            let named = read(&jwk).unwrap();
            assert_eq!(named.kid.as_deref(), Some("k1"));
            assert_eq!(believed(&named, &jwk), Some(alg), "{kind}");
        }
        let pem = NamedKey::read(&Secret::copy_of(RSA.as_bytes())).unwrap();
        assert_eq!(believed(&pem, &rfc("RSA")), Some(JwsAlg::Rs256));
    }

    #[test]
    fn no_token_has_the_number_of_another() {
        let key = read(&rfc("EC")).unwrap();
        let numbers = || {
            let mut number = String::new();
            let signed = key.sign(|id| {
                id.clone_into(&mut number);
                b"{}".to_vec()
            });
            signed.unwrap();
            number
        };
        assert_ne!(numbers(), numbers());
    }

    #[test]
    fn what_is_no_whole_private_key_of_a_kind_that_is_used_signs_nothing() {
        let edited = |kind: &str, member: &str, value: Value| {
            let mut jwk = rfc(kind);
            jwk[member] = value;
            read(&jwk).unwrap_err()
        };
        assert_eq!(edited("EC", "d", Value::Null), JwsKeyError::Form);
        assert_eq!(edited("RSA", "qi", Value::Null), JwsKeyError::Form);
        assert_eq!(edited("RSA", "p", "AQAB".into()), JwsKeyError::Unfit);
        assert_eq!(edited("EC", "x", "AQAB".into()), JwsKeyError::Unfit);
        assert_eq!(edited("EC", "crv", "P-521".into()), JwsKeyError::Unfit);
        assert_eq!(edited("EC", "kty", "oct".into()), JwsKeyError::Unfit);
        assert_eq!(edited("EC", "kid", "".into()), JwsKeyError::Form);
        assert_eq!(edited("EC", "kid", 7.into()), JwsKeyError::Form);
        let text = |text: &str| NamedKey::read(&Secret::copy_of(text.as_bytes())).unwrap_err();
        assert_eq!(text("{"), JwsKeyError::Form);
        assert_eq!(text("a password"), JwsKeyError::Form);
    }

    #[test]
    fn a_key_of_several_lines_is_the_same_on_one() {
        let pretty = serde_json::to_string_pretty(&rfc("RSA")).unwrap();
        for text in [RSA.to_owned(), RSA.replace('\n', "\r\n"), pretty] {
            let line = NamedKey::on_one_line(&Secret::copy_of(text.as_bytes())).unwrap();
            let key = NamedKey::read(&line).unwrap();
            assert_eq!(believed(&key, &rfc("RSA")), Some(JwsAlg::Rs256));
            line.expose(|line| assert!(line.iter().all(|b| matches!(b, b' '..=b'~'))));
        }
        let password = Secret::copy_of(b"hunter2\n");
        assert!(NamedKey::on_one_line(&password).is_none());
    }

    #[test]
    fn a_key_is_told_from_a_password() {
        let meant = |text: &str| NamedKey::is_meant(&Secret::copy_of(text.as_bytes()));
        assert!(meant(RSA));
        assert!(meant(&rfc("EC").to_string()));
        assert!(meant("-----BEGIN EC PRIVATE KEY-----AAAA"));
        for password in ["", "{", "{curly}", "hunter2", "AAAA", "-----"] {
            assert!(!meant(password), "{password}");
        }
    }
}
