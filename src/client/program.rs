//! A program that is run with a tool's placeholders.
//!
//! It has the terminal, the working directory and the environment of whoever runs it, but for every
//! variable of ours: a key of the caller's is no business of it. Signals go through to it, but for those
//! that are ignored where we are started, as under `nohup`: those it ignores too. Its exit code is the
//! command's.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::task::Poll;

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use super::proxied::Variable;
use super::{ClientEnv, ClientError, Exit};
use crate::name::VariableName;

/// The signals that a program may be sent by way of its parent.
const PASSED: [Signal; 7] = [
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::HUP,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
];

/// A program, ready to run. From here on signals are for it: none ends this process before it.
#[derive(Debug)]
pub struct Program {
    command: Command,
    name: String,
    signals: Vec<(Signal, Listener)>,
    children: Listener,
}

impl Program {
    /// The program `words`, the first of which is its name, with `variables` in its environment and without
    /// those of `empty`.
    ///
    /// # Errors
    /// [`ClientError::Usage`] without a name, [`ClientError::File`] when signals cannot be listened to.
    pub fn new(
        words: &[OsString],
        (variables, empty): (&[Variable], &[VariableName]),
        env: &ClientEnv,
    ) -> Result<Self, ClientError> {
        let Some((name, arguments)) = words.split_first() else {
            return Err(ClientError::usage(
                "there is no program to run",
                "write it after `--`",
            ));
        };
        let mut command = Command::new(name);
        command.args(arguments);
        for ours in &env.ours {
            command.env_remove(ours);
        }
        for empty in empty {
            command.env_remove(empty.as_str());
        }
        for variable in variables {
            command.env(&*variable.name, &variable.value);
        }
        let failed = |error| ClientError::file("the signals", &error);
        let listen = |passed: Signal| {
            let listener = signal(SignalKind::from_raw(passed.as_raw()))?;
            Ok((passed, listener))
        };
        // To listen to one that is ignored would end that, here and in the program.
        let ignored = Ignored::now();
        let heard = PASSED.into_iter().filter(|signal| !ignored.has(*signal));
        let signals = heard.map(listen).collect::<io::Result<_>>();
        Ok(Self {
            command,
            name: name.to_string_lossy().into_owned(),
            signals: signals.map_err(failed)?,
            children: signal(SignalKind::child()).map_err(failed)?,
        })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`ClientError::NotRun`] when it cannot be started, [`ClientError::File`] when it is lost sight of.
    pub async fn run(mut self) -> Result<Exit, ClientError> {
        let mut child = self.command.spawn().map_err(|error| ClientError::NotRun {
            name: self.name.clone(),
            missing: error.kind() == ErrorKind::NotFound,
        })?;
        let lost = |error| ClientError::file(&self.name, &error);
        loop {
            if let Some(status) = child.try_wait().map_err(lost)? {
                return Ok(Exit::Program(code(status)));
            }
            if let Some(passed) = next(&mut self.signals, &mut self.children).await {
                pass_on(passed, &child);
            }
        }
    }
}

/// The signals that this process ignores: the bit before its number stands for each.
struct Ignored(u64);

