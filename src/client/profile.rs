//! The profile: where the user's broker is, and with which key it is spoken to.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::body::{self, Lent};
use super::{ClientEnv, ClientError};
use crate::secret::Secret;

/// More than any profile has, in bytes.
const MAX_PROFILE_BYTES: u64 = 64 * 1024;

/// What `login` writes down.
#[derive(Debug)]
pub enum Profile {
    /// The broker on this machine: it knows the caller by uid, so there is nothing to keep secret.
    Local {
        /// Its socket.
        socket: PathBuf,
    },
    /// A broker with an API key.
    Key {
        /// Its origin. The key goes nowhere else.
        api_url: String,
        /// The key.
        key: Secret,
    },
}

/// The file that keeps a [`Profile`], readable by its owner only.
#[derive(Debug)]
pub struct ProfileStore {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    socket: Option<PathBuf>,
    api_url: Option<String>,
    key: Option<Secret>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", untagged)]
enum Written<'a> {
    Local {
        socket: &'a Path,
    },
    #[serde(rename_all = "camelCase")]
    Key {
        api_url: &'a str,
        key: Lent<'a>,
    },
}

impl ProfileStore {
    /// The place by the XDG rules: `$XDG_CONFIG_HOME/runtools`, else `~/.config/runtools`.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when the environment names no home.
    pub fn find(env: &ClientEnv) -> Result<Self, ClientError> {
        let config = match (&env.config_home, &env.home) {
            (Some(config), _) => config.clone(),
            (None, Some(home)) => home.join(".config"),
            (None, None) => {
                return Err(ClientError::usage(
                    "there is no place for a profile",
                    "set HOME or XDG_CONFIG_HOME",
                ));
            }
        };
        Ok(Self {
            file: config.join("runtools").join("profile.json"),
        })
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Reads the profile, if there is one.
    ///
    /// # Errors
    /// [`ClientError::Exposed`] when others could read or change it, [`ClientError::BadProfile`],
    /// [`ClientError::File`].
    pub fn load(&self) -> Result<Option<Profile>, ClientError> {
        let nofollow = OFlags::NOFOLLOW
            .union(OFlags::NONBLOCK)
            .bits()
            .cast_signed();
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(nofollow)
            .open(&self.file);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ClientError::file(&self.file, &error)),
        };
        self.check_directory()?;
        self.check_file(&file)?;
        // One block from the start: what grows leaves copies behind.
        let mut text = zeroize::Zeroizing::new(Vec::with_capacity(4096));
        let read = file.take(MAX_PROFILE_BYTES).read_to_end(&mut text);
        read.map_err(|error| ClientError::file(&self.file, &error))?;
        let bad = || ClientError::BadProfile {
            path: self.file.clone(),
        };
        match serde_json::from_slice(&text).map_err(|_| bad())? {
            Stored {
                socket: Some(socket),
                api_url: None,
                key: None,
            } => Ok(Some(Profile::Local { socket })),
            Stored {
                socket: None,
                api_url: Some(api_url),
                key: Some(key),
            } => Ok(Some(Profile::Key { api_url, key })),
            _ => Err(bad()),
        }
    }

    /// Writes the profile, whole or not at all.
    ///
    /// # Errors
    /// [`ClientError::Exposed`] for a directory that others can look into, [`ClientError::File`].
    pub fn save(&self, profile: &Profile) -> Result<(), ClientError> {
        let document = match profile {
            Profile::Local { socket } => Written::Local { socket },
            Profile::Key { api_url, key } => Written::Key {
                api_url,
                key: Lent(key),
            },
        };
        let text = body::written(&document, true)?;
        let directory = self.file.parent().unwrap_or(Path::new("/"));
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        made.map_err(|error| ClientError::file(directory, &error))?;
        self.check_directory()?;
        let draft = self
            .file
            .with_extension(format!("{}.new", std::process::id()));
        let written = write_new(&draft, &text).and_then(|()| fs::rename(&draft, &self.file));
        written.map_err(|error| {
            // The draft holds the key: it must not stay. That it may be gone already is no matter.
            drop(fs::remove_file(&draft));
            ClientError::file(&self.file, &error)
        })
    }

    /// Removes the profile. `false` when there was none.
    ///
    /// # Errors
    /// [`ClientError::File`].
    pub fn remove(&self) -> Result<bool, ClientError> {
        match fs::remove_file(&self.file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(ClientError::file(&self.file, &error)),
        }
    }

    fn check_directory(&self) -> Result<(), ClientError> {
        let directory = self.file.parent().unwrap_or(Path::new("/"));
        let found =
            fs::metadata(directory).map_err(|error| ClientError::file(directory, &error))?;
        private(&found, directory, "700")
    }

    fn check_file(&self, file: &File) -> Result<(), ClientError> {
        let found = file
            .metadata()
            .map_err(|error| ClientError::file(&self.file, &error))?;
        if !found.is_file() {
            return Err(ClientError::BadProfile {
                path: self.file.clone(),
            });
        }
        private(&found, &self.file, "600")
    }
}

