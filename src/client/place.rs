//! Finding the broker.
//!
//! A flag says it, else the environment, else the profile, else a socket in one of its usual places.
//! A key belongs to the origin it was stored with: another origin never sees it.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{ClientEnv, ClientError, Options, Profile};
use crate::secret::Secret;

/// Where a broker listens when nothing else is said and a key is used.
pub const DEFAULT_ORIGIN: &str = "http://127.0.0.1:8420";

/// The socket of a broker that was started by hand, below its working directory.
const BY_HAND: &str = "data/broker.sock";
/// Where the service of the Debian package listens.
const INSTALLED: &str = "/run/runtools/broker.sock";

/// Where the broker is.
#[derive(Debug)]
pub enum Place {
    /// Behind a Unix socket, on this machine.
    Socket(PathBuf),
    /// At an origin.
    Origin {
        /// The origin, without `/v1`.
        url: String,
        /// The key for it, if there is one.
        key: Option<Secret>,
    },
}

impl Place {
    /// Finds the broker.
    ///
    /// # Errors
    /// [`ClientError::ForeignSocket`] for a socket in a usual place that is another user's.
    pub fn find(
        options: &Options,
        env: &ClientEnv,
        profile: Option<Profile>,
    ) -> Result<Self, ClientError> {
        if let Some(socket) = &options.socket {
            return Ok(Self::Socket(socket.clone()));
        }
        if let Some(url) = &options.api_url {
            return Ok(Self::origin(url, env, profile));
        }
        if let Some(socket) = &env.socket {
            return Ok(Self::Socket(socket.clone()));
        }
        if let Some(url) = &env.api_url {
            return Ok(Self::origin(url, env, profile));
        }
        match profile {
            Some(Profile::Key { api_url, key }) => {
                let key = env.api_key.as_ref().map_or(key, copy);
                Ok(Self::Origin {
                    url: api_url,
                    key: Some(key),
                })
            }
            // A key in the environment says who the caller wants to be: over the socket it would be
            // passed over in silence.
            _ if env.api_key.is_some() => Ok(Self::origin(DEFAULT_ORIGIN, env, None)),
            Some(Profile::Local { socket }) => Ok(Self::Socket(socket)),
            None => default_socket(env).map(Self::Socket),
        }
    }

    /// Whether it is this machine, by one of its own names.
    #[must_use]
    pub fn is_here(&self) -> bool {
        let Self::Origin { url, .. } = self else {
            return true;
        };
        let url = url.parse::<http::Uri>().ok();
        let host = url.as_ref().and_then(http::Uri::host).unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    fn origin(url: &str, env: &ClientEnv, profile: Option<Profile>) -> Self {
        let key = env.api_key.as_ref().map(copy).or(match profile {
            Some(Profile::Key { api_url, key }) if same_origin(&api_url, url) => Some(key),
            _ => None,
        });
        Self::Origin {
            url: url.trim_end_matches('/').to_owned(),
            key,
        }
    }
}

/// Whether two texts name the same origin.
#[must_use]
pub fn same_origin(one: &str, other: &str) -> bool {
    one.trim_end_matches('/')
        .eq_ignore_ascii_case(other.trim_end_matches('/'))
}

/// The socket where a broker listens that was not told otherwise: the one of the user's session,
/// else the one below the working directory, else the one of the installed service. When there is none,
/// the first is named.
///
/// # Errors
/// [`ClientError::ForeignSocket`] when what is there is another user's: whoever may write to the
/// working directory could otherwise collect values there.
pub fn default_socket(env: &ClientEnv) -> Result<PathBuf, ClientError> {
    let session = env
        .runtime_dir
        .as_ref()
        .map(|dir| dir.join("runtools/broker.sock"));
    let by_hand = PathBuf::from(BY_HAND);
    for path in session.iter().chain([&by_hand]) {
        if is_socket(path) {
            return if is_ours(path) {
                Ok(path.clone())
            } else {
                Err(ClientError::ForeignSocket { path: path.clone() })
            };
        }
    }
    // Only root makes a folder in /run, so nobody can stand in for the service.
    let installed = PathBuf::from(INSTALLED);
    if is_socket(&installed) {
        return Ok(installed);
    }
    Ok(session.unwrap_or(by_hand))
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// Ours or root's, and so is the directory, so that it cannot be swapped.
fn is_ours(path: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    let owned = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|found| found.uid() == me || found.uid() == 0)
    };
    owned(path) && path.parent().is_some_and(owned)
}

