//! The flags that every verb has.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use runtools_broker::client::{Colour, Options};

/// The flags that every verb has.
#[derive(Args, Debug)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Print one JSON document: {"data": …} or {"error": …}
    #[arg(long, global = true)]
    json: bool,
    /// Print data and errors, no other words
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Never ask; fail with exit code 2 where an answer would be needed
    #[arg(long, global = true)]
    no_input: bool,
    /// When to colour output
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    color: When,
    /// The broker's Unix socket (also in `RUNTOOLS_SOCKET`)
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl Global {
    /// The flags, for the library.
    pub(crate) fn options(self) -> Options {
        Options {
            json: self.json,
            quiet: self.quiet,
            no_input: self.no_input,
            colour: match self.color {
                When::Auto => Colour::Auto,
                When::Always => Colour::Always,
                When::Never => Colour::Never,
            },
            socket: self.socket,
            api_url: None,
        }
    }
}

/// The flags that decide how a command line that cannot be parsed is answered.
pub(crate) fn options_of(arguments: &[OsString]) -> Options {
    let before_dashes = arguments.iter().take_while(|argument| *argument != "--");
    let mut options = Options::default();
    let mut color = false;
    for argument in before_dashes.filter_map(|argument| argument.to_str()) {
        let when = if color {
            Some(argument)
        } else {
            argument.strip_prefix("--color=")
        };
        match when {
            Some("always") => options.colour = Colour::Always,
            Some("never") => options.colour = Colour::Never,
            _ => {}
        }
        color = argument == "--color";
        options.json |= argument == "--json";
    }
    options
}
