//! Where values come from when no person is asked.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{ClientError, Output, Prompts};
use crate::broker::scrub::MIN_VALUE_BYTES;
use crate::crypto::Random;
use crate::secret::{MAX_VALUE_BYTES, Secret};

/// What a generated value is made of: nothing that a shell, a URL or a header reads differently.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// How to give a value without being asked.
const INSTEAD: &str = "pipe the value in, or pass --from-file FILE or --generate";
/// What to look at where nothing came in, and the command does not know better.
const EMPTY: &str = "nothing came in: look at what was piped in, or at the file";

/// The shortest value that the broker lends to a tool, in bytes: a shorter one cannot be searched for in
/// an answer.
pub const SHORTEST_LENT: usize = MIN_VALUE_BYTES;

/// How many characters a generated value may have.
#[derive(Clone, Copy, Debug)]
pub struct Generated;

impl Generated {
    /// At least.
    pub const MIN: u16 = 16;
    /// Unless said otherwise: 190 bits.
    pub const DEFAULT: u16 = 32;
    /// At most.
    pub const MAX: u16 = 1024;
}

/// Where a value comes from.
#[derive(Debug)]
pub enum ValueSource {
    /// It stood on the command line.
    Argument(Secret),
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// Made here, of this many letters and digits.
    Generate(u16),
    /// A person, asked twice.
    Ask,
}

impl ValueSource {
    /// Sorts out what was said: an argument (`-` is standard input), a file, a length, or nothing,
    /// which means standard input when something is piped in, else a person.
    #[must_use]
    pub fn choose(
        argument: Option<String>,
        file: Option<PathBuf>,
        generate: Option<u16>,
        piped: bool,
    ) -> Self {
        match (argument, file, generate) {
            (Some(text), ..) if text == "-" => Self::Stdin,
            (Some(text), ..) => Self::Argument(Secret::take(text.into_bytes())),
            (None, Some(path), _) if path.as_os_str() == "-" => Self::Stdin,
            (None, Some(path), _) => Self::File(path),
            (None, None, Some(length)) => Self::Generate(length),
            (None, None, None) if piped => Self::Stdin,
            (None, None, None) => Self::Ask,
        }
    }
}

/// Gets the value.
///
/// # Errors
/// [`ClientError::Usage`] for an empty or too large one, [`ClientError::File`], or as
/// [`Prompts::hidden_twice`].
pub fn read_value(
    source: ValueSource,
    question: &str,
    prompts: Prompts,
    out: &Output,
    random: &dyn Random,
) -> Result<Secret, ClientError> {
    match source {
        ValueSource::Argument(value) => {
            out.hint("other processes could see the value; next time type it, or pipe it in");
            checked(value, INSTEAD)
        }
        ValueSource::Stdin => read_stdin_or(INSTEAD),
        ValueSource::File(path) => read_file(&path),
        ValueSource::Generate(length) => generate(usize::from(length), random),
        ValueSource::Ask => prompts.hidden_twice(question, INSTEAD),
    }
}

/// Whether something other than a terminal is standard input.
#[must_use]
pub fn stdin_is_piped() -> bool {
    !io::stdin().is_terminal()
}

/// Reads a value from standard input to its end, without one newline at its end.
///
/// # Errors
/// [`ClientError::Usage`] for an empty or too large one, [`ClientError::File`].
pub fn read_stdin() -> Result<Secret, ClientError> {
    read_stdin_or(EMPTY)
}

/// The same for a command with other ways to give the value, which are named when nothing comes in.
///
/// # Errors
/// As [`read_stdin`].
pub fn read_stdin_or(instead: &str) -> Result<Secret, ClientError> {
    let read = read_all(io::stdin().lock(), instead);
    read.map_err(|error| ClientError::file("standard input", &error))?
}

/// Reads a value from a file, without one newline at its end.
///
/// # Errors
/// [`ClientError::Usage`] for an empty or too large one, [`ClientError::File`].
pub fn read_file(path: &Path) -> Result<Secret, ClientError> {
    let opened = File::open(path).and_then(|file| read_all(file, EMPTY));
    opened.map_err(|error| ClientError::file(path, &error))?
}

fn read_all(from: impl Read, instead: &str) -> io::Result<Result<Secret, ClientError>> {
    // Room for the largest value, its newline and the byte that tells a larger one.
    let room = MAX_VALUE_BYTES + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 32));
    from.take(u64::try_from(room).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)?;
    Ok(checked(Secret::copy_of(without_newline(&bytes)), instead))
}

