//! Accounts connected from the terminal: the real command line, broker, browser and provider.

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use harness::broker::Setup;
use harness::chromium::Chromium;
use harness::jar::Jar;
use harness::oidc::Peer;
use harness::{Broker, Canaries, eventually};
use tempfile::TempDir;

/// A broker that knows the peer, and a home for the command line.
struct Desk {
    peer: Peer,
    broker: Broker,
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        let peer = Peer::start();
        let home = tempfile::tempdir().unwrap();
        let files = home.path().join("providers");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("peer.toml"), peer.provider_file("peer", "peer")).unwrap();
        let (files, private) = (files.display(), "[\"127.0.0.1/32\"]");
        let config = format!("[oauth]\nproviders_dir = \"{files}\"\nprivate = {private}\n");
        let broker = Broker::with(Setup {
            config,
            ..Setup::default()
        });
        let desk = Self { peer, broker, home };
        let secret = desk.peer.basic().secret;
        let set = [
            "oauth",
            "configs",
            "set",
            "peer",
            "--client-id",
            "peer-basic",
        ];
        let (_, told) = desk.says(0, &set, &secret);
        let redirect = told.split_whitespace().last().unwrap();
        desk.peer.call_back(&[redirect]);
        desk
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtools"));
        command
            .args(words)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home.path())
            .env("RUNTOOLS_SOCKET", self.broker.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs, expects `exit`, and gives both outputs.
    #[track_caller]
    fn says(&self, exit: i32, words: &[&str], input: &str) -> (String, String) {
        let mut child = self.command(words).spawn().unwrap();
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        ended(exit, child)
    }

    /// Connects with a browser that writes down what it is to open: that, and the command, which waits.
    fn connecting(&self, more: &[&str]) -> (String, Child) {
        let program = self.home.path().join("browser");
        let opened = self.home.path().join("opened");
        drop(std::fs::remove_file(&opened));
        let script = format!(
            "#!/bin/sh\necho \"$1\" > {0}.part && mv {0}.part {0}\n",
            opened.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let words = [&["oauth", "connect", "peer"], more].concat();
        let child = self
            .command(&words)
            .env("BROWSER", &program)
            .spawn()
            .unwrap();
        let page = eventually(|| std::fs::read_to_string(&opened).ok());
        (page.trim().to_owned(), child)
    }
}

#[track_caller]
fn ended(exit: i32, child: Child) -> (String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{out}\n{err}");
    println!("{out}{err}");
    (out, err)
}

#[test]
fn n1_chromium_goes_out_to_the_provider_and_comes_home_to_the_terminal() {
    let desk = Desk::new();
    let (page, child) = desk.connecting(&[]);
    let browser = Chromium::start();
    assert!(!page.starts_with(desk.broker.origin()), "{page}");
    browser.open(&page);
    browser.wait_text("Default");
    let page = browser.script("return location.href");
    let page = page.as_str().unwrap();
    assert!(
        page.starts_with(&format!("{}/connect/", desk.broker.origin())),
        "{page}"
    );
    browser.click("button[type=submit]");
    browser.wait_url(&desk.peer.origin());
    browser.type_into("input[name=login]", "ann");
    browser.type_into("input[name=password]", "any");
    browser.click("button[type=submit]");
    browser.wait_text("offline access");
    browser.click("button[type=submit]");
    browser.wait_url(&format!("{page}/result"));
    browser.wait_text("is connected");
    assert_eq!(ended(0, child).0, "connected peer as ann\n");
    let (list, _) = desk.says(0, &["oauth", "status"], "");
    assert!(list.contains("peer      ann      active  yes"), "{list}");

    let mut canaries = Canaries::new();
    desk.peer
        .secrets()
        .iter()
        .for_each(|secret| canaries.also(secret));
    canaries.absent_from("the log", desk.broker.log_text().as_bytes());

    let (_, told) = desk.says(0, &["oauth", "disconnect", "peer", "--yes"], "");
    assert!(
        told.contains("disconnected peer (ann); revoked at the provider"),
        "{told}"
    );
}

#[test]
fn a_code_connects_from_a_browser_elsewhere_and_a_second_time_renews() {
    let desk = Desk::new();
    for word in ["connected", "renewed"] {
        let mut child = desk
            .command(&["oauth", "connect", "peer", "--no-browser"])
            .spawn()
            .unwrap();
        let mut shown = BufReader::new(child.stderr.take().unwrap());
        let mut next = || {
            let mut line = String::new();
            shown.read_line(&mut line).unwrap();
            println!("{line}");
            line
        };
        next();
        let page = next().trim().to_owned();
        next();
        let code = next().trim().to_owned();
        let mut jar = Jar::new();
        let asked = jar.open(&page);
        let wrong = jar.submit(&asked, &[("code", "AAAA-AAAA")]);
        let onward = jar.submit(&wrong, &[("code", &code)]);
        let to = onward.location().unwrap();
        let back = jar.agree(to.as_str(), "bob", desk.broker.origin());
        let end = jar.open(&back);
        assert!(end.text().contains("is connected"), "{}", end.text());
        let mut rest = String::new();
        shown.read_to_string(&mut rest).unwrap();
        let (out, _) = ended(0, child);
        assert_eq!(out, format!("{word} peer as bob\n"), "{rest}");
    }
}

#[test]
fn a_no_and_ctrl_c_end_the_flow() {
    let desk = Desk::new();
    let (page, child) = desk.connecting(&[]);
    let mut jar = Jar::new();
    let asked = jar.open(&page);
    let onward = jar.submit(&asked, &[]);
    let back = jar.deny(
        onward.location().unwrap().as_str(),
        "ann",
        desk.broker.origin(),
    );
    jar.open(&back);
    let (_, said) = ended(3, child);
    assert!(said.contains("the request was declined at peer"), "{said}");

    let (page, child) = desk.connecting(&[]);
    let page = Jar::new().open(&page).url;
    let kill = ["-INT", &child.id().to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    ended(3, child);
    let dead = Jar::new().open(page.as_str());
    assert!(!dead.text().contains("Continue to"), "{}", dead.text());
}
