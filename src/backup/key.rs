//! Who may open a backup: age's X25519 recipients and identities, and nothing else of age's.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use age::x25519;

use super::BackupError;
use crate::crypto::sha256_parts;
use crate::id::ObjectId;
use crate::secret::Secret;

/// Separates a key's name from every other hash.
const LABEL: &[u8] = b"runtools-backup-key";
/// More than anybody needs: each takes some hundred bytes of the header.
const MOST: usize = 32;

/// Those to whom a backup is encrypted, each once. Public.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipients(BTreeSet<String>);

impl Recipients {
    /// Reads recipients as `age-keygen` shows them.
    ///
    /// # Errors
    /// [`BackupError::NoRecipient`]; [`BackupError::Recipient`] for a text that is none, and for more than
    /// anybody needs.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, BackupError> {
        if texts.is_empty() {
            return Err(BackupError::NoRecipient);
        }
        let mut found = BTreeSet::new();
        for text in texts {
            let parsed = x25519::Recipient::from_str(text.as_ref().trim());
            found.insert(parsed.map_err(|_| BackupError::Recipient)?.to_string());
        }
        if found.len() > MOST {
            return Err(BackupError::Recipient);
        }
        Ok(Self(found))
    }

    /// The name of the key that they are together: which backups can no longer be read when their
    /// identities are destroyed.
    #[must_use]
    pub fn key(&self) -> ObjectId {
        let all: Vec<&str> = self.0.iter().map(String::as_str).collect();
        let digest = sha256_parts(&[LABEL, all.join("\n").as_bytes()]);
        ObjectId::from_bytes(digest.first_chunk().map_or([0; 16], |half| *half))
    }

    /// As age takes them.
    pub(super) fn of_age(&self) -> Vec<x25519::Recipient> {
        let parsed = self.0.iter().map(|text| x25519::Recipient::from_str(text));
        parsed.filter_map(Result::ok).collect()
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipients({})", self.0.len())
    }
}

/// What opens backups. The keys wipe themselves.
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Reads an identity file as `age-keygen` writes it.
    ///
    /// # Errors
    /// [`BackupError::Identity`] when there is none in it, or a line that is none.
    pub fn parse(file: &Secret) -> Result<Self, BackupError> {
        let read = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).ok()?;
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            let found: Result<Vec<_>, _> = lines.map(x25519::Identity::from_str).collect();
            found.ok().filter(|found| !found.is_empty())
        };
        file.expose(read).map(Self).ok_or(BackupError::Identity)
    }

    /// As age takes them.
    pub(super) fn of_age(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|it| -> &dyn age::Identity { it })
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({} hidden)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_rig::{IDENTITY, RECIPIENT};
    use super::{Identities, Recipients};
    use crate::backup::BackupError;
    use crate::damage::Harm;
    use crate::secret::Secret;

    #[test]
    fn recipients_are_named_together_whatever_their_order_and_writing() {
        let other = age::x25519::Identity::generate().to_public().to_string();
        let both = Recipients::parse(&[RECIPIENT, &other]).unwrap();
        let again = Recipients::parse(&[&other, &format!(" {RECIPIENT}\n"), &other]).unwrap();
        assert_eq!(both.key(), again.key());
        assert_eq!(both.of_age().len(), 2);
        assert_ne!(both.key(), Recipients::parse(&[RECIPIENT]).unwrap().key());
        for bad in ["", "age1", "ssh-ed25519 AAAA", IDENTITY] {
            let refused = Recipients::parse(&[bad]).unwrap_err();
            assert!(matches!(refused, BackupError::Recipient), "{bad}");
        }
        let nobody = Recipients::parse::<&str>(&[]).unwrap_err();
        assert!(matches!(nobody, BackupError::NoRecipient));
    }

    #[test]
    fn an_identity_file_has_comments_and_nothing_else_besides() {
        let parse = |text: &str| Identities::parse(&Secret::copy_of(text.as_bytes()));
        let file = format!("# created: now\n# public key: {RECIPIENT}\n{IDENTITY}\n");
        assert_eq!(parse(&file).unwrap().of_age().count(), 1);
        for bad in ["", "# nothing\n", RECIPIENT, &format!("{IDENTITY}\nmore")] {
            assert!(matches!(parse(bad), Err(BackupError::Identity)), "{bad}");
        }
        for harm in Harm::every(IDENTITY.len()) {
            let damaged = Identities::parse(&Secret::take(harm.of(IDENTITY.as_bytes())));
            let blank = matches!(harm, Harm::Longer(b'\n'));
            assert_eq!(damaged.is_ok(), blank, "{harm:?}");
        }
        let shown = format!("{:?}", parse(&file).unwrap());
        assert_eq!(shown, "Identities(1 hidden)");
    }
}
