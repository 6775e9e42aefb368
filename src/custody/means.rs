//! Who opens a slot, and how the slot's own key is come by.

use std::fmt;
use std::path::Path;

use super::custodian::CustodianName;
use super::passphrase::Stretch;
use super::protocol::{Place, Wrapped};
use super::shares::{Share, Split};
use super::{Custodian, CustodyError, NewSlot, key_file};
use crate::crypto::{Key, Random};
use crate::secret::Secret;

/// Who opens a slot, or is to open a new one.
#[derive(Clone, Copy, Debug)]
pub enum Provider<'a> {
    /// Whoever has the file at this path: 32 random bytes, mode 0600. For a new slot it is made
    /// when there is none.
    KeyFile(&'a Path),
    /// Whoever knows these words: for a new slot at least 12 characters, at most 1024 bytes.
    Passphrase(&'a Secret),
    /// These people together: for a new slot the whole set of shares that was dealt.
    Shares(&'a [Share]),
    /// Whoever holds a key for the broker, without a person being asked.
    Custodian(&'a Custodian),
}

impl Provider<'_> {
    /// What kind of slot this provider opens.
    #[must_use]
    pub const fn kind(&self) -> SlotKind {
        match self {
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Passphrase(_) => SlotKind::Passphrase,
            Self::Shares(_) => SlotKind::Shares,
            Self::Custodian(custodian) => custodian.kind(),
        }
    }

    /// What is said when it opens none of its slots.
    pub(super) fn refusal(&self) -> CustodyError {
        match self {
            Self::KeyFile(_) => CustodyError::WrongKeyFile,
            Self::Passphrase(_) => CustodyError::WrongPassphrase,
            Self::Shares(_) => CustodyError::WrongShares,
            Self::Custodian(custodian) => custodian.refusal(),
        }
    }
}

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A file of 32 random bytes.
    KeyFile,
    /// A passphrase, stretched with Argon2id.
    Passphrase,
    /// 32 random bytes that systemd decrypts for the service.
    Credential,
    /// Shares of several people, of whom some must come together.
    Shares,
    /// A program of the operator's that holds a key.
    Exec,
    /// A device that holds a key, by its PKCS#11 library.
    Pkcs11,
}

impl SlotKind {
    /// Every kind there is.
    pub const ALL: [Self; 6] = [
        Self::KeyFile,
        Self::Passphrase,
        Self::Credential,
        Self::Shares,
        Self::Exec,
        Self::Pkcs11,
    ];

    /// The kind that a text names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == text)
    }

    /// Whether it takes a person to open such a slot.
    #[must_use]
    pub const fn takes_a_person(self) -> bool {
        match self {
            Self::Passphrase | Self::Shares => true,
            Self::KeyFile | Self::Credential | Self::Exec | Self::Pkcs11 => false,
        }
    }

    /// Whether who opens it may be away for a while: a service, a device.
    #[must_use]
    pub const fn may_be_away(self) -> bool {
        match self {
            Self::Exec | Self::Pkcs11 => true,
            Self::KeyFile | Self::Passphrase | Self::Credential | Self::Shares => false,
        }
    }

    /// The kind as it stands in the ring file.
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::KeyFile => 1,
            Self::Passphrase => 2,
            Self::Credential => 3,
            Self::Shares => 4,
            Self::Exec => 5,
            Self::Pkcs11 => 6,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::KeyFile => "key-file",
            Self::Passphrase => "passphrase",
            Self::Credential => "systemd-credential",
            Self::Shares => "shares",
            Self::Exec => "exec",
            Self::Pkcs11 => "pkcs11",
        }
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How a slot's own key is come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Means {
    KeyFile,
    Passphrase(Stretch),
    Credential(CustodianName),
    Shares(Split),
    Exec(CustodianName, Wrapped),
    Pkcs11(CustodianName, Wrapped),
}

impl Means {
    /// The means and the key of a new slot, which is to be `at` this place.
    ///
    /// # Errors
    /// What the provider refuses.
    pub(super) fn make(
        new: &NewSlot<'_>,
        at: Place,
        random: &dyn Random,
    ) -> Result<(Self, Key), CustodyError> {
        let name = at.slot;
        match new.provider() {
            Provider::KeyFile(path) => {
                let key = key_file::read_or_make(path, name, random)?;
                Ok((Self::KeyFile, key))
            }
            Provider::Passphrase(words) => {
                let stretch = Stretch::draw(new.cost(), random)?;
                let key = stretch.key(words, name)?;
                Ok((Self::Passphrase(stretch), key))
            }
            Provider::Shares(shares) => {
                let split = Split::of(shares).ok_or(CustodyError::ShareCount)?;
                let key = split.key(shares, name)?.ok_or(CustodyError::WrongShares)?;
                Ok((Self::Shares(split), key))
            }
            Provider::Custodian(Custodian::Credential(credential)) => {
                let key = credential.read(name)?;
                Ok((Self::Credential(credential.name().clone()), key))
            }
            Provider::Custodian(Custodian::Plugin(plugin)) => {
                let (wrapped, key) = plugin.wrap(at, random)?;
                let name = plugin.name().clone();
                let means = match plugin.kind() {
                    SlotKind::Pkcs11 => Self::Pkcs11(name, wrapped),
                    _ => Self::Exec(name, wrapped),
                };
                Ok((means, key))
            }
        }
    }

