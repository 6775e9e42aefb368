//! Asking a person, on the terminal itself: standard input and output may be pipes.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};

use super::text::Visible;
use super::{ClientError, hidden};
use crate::secret::Secret;

const TERMINAL: &str = "/dev/tty";
/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 4096;
/// The terminal's other screen, from its top; and the usual one again, the other one wiped.
const OTHER_SCREEN: &str = "\u{1b}[?1049h\u{1b}[2J\u{1b}[H";
const USUAL_SCREEN: &[u8] = b"\x1b[2J\x1b[?1049l";

/// The way to a person, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Prompts {
    allowed: bool,
}

impl Prompts {
    /// Asks unless `no_input`.
    #[must_use]
    pub const fn new(no_input: bool) -> Self {
        Self { allowed: !no_input }
    }

    /// Whether somebody can be asked.
    ///
    /// # Errors
    /// [`ClientError::NoTerminal`] when not.
    pub fn reach(self, instead: &'static str) -> Result<(), ClientError> {
        self.terminal(instead).map(drop)
    }

    /// Asks for a hidden text. `instead` says how to give it without being asked.
    ///
    /// # Errors
    /// [`ClientError::NoTerminal`] at once when nobody can be asked, [`ClientError::Cancelled`] for
    /// an empty answer.
    pub fn hidden(self, question: &str, instead: &'static str) -> Result<Secret, ClientError> {
        let mut terminal = self.terminal(instead)?;
        let answer = hidden::read(&mut terminal, &format!("{}: ", Visible(question)))?;
        if answer.is_empty() {
            Err(ClientError::Cancelled)
        } else {
            Ok(answer)
        }
    }

    /// Asks for a hidden text twice, so that a slip of the finger is not stored.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden), and [`ClientError::Usage`] when the two differ.
    pub fn hidden_twice(
        self,
        question: &str,
        instead: &'static str,
    ) -> Result<Secret, ClientError> {
        let first = self.hidden(question, instead)?;
        let again = self.hidden(&format!("{question}, again"), instead)?;
        if first.same_as(&again) {
            Ok(first)
        } else {
            Err(ClientError::usage(
                "the two entries differ",
                "run the command again",
            ))
        }
    }

    /// Asks for a line that is shown as it is typed; an empty one stands for `usual`.
    ///
    /// # Errors
    /// [`ClientError::NoTerminal`]; [`ClientError::Cancelled`] when the terminal goes away.
    pub fn line(
        self,
        question: &str,
        usual: &str,
        instead: &'static str,
    ) -> Result<String, ClientError> {
        let mut terminal = self.terminal(instead)?;
        let shown = match usual {
            "" => String::new(),
            usual => format!(" [{}]", Visible(usual)),
        };
        let asked = write!(terminal, "{}{shown}: ", Visible(question));
        let answer = asked
            .and_then(|()| terminal.flush())
            .and_then(|()| answer(terminal));
        match answer.as_deref().map(str::trim) {
            Ok("") => Ok(usual.to_owned()),
            Ok(answer) => Ok(answer.to_owned()),
            Err(_) => Err(ClientError::Cancelled),
        }
    }

    /// Shows a secret on a screen of its own, which is gone, with nothing left to scroll back to, as soon as the
    /// person goes on.
    ///
    /// # Errors
    /// [`ClientError::NoTerminal`], [`ClientError::Interrupted`].
    pub fn show_once(
        self,
        words: &str,
        secret: &Secret,
        instead: &'static str,
    ) -> Result<(), ClientError> {
        let mut terminal = self.terminal(instead)?;
        let cancelled = |_| ClientError::Cancelled;
        write!(terminal, "{OTHER_SCREEN}{}\n\n    ", Visible(words)).map_err(cancelled)?;
        let shown = secret.expose(|text| terminal.write_all(text));
        let seen = shown.map_err(cancelled).and_then(|()| {
            hidden::read(&mut terminal, "\n\nWrite it down, then press Enter. ").map(drop)
        });
        terminal.write_all(USUAL_SCREEN).map_err(cancelled)?;
        seen
    }

    /// Has a person type `word` before something is destroyed.
    ///
    /// # Errors
    /// [`ClientError::NoTerminal`], or [`ClientError::Cancelled`] for any other answer.
    pub fn confirm(
        self,
        warning: &str,
        word: &str,
        instead: &'static str,
    ) -> Result<(), ClientError> {
        let mut terminal = self.terminal(instead)?;
        let cancelled = |_| ClientError::Cancelled;
        let (warning, shown) = (Visible(warning), Visible(word));
        write!(terminal, "{warning}\nType {shown} to go on: ").map_err(cancelled)?;
        terminal.flush().map_err(cancelled)?;
        let answer = answer(terminal).map_err(cancelled)?;
        if answer.trim() == word {
            Ok(())
        } else {
            Err(ClientError::Cancelled)
        }
    }

    fn terminal(self, instead: &'static str) -> Result<File, ClientError> {
        let nobody = ClientError::NoTerminal { instead };
        if !self.allowed {
            return Err(nobody);
        }
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(TERMINAL)
            .map_err(|_| nobody)
    }
}

/// One line; none at all is no answer.
fn answer(terminal: File) -> io::Result<String> {
    let mut answer = String::new();
    match BufReader::new(terminal.take(MAX_ANSWER)).read_line(&mut answer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::Prompts;
    use crate::client::{ClientError, Exit};

    #[test]
    fn with_no_input_nobody_is_asked_and_the_way_out_is_named() {
        let prompts = Prompts::new(true);
        for refused in [
            prompts.hidden("value", "pass --from-file").err(),
            prompts.hidden_twice("value", "pass --from-file").err(),
            prompts.confirm("gone", "NAME", "pass --from-file").err(),
            prompts.line("name", "", "pass --from-file").err(),
        ] {
            let refused: ClientError = refused.unwrap();
            assert_eq!(refused.exit(), Exit::Usage);
            assert_eq!(refused.detail().hint.as_deref(), Some("pass --from-file"));
        }
    }
}
