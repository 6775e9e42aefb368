//! Where the built broker listens: never in clear on a network, one broker per socket, known users only.

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use harness::{Broker, Setup};

/// Runs the broker with these flags over a folder of its own, until it ends by itself.
fn run(flags: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["20", Broker::binary()])
        .args(flags)
        .current_dir(folder.path())
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap();
    (output, folder)
}

fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn plain_http_on_a_network_address_does_not_start() {
    for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8420"] {
        let (output, folder) = run(&["--listen", addr, "--socket", "broker.sock"]);
        let text = said(&output);
        assert!(
            text.contains("error: ") && text.contains("plain HTTP stays on loopback"),
            "{text}"
        );
        assert!(text.contains("hint: "), "{text}");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            0,
            "something was made"
        );
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_or_foreign_one_is_left_alone() {
    let mut broker = Broker::start();
    broker.kill();
    assert!(broker.socket().exists(), "SIGKILL leaves the socket behind");
    broker.restart();
    broker.operator().get("/v1/me").expect(200);

    let socket = broker.socket().display().to_string();
    let (output, _folder) = run(&["--listen", "127.0.0.1:0", "--socket", &socket]);
    let text = said(&output);
    assert!(
        text.contains("is in use: another broker is running") && text.contains("hint: "),
        "{text}"
    );
    broker.operator().get("/v1/me").expect(200);

    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "somebody's text").unwrap();
    let (output, _folder) = run(&[
        "--listen",
        "127.0.0.1:0",
        "--socket",
        file.to_str().unwrap(),
    ]);
    assert!(said(&output).contains("exists and is not a socket"));
    assert_eq!(fs::read(&file).unwrap(), b"somebody's text");

    let listening = place.path().join("listening");
    let other = UnixListener::bind(&listening).unwrap();
    let (output, _folder) = run(&[
        "--listen",
        "127.0.0.1:0",
        "--socket",
        listening.to_str().unwrap(),
    ]);
    assert!(said(&output).contains("is in use"));
    assert!(listening.exists());
    drop(other);
}

#[test]
fn an_address_in_use_is_refused_with_its_own_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (output, _folder) = run(&["--listen", &addr, "--socket", "broker.sock"]);
    let text = said(&output);
    assert!(
        text.contains(&format!("cannot listen on {addr}")) && text.contains("hint: "),
        "{text}"
    );
}

#[test]
fn an_unknown_local_user_is_refused_and_recorded() {
    let broker = Broker::with(Setup {
        config: "socket_mode = \"0660\"".into(),
        ..Setup::default()
    });
    // Everybody's way to the socket is open; its mode lets the group in.
    fs::set_permissions(broker.folder().path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = broker.socket();
    let group = fs::metadata(&socket)
        .map(|meta| std::os::unix::fs::MetadataExt::gid(&meta))
        .unwrap();
    let curl = |group: u32| {
        Command::new("setpriv")
            .args([
                "--reuid=65534",
                &format!("--regid={group}"),
                "--clear-groups",
                "curl",
                "-s",
                "-w",
                "\n%{http_code}",
            ])
            .arg("--unix-socket")
            .arg(&socket)
            .arg("http://localhost/v1/secrets")
            .output()
            .expect("setpriv and curl run as root")
    };
    let output = curl(group);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.ends_with("\n401") && text.contains("unknown_local_user"),
        "{text} {output:?}"
    );
    assert!(text.contains("member add"), "{text}");
    let export = broker.operator().get("/v1/audit/export");
    let export = String::from_utf8(export.body).unwrap();
    let line = export
        .lines()
        .find(|line| line.contains("\"action\":\"auth.failed\""));
    let line = line.expect("the refusal is not in the journal");
    assert!(line.contains("65534") && line.contains("denied"), "{line}");
    // Outside of the group, the kernel itself refuses.
    assert!(
        curl(65534).stdout.ends_with(b"\n000"),
        "the socket's mode lets everybody in"
    );
}
