//! Proof that whoever redeems a code is who asked for it (RFC 7636): S256, and nothing weaker (A3).

use oauth2::{PkceCodeChallenge, PkceCodeVerifier};

use super::unguessable::Token;
use crate::crypto::{CryptoError, Random};
use crate::secret::Secret;

/// A verifier of 256 random bits in 43 characters (A2), and its challenge.
pub(super) fn proof(random: &dyn Random) -> Result<(Secret, String), CryptoError> {
    let token = Token::new(random)?;
    let verifier = PkceCodeVerifier::new(token.text().to_owned());
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    let challenge = challenge.as_str().to_owned();
    Ok((Secret::take(verifier.into_secret().into_bytes()), challenge))
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::proof;
    use crate::crypto::{SystemRandom, sha256};

    #[test]
    fn a2_a_challenge_is_the_hash_of_a_verifier_that_no_other_flow_has() {
        let (one, two) = (proof(&SystemRandom).unwrap(), proof(&SystemRandom).unwrap());
        assert!(!one.0.same_as(&two.0));
        assert_ne!(one.1, two.1);
        one.0.expose(|verifier| {
            assert_eq!(BASE64URL_NOPAD.encode(&sha256(verifier)), one.1);
            assert_eq!(verifier.len(), 43);
            let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
            assert!(verifier.iter().all(plain));
        });
    }
}
