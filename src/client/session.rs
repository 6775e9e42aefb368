//! One run of a command.

use std::path::PathBuf;

use super::place::default_socket;
use super::{Client, ClientEnv, ClientError, Colour, Output, Place, ProfileStore, Prompts};

/// What the flags that every verb has say.
#[derive(Debug, Default)]
pub struct Options {
    /// `--json`.
    pub json: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// `--no-input`.
    pub no_input: bool,
    /// `--color`.
    pub colour: Colour,
    /// `--socket`.
    pub socket: Option<PathBuf>,
    /// `--api-url`.
    pub api_url: Option<String>,
}

/// What a verb works with.
#[derive(Debug)]
pub struct Session {
    /// Where output goes.
    pub out: Output,
    /// How a person is asked.
    pub prompts: Prompts,
    env: ClientEnv,
    options: Options,
}

impl Session {
    /// Starts a run.
    #[must_use]
    pub fn new(options: Options, env: ClientEnv) -> Self {
        let out = Output::new(&options, &env);
        let prompts = Prompts::new(options.no_input);
        Self {
            out,
            prompts,
            env,
            options,
        }
    }

    /// The environment.
    #[must_use]
    pub const fn env(&self) -> &ClientEnv {
        &self.env
    }

    /// The flags.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The broker, as a caller that it can know.
    ///
    /// # Errors
    /// [`ClientError::SignedOut`] without a key for an origin, and as [`Session::anyone`].
    pub fn client(&self) -> Result<Client, ClientError> {
        let place = self.place()?;
        let knows = !matches!(place, Place::Origin { key: None, .. });
        // Made first: where the origin is no URL, no key would help.
        let client = self.client_at(place)?;
        knows.then_some(client).ok_or(ClientError::SignedOut)
    }

    /// The broker, whether or not it can know the caller.
    ///
    /// # Errors
    /// As [`Session::place`] and [`Session::client_at`].
    pub fn anyone(&self) -> Result<Client, ClientError> {
        self.client_at(self.place()?)
    }

    /// The broker on this machine, over its socket: the only way to the operator's verbs.
    ///
    /// # Errors
    /// As [`Session::client_at`].
    pub fn local(&self) -> Result<Client, ClientError> {
        self.client_at(Place::Socket(self.socket()?))
    }

    /// The socket that was named, else the one in its usual place.
    ///
    /// # Errors
    /// [`ClientError::ForeignSocket`].
    pub fn socket(&self) -> Result<PathBuf, ClientError> {
        match self.options.socket.as_ref().or(self.env.socket.as_ref()) {
            Some(socket) => Ok(socket.clone()),
            None => default_socket(&self.env),
        }
    }

    /// The broker at `place`.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn client_at(&self, place: Place) -> Result<Client, ClientError> {
        Client::new(place, self.env.ca_file.as_deref())
    }

    /// Where the broker is.
    ///
    /// # Errors
    /// As [`Place::find`] and [`ProfileStore::load`].
    pub fn place(&self) -> Result<Place, ClientError> {
        // A profile that cannot be read must not stop a caller who named the place and needs none.
        let named = self.options.socket.is_some()
            || (self.options.api_url.is_none() && self.env.socket.is_some());
        let profile = match ProfileStore::find(&self.env) {
            Ok(store) if !named => store.load()?,
            _ => None,
        };
        Place::find(&self.options, &self.env, profile)
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Session};
    use crate::client::{ClientEnv, ClientError, Exit};

    #[test]
    fn an_origin_that_is_no_url_is_told_before_a_key_is_missed() {
        let of = |url: &str| {
            let env = ClientEnv {
                api_url: Some(url.to_owned()),
                ..ClientEnv::default()
            };
            Session::new(Options::default(), env).client().unwrap_err()
        };
        for bad in ["banana", "https://", "ftp://a.example"] {
            let refused = of(bad);
            assert_eq!(refused.exit(), Exit::Usage, "{bad}");
            assert!(refused.to_string().contains("URL"), "{refused}");
            let hint = refused.detail().hint.unwrap();
            assert!(hint.contains("RUNTOOLS_API_URL"), "{hint}");
        }
        let refused = of("https://a.example");
        assert!(matches!(refused, ClientError::SignedOut));
    }
}
