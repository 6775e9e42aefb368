//! Opening a page in the user's browser.
//!
//! Children inherit what a program denies itself: under `no_new_privs` a browser that comes as a snap
//! does not start at all, and under our umask one would keep its downloads from everybody else, for
//! as long as it runs. So what opens the page is started *before* [`crate::hardening`]: this very
//! program under another name. It knows nothing, waits for one address on its standard input, and
//! turns into the browser. The address is an argument of that; no shell ever reads it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use super::ClientEnv;

/// The name under which the program opens a page, and does nothing else.
const NAME: &str = "runtools-opener";
/// The longest address that is opened, in bytes.
const MAX_PAGE: u64 = 4096;
/// What a desktop has to open things with, where nobody said otherwise.
const DESKTOP: &str = "xdg-open";

/// Somebody who waits to open a page.
#[derive(Debug)]
pub struct Opener {
    child: Child,
    address: Option<ChildStdin>,
}

impl Opener {
    /// Starts one, if the command line may need it. Call it before the process is hardened.
    #[must_use]
    pub fn waiting(arguments: &[OsString]) -> Option<Self> {
        may_open(arguments).then(Self::start).flatten()
    }

    fn start() -> Option<Self> {
        let started = Command::new("/proc/self/exe")
            .arg0(NAME)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in the terminal is not meant for the browser.
            .process_group(0)
            .spawn();
        let mut child = started.ok()?;
        let address = child.stdin.take();
        Some(Self { child, address })
    }

    /// Has the page opened. Whether that worked is known later, if at all: see [`failed`](Self::failed).
    pub fn open(&mut self, page: &str) {
        if let Some(mut address) = self.address.take() {
            // Somebody who is gone is found out by `failed`.
            drop(writeln!(address, "{page}"));
        }
    }

    /// Whether by now it is certain that no browser came of it. One that still runs is taken for a
    /// browser.
    #[must_use]
    pub fn failed(&mut self) -> bool {
        match self.child.try_wait() {
            Ok(Some(status)) => !status.success(),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// What the started program does: it turns into the browser. `None` when it was not started for
    /// that.
    #[must_use]
    pub fn play(arguments: &[OsString], env: impl FnOnce() -> ClientEnv) -> Option<ExitCode> {
        if arguments.first().is_none_or(|name| name != NAME) {
            return None;
        }
        let mut line = String::new();
        let read = BufReader::new(std::io::stdin().take(MAX_PAGE)).read_line(&mut line);
        if let Some(page) = read.ok().and_then(|_| line.strip_suffix('\n'))
            && is_page(page)
        {
            for (program, arguments) in commands(env().browser.as_deref(), page) {
                // It returns only when the program cannot be run: then the next one may.
                let _why = Command::new(program)
                    .args(arguments)
                    .stdin(Stdio::null())
                    .exec();
            }
        }
        Some(ExitCode::FAILURE)
    }
}

/// Whether the command line asks to connect an account, and not in a way that needs no browser here.
fn may_open(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    let connects = words.any(|word| word == "oauth") && words.any(|word| word == "connect");
    let others = ["--no-browser", "--device", "--help", "-h"];
    connects
        && !arguments
            .iter()
            .any(|word| others.iter().any(|other| word == other))
}

/// An address of the web: never an option, never two words.
fn is_page(text: &str) -> bool {
    let web = text.starts_with("https://") || text.starts_with("http://");
    web && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The commands to try. `BROWSER` names some, with colons between them; in each, `%s` is the page,
/// and without one it comes last. Words end at spaces; there are no quotes, as nothing here is a shell.
fn commands(browser: Option<&str>, page: &str) -> Vec<(String, Vec<String>)> {
    let named = browser.unwrap_or_default().split(':').chain([DESKTOP]);
    let command = |text: &str| {
        let mut words = text.split_whitespace();
        let program = words.next()?.to_owned();
        let mut arguments: Vec<String> = words.map(|word| word.replace("%s", page)).collect();
        if !text.contains("%s") {
            arguments.push(page.to_owned());
        }
        Some((program, arguments))
    };
    named.filter_map(command).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Opener, commands, is_page, may_open};
    use crate::client::ClientEnv;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn only_connecting_starts_an_opener() {
        for line in [
            "runtools oauth connect github",
            "runtools --json oauth --socket s connect x --another",
        ] {
            assert!(may_open(&words(line)), "{line}");
        }
        for line in [
            "runtools oauth status",
            "runtools connect oauth",
            "oauth connect",
            "runtools oauth connect github --no-browser",
            "runtools oauth connect github --device",
            "runtools oauth connect --help",
        ] {
            assert!(!may_open(&words(line)), "{line}");
        }
    }

    #[test]
    fn the_program_plays_the_opener_under_that_name_only() {
        let played = Opener::play(&words("runtools oauth connect github"), ClientEnv::default);
        assert!(played.is_none());
        assert!(Opener::play(&[], ClientEnv::default).is_none());
    }

    #[test]
    fn n2_only_an_address_of_the_web_is_opened() {
        assert!(is_page("http://127.0.0.1:8420/connect/abc"));
        assert!(is_page("https://broker.example/connect/abc"));
        for bad in [
            "",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "--help",
            "https://a b",
            "https://a\u{1b}[2J",
            "https://ä.example",
        ] {
            assert!(!is_page(bad), "{bad}");
        }
    }

    #[test]
    fn the_page_is_one_argument_of_what_browser_names() {
        let page = "http://127.0.0.1:8420/connect/a;b&c";
        let tried = commands(Some("/opt/ff --new-window %s:lynx -x::w3m=%s"), page);
        let tried: Vec<_> = tried
            .iter()
            .map(|(program, arguments)| format!("{program} {}", arguments.join("|")))
            .collect();
        assert_eq!(
            tried,
            [
                format!("/opt/ff --new-window|{page}"),
                format!("lynx -x|{page}"),
                "w3m=%s ".to_owned(),
                format!("xdg-open {page}"),
            ]
        );
        assert_eq!(commands(None, page).len(), 1);
    }
}
