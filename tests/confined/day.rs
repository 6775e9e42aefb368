//! What a broker does in a day, and the system calls that it makes for it.

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use crate::harness::crm::{crm_call, install_crm};
use crate::harness::{Broker, Setup, Upstream, eventually};

const WORDS: &str = "correct horse battery staple";
/// Whoever can read a backup; nobody here does.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// A day of a broker: secrets, a tool at an upstream whose name is looked up, the key ring, the journal,
/// seal and unseal.
pub(crate) fn of_a_person(broker: &Broker) {
    let operator = broker.operator();
    let upstream = Upstream::echo();
    install_crm(&operator, upstream.port(), "value of the crm");
    let call = crm_call("person@example.com", "CRM_KEY");
    let path = "/v1/tools/custom-crm/execute";
    operator.post(path, &call).expect(200);
    assert_eq!(upstream.accepted(), 1);
    let secret = json!({ "name": "A_DAYS", "value": "value of a day" });
    operator.post("/v1/secrets", &secret).expect(201);
    let reveal = "/v1/secrets/A_DAYS/reveal";
    operator.post(reveal, &json!({})).expect(200);
    operator.delete("/v1/secrets/A_DAYS").expect(200);
    assert_eq!(operator.get("/v1/audit/export").status, 200);
    let slot = json!({ "kind": "passphrase", "label": "spare", "passphrase": WORDS });
    operator.post("/v1/operator/slots", &slot).expect(201);
    let file = broker.keys().join("second.key");
    let slot = json!({ "kind": "key-file", "label": "second", "path": file });
    operator.post("/v1/operator/slots", &slot).expect(201);
    operator
        .send("POST", "/v1/operator/store/compact", None)
        .value();
    let keys = json!({ "level": "owner" });
    operator.post("/v1/key-rotation", &keys).expect(201);
    eventually(|| {
        let found = operator.get("/v1/key-rotation").expect(200);
        (found["data"]["rotation"]["phase"] == "finished").then_some(())
    });
    operator.send("POST", "/v1/operator/seal", None).expect(200);
    let unseal = json!({ "passphrase": WORDS });
    operator.post("/v1/operator/unseal", &unseal).expect(200);
    operator.post(path, &call).expect(200);
}

/// The settings of a broker in the other engine, whose listener has a certificate.
fn other_settings(folder: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap();
    let [chain, private] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    fs::write(&chain, cert.pem()).unwrap();
    fs::write(&private, key.serialize_pem()).unwrap();
    format!(
        "[store]\nengine = \"redb\"\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n",
        chain.display(),
        private.display()
    )
}

/// Whether curl was answered.
fn curl(words: &[&str]) -> bool {
    let mut curl = Command::new("curl");
    let curl = curl.args(["-sS", "-k", "--max-time", "20", "--noproxy", ""]);
    curl.args(words).output().unwrap().status.success()
}

/// A day of an operator: TLS, the proxy, a backup as a stream, other keys, another copy of the store.
fn of_an_operator(broker: &Broker) {
    let operator = broker.operator();
    let address = broker.origin().strip_prefix("http://").unwrap();
    let (_, port) = address.rsplit_once(':').unwrap();
    assert!(curl(&[&format!("https://localhost:{port}/livez")]));
    let lanes = operator.get("/v1/status").expect(200)["lanes"].clone();
    let proxy = lanes["proxy"]["address"].as_str().unwrap().to_owned();
    // Nobody's, so it is refused; but it was read.
    let proxy = proxy.rsplit('/').next().unwrap();
    let refused = [
        "--proxy",
        &format!("http://{proxy}"),
        "https://example.com/",
    ];
    assert!(!curl(&refused));
    let value = "x".repeat(60_000);
    for n in 0..8 {
        let secret = json!({"name": format!("LARGE_{n}"), "value": value, "orgWide": true});
        operator.post("/v1/secrets", &secret).expect(201);
    }
    let file = broker.path("day.age").display().to_string();
    let words = ["backup", "create", "--to", &file, "-r", RECIPIENT];
    broker.runs(&words, None).expect(0);
    for level in ["root", "state", "audit", "index"] {
        let path = format!("/v1/operator/{level}-rotation");
        operator.send("POST", &path, None).expect(200);
    }
    operator.send("POST", "/v1/operator/store/compact", None);
    eventually(|| {
        let store = operator.get("/v1/operator/store").expect(200);
        (store["data"]["compaction"]["state"] == "done").then_some(())
    });
    operator.send("POST", "/v1/audit/verify", None).expect(200);
    assert_eq!(operator.get("/metrics").status, 200);
    broker.runs(&["doctor"], None);
}

/// The name of the call in a line of strace: `123 openat(…`, `123 <... openat resumed>…`.
fn call_of(line: &str) -> Option<&str> {
    let (_, said) = line.split_once(' ')?;
    let said = said.trim_start();
    let said = said.strip_prefix("<... ").unwrap_or(said);
    let end = said.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')?;
    (end > 0).then(|| &said[..end])
}

#[test]
fn a_call_is_told_by_its_name() {
    assert_eq!(call_of("12 openat(AT_FDCWD"), Some("openat"));
    assert_eq!(call_of("12 <... read resumed>"), Some("read"));
    assert_eq!(call_of("12 +++ exited with 0 +++"), None);
}

/// The calls of a broker that was started so, once it is confined, while it `lives`.
fn traced(setup: Setup, lives: &dyn Fn(&Broker)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    // The tracer stands aside, so that the broker is the process that was started.
    let words = ["strace", "-D", "-f", "-qq", "-s", "0", "-o"];
    let mut wrapper: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    wrapper.push(trace.display().to_string());
    let mut broker = Broker::with(Setup { wrapper, ..setup });
    lives(&broker);
    let pid = broker.pid().to_string();
    assert_eq!(broker.stop(), Some(0), "{}", broker.log_text());
    let trace = eventually(|| {
        let text = fs::read_to_string(&trace).unwrap();
        let ended = |line: &str| line.starts_with(&pid) && line.contains("exit_group(0");
        text.lines().any(ended).then_some(text)
    });
    let lines: Vec<_> = trace.lines().collect();
    let filtered = lines
        .iter()
        .rposition(|line| line.contains("seccomp(SECCOMP_SET_MODE_FILTER"));
    let after = &lines[filtered.expect("the filters are installed") + 1..];
    let count = after.len();
    assert!(count > 1000, "a day has more calls than {count}");
    let names = after.iter().filter_map(|line| call_of(line));
    names.map(str::to_owned).collect()
}

/// The calls of a day with the settings that everybody has.
pub(crate) fn first() -> Vec<String> {
    traced(Setup::default(), &of_a_person)
}

/// The calls of a day with others.
pub(crate) fn second() -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let setup = Setup {
        config: other_settings(place.path()),
        ..Setup::default()
    };
    traced(setup, &of_an_operator)
}