impl Ignored {
    /// As the system says (proc(5)); where it says nothing, none.
    fn now() -> Self {
        Self::read(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn read(status: &str) -> Self {
        let mut lines = status.lines();
        let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Self(mask.unwrap_or_default())
    }

    fn has(&self, signal: Signal) -> bool {
        let bit = u32::try_from(signal.as_raw() - 1).ok();
        let bit = bit.and_then(|bit| self.0.checked_shr(bit));
        bit.is_some_and(|bits| bits & 1 == 1)
    }
}

/// The next signal to pass on; `None` when a child may have ended.
async fn next(signals: &mut [(Signal, Listener)], children: &mut Listener) -> Option<Signal> {
    poll_fn(|context| {
        for (passed, listener) in &mut *signals {
            if listener.poll_recv(context).is_ready() {
                return Poll::Ready(Some(*passed));
            }
        }
        children.poll_recv(context).map(|_| None)
    })
    .await
}

/// Passes a signal on. What is typed at a terminal, and a change of its size, was sent to the program as
/// well, when it is in the foreground with us: then it would come twice.
fn pass_on(passed: Signal, child: &Child) {
    let typed = [Signal::INT, Signal::QUIT, Signal::WINCH].contains(&passed);
    if typed && is_in_foreground() {
        return;
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It has not been waited for, so that the number is still its own; it may be gone all the same.
        let _gone = kill_process(pid, passed);
    }
}

fn is_in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty").ok();
    terminal.is_some_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

/// What a shell says of a program's end: its code, or 128 and the number of the signal.
fn code(status: ExitStatus) -> u8 {
    let signalled = || status.signal().map(|number| number.saturating_add(128));
    let code = status.code().or_else(signalled);
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// Reads a time of at most a quarter of an hour, such as `900`, `90s` or `15m`, in seconds.
///
/// # Errors
/// How to write it.
pub fn seconds(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| number.parse::<u64>().ok()).flatten();
    let seconds = number.and_then(|number| number.checked_mul(unit));
    let within = seconds.filter(|seconds| (1..=900).contains(seconds));
    within.ok_or("write 1 to 900 seconds, or up to 15 minutes: 90s, 15m")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Ignored, Program, Signal, Variable, seconds};
    use crate::client::{ClientEnv, ClientError, Exit};

    async fn ran(words: &[&str], env: &ClientEnv) -> Result<Exit, ClientError> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let variables = [Variable::new("A_KEY", "it's", "")];
        Program::new(&words, (&variables, &[]), env)?.run().await
    }

    #[tokio::test]
    async fn a_program_ends_with_its_own_code_or_its_signals() {
        let env = ClientEnv::default();
        for (script, code) in [
            ("exit 0", 0),
            ("exit 7", 7),
            ("kill -TERM $$", 143),
            ("test \"$A_KEY\" = \"it's\"", 0),
        ] {
            let exit = ran(&["sh", "-c", script], &env).await.unwrap();
            assert_eq!(exit.code(), code, "{script}");
        }
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_run_is_told_from_one_that_fails() {
        let env = ClientEnv::default();
        let error = ran(&["no-such-program"], &env).await.unwrap_err();
        assert_eq!(error.exit().code(), 127);
        let error = ran(&["/etc/passwd"], &env).await.unwrap_err();
        assert_eq!(error.exit().code(), 126);
        assert!(matches!(
            ran(&[], &env).await,
            Err(ClientError::Usage { .. })
        ));
    }

    #[tokio::test]
    async fn no_variable_of_ours_is_passed_on() {
        // Every test process has this one.
        let env = ClientEnv {
            ours: vec!["CARGO_MANIFEST_DIR".into()],
            ..ClientEnv::default()
        };
        let script = ["sh", "-c", "test -n \"${CARGO_MANIFEST_DIR+x}\""];
        assert_eq!(ran(&script, &ClientEnv::default()).await.unwrap().code(), 0);
        assert_eq!(ran(&script, &env).await.unwrap().code(), 1);
    }

    #[test]
    fn what_is_ignored_is_read_as_the_system_writes_it() {
        // SIGHUP is 1, SIGINT 2, SIGQUIT 3, SIGTERM 15.
        let status = "Name:\tsh\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000000005\nSigCgt:\t0000000000004000\n";
        let ignored = Ignored::read(status);
        let has = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];
        assert_eq!(
            has.map(|signal| ignored.has(signal)),
            [true, false, true, false]
        );
        for nothing in ["", "SigIgn:\n", "SigIgn:\tx"] {
            assert!(!Ignored::read(nothing).has(Signal::HUP), "{nothing}");
        }
    }

    #[test]
    fn a_time_is_seconds_or_minutes_and_at_most_a_quarter_of_an_hour() {
        for (text, read) in [("1", 1), ("900", 900), ("90s", 90), ("15m", 900)] {
            assert_eq!(seconds(text), Ok(read));
        }
        for text in [
            "",
            "0",
            "901",
            "16m",
            "-1",
            "+5",
            "1h",
            "m",
            "1.5m",
            " 1",
            "99999999999999999999",
        ] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
