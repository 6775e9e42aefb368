//! The process that starts the programs of custodians, since a confined broker starts none.
//!
//! The broker gives up every file but its own and every call that runs a program, for good, and programs that hold
//! keys need both. So where the settings name some, the broker starts one process before it gives that up. This one
//! learns the programs at its start, is asked by number, runs the one that is meant, and passes on what that said.
//! Whoever takes the broker over can have those programs asked, as the broker does, and nothing else run. It ends
//! with the broker: when its standard input does.
//!
//! Either way a message is its length in four bytes, big endian, and as many bytes:
//!
//! ```text
//! first     what the programs are, as the settings have it
//! question  the program's number in two bytes, and what it is asked
//! answer    0, and what it said; or 1, and how it failed, in JSON
//! ```

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::CustodianFault;
use super::child::{LIMIT, Program, wait};

/// More than the longest message: an answer of a program has 64 KiB, settings may name many programs.
const MAX_MESSAGE: usize = 1 << 20;
/// How much longer than a program the attendant may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What stands before an answer.
const ANSWERED: u8 = 0;
const FAILED: u8 = 1;

/// The broker's end. Who asks waits until the one before has been answered.
pub struct Attendant(Mutex<Option<Line>>);

/// Both ways to the process; none once it has not answered.
struct Line {
    mouth: ChildStdin,
    ear: ChildStdout,
}

impl Attendant {
    /// Starts this program once more with `word` for its verb, and tells it what the programs are. To be called
    /// before the process gives up what starting a program takes.
    ///
    /// # Errors
    /// When the system does not start it.
    pub fn start(word: &str, programs: &[u8]) -> io::Result<Self> {
        let mut child = Command::new(Path::new("/proc/self/exe"))
            .arg(word)
            .env_clear()
            .current_dir("/")
            // Ctrl-C in a terminal is for the broker, which may still have something to ask.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut mouth = child.stdin.take().ok_or_else(closed)?;
        let ear = child.stdout.take().ok_or_else(closed)?;
        send(&mut mouth, &[programs])?;
        Ok(Self(Mutex::new(Some(Line { mouth, ear }))))
    }

    /// Has program `number` asked.
    ///
    /// # Errors
    /// What became of the program; [`CustodianFault::Gone`] when the process does not answer, now and from then on.
    pub(super) fn ask(
        &self,
        number: u16,
        question: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CustodianFault> {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken: an answer that comes too late must not be another question's.
        let mut open = line.take().ok_or(CustodianFault::Gone)?;
        let answer = open.ask(number, question)?;
        *line = Some(open);
        drop(line);
        match answer.split_first() {
            Some((&ANSWERED, said)) => Ok(Zeroizing::new(said.to_vec())),
            Some((&FAILED, how)) => {
                Err(serde_json::from_slice(how).unwrap_or(CustodianFault::Gone))
            }
            _ => Err(CustodianFault::Gone),
        }
    }
}

impl Line {
    fn ask(&mut self, number: u16, question: &[u8]) -> Result<Zeroizing<Vec<u8>>, CustodianFault> {
        let gone = |_| CustodianFault::Gone;
        let end = Instant::now() + LIMIT + PATIENCE;
        send(&mut self.mouth, &[&number.to_be_bytes(), question]).map_err(gone)?;
        let ear = Patient(&mut self.ear, end);
        receive(ear).map_err(gone)?.ok_or(CustodianFault::Gone)
    }
}

impl fmt::Debug for Attendant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attendant")
    }
}

/// Reads until a moment at most.
struct Patient<'a>(&'a mut ChildStdout, Instant);

impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        wait(self.0, None, self.1).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        self.0.read(into)
    }
}

/// The attendant's end: answers with these programs until nobody asks any more.
///
/// # Errors
/// When the broker is no longer there in the middle of a message.
pub fn attend(
    programs: &[Program],
    mut questions: impl Read,
    mut answers: impl Write,
) -> io::Result<()> {
    while let Some(message) = receive(&mut questions)? {
        let asked = message.split_first_chunk();
        let asked = asked.and_then(|(number, question)| {
            let number = usize::from(u16::from_be_bytes(*number));
            Some((programs.get(number)?, question))
        });
        let answer = match asked {
            Some((program, question)) => program.ask(question),
            None => Err(CustodianFault::Unknown),
        };
        match answer {
            Ok(said) => send(&mut answers, &[&[ANSWERED], &said])?,
            Err(fault) => {
                // A path that is no text has no JSON: what is left to say is that it did not work.
                let how = serde_json::to_vec(&fault);
                let how = how.or_else(|_| serde_json::to_vec(&CustodianFault::Broke))?;
                send(&mut answers, &[&[FAILED], &how])?;
            }
        }
    }
    Ok(())
}

