//! Programs that are asked for a key: started, asked once, and gone. By this process, or by the
//! [attendant](super::attendant) of one that starts none.
//!
//! A program gets its arguments as a list, no environment but what the settings give it, no open file but
//! its standard ones, and ten seconds. Its whole process group is killed in the end, however it ended. Of
//! what it says 64 KiB are read; what it complains of on standard error is read by nobody, since nobody
//! knows what stands in it. A program that somebody else could have written is not started.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use zeroize::Zeroizing;

use super::protocol::refusal_in;
use super::{Attendant, CustodianFault, FileFault};

/// How long a program may take, start to end.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// How much of an answer is read.
const MAX_ANSWER: usize = 64 * 1024;
/// How often is looked whether a program has ended that has said all it will.
const TICK: Duration = Duration::from_millis(2);

/// A program, and how it is started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    limit: Duration,
    own: bool,
    /// Who starts it, and what it is called there; this process itself, where there is nobody.
    by: Option<(Arc<Attendant>, u16)>,
    /// Why it is not started.
    refused: Option<CustodianFault>,
}

impl Program {
    /// The program at `path`, which is absolute, with these arguments.
    #[must_use]
    pub fn new(path: &Path, arguments: &[String]) -> Self {
        Self {
            path: path.to_owned(),
            arguments: arguments.to_vec(),
            environment: BTreeMap::new(),
            limit: LIMIT,
            own: false,
            by: None,
            refused: None,
        }
    }

    /// This program itself, as a child process, with these arguments.
    #[must_use]
    pub fn own(arguments: &[String]) -> Self {
        Self {
            own: true,
            // Whatever its file is called by now, and whoever replaced it: what runs is what is started.
            ..Self::new(Path::new("/proc/self/exe"), arguments)
        }
    }

    /// None: who asks it is told why.
    #[must_use]
    pub fn refused(why: CustodianFault) -> Self {
        Self {
            refused: Some(why),
            ..Self::new(Path::new("/proc/self/exe"), &[])
        }
    }

    /// With this environment, and no other.
    #[must_use]
    pub fn with_environment(self, environment: &BTreeMap<String, String>) -> Self {
        Self {
            environment: environment.clone(),
            ..self
        }
    }

    /// Started by the attendant, who knows it by this number.
    pub(super) fn by(self, attendant: Arc<Attendant>, number: u16) -> Self {
        Self {
            by: Some((attendant, number)),
            ..self
        }
    }

