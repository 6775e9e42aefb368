//! Where the built broker listens: never in clear on a network, one broker per socket, known users only.

mod harness;

use std::collections::BTreeSet;
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

/// The lines of a table of the kernel's that are of sockets of process `pid`.
fn sockets(pid: u32, table: &str, inode: usize) -> Vec<Vec<String>> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: BTreeSet<String> = open
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            link.strip_suffix(']').map(str::to_owned)
        })
        .collect();
    let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap();
    text.lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .filter(|words: &Vec<String>| words.get(inode).is_some_and(|inode| open.contains(inode)))
        .collect()
}

#[test]
fn lk_3_it_listens_where_it_was_told_and_nowhere_else() {
    let broker = Broker::start();
    let operator = broker.operator();
    let client = serde_json::json!({"provider": "github", "clientId": "i", "clientSecret": "s-1"});
    operator.post("/v1/oauth/configs", &client).expect(200);
    operator.get("/v1/oauth/start/github").expect(200);
    broker.anonymous().get("/v1/health/live");
    let pid = broker.pid();
    // Local address and state of each line; 0A is LISTEN.
    let listening = |table: &str| -> Vec<String> {
        let lines = sockets(pid, table, 9);
        let mut listening = lines.iter().filter(|words| words[3] == "0A");
        listening.by_ref().map(|words| words[1].clone()).collect()
    };
    let port = |address: &str| -> String {
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        format!("0100007F:{port:04X}")
    };
    let log = broker.log_text();
    let (_, proxy) = log.split_once("Its egress proxy listens on ").unwrap();
    let (proxy, proxy_socket) = proxy.lines().next().unwrap().split_once(" and ").unwrap();
    let told = BTreeSet::from([port(broker.origin()), port(proxy)]);
    assert_eq!(BTreeSet::from_iter(listening("tcp")), told);
    for table in ["tcp6", "udp", "udp6", "raw", "raw6"] {
        let found = match table {
            "tcp6" => listening(table),
            _ => sockets(pid, table, 9).concat(),
        };
        assert_eq!(found, Vec::<String>::new(), "{table}");
    }
    // The eighth word is the path; the flag says that connections are taken.
    let unix = sockets(pid, "unix", 6);
    let taking: Vec<_> = unix.iter().filter(|words| words[3] == "00010000").collect();
    let taking: BTreeSet<_> = taking.iter().map(|words| words[7].clone()).collect();
    let told = [
        broker.socket().display().to_string(),
        proxy_socket.to_owned(),
    ];
    assert_eq!(taking, BTreeSet::from(told));
    assert!(sockets(pid, "packet", 8).is_empty());
}