fn private(found: &fs::Metadata, path: &Path, mode: &'static str) -> Result<(), ClientError> {
    let own = found.uid() == rustix::process::geteuid().as_raw();
    let others = found.mode() & 0o077;
    if own && others == 0 {
        return Ok(());
    }
    Err(ClientError::Exposed {
        path: path.to_owned(),
        mode,
    })
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::{Profile, ProfileStore};
    use crate::client::{ClientEnv, ClientError};
    use crate::secret::Secret;

    fn store(home: &tempfile::TempDir) -> ProfileStore {
        let env = ClientEnv {
            home: Some(home.path().into()),
            ..ClientEnv::default()
        };
        ProfileStore::find(&env).unwrap()
    }

    fn key() -> Profile {
        Profile::Key {
            api_url: "https://b.example".into(),
            key: Secret::copy_of(b"rt_live_x"),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_only_its_owner_can_read_it() {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home);
        assert!(store.load().unwrap().is_none());
        assert!(!store.remove().unwrap());
        store
            .save(&Profile::Local {
                socket: "/run/b.sock".into(),
            })
            .unwrap();
        assert!(matches!(store.load().unwrap(), Some(Profile::Local { .. })));
        store.save(&key()).unwrap();
        let Some(Profile::Key { api_url, key }) = store.load().unwrap() else {
            panic!()
        };
        assert_eq!(api_url, "https://b.example");
        assert!(key.same_as(&Secret::copy_of(b"rt_live_x")));
        assert_eq!(fs::metadata(store.path()).unwrap().mode() & 0o777, 0o600);
        let directory = store.path().parent().unwrap();
        assert_eq!(fs::metadata(directory).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(directory).unwrap().count(), 1);
        assert!(store.remove().unwrap());
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    }

    #[test]
    fn a_profile_that_others_can_read_is_refused_with_the_chmod_that_mends_it() {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home);
        store.save(&key()).unwrap();
        for (path, open, shut) in [
            (store.path(), 0o640, "chmod 600"),
            (store.path().parent().unwrap(), 0o755, "chmod 700"),
        ] {
            let before = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, Permissions::from_mode(open)).unwrap();
            let refused = store.load().unwrap_err();
            assert!(matches!(refused, ClientError::Exposed { .. }));
            assert!(refused.detail().hint.unwrap().contains(shut));
            fs::set_permissions(path, before).unwrap();
        }
        assert!(store.load().unwrap().is_some());
    }

    #[test]
    fn links_and_other_documents_are_no_profile() {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home);
        store.save(&key()).unwrap();
        let elsewhere = home.path().join("elsewhere");
        fs::rename(store.path(), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, store.path()).unwrap();
        assert!(store.load().is_err());
        fs::remove_file(store.path()).unwrap();
        for text in [
            "",
            "{}",
            "[]",
            r#"{"socket":"/s","key":"k"}"#,
            r#"{"apiUrl":"x"}"#,
        ] {
            fs::write(store.path(), text).unwrap();
            fs::set_permissions(store.path(), Permissions::from_mode(0o600)).unwrap();
            assert!(
                matches!(store.load(), Err(ClientError::BadProfile { .. })),
                "{text}"
            );
        }
    }
}