fn copy(secret: &Secret) -> Secret {
    secret.expose(Secret::copy_of)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::{DEFAULT_ORIGIN, Place, default_socket};

    #[test]
    fn this_machine_is_told_by_its_whole_name() {
        let here = |url: &str| {
            Place::Origin {
                url: url.to_owned(),
                key: None,
            }
            .is_here()
        };
        for url in [
            "http://localhost:8420",
            "http://127.0.0.1",
            "https://[::1]:1",
            "http://127.9.9.9",
        ] {
            assert!(here(url), "{url}");
        }
        for url in [
            "https://localhost.example.com",
            "https://127.example.com",
            "https://10.0.0.1",
            "banana",
        ] {
            assert!(!here(url), "{url}");
        }
        assert!(Place::Socket("/x".into()).is_here());
    }
    use crate::client::{ClientEnv, Options, Profile};
    use crate::secret::Secret;

    fn found(options: &Options, env: &ClientEnv, profile: Option<Profile>) -> String {
        match Place::find(options, env, profile).unwrap() {
            Place::Socket(path) => format!("socket {}", path.display()),
            Place::Origin {
                url,
                key: Some(key),
            } => {
                format!(
                    "{url} {}",
                    key.expose(|key| String::from_utf8(key.to_vec()).unwrap())
                )
            }
            Place::Origin { url, key: None } => url,
        }
    }

    fn local() -> Profile {
        Profile::Local {
            socket: "/profile".into(),
        }
    }

    fn keyed() -> Profile {
        Profile::Key {
            api_url: "https://a.example".into(),
            key: Secret::copy_of(b"stored"),
        }
    }

    fn env(socket: Option<&str>, url: Option<&str>, key: Option<&str>) -> ClientEnv {
        ClientEnv {
            socket: socket.map(PathBuf::from),
            api_url: url.map(str::to_owned),
            api_key: key.map(|key| Secret::copy_of(key.as_bytes())),
            ..ClientEnv::default()
        }
    }

    #[test]
    fn a_flag_beats_the_environment_and_that_the_profile() {
        let none = Options::default();
        let flag = Options {
            socket: Some("/flag".into()),
            ..Options::default()
        };
        let both = env(Some("/env"), Some("https://b.example"), None);
        assert_eq!(found(&flag, &both, Some(keyed())), "socket /flag");
        assert_eq!(found(&none, &both, Some(keyed())), "socket /env");
        assert_eq!(
            found(&none, &env(None, None, None), Some(keyed())),
            "https://a.example stored"
        );
        assert_eq!(
            found(&none, &env(None, None, None), Some(local())),
            "socket /profile"
        );
    }

    #[test]
    fn a_stored_key_goes_to_its_own_origin_only() {
        let none = Options::default();
        let same = env(None, Some("https://A.example/"), None);
        assert_eq!(
            found(&none, &same, Some(keyed())),
            "https://A.example stored"
        );
        let other = env(None, Some("https://evil.example"), None);
        assert_eq!(found(&none, &other, Some(keyed())), "https://evil.example");
        let flag = Options {
            api_url: Some("https://evil.example".into()),
            ..Options::default()
        };
        assert_eq!(
            found(&flag, &env(None, None, None), Some(keyed())),
            "https://evil.example"
        );
    }

    #[test]
    fn a_key_in_the_environment_is_never_passed_over() {
        let none = Options::default();
        let key = env(None, None, Some("mine"));
        assert_eq!(found(&none, &key, Some(keyed())), "https://a.example mine");
        assert_eq!(
            found(&none, &key, Some(local())),
            format!("{DEFAULT_ORIGIN} mine")
        );
        assert_eq!(found(&none, &key, None), format!("{DEFAULT_ORIGIN} mine"));
    }

    #[test]
    fn the_sessions_socket_is_found_and_named_when_it_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let env = ClientEnv {
            runtime_dir: Some(folder.path().into()),
            ..ClientEnv::default()
        };
        let path = folder.path().join("runtools/broker.sock");
        assert_eq!(default_socket(&env).unwrap(), path);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(default_socket(&env).unwrap(), path);
        drop(listener);
        assert_eq!(
            default_socket(&ClientEnv::default()).unwrap(),
            PathBuf::from("data/broker.sock")
        );
    }
}