    /// The key of the slot that is `at` this place, by `provider`; nothing when it is not for this slot.
    ///
    /// # Errors
    /// When the provider cannot be asked, or what it yields is no key.
    pub(super) fn key(
        &self,
        provider: Provider<'_>,
        at: Place,
    ) -> Result<Option<Key>, CustodyError> {
        let name = at.slot;
        let key = match (self, provider) {
            (Self::KeyFile, Provider::KeyFile(path)) => key_file::read(path, name),
            (Self::Passphrase(stretch), Provider::Passphrase(words)) => stretch.key(words, name),
            (Self::Shares(split), Provider::Shares(shares)) => return split.key(shares, name),
            (Self::Credential(of), Provider::Custodian(Custodian::Credential(credential)))
                if of == credential.name() =>
            {
                credential.read(name)
            }
            (
                Self::Exec(of, wrapped) | Self::Pkcs11(of, wrapped),
                Provider::Custodian(Custodian::Plugin(plugin)),
            ) if of == plugin.name() && self.kind() == plugin.kind() => plugin.unwrap(wrapped, at),
            _ => return Ok(None),
        };
        key.map(Some)
    }

    /// What opens such a slot.
    pub(super) const fn kind(&self) -> SlotKind {
        match self {
            Self::KeyFile => SlotKind::KeyFile,
            Self::Passphrase(_) => SlotKind::Passphrase,
            Self::Credential(_) => SlotKind::Credential,
            Self::Shares(_) => SlotKind::Shares,
            Self::Exec(..) => SlotKind::Exec,
            Self::Pkcs11(..) => SlotKind::Pkcs11,
        }
    }

    /// Who holds the slot's key, if it is somebody with a name.
    pub(super) const fn custodian(&self) -> Option<&CustodianName> {
        match self {
            Self::KeyFile | Self::Passphrase(_) | Self::Shares(_) => None,
            Self::Credential(name) | Self::Exec(name, _) | Self::Pkcs11(name, _) => Some(name),
        }
    }

    /// How the slot's key was dealt, if it was.
    pub(super) const fn split(&self) -> Option<Split> {
        match self {
            Self::Shares(split) => Some(*split),
            Self::KeyFile
            | Self::Passphrase(_)
            | Self::Credential(_)
            | Self::Exec(..)
            | Self::Pkcs11(..) => None,
        }
    }

    /// Whether `provider` is one that the slot may be opened by.
    pub(super) fn is_for(&self, provider: &Provider<'_>) -> bool {
        let named = match provider {
            Provider::KeyFile(_) | Provider::Passphrase(_) | Provider::Shares(_) => None,
            Provider::Custodian(custodian) => Some(custodian.name()),
        };
        self.kind() == provider.kind() && self.custodian() == named
    }

    /// The means of kind `kind` that these parameters describe, when they do, whole and within
    /// their bounds.
    pub(super) fn parse(kind: u8, params: &[u8]) -> Option<Self> {
        match kind {
            1 if params.is_empty() => Some(Self::KeyFile),
            2 => Stretch::parse(params).map(Self::Passphrase),
            3 => {
                let name = str::from_utf8(params).ok()?;
                CustodianName::parse(name).ok().map(Self::Credential)
            }
            4 => Split::parse(params).map(Self::Shares),
            5 | 6 => {
                let (length, rest) = params.split_first()?;
                let (name, wrapped) = rest.split_at_checked(usize::from(*length))?;
                let name = CustodianName::parse(str::from_utf8(name).ok()?).ok()?;
                let wrapped = Wrapped::parse(wrapped)?;
                Some(if kind == SlotKind::Pkcs11.byte() {
                    Self::Pkcs11(name, wrapped)
                } else {
                    Self::Exec(name, wrapped)
                })
            }
            _ => None,
        }
    }

    /// The parameters.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::KeyFile => {}
            Self::Passphrase(stretch) => stretch.encode(out),
            Self::Shares(split) => split.encode(out),
            Self::Exec(name, wrapped) | Self::Pkcs11(name, wrapped) => {
                let name = name.as_str().as_bytes();
                out.push(u8::try_from(name.len()).unwrap_or_default());
                out.extend_from_slice(name);
                wrapped.encode(out);
            }
            Self::Credential(name) => out.extend_from_slice(name.as_str().as_bytes()),
        }
    }
}