/// Takes one newline off the end: the one that `echo` and editors put there.
#[must_use]
pub fn without_newline(bytes: &[u8]) -> &[u8] {
    let Some(line) = bytes.strip_suffix(b"\n") else {
        return bytes;
    };
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn checked(value: Secret, instead: &str) -> Result<Secret, ClientError> {
    if value.is_empty() {
        return Err(ClientError::usage("the value is empty", instead));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(ClientError::usage(
            "the value has more than 65,536 bytes",
            "store less",
        ));
    }
    Ok(value)
}

/// Makes a value of `length` letters and digits, each equally likely.
///
/// # Errors
/// [`ClientError::Failed`] when the system has no random bytes.
pub fn generate(length: usize, random: &dyn Random) -> Result<Secret, ClientError> {
    let mut value = Zeroizing::new(Vec::with_capacity(length));
    let mut bytes = Zeroizing::new([0; 64]);
    while value.len() < length {
        random.fill(&mut *bytes).map_err(|_| {
            ClientError::failed("the system has no random bytes", "try again in a moment")
        })?;
        let missing = length - value.len();
        // Six bits number 64 places, two more than there are letters and digits: those are drawn again.
        let drawn = bytes
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        value.extend(drawn.take(missing));
    }
    Ok(Secret::copy_of(&value))
}

/// A value with its name: `NAME=VALUE`, both of them there.
///
/// # Errors
/// How to write it.
pub fn named_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .ok_or("write NAME=VALUE, such as shop=my-shop")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Scopes one by one, as they were written, each once: spaces or commas stand between them.
#[must_use]
pub fn scope_list<T: AsRef<str>>(texts: &[T]) -> Vec<String> {
    let between = |letter: char| letter == ',' || letter.is_whitespace();
    let words = texts.iter().flat_map(|text| text.as_ref().split(between));
    let mut scopes: Vec<String> = Vec::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !scopes.iter().any(|scope| scope == word) {
            scopes.push(word.to_owned());
        }
    }
    scopes
}

/// Refuses `field=value`: a value belongs to a prompt or a pipe. What was written is not repeated.
///
/// # Errors
/// [`ClientError::Usage`].
pub fn credential_fields(fields: &[String]) -> Result<(), ClientError> {
    for field in fields {
        if crate::name::FieldName::parse(field).is_err() {
            return Err(ClientError::usage(
                "write the field's name alone, such as apiKey",
                "the value is asked for, or read from standard input",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        EMPTY, ValueSource, checked, credential_fields, generate, read_file, scope_list,
        without_newline,
    };
    use crate::crypto::SystemRandom;
    use crate::secret::Secret;

    #[test]
    fn exactly_one_newline_is_taken_off() {
        for (given, kept) in [
            (&b"v"[..], &b"v"[..]),
            (b"v\n", b"v"),
            (b"v\r\n", b"v"),
            (b"v\n\n", b"v\n"),
            (b"v\r", b"v\r"),
            (b" v ", b" v "),
            (b"\n", b""),
        ] {
            assert_eq!(without_newline(given), kept);
        }
    }

    #[test]
    fn empty_and_oversized_values_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        for (size, fits) in [
            (0, false),
            (1, true),
            (65_536, true),
            (65_537, false),
            (200_000, false),
        ] {
            std::fs::write(&path, [vec![b'x'; size], b"\n".to_vec()].concat()).unwrap();
            assert_eq!(read_file(&path).is_ok(), fits, "{size}");
            assert_eq!(
                checked(Secret::take(vec![b'x'; size]), EMPTY).is_ok(),
                fits,
                "{size}"
            );
        }
        assert!(read_file(&folder.path().join("none")).is_err());
    }

    #[test]
    fn the_source_is_what_was_said_else_the_pipe_else_a_person() {
        let choose = |text: Option<&str>, file: Option<&str>, length, piped| {
            let source =
                ValueSource::choose(text.map(Into::into), file.map(Into::into), length, piped);
            format!("{source:?}")
        };
        assert_eq!(choose(Some("-"), None, None, false), "Stdin");
        assert_eq!(
            choose(Some("ghp_x"), None, None, true),
            "Argument(Secret(hidden))"
        );
        assert_eq!(choose(None, Some("-"), None, false), "Stdin");
        assert_eq!(choose(None, Some("/f"), None, true), "File(\"/f\")");
        assert_eq!(choose(None, None, Some(40), true), "Generate(40)");
        assert_eq!(choose(None, None, None, true), "Stdin");
        assert_eq!(choose(None, None, None, false), "Ask");
    }

    #[test]
    fn generated_values_are_letters_and_digits_and_differ() {
        let make = || generate(200, &SystemRandom).unwrap();
        let value = make();
        assert_eq!(value.len(), 200);
        assert!(value.expose(|bytes| bytes.iter().all(u8::is_ascii_alphanumeric)));
        assert!(!value.same_as(&make()));
    }

    #[test]
    fn scopes_are_read_with_spaces_commas_and_repetition() {
        assert_eq!(
            scope_list(&["a b,c", "d", " a ,, e\n"]),
            ["a", "b", "c", "d", "e"]
        );
        let google = "https://www.googleapis.com/auth/drive.file";
        assert_eq!(
            scope_list(&[format!("{google} openid")]),
            [google, "openid"]
        );
        assert!(scope_list(&[" , "]).is_empty());
    }

    #[test]
    fn a_value_beside_a_field_is_refused_and_not_repeated() {
        assert!(credential_fields(&["apiKey".into()]).is_ok());
        let refused = credential_fields(&["apiKey=canary".into()]).unwrap_err();
        assert!(!format!("{:?}", refused.detail()).contains("canary"));
    }
}
