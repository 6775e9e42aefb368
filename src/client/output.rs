//! The one place that prints.
//!
//! Data goes to standard output, words to standard error. With `--json`, standard output gets exactly
//! one document, `{"data": …}` or `{"error": …}`, and standard error stays empty. A command that waits for
//! something that a person has to do writes lines, each of them a document: `{"waiting": …}` at once, unless it
//! fails before, and then the other. An error is one line whatever the command, so that a reader of lines
//! can read all that may come. A reader that went away is no failure.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::tcgetwinsize;
use serde::Serialize;

use super::body;
use super::text::{Visible, visible_json};
use super::{ClientEnv, ClientError, Options, Table};
use crate::secret::Secret;
use crate::wire::Failure;

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal that can, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// Whether a stream is coloured, as the flag, else the environment, else the stream says.
    #[must_use]
    pub const fn on(self, env: &ClientEnv, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if env.no_color => false,
            Self::Auto if env.force_color => true,
            Self::Auto => terminal && !env.dumb_terminal,
        }
    }
}

/// Where output goes and how it looks.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact about a stream or a flag"
)]
pub struct Output {
    json: bool,
    quiet: bool,
    terminal: bool,
    colour_out: bool,
    colour_err: bool,
    width: Option<usize>,
    error_width: Option<usize>,
    /// Documents are lines.
    lines: AtomicBool,
}

#[derive(Serialize)]
struct Waiting<'a, T> {
    waiting: &'a T,
}

#[derive(Serialize)]
struct Document<'a, T> {
    data: &'a T,
}

