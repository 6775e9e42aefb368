//! Flag over environment over file over default.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::env::{CREDENTIALS_DIRECTORY, Env, RUNTIME_DIR};
use super::error::ConfigError;
use super::file::{anchor, parse, validate};
use super::log::{LogFormat, LogLevel};
use super::settings::Config;
use super::written::SHIPPED;

/// Where a file is looked for when none is named, in this order.
const PLACES: [&str; 2] = ["config/broker.toml", "/etc/runtools/broker.toml"];

/// The variables the daemon reads; all are paths.
const CONFIG: &str = "RUNTOOLS_BROKER_CONFIG";
const DATA_DIR: &str = "RUNTOOLS_BROKER_DATA_DIR";
const KEYS_DIR: &str = "RUNTOOLS_BROKER_KEYS_DIR";
const SOCKET: &str = "RUNTOOLS_BROKER_SOCKET";

/// What the command line sets.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each overrides the setting of the same name")]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub data_dir: Option<PathBuf>,
    pub keys_dir: Option<PathBuf>,
    pub listen: Vec<SocketAddr>,
    pub proxy_listen: Option<SocketAddr>,
    pub socket: Option<PathBuf>,
    pub log_level: Option<LogLevel>,
    pub log_format: Option<LogFormat>,
}

impl Config {
    /// Puts the settings together. The socket is set afterwards.
    ///
    /// # Errors
    /// [`ConfigError`] when a named file cannot be read, when a file does not parse, and when the
    /// settings are out of range or contradict each other.
    pub fn load(flags: &Flags, env: &Env) -> Result<Self, ConfigError> {
        let config = match named(flags, env) {
            Some(path) => from_file(&path)?,
            None => from_first_of(&PLACES)?,
        };
        config.under(flags, env)
    }

    /// The same with this text for the file, which is to stand at `path`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn of_text(text: &str, path: &Path, flags: &Flags, env: &Env) -> Result<Self, ConfigError> {
        from_text(text.to_owned(), path)?.under(flags, env)
    }

    /// The settings of the file, and over them those of the flags and the environment.
    fn under(self, flags: &Flags, env: &Env) -> Result<Self, ConfigError> {
        let known = [CONFIG, DATA_DIR, KEYS_DIR, SOCKET];
        if let Some(name) = env.brokers().find(|name| !known.contains(name)) {
            return Err(ConfigError::Variable(name.to_owned()));
        }
        let mut config = self;
        let set = |place: &mut PathBuf, flag: &Option<PathBuf>, variable: &str| {
            if let Some(path) = flag.clone().or_else(|| env.path(variable)) {
                *place = path;
            }
        };
        set(&mut config.data_dir, &flags.data_dir, DATA_DIR);
        set(&mut config.keys_dir, &flags.keys_dir, KEYS_DIR);
        let fallback = default_socket(env, &config.data_dir);
        set(config.socket.get_or_insert(fallback), &flags.socket, SOCKET);
        let credentials = env.path(CREDENTIALS_DIRECTORY);
        config.credentials_dir = credentials.filter(|path| path.is_absolute());
        if !flags.listen.is_empty() {
            config.listen.clone_from(&flags.listen);
        }
        config.proxy.listen = flags.proxy_listen.unwrap_or(config.proxy.listen);
        config.log.level = flags.log_level.unwrap_or(config.log.level);
        config.log.format = flags.log_format.unwrap_or(config.log.format);
        validate(&config)?;
        Ok(config)
    }
}

/// Where the socket is when nobody says otherwise: `$XDG_RUNTIME_DIR/runtools/broker.sock`, which
/// belongs to one user, else in the data folder: a login over `su` or in a container often names a
/// folder that is not there and cannot be made. Broker and CLI must agree on it.
#[must_use]
pub fn default_socket(env: &Env, data_dir: &Path) -> PathBuf {
    match env
        .path(RUNTIME_DIR)
        .filter(|path| path.is_absolute() && path.is_dir())
    {
        Some(folder) => folder.join("runtools/broker.sock"),
        None => data_dir.join("broker.sock"),
    }
}

/// Where the settings file is, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFile {
    /// Its path.
    pub path: PathBuf,
    /// What stands there, if anything does.
    pub text: Option<String>,
    /// Whether somebody named it, and it was not only looked for.
    pub is_named: bool,
}

impl SettingsFile {
    /// The file that is named, else the first that a start would find, else `fallback`.
    ///
    /// # Errors
    /// [`ConfigError::Read`] for one that is there and cannot be read.
    pub fn find(flags: &Flags, env: &Env, fallback: &Path) -> Result<Self, ConfigError> {
        let named = named(flags, env);
        let is_named = named.is_some();
        let places = named.map_or_else(|| PLACES.map(PathBuf::from).to_vec(), |path| vec![path]);
        for path in &places {
            match fs::read_to_string(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(unreadable(path, source)),
                Ok(text) => {
                    let (path, text) = (path.clone(), Some(text));
                    return Ok(Self {
                        path,
                        text,
                        is_named,
                    });
                }
            }
        }
        let path = places.into_iter().next().filter(|_| is_named);
        Ok(Self {
            path: path.unwrap_or_else(|| fallback.to_owned()),
            text: None,
            is_named,
        })
    }

    /// Whether it is the file of the sources, which the program was built from.
    #[must_use]
    pub fn is_the_sources(&self) -> bool {
        !self.is_named && self.text.as_deref() == Some(SHIPPED)
    }
}

fn named(flags: &Flags, env: &Env) -> Option<PathBuf> {
    flags.config.clone().or_else(|| env.path(CONFIG))
}

fn unreadable(path: &Path, source: std::io::Error) -> ConfigError {
    ConfigError::Read {
        path: path.to_owned(),
        source,
    }
}

fn from_first_of(places: &[&str]) -> Result<Config, ConfigError> {
    for place in places {
        match from_file(Path::new(place)) {
            Err(ConfigError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
    }
    Ok(Config::default())
}

fn from_file(path: &Path) -> Result<Config, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| unreadable(path, source))?;
    from_text(text, path)
}

fn from_text(text: String, path: &Path) -> Result<Config, ConfigError> {
    let mut config = parse(&text)?;
    anchor(&mut config, &text, path)?;
    config.text = Some(text);
    config.file = Some(path.to_owned());
    Ok(config)
}
