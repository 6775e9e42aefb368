//! Sealing and opening one box.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit, Tag};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::context::join;
use super::pad;
use super::sealed::{BODY, HEADER, LABEL, MAGIC, MAX_PLAINTEXT, OVERHEAD, Parts, SUITE, TAG};
use super::{Context, CryptoError, Key, KeyRef, Purpose, Random, Sealed};
use crate::secret::Secret;

/// The one-time AES key and commitment of a box.
struct Derived(Zeroizing<[u8; 64]>);

impl Derived {
    fn new(
        key: &Key,
        salt: &[u8; 32],
        nonce: &[u8; 12],
        context: &[u8],
    ) -> Result<Self, CryptoError> {
        let info: [u8; 4 + 12 + 32] = join([LABEL, nonce, &Sha256::digest(context)]);
        let mut out = Zeroizing::new([0; 64]);
        key.expose(|key| Hkdf::<Sha256>::new(Some(salt), key).expand(&info, out.as_mut_slice()))
            .map_err(|_| CryptoError::Form)?;
        Ok(Self(out))
    }

    fn parts(&self) -> Result<(&[u8; 32], &[u8; 32]), CryptoError> {
        let (key, rest) = self.0.split_first_chunk().ok_or(CryptoError::Form)?;
        Ok((key, rest.first_chunk().ok_or(CryptoError::Form)?))
    }
}

/// The first bytes of a box that holds `purpose` and is sealed under the key of that name.
fn header(purpose: Purpose, key: KeyRef) -> [u8; HEADER] {
    let fixed = [SUITE, purpose.byte(), 0, 0];
    join([MAGIC, &fixed, key.id.bytes(), &key.version.to_be_bytes()])
}

/// Seals `plaintext` under `key`, bound to `purpose` and `context`.
///
/// # Errors
/// [`CryptoError::TooLong`] above 16 MiB, [`CryptoError::Random`] without randomness.
pub fn seal(
    key: &Key,
    purpose: Purpose,
    context: &Context,
    plaintext: &[u8],
    random: &dyn Random,
) -> Result<Sealed, CryptoError> {
    seal_with(
        key,
        purpose,
        context,
        plaintext.len(),
        |body| body.extend_from_slice(plaintext),
        random,
    )
}

/// Seals `plaintext` padded to a step of [`padded_len`](super::padded_len), since a length is a
/// fingerprint.
///
/// # Errors
/// As [`seal`].
pub fn seal_padded(
    key: &Key,
    purpose: Purpose,
    context: &Context,
    plaintext: &[u8],
    random: &dyn Random,
) -> Result<Sealed, CryptoError> {
    let length = pad::padded_len(plaintext.len());
    seal_with(
        key,
        purpose,
        context,
        length,
        |body| pad::append(body, plaintext),
        random,
    )
}

/// The plaintext is written once, into the buffer that then holds its ciphertext.
fn seal_with(
    key: &Key,
    purpose: Purpose,
    context: &Context,
    length: usize,
    write: impl FnOnce(&mut Vec<u8>),
    random: &dyn Random,
) -> Result<Sealed, CryptoError> {
    if length > MAX_PLAINTEXT {
        return Err(CryptoError::TooLong);
    }
    // One call for both: each is a system call.
    let drawn: [u8; 32 + 12] = random.bytes()?;
    let (salt, nonce) = drawn.split_first_chunk::<32>().ok_or(CryptoError::Form)?;
    let nonce: &[u8; 12] = nonce.first_chunk().ok_or(CryptoError::Form)?;
    let header = header(purpose, key.name());
    let context = context.encode(&header, purpose);
    let derived = Derived::new(key, salt, nonce, &context)?;
    let (aes_key, commitment) = derived.parts()?;

    let mut out = Vec::with_capacity(length + OVERHEAD);
    out.extend_from_slice(&header);
    out.extend_from_slice(salt);
    out.extend_from_slice(nonce);
    out.extend_from_slice(commitment);
    let sealed_length = u32::try_from(length + TAG).map_err(|_| CryptoError::TooLong)?;
    out.extend_from_slice(&sealed_length.to_be_bytes());
    write(&mut out);

    let body = out.get_mut(BODY..).ok_or(CryptoError::Form)?;
    let tag = Aes256Gcm::new(aes_key.into())
        .encrypt_inout_detached(nonce.into(), &context, InOutBuf::from(body))
        .map_err(|_| CryptoError::TooLong)?;
    out.extend_from_slice(&tag);
    Ok(Sealed::from_sealing(out, key.hold()))
}

/// Opens a box. The commitment is compared first, in constant time; only then is anything decrypted.
///
/// # Errors
/// [`CryptoError::Open`], the same for every cause.
pub fn open(
    key: &Key,
    purpose: Purpose,
    context: &Context,
    sealed: &Sealed,
) -> Result<Secret, CryptoError> {
    open_with(key, purpose, context, sealed, |plaintext| {
        Ok(Secret::take_whole(plaintext))
    })
}

/// Opens a box made by [`seal_padded`] and takes the padding off.
///
/// # Errors
/// [`CryptoError::Open`], the same for every cause, wrong padding included.
pub fn open_padded(
    key: &Key,
    purpose: Purpose,
    context: &Context,
    sealed: &Sealed,
) -> Result<Secret, CryptoError> {
    open_with(key, purpose, context, sealed, |padded| {
        pad::strip(&padded)
            .map(Secret::copy_of)
            .ok_or(CryptoError::Open)
    })
}

fn open_with(
    key: &Key,
    purpose: Purpose,
    context: &Context,
    sealed: &Sealed,
    read: impl FnOnce(Zeroizing<Box<[u8]>>) -> Result<Secret, CryptoError>,
) -> Result<Secret, CryptoError> {
    let parts = Parts::of(sealed.as_bytes()).ok_or(CryptoError::Open)?;
    // The purpose that is expected and the key that is used decide, whatever the box says of itself.
    let header = header(purpose, key.name());
    if *parts.header != header {
        return Err(CryptoError::Open);
    }
    let context = context.encode(&header, purpose);
    let derived = Derived::new(key, parts.salt, parts.nonce, &context)?;
    let (aes_key, commitment) = derived.parts()?;
    if !bool::from(commitment.ct_eq(parts.commitment)) {
        return Err(CryptoError::Open);
    }
    let (ciphertext, tag) = parts
        .ciphertext
        .split_last_chunk::<TAG>()
        .ok_or(CryptoError::Open)?;
    let mut plaintext = Zeroizing::new(Box::<[u8]>::from(ciphertext));
    let opened = Aes256Gcm::new(aes_key.into()).decrypt_inout_detached(
        parts.nonce.into(),
        &context,
        InOutBuf::from(plaintext.as_mut()),
        <&Tag>::from(tag),
    );
    if opened.is_err() {
        plaintext.zeroize();
        return Err(CryptoError::Open);
    }
    read(plaintext)
}
