//! Asking a person, on the terminal itself: standard input and output may be pipes.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};

use super::text::Visible;
use super::{ClientError, hidden};
use crate::secret::Secret;

const TERMINAL: &str = "/dev/tty";
/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 4096;

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
        let mut answer = String::new();
        BufReader::new(terminal.take(MAX_ANSWER))
            .read_line(&mut answer)
            .map_err(cancelled)?;
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
        ] {
            let refused: ClientError = refused.unwrap();
            assert_eq!(refused.exit(), Exit::Usage);
            assert_eq!(refused.detail().hint.as_deref(), Some("pass --from-file"));
        }
    }
}