    /// With less time, so that a test need not wait for ten seconds.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Starts it, asks it, and waits until it is gone. What it answered, if it ended well.
    ///
    /// # Errors
    /// [`CustodianFault`] for everything else.
    pub(super) fn ask(&self, request: &[u8]) -> Result<Zeroizing<Vec<u8>>, CustodianFault> {
        if let Some(why) = &self.refused {
            return Err(why.clone());
        }
        if let Some((attendant, number)) = &self.by {
            return attendant.ask(*number, request);
        }
        let end = Instant::now() + self.limit;
        let program = if self.own {
            self.path.clone()
        } else {
            trusted(&self.path)?
        };
        let mut command = Command::new(program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let started = command.spawn();
        let mut group = Group(started.map_err(|error| CustodianFault::Start(error.kind()))?);
        let answer = group.converse(request, end)?;
        if group.ends_well(end)? {
            Ok(answer)
        } else if answer.is_empty() {
            Err(CustodianFault::Broke)
        } else {
            // Whoever fails may still say why; what else it says is not believed.
            let said = refusal_in(&answer);
            Err(said.map_or(CustodianFault::Broke, CustodianFault::Refused))
        }
    }
}

/// A process and all that it starts.
struct Group(Child);

impl Group {
    /// Says `request`, and listens until the other side has said all.
    fn converse(
        &mut self,
        request: &[u8],
        end: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, CustodianFault> {
        let broke = |_| CustodianFault::Broke;
        let mut ear = self.0.stdout.take().ok_or(CustodianFault::Broke)?;
        let mut mouth = self.0.stdin.take();
        ioctl_fionbio(&ear, true).map_err(broke)?;
        if let Some(mouth) = &mouth {
            ioctl_fionbio(mouth, true).map_err(broke)?;
        }
        let mut unsaid = request;
        // One block from the start: a vector that grows leaves what it held behind.
        let mut answer = Zeroizing::new(Vec::with_capacity(MAX_ANSWER + BLOCK));
        loop {
            wait(&ear, mouth.as_ref(), end)?;
            if say(mouth.as_mut(), &mut unsaid) {
                mouth = None;
            }
            match hear(&mut ear, &mut answer) {
                Ok(0) => return Ok(answer),
                Ok(_) if answer.len() > MAX_ANSWER => return Err(CustodianFault::TooLong),
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(_) => return Err(CustodianFault::Broke),
            }
        }
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// Whether the process ends by itself, and well.
    fn ends_well(&mut self, end: Instant) -> Result<bool, CustodianFault> {
        loop {
            // Looked at and left: as long as it is there its number, and the group's, is nobody else's.
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            match waitid(WaitId::Pid(self.group()), look) {
                Ok(Some(status)) => return Ok(status.exit_status() == Some(0)),
                Ok(None) if Instant::now() < end => std::thread::sleep(TICK),
                Ok(None) => return Err(CustodianFault::Hung),
                Err(_) => return Err(CustodianFault::Broke),
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What it started may be there still, after it ended itself.
        let _nobody_is_left = kill_process_group(self.group(), Signal::KILL);
        drop(self.0.wait());
    }
}

/// How much is heard at once.
const BLOCK: usize = 4096;

/// Waits until there is something to hear, or room to say something.
pub(super) fn wait(
    ear: &ChildStdout,
    mouth: Option<&ChildStdin>,
    end: Instant,
) -> Result<(), CustodianFault> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(CustodianFault::Hung);
    }
    let left = Timespec::try_from(left).map_err(|_| CustodianFault::Hung)?;
    let mut ready = vec![PollFd::new(ear, PollFlags::IN)];
    ready.extend(mouth.map(|mouth| PollFd::new(mouth, PollFlags::OUT)));
    match poll(&mut ready, Some(&left)) {
        Ok(0) => Err(CustodianFault::Hung),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(_) => Err(CustodianFault::Broke),
    }
}

/// Says as much as there is room for. Whether there is nothing more to say, or nobody who listens.
fn say(mouth: Option<&mut ChildStdin>, unsaid: &mut &[u8]) -> bool {
    let Some(mouth) = mouth else { return true };
    match mouth.write(unsaid) {
        Ok(said) => {
            *unsaid = unsaid.get(said..).unwrap_or_default();
            unsaid.is_empty()
        }
        Err(error) => !is_passing(&error),
    }
}

fn hear(ear: &mut ChildStdout, answer: &mut Vec<u8>) -> io::Result<usize> {
    let mut block = Zeroizing::new([0; BLOCK]);
    let heard = ear.read(block.as_mut_slice())?;
    answer.extend(block.iter().take(heard));
    Ok(heard)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// The program itself, behind every link, when nobody but root and this process's user can have written
/// it or put another in its place.
fn trusted(path: &Path) -> Result<PathBuf, CustodianFault> {
    let at = |path: &Path, fault| CustodianFault::Program {
        path: path.to_owned(),
        fault,
    };
    let unusable = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => FileFault::Missing,
        kind => FileFault::Io(kind),
    };
    if !path.is_absolute() {
        return Err(at(path, FileFault::Missing));
    }
    let real = fs::canonicalize(path).map_err(|error| at(path, unusable(&error)))?;
    for place in real.ancestors() {
        let found = fs::metadata(place).map_err(|error| at(place, unusable(&error)))?;
        let user = rustix::process::geteuid().as_raw();
        if found.uid() != 0 && found.uid() != user {
            return Err(at(place, FileFault::Owner));
        }
        // In a folder such as /tmp only the owner of a file can put another in its place.
        let shared = found.is_dir() && found.mode() & 0o1000 != 0;
        if found.mode() & 0o022 != 0 && !shared {
            return Err(at(place, FileFault::Writable(found.mode() & 0o7777)));
        }
        if place == real && !found.is_file() {
            return Err(at(place, FileFault::NotRegular));
        }
    }
    Ok(real)
}