/// Reads a message, the first one of which says what the programs are; `None` at the end.
///
/// # Errors
/// When it ends within one, or one is longer than any is.
pub fn receive(mut from: impl Read) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut length = [0; 4];
    if from.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[1..])?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut message)?;
    Ok(Some(message))
}

/// Writes a message that consists of these.
fn send(to: &mut impl Write, parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let header = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    // In one piece, of its size from the start: a vector that grows leaves what it held behind.
    let mut message = Zeroizing::new(Vec::with_capacity(length + 4));
    message.extend_from_slice(&header.to_be_bytes());
    for part in parts {
        message.extend_from_slice(part);
    }
    to.write_all(&message)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::time::Duration;

    use super::{ANSWERED, FAILED, MAX_MESSAGE, attend, receive, send};
    use crate::custody::{CustodianFault, FileFault, Program, Refusal};

    fn answers(programs: &[Program], questions: &[u8]) -> Vec<Vec<u8>> {
        let mut said = Vec::new();
        attend(programs, questions, &mut said).unwrap();
        let (mut all, mut rest) = (Vec::new(), said.as_slice());
        while let Some(answer) = receive(&mut rest).unwrap() {
            all.push(answer.to_vec());
        }
        all
    }

    fn question(number: u16, text: &[u8], to: &mut Vec<u8>) {
        send(to, &[&number.to_be_bytes(), text]).unwrap();
    }

    #[test]
    fn each_program_is_asked_by_its_number_and_what_is_none_is_unknown() {
        let cat = Program::new(Path::new("/bin/cat"), &[]);
        let programs = [cat, Program::refused(CustodianFault::Static)];
        let mut questions = Vec::new();
        for number in [0, 1, 2] {
            question(number, b"what it is asked", &mut questions);
        }
        send(&mut questions, &[b"x"]).unwrap();
        let answers = answers(&programs, &questions);
        assert_eq!(
            answers[0],
            [&[ANSWERED], b"what it is asked".as_slice()].concat()
        );
        let failed = |answer: &[u8]| {
            assert_eq!(answer[0], FAILED);
            serde_json::from_slice::<CustodianFault>(&answer[1..]).unwrap()
        };
        assert_eq!(failed(&answers[1]), CustodianFault::Static);
        assert_eq!(failed(&answers[2]), CustodianFault::Unknown);
        assert_eq!(failed(&answers[3]), CustodianFault::Unknown);
    }

    #[test]
    fn how_a_program_failed_is_passed_on() {
        let path = Path::new("/some/where").to_owned();
        let program = |fault| CustodianFault::Program {
            path: path.clone(),
            fault,
        };
        for fault in [
            program(FileFault::Missing),
            program(FileFault::Writable(0o777)),
            program(FileFault::Io(io::ErrorKind::PermissionDenied)),
            CustodianFault::Start(io::ErrorKind::NotFound),
            CustodianFault::Hung,
            CustodianFault::TooLong,
            CustodianFault::Refused(Refusal::Denied),
        ] {
            let text = serde_json::to_string(&fault).unwrap();
            assert_eq!(
                serde_json::from_str::<CustodianFault>(&text).unwrap(),
                fault,
                "{text}"
            );
        }
        let odd = CustodianFault::Start(io::ErrorKind::AddrInUse);
        let text = serde_json::to_string(&odd).unwrap();
        let read = serde_json::from_str::<CustodianFault>(&text).unwrap();
        assert_eq!(read, CustodianFault::Start(io::ErrorKind::Other));
    }

    #[test]
    fn what_is_no_message_ends_it() {
        let hung = Program::new(Path::new("/bin/sleep"), &["60".to_owned()]);
        let programs = [hung.within(Duration::from_millis(50))];
        let mut questions = Vec::new();
        question(0, b"", &mut questions);
        assert_eq!(answers(&programs, &questions)[0][0], FAILED);
        for cut in 1..questions.len() {
            assert!(attend(&[], &questions[..cut], io::sink()).is_err(), "{cut}");
        }
        let long = u32::try_from(MAX_MESSAGE + 1).unwrap().to_be_bytes();
        assert!(attend(&[], long.as_slice(), io::sink()).is_err());
        assert!(attend(&[], io::empty(), io::sink()).is_ok());
    }
}
