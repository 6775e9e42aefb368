//! Reading a line that is not shown.
//!
//! The terminal's own line editing is switched off, because it shows what is typed and cuts a line
//! at 4,096 bytes; and so are its signals, because one that ends the process here would leave the
//! terminal silent. Ctrl-C is read as a character, the terminal is put back, and then it counts.

use std::fs::File;
use std::io::{Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use super::ClientError;
use crate::secret::{MAX_VALUE_BYTES, Secret};

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];

/// Asks `question` and reads one line from `terminal` without showing it. Silence comes first: who
/// pastes quickly would otherwise see the value.
pub(super) fn read(terminal: &mut File, question: &str) -> Result<Secret, ClientError> {
    let silent = Silent::start(terminal)?;
    let asked = silent.terminal.write_all(question.as_bytes());
    let line = asked
        .map_err(|_| ClientError::Cancelled)
        .and_then(|()| edit(&mut *silent.terminal));
    drop(silent);
    // What ends the line was not shown either. A terminal that is gone needs no line break.
    drop(terminal.write_all(b"\n"));
    line
}

/// A terminal that shows nothing until this is dropped.
struct Silent<'a> {
    terminal: &'a mut File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn start(terminal: &'a mut File) -> Result<Self, ClientError> {
        let wrong = |error: rustix::io::Errno| ClientError::file("/dev/tty", &error.into());
        let before = tcgetattr(&*terminal).map_err(wrong)?;
        let mut silent = before.clone();
        silent.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&*terminal, OptionalActions::Now, &silent).map_err(wrong)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // There is nothing else that could be done for a terminal that cannot be put back.
        tcsetattr(&*self.terminal, OptionalActions::Now, &self.before).unwrap_or_default();
    }
}

/// Reads bytes up to the end of a line, with the few keys that people expect to work.
fn edit(input: &mut impl Read) -> Result<Secret, ClientError> {
    // Its full size from the start: what grows leaves copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_VALUE_BYTES));
    let mut byte = Zeroizing::new([0]);
    loop {
        let read = input.read(&mut *byte);
        let [key] = *byte;
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(ClientError::Cancelled),
            Ok(0) => break,
            Ok(_) => {}
        }
        match key {
            b'\n' | b'\r' | CTRL_D => break,
            CTRL_C => return Err(ClientError::Interrupted),
            CTRL_U => line.clear(),
            key if BACKSPACE.contains(&key) => {
                // A character outside ASCII has several bytes, all but the first of them 10xxxxxx.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            _ if line.len() == MAX_VALUE_BYTES => {
                let message = "the value has more than 65,536 bytes";
                return Err(ClientError::usage(message, "store less"));
            }
            key => line.push(key),
        }
    }
    Ok(Secret::copy_of(&line))
}

#[cfg(test)]
mod tests {
    use super::edit;
    use crate::client::{ClientError, Exit};
    use crate::secret::{MAX_VALUE_BYTES, Secret};

    #[test]
    fn a_line_is_read_with_its_corrections() {
        for (typed, meant) in [
            (&b"value\nrest"[..], "value"),
            (b"value\r", "value"),
            (b"value", "value"),
            (b"vax\x7flue\n", "value"),
            ("zo\u{eb}\u{8}e\n".as_bytes(), "zoe"),
            (b"\x7f\x7fwrong\x15value\n", "value"),
            (b"value\x04", "value"),
            (b"\n", ""),
        ] {
            let read = edit(&mut &*typed).unwrap();
            assert!(read.same_as(&Secret::copy_of(meant.as_bytes())), "{meant}");
        }
    }

    #[test]
    fn an_interrupt_ends_the_command_with_130() {
        let ended = edit(&mut &b"val\x03ue\n"[..]).unwrap_err();
        assert!(matches!(ended, ClientError::Interrupted));
        assert_eq!(
            (ended.exit(), ended.exit().code()),
            (Exit::Interrupted, 130)
        );
    }

    #[test]
    fn a_line_of_the_largest_size_fits_and_no_larger_one() {
        let mut typed = vec![b'x'; MAX_VALUE_BYTES];
        assert_eq!(edit(&mut &*typed).unwrap().len(), MAX_VALUE_BYTES);
        typed.push(b'x');
        assert!(edit(&mut &*typed).is_err());
    }
}