impl Output {
    /// Output as the flags, the environment and the streams have it.
    #[must_use]
    pub fn new(options: &Options, env: &ClientEnv) -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = |stream: &dyn AsFd| {
            let size = tcgetwinsize(stream.as_fd()).ok();
            let columns = size.map(|size| usize::from(size.ws_col));
            columns.filter(|columns| *columns > 0)
        };
        Self {
            json: options.json,
            quiet: options.quiet,
            terminal,
            colour_out: options.colour.on(env, terminal),
            colour_err: options.colour.on(env, io::stderr().is_terminal()),
            width: columns(&io::stdout()),
            error_width: columns(&io::stderr()).filter(|_| !env.dumb_terminal),
            lines: AtomicBool::new(false),
        }
    }

    /// Whether `--json` was asked for.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// How many columns standard output has, when it is a terminal.
    #[must_use]
    pub const fn width(&self) -> Option<usize> {
        self.width
    }

    /// Shows data: a document with `--json`, else the text that `human` makes. Text from the broker
    /// belongs in a [`Visible`].
    ///
    /// # Errors
    /// [`ClientError::File`] when standard output cannot be written.
    pub fn show<T: Serialize>(
        &self,
        data: &T,
        human: impl FnOnce() -> String,
    ) -> Result<(), ClientError> {
        if self.json {
            self.document(&Document { data })
        } else {
            to_stdout(human().as_bytes())
        }
    }

    /// Shows a list as a table, or says `none` when there is nothing in it.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn table<T: Serialize>(
        &self,
        data: &T,
        none: &str,
        table: impl FnOnce() -> Table,
    ) -> Result<(), ClientError> {
        if self.json {
            return self.document(&Document { data });
        }
        let table = table();
        if table.is_empty() {
            self.note(none);
            return Ok(());
        }
        to_stdout(self.lines(&table).as_bytes())
    }

    /// Lays out a table for this output, a line break after each line.
    #[must_use]
    pub fn lines(&self, table: &Table) -> String {
        let mut lines = table.lines(self.width);
        if let Some(head) = lines.first_mut().filter(|_| self.colour_out) {
            *head = format!("\u{1b}[1m{head}\u{1b}[0m");
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Says that something was done: words for people, the document with `--json`.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn done<T: Serialize>(&self, data: &T, words: impl Display) -> Result<(), ClientError> {
        if self.json {
            return self.document(&Document { data });
        }
        self.note(words);
        Ok(())
    }

    /// Shows a secret value: on a terminal with a line break after it, into a pipe byte for byte.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn value(&self, value: &Secret) -> Result<(), ClientError> {
        value.expose(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) if self.terminal => to_stdout(format!("{}\n", Visible(text)).as_bytes()),
            _ => to_stdout(bytes),
        })
    }

    /// Passes on one line of a stream: as it is into a pipe, made safe on a terminal.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn stream(&self, line: &[u8]) -> Result<(), ClientError> {
        if self.terminal {
            to_stdout(visible_json(&String::from_utf8_lossy(line)).as_bytes())
        } else {
            to_stdout(line)
        }
    }

    /// Prints what a generator made: completions, help, a manual page.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn text(&self, text: &str) -> Result<(), ClientError> {
        to_stdout(text.as_bytes())
    }

    /// Says something to a person.
    pub fn note(&self, words: impl Display) {
        if !self.quiet && !self.json {
            to_stderr(&format!("{}\n", Visible(&words.to_string())));
        }
    }

    /// Draws one line over the one that was drawn before; empty, it takes that away. Answers false, having
    /// done nothing, where that cannot be seen.
    pub fn redraw(&self, line: &str) -> bool {
        let drawn = self.error_width.is_some() && !self.quiet && !self.json;
        if drawn {
            to_stderr(&format!("\r\u{1b}[K{}", Visible(line)));
        }
        drawn
    }

    /// Says what to do better.
    pub fn hint(&self, words: impl Display) {
        if !self.quiet && !self.json {
            let hint = self.painted("36", "hint:");
            to_stderr(&format!("{hint} {}\n", Visible(&words.to_string())));
        }
    }

    /// From now on each document is a line: the command will write more than one, if nothing is in the way.
    pub fn in_lines(&self) {
        self.lines.store(true, Ordering::Relaxed);
    }

    /// Says with `--json` what the command waits for: in a line of its own, which can be read before the
    /// last one comes.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn waits<T: Serialize>(&self, waiting: &T) -> Result<(), ClientError> {
        if !self.json {
            return Ok(());
        }
        self.in_lines();
        self.document(&Waiting { waiting })
    }

    fn document(&self, document: &impl Serialize) -> Result<(), ClientError> {
        let pretty = !self.lines.load(Ordering::Relaxed);
        let json = body::written(document, pretty)?;
        let text = std::str::from_utf8(&json).unwrap_or_default();
        to_stdout(visible_json(text).as_bytes())?;
        to_stdout(b"\n")
    }

    /// Says what a person has to do for the command to go on: whatever the flags, on standard error.
    pub fn instruct(&self, lines: &str) {
        let lines = lines.lines().map(|line| format!("{}\n", Visible(line)));
        to_stderr(&lines.collect::<String>());
    }

    /// How many columns standard error has, when it is a terminal on which a picture can be shown.
    #[must_use]
    pub const fn picture_width(&self) -> Option<usize> {
        self.error_width
    }

    /// Says what went wrong and what to do next.
    pub fn error(&self, error: &ClientError) {
        let detail = error.detail();
        if self.json {
            self.in_lines();
            // Nothing is left to say it with when standard output is gone.
            drop(self.document(&Failure { error: detail }));
            return;
        }
        let error = self.painted("1;31", "error:");
        let mut lines = vec![format!("{error} {}\n", Visible(&detail.message))];
        if let Some(hint) = &detail.hint {
            lines.push(format!(
                "{} {}\n",
                self.painted("36", "hint:"),
                Visible(hint)
            ));
        }
        if let Some(request) = &detail.request_id {
            lines.push(format!("request: {}\n", Visible(request)));
        }
        to_stderr(&lines.concat());
    }

    /// Passes on what the parser of the command line says: help on standard output, errors on
    /// standard error, already laid out and coloured.
    pub fn usage(&self, text: &str, is_error: bool) {
        if is_error {
            to_stderr(text);
        } else {
            drop(to_stdout(text.as_bytes()));
        }
    }

    /// Whether standard error is coloured.
    #[must_use]
    pub const fn paints_errors(&self) -> bool {
        self.colour_err
    }

    /// Whether standard output is coloured.
    #[must_use]
    pub const fn paints(&self) -> bool {
        self.colour_out
    }

    fn painted(&self, code: &str, word: &str) -> String {
        if self.colour_err {
            format!("\u{1b}[{code}m{word}\u{1b}[0m")
        } else {
            word.to_owned()
        }
    }
}

fn to_stdout(bytes: &[u8]) -> Result<(), ClientError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(ClientError::file("standard output", &error))
        }
        _ => Ok(()),
    }
}

fn to_stderr(text: &str) {
    // There is no third stream to complain on.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::Colour;
    use crate::client::ClientEnv;

    #[test]
    fn the_flag_beats_the_environment_and_that_the_stream() {
        let env = |no_color, force_color, dumb_terminal| ClientEnv {
            no_color,
            force_color,
            dumb_terminal,
            ..ClientEnv::default()
        };
        let plain = env(false, false, false);
        assert!(Colour::Auto.on(&plain, true) && !Colour::Auto.on(&plain, false));
        assert!(!Colour::Auto.on(&env(true, true, false), true));
        assert!(Colour::Auto.on(&env(false, true, true), false));
        assert!(!Colour::Auto.on(&env(false, false, true), true));
        assert!(Colour::Always.on(&env(true, false, true), false));
        assert!(!Colour::Never.on(&env(false, true, false), true));
    }
}
