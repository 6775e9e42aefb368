//! The PKCS#11 provider: a key that never leaves a device seals a slot's key.
//!
//! The device's library is somebody else's C in our address space, so it is loaded in a child process of
//! the same program only, which speaks the [protocol](super::protocol) of every custodian and is gone after
//! one question: a library that crashes, hangs or writes where it should not takes down nothing else.

use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use data_encoding::{BASE64, HEXLOWER};
use zeroize::Zeroizing;

use super::told::{Asked, Told};
use super::{Refusal, disk};
use crate::crypto::{Random, SystemRandom};

/// Whether this program loads libraries: a static one cannot.
pub const LOADS_LIBRARIES: bool = !cfg!(target_feature = "crt-static");

/// The longest PIN, in bytes.
const MAX_PIN: u64 = 256;
/// What stands before each sealed key: the nonce.
const NONCE: usize = 12;
const TAG_BITS: u64 = 128;

/// Where a key is, and what it takes to use it.
#[derive(Clone, Debug)]
pub struct Device {
    /// The library of who made the device.
    pub library: PathBuf,
    /// The label of the token.
    pub token: String,
    /// The label of the AES key.
    pub key: String,
    /// A file of mode 0600 that holds the user's PIN.
    pub pin_file: PathBuf,
}

impl Device {
    /// Answers one question of the protocol, in the child process.
    #[must_use]
    pub fn answer(&self, question: &[u8]) -> Zeroizing<Vec<u8>> {
        let told = match Asked::read(question) {
            Some(asked) => self.told(&asked).unwrap_or_else(Told::no),
            None => Told::no(Refusal::Other),
        };
        told.written()
    }

    fn told(&self, asked: &Asked) -> Result<Told, Refusal> {
        let pin = pin(&self.pin_file)?;
        let library = Pkcs11::new(&self.library).map_err(|_| Refusal::Unavailable)?;
        let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        library
            .initialize(locking)
            .map_err(|error| refusal(&error))?;
        let (session, serial) = self.session(&library)?;
        session
            .login(UserType::User, Some(&pin))
            .map_err(|error| refusal(&error))?;
        let (key, id) = self.key(&session)?;
        let key_id = format!("{serial}/{id}");
        match asked {
            Asked::Wrap { context, plaintext } => {
                let plaintext = plaintext.expose(|text| BASE64.decode(text));
                let plaintext = Zeroizing::new(plaintext.map_err(|_| Refusal::Other)?);
                let sealed = seal(&session, key, context, &plaintext)?;
                Ok(Told::sealed(key_id, &sealed))
            }
            Asked::Unwrap { key_id: other, .. } if *other != key_id => Err(Refusal::NoSuchKey),
            Asked::Unwrap {
                context,
                ciphertext,
                ..
            } => {
                let opened = open(&session, key, context, ciphertext)?;
                Ok(Told::opened(key_id, &opened))
            }
        }
    }

    /// A session with the token, and the token's serial number.
    fn session(&self, library: &Pkcs11) -> Result<(Session, String), Refusal> {
        let failed = |error| refusal(&error);
        for slot in library.get_slots_with_initialized_token().map_err(failed)? {
            let token = library.get_token_info(slot).map_err(failed)?;
            if token.label().trim_end() == self.token {
                let session = library.open_ro_session(slot).map_err(failed)?;
                return Ok((session, token.serial_number().trim_end().to_owned()));
            }
        }
        Err(Refusal::Unavailable)
    }

    /// The key and its id. Of two with one label nobody can say which is meant.
    fn key(&self, session: &Session) -> Result<(ObjectHandle, String), Refusal> {
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(self.key.as_bytes().to_vec()),
        ];
        let found = session
            .find_objects(&wanted)
            .map_err(|error| refusal(&error))?;
        let &[key] = found.as_slice() else {
            return Err(Refusal::NoSuchKey);
        };
        let told = session.get_attributes(key, &[AttributeType::Id]);
        match told.map_err(|error| refusal(&error))?.as_slice() {
            [Attribute::Id(id)] => Ok((key, HEXLOWER.encode(id))),
            _ => Err(Refusal::NoSuchKey),
        }
    }
}

fn pin(path: &Path) -> Result<AuthPin, Refusal> {
    let bytes = disk::read_private(path, MAX_PIN).map_err(|_| Refusal::Denied)?;
    let text = String::from_utf8(bytes).map_err(|_| Refusal::Denied)?;
    let text = Zeroizing::new(text);
    Ok(AuthPin::from(text.trim_end_matches('\n').to_owned()))
}

fn seal(
    session: &Session,
    key: ObjectHandle,
    context: &str,
    plaintext: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let random: &dyn Random = &SystemRandom;
    let mut nonce: [u8; NONCE] = random.bytes().map_err(|_| Refusal::Other)?;
    // A device may draw a nonce of its own instead, and then writes it there.
    let params = GcmParams::new(&mut nonce, context.as_bytes(), TAG_BITS.into());
    let params = params.map_err(|error| refusal(&error))?;
    let sealed = session.encrypt(&Mechanism::AesGcm(params), key, plaintext);
    let sealed = sealed.map_err(|error| refusal(&error))?;
    Ok([&nonce[..], &sealed].concat())
}

fn open(
    session: &Session,
    key: ObjectHandle,
    context: &str,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let (nonce, sealed) = ciphertext
        .split_first_chunk::<NONCE>()
        .ok_or(Refusal::Unopened)?;
    let mut nonce = *nonce;
    let params = GcmParams::new(&mut nonce, context.as_bytes(), TAG_BITS.into());
    let params = params.map_err(|error| refusal(&error))?;
    let opened = session.decrypt(&Mechanism::AesGcm(params), key, sealed);
    opened.map(Zeroizing::new).map_err(|error| match error {
        Error::Pkcs11(
            RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::GeneralError,
            _,
        ) => Refusal::Unopened,
        error => refusal(&error),
    })
}

/// The word of the protocol for what a device says.
fn refusal(error: &Error) -> Refusal {
    match error {
        Error::Pkcs11(
            RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinExpired
            | RvError::PinLocked
            | RvError::UserNotLoggedIn
            | RvError::KeyFunctionNotPermitted,
            _,
        ) => Refusal::Denied,
        _ => Refusal::Unavailable,
    }
}
