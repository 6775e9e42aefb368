//! Connecting an account from the command line, before a broker that is played by a script: the
//! browser and its way back, the code, the device, and the end of each.

#[path = "oauth_cli/accounts.rs"]
mod accounts;
#[path = "oauth_cli/device.rs"]
mod device;
#[path = "oauth_cli/fake.rs"]
mod fake;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use fake::{Fake, ID, connection, data, ended, eventually, flow, list, refusal, started};
use serde_json::{Value, json};

const START: &str = "GET /v1/oauth/start/github";
const FLOW: &str = "GET /v1/oauth/flows/FLOW";
const FINISH: &str = "POST /v1/oauth/flows/FLOW/finish";
const CANCEL: &str = "DELETE /v1/oauth/flows/FLOW";
const CONNECTIONS: &str = "GET /v1/oauth/connections";

/// A broker whose flow waits until it is finished.
fn waiting(further: &[(&str, Vec<(u16, Value)>)]) -> Fake {
    let mut script = vec![
        (START, vec![data(&started(None))]),
        (FLOW, vec![data(&flow("waiting"))]),
        (FINISH, vec![data(&flow("connected"))]),
        (CANCEL, vec![data(&json!({"success": true}))]),
    ];
    script.extend(further.iter().cloned());
    Fake::github(&script)
}

