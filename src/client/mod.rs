//! The API, called: what the two command lines share.
//!
//! [`Session`] is one run of a command: what the flags said ([`Options`]), what the environment says
//! ([`ClientEnv`]), where output goes ([`Output`]) and how a person is asked ([`Prompts`]).
//! [`Session::client`] finds the broker ([`Place`]) and gives a [`Client`]; that one speaks to it,
//! turns its refusals into [`ClientError`]s, and those know the process's exit code ([`Exit`]).
//!
//! Over the Unix socket the broker recognises the caller's uid: no credential is sent. Over a
//! network a key is sent, and only to the origin it was stored with.
//!
//! For programs that run with a tool's credentials, [`Proxied`] is what they are given in place of them,
//! [`Bundle`] the file of roots that they trust, and [`Program`] the running one; [`Shell`] writes the same for
//! a shell.
//!
//! For connected apps there is more: [`Opener`] opens a page in the user's browser, [`Loopback`] is where
//! that browser comes back to, [`picture`] shows an address to a phone's camera, and [`not_connected`]
//! says in words why nothing came of it.
//!
//! Whatever came from the broker passes [`text::Visible`] before it reaches a terminal.

pub mod body;
mod browser;
mod bundle;
mod connect_failure;
mod connection;
mod env;
mod error;
mod exit;
mod hidden;
mod input;
mod java;
mod keystore;
mod loopback;
pub mod meter;
mod nearest;
mod neighbours;
mod output;
mod place;
mod profile;
mod program;
mod prompt;
mod proxied;
mod qr;
mod route;
mod session;
mod shell;
mod table;
#[cfg(test)]
mod tests_connection;
pub mod text;

pub use browser::Opener;
pub use bundle::Bundle;
pub use connect_failure::not_connected;
pub use connection::Client;
pub use env::ClientEnv;
pub use error::ClientError;
pub use exit::{Exit, Outcome};
pub use input::{
    Generated, SHORTEST_LENT, ValueSource, credential_fields, generate, named_value, read_file,
    read_stdin, read_stdin_or, read_value, scope_list, stdin_is_piped, without_newline,
};
pub use loopback::{Loopback, Returned};
pub use nearest::nearest;
pub use output::{Colour, Output};
pub use place::{DEFAULT_ORIGIN, Place, default_socket, same_origin};
pub use profile::{Profile, ProfileStore};
pub use program::{Program, seconds};
pub use prompt::Prompts;
pub use proxied::{Proxied, Variable};
pub use qr::picture;
pub use route::Route;
pub use session::{Options, Session};
pub use shell::Shell;
pub use table::Table;

pub use crate::egress::{Payload, StreamedReply, UpstreamBody};
