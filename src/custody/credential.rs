//! The systemd provider: 32 random bytes that systemd decrypts for the service when it starts.
//!
//! On disk the credential is sealed to the machine (its TPM, its host key, or both), so that neither
//! a stolen disk nor a backup opens the ring. The service finds it in clear in a directory that no
//! disk holds, and of which systemd tells it the path; this module is told it by the settings.

use std::path::{Path, PathBuf};

use super::custodian::CustodianName;
use super::{CustodyError, FileFault, disk, key_file};
use crate::crypto::{Key, KeyRef};

/// What the credential is called when nobody says otherwise.
pub const CREDENTIAL: &str = "runtools-root-key";

/// One credential of the service.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Where it would be; nothing when systemd gave this process none at all.
    path: Option<PathBuf>,
    name: CustodianName,
}

impl Credential {
    /// The credential called `name` in the directory of the service's credentials, if it has one.
    pub(super) fn new(dir: Option<&Path>, name: CustodianName) -> Self {
        let path = dir.map(|dir| dir.join(name.as_str()));
        Self { path, name }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &CustodianName {
        &self.name
    }

    /// Reads it, as the key called `name`.
    ///
    /// # Errors
    /// [`CustodyError::CredentialMissing`]; [`CustodyError::File`] when others may read it or it has
    /// not exactly 32 bytes.
    pub(super) fn read(&self, name: KeyRef) -> Result<Key, CustodyError> {
        let missing = || CustodyError::CredentialMissing(self.name.clone());
        let path = self.path.as_deref().ok_or_else(missing)?;
        match disk::credential_file(path) {
            Ok(file) => key_file::take(file, path, name),
            Err(CustodyError::File {
                fault: FileFault::Missing,
                ..
            }) => Err(missing()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{CREDENTIAL, Credential, CustodianName};
    use crate::crypto::KeyRef;
    use crate::id::ObjectId;

    #[test]
    fn a_credential_is_read_as_systemd_leaves_it_and_refused_where_others_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CREDENTIAL);
        let name = KeyRef {
            id: ObjectId::from_bytes([1; 16]),
            version: 1,
        };
        let credential = CustodianName::parse(CREDENTIAL).unwrap();
        let read = |dir| {
            let read = Credential::new(dir, credential.clone()).read(name);
            read.map(|key| key.expose(|bytes| bytes.to_vec()))
                .map_err(|error| error.code())
        };
        assert_eq!(read(None), Err("credential_missing"));
        let at = Some(dir.path());
        assert_eq!(read(at), Err("credential_missing"));
        fs::write(&path, [7; 32]).unwrap();
        let set_mode = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        for mode in [0o400, 0o600] {
            set_mode(mode);
            assert_eq!(read(at), Ok(vec![7; 32]));
        }
        for mode in [0o404, 0o444, 0o460, 0o420, 0o500, 0o660] {
            set_mode(mode);
            assert_eq!(read(at), Err("key_path_mode"), "{mode:o}");
        }
        set_mode(0o400);
        let link = dir.path().join("link");
        fs::rename(&path, &link).unwrap();
        symlink(&link, &path).unwrap();
        assert_eq!(read(at), Err("key_path_kind"));
    }
}