/// A browser that writes down how it was started.
fn browser(fake: &Fake) -> String {
    let path = fake.path("browser");
    let seen = fake.path("opened");
    let text = format!(
        "#!/bin/sh\n{{ echo \"$#\"; echo \"$1\"; umask; grep NoNewPrivs /proc/self/status; }} > {0}.part\nmv {0}.part {0}\n",
        seen.display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// Where the browser is to come back to.
fn redirect(fake: &Fake) -> (u16, String) {
    let url = url::Url::parse(&fake.wait_for(START).query["redirect_uri"]).unwrap();
    assert_eq!(url.host_str(), Some("127.0.0.1"));
    (url.port().unwrap(), url.path().to_owned())
}

fn get(port: u16, target: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn press_ctrl_c(child: &std::process::Child) {
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
}

#[test]
fn n1_a_browser_comes_back_with_the_ticket_and_the_account_is_named() {
    let fake = waiting(&[(
        CONNECTIONS,
        vec![
            list(&json!([])),
            list(&json!([connection(ID, "octocat", &[])])),
        ],
    )]);
    let words = ["oauth", "connect", "github", "--scopes", "repo gist,user"];
    let program = browser(&fake);
    let child = fake.start(&words, &[("BROWSER", &program)]);
    let (port, path) = redirect(&fake);
    assert_eq!(fake.wait_for(START).query["scopes"], "repo,gist,user");
    let guess = get(port, "/callback?flow=FLOW&ticket=stolen").unwrap();
    assert!(guess.starts_with("HTTP/1.1 404"), "{guess}");
    let answer = get(port, &format!("{path}?flow=FLOW&ticket=t1")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    assert!(
        answer.contains("location: http://127.0.0.1:8420/connect/FLOW/result\r\n"),
        "{answer}"
    );
    let (out, err) = ended(0, child);
    assert_eq!(out, "connected github as octocat\n");
    assert!(
        err.contains("http://127.0.0.1:8420/connect/FLOW\n"),
        "{err}"
    );
    assert_eq!(fake.wait_for(FINISH).body, json!({"ticket": "t1"}));
    assert!(get(port, &path).is_err(), "the port is still open");
}

#[test]
fn n2_the_browser_gets_one_address_and_none_of_our_restrictions() {
    let fake = waiting(&[]);
    let program = format!("/nowhere/browser %s:{}", browser(&fake));
    let child = fake.start(&["oauth", "connect", "github"], &[("BROWSER", &program)]);
    let seen = eventually(|| std::fs::read_to_string(fake.path("opened")).ok());
    let umask = Command::new("sh")
        .args(["-c", "umask"])
        .output()
        .unwrap()
        .stdout;
    let umask = String::from_utf8(umask).unwrap();
    let (port, back) = redirect(&fake);
    let door = format!("http://127.0.0.1:{port}");
    let lines: Vec<_> = seen.lines().collect();
    let [count, address, mask, privileges] = lines[..] else {
        panic!("{seen}");
    };
    assert_eq!(
        (count, mask, privileges),
        ("1", umask.trim(), "NoNewPrivs:\t0")
    );
    // What everybody on the machine can read on its command line says nothing of the flow, nor where
    // the browser is to come back to.
    let start = address
        .strip_prefix(&door)
        .unwrap_or_else(|| panic!("{address}"));
    assert!(
        start.len() == 44 && start != back && !seen.contains("FLOW"),
        "{seen}"
    );
    let answer = get(port, start).unwrap();
    assert!(
        answer.contains("location: http://127.0.0.1:8420/connect/FLOW\r\n"),
        "{answer}"
    );
    press_ctrl_c(&child);
    ended(3, child);
}

#[test]
fn without_a_browser_that_starts_the_page_is_still_there_to_open() {
    let fake = waiting(&[]);
    let child = fake.start(
        &["oauth", "connect", "github"],
        &[("DISPLAY", ":9"), ("BROWSER", "/bin/false")],
    );
    let (port, path) = redirect(&fake);
    eventually(|| (fake.all(FLOW).len() > 1).then_some(()));
    get(port, &format!("{path}?flow=FLOW&ticket=t1")).unwrap();
    let (_, err) = ended(0, child);
    assert!(
        err.contains("Open this page if your browser does not"),
        "{err}"
    );
    assert!(err.contains("no browser could be started here"), "{err}");
}

#[test]
fn a_no_at_the_provider_is_a_sentence_and_exit_code_3() {
    for json in [false, true] {
        let fake = waiting(&[]);
        let mut words = vec!["oauth", "connect", "github"];
        words.extend(json.then_some("--json"));
        let child = fake.start(&words, &[("DISPLAY", ":9"), ("BROWSER", "/bin/true")]);
        let (port, path) = redirect(&fake);
        get(port, &format!("{path}?flow=FLOW&error=access_denied")).unwrap();
        let (out, err) = ended(3, child);
        if json {
            let [waiting, document] = &documents(&out)[..] else {
                panic!("{out}");
            };
            let page = "http://127.0.0.1:8420/connect/FLOW";
            assert_eq!(waiting["waiting"]["authUrl"], page);
            assert_eq!(document["error"]["code"], "access_denied");
        } else {
            assert!(
                err.contains("error: the request was declined at github\n"),
                "{err}"
            );
            assert!(err.contains("hint: "), "{err}");
        }
        assert!(fake.all(FINISH).is_empty());
    }
}

/// The lines of standard output, each of which is a document of one member.
#[track_caller]
fn documents(out: &str) -> Vec<Value> {
    let read =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {out}"));
    let all: Vec<Value> = out.lines().map(read).collect();
    assert!(
        all.iter()
            .all(|one| one.as_object().is_some_and(|one| one.len() == 1)),
        "{out}"
    );
    all
}

#[test]
fn what_fails_before_anybody_is_waited_for_is_one_line_of_json_with_its_exit_code() {
    const CONNECT: [&str; 4] = ["oauth", "connect", "github", "--json"];
    let refused = |status, code| vec![(START, vec![refusal(status, code, "do this")])];
    let start = |script: Vec<(&str, Vec<(u16, Value)>)>, exit: i32, more: &[&str], code: &str| {
        let fake = Fake::github(&script);
        let (out, err) = fake.says(exit, &[&CONNECT, more].concat());
        let [said] = &documents(&out)[..] else {
            panic!("{out}");
        };
        assert_eq!((&said["error"]["code"], &*err), (&json!(code), ""), "{out}");
        assert!(said["error"]["message"].is_string(), "{out}");
    };
    // The parser of the command line, the command, and the broker.
    start(vec![], 2, &["--bogus"], "usage");
    start(vec![], 2, &["--scopes", ","], "usage");
    start(vec![], 2, &["--reconnect", "octocat"], "usage");
    for (status, code, exit) in [
        (409, "provider_not_configured", 8),
        (401, "unauthorized", 4),
        (403, "missing_scope", 5),
        (429, "rate_limited", 11),
        (503, "sealed", 10),
        (500, "internal", 1),
    ] {
        start(refused(status, code), exit, &["--no-browser"], code);
    }
    let fake = Fake::github(&[]);
    let (out, _) = fake.says(9, &["oauth", "connect", "githb", "--json"]);
    assert_eq!(documents(&out)[0]["error"]["code"], "no_such_provider");
    let nobody = ["--socket", "/nowhere/broker.sock"];
    let (out, _) = fake.says(11, &[&CONNECT[..], &nobody].concat());
    assert_eq!(documents(&out).len(), 1);
}

#[test]
fn with_json_a_browser_here_makes_two_lines_as_one_elsewhere_does() {
    let fake = waiting(&[]);
    let words = ["oauth", "connect", "github", "--json"];
    let child = fake.start(&words, &[("BROWSER", "/bin/true")]);
    let (port, path) = redirect(&fake);
    get(port, &format!("{path}?flow=FLOW&ticket=t1")).unwrap();
    let (out, _) = ended(0, child);
    let [waiting, done] = &documents(&out)[..] else {
        panic!("{out}");
    };
    assert_eq!(waiting["waiting"]["flow"], "FLOW");
    assert_eq!(done["data"]["account"], "octocat");
}

#[test]
fn n1_ctrl_c_cancels_the_flow_and_closes_the_port() {
    let fake = waiting(&[]);
    let child = fake.start(&["oauth", "connect", "github"], &[("BROWSER", "/bin/true")]);
    let (port, path) = redirect(&fake);
    eventually(|| get(port, "/").ok());
    press_ctrl_c(&child);
    let (out, err) = ended(3, child);
    assert_eq!((out.as_str(), err.contains("error: cancelled")), ("", true));
    assert_eq!(fake.all(CANCEL).len(), 1);
    assert!(get(port, &path).is_err());
}

#[test]
fn a_flow_that_fails_elsewhere_is_noticed_though_no_browser_comes_back() {
    let mut failed = flow("failed");
    failed["error"] = "account_mismatch".into();
    let fake = waiting(&[(FLOW, vec![data(&flow("opened")), data(&failed)])]);
    let child = fake.start(
        &["oauth", "connect", "github", "--reconnect", ID],
        &[("BROWSER", "/bin/true")],
    );
    let (_, err) = ended(8, child);
    assert_eq!(fake.wait_for(START).query["reconnect"], ID);
    assert!(err.contains("the page is open in a browser"), "{err}");
    assert!(err.contains("that is another github account"), "{err}");
}

#[test]
fn a_code_is_shown_for_a_browser_elsewhere_and_a_renewed_account_is_called_so() {
    let limited = connection(ID, "octocat", &["gist"]);
    let fake = waiting(&[
        (START, vec![data(&started(Some("ABCD-EFGH")))]),
        (
            FLOW,
            vec![
                data(&flow("confirmed")),
                (502, json!({"from": "a proxy"})),
                data(&flow("connected")),
            ],
        ),
        (CONNECTIONS, vec![list(&json!([limited]))]),
    ]);
    let env = [
        ("SSH_TTY", "/dev/pts/0"),
        ("DISPLAY", ":9"),
        ("BROWSER", "/bin/false"),
    ];
    let words = ["oauth", "connect", "github", "--no-browser", "--another"];
    let (out, err) = ended(0, fake.start(&words, &env));
    assert_eq!(out, "renewed github as octocat\n");
    assert!(
        err.contains("  http://127.0.0.1:8420/connect/FLOW\n"),
        "{err}"
    );
    assert!(err.contains("  ABCD-EFGH\n"), "{err}");
    assert!(err.contains("ssh -N -L 8420:127.0.0.1:8420"), "{err}");
    assert!(err.contains("warning: not allowed: gist"), "{err}");
    let asked = fake.wait_for(START).query;
    assert!(
        !asked.contains_key("redirect_uri") && asked["another"] == "true",
        "{asked:?}"
    );
}

#[test]
fn a_key_that_may_only_connect_is_enough() {
    let no = || vec![refusal(403, "forbidden", "another key")];
    let mut connected = flow("connected");
    connected["missingScopes"] = json!(["gist"]);
    let fake = Fake::new(&[
        ("GET /v1/oauth/providers", no()),
        (CONNECTIONS, no()),
        (START, vec![data(&started(Some("ABCD-EFGH")))]),
        (FLOW, vec![data(&connected)]),
    ]);
    let (out, err) = fake.says(0, &["oauth", "connect", "github"]);
    assert_eq!(out, "connected github as octocat\n");
    assert!(err.contains("warning: not allowed: gist"), "{err}");
}

#[test]
fn a_provider_without_a_client_is_refused_in_the_broker_s_words() {
    let hint = "an admin sets one with `runtools oauth configs set github`";
    let refused = refusal(409, "provider_not_configured", hint);
    let fake = Fake::github(&[(START, vec![refused])]);
    let (_, err) = fake.says(8, &["oauth", "connect", "github", "--no-browser"]);
    assert!(err.contains(hint), "{err}");
}

#[test]
fn a_provider_that_was_mistyped_is_guessed_and_nothing_is_begun() {
    let fake = waiting(&[]);
    let (_, err) = fake.says(9, &["oauth", "connect", "githb"]);
    assert!(err.contains("there is no provider githb"), "{err}");
    assert!(err.contains("did you mean github?"), "{err}");
    let (_, err) = fake.says(9, &["oauth", "connect", "dropbox"]);
    assert!(!err.contains("did you mean"), "{err}");
    assert!(fake.all(START).is_empty());
}

#[test]
fn whoever_reads_json_has_the_link_before_the_wait_is_over() {
    let fake = waiting(&[(START, vec![data(&started(Some("ABCD-EFGH")))])]);
    let words = ["oauth", "connect", "github", "--no-browser", "--json"];
    let mut child = fake.start(&words, &[]);
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let first: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        first["waiting"]["authUrl"],
        "http://127.0.0.1:8420/connect/FLOW"
    );
    assert_eq!(first["waiting"]["code"], "ABCD-EFGH");
    press_ctrl_c(&child);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let last: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!(
        (&last["error"]["code"], rest.lines().count()),
        (&json!("cancelled"), 1)
    );
    ended(3, child);
}
